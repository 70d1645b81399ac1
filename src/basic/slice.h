/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A borrowed run of bytes: pointer and length, not NUL-terminated, never owned. */

#include <string.h>

#include "basic/base.h"

typedef struct Slice {
        const char *p;
        size_t n;
} Slice;

#define SLICE(literal) ((Slice) { "" literal, sizeof(literal) - 1 })

static inline Slice slice_from_string(const char *s) {
        return (Slice) { s, s ? strlen(s) : 0 };
}

static inline bool slice_equal(Slice a, Slice b) {
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts_with(Slice s, Slice prefix) {
        return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Orders as memcmp does, a prefix before what it begins. */
int slice_compare(Slice a, Slice b);

/* Cuts `rest` at the first `sep`: *ret is what stands before it, `rest` what stands behind. Without a `sep`
 * nothing is touched and false is returned. */
bool slice_cut(Slice *rest, char sep, Slice *ret);

/* `s` without the white space (space, \t, \r, \n, \v, \f) at either end. */
Slice slice_strip(Slice s);

/* Reads a whole decimal number (digits only). false where there is anything else, or it does not fit. */
bool slice_to_uint64(Slice s, uint64_t *ret);
