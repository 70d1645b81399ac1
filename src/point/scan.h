/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the bytes of a line are: a class per byte, and the separators of a whole line as a bit map. */

#include "point/point.h"

enum {
        CHAR_NAME = 1 << 0,      /* [-_./a-zA-Z0-9] */
        CHAR_SPACE = 1 << 1,     /* white space: space, \t, \r, \v, \f */
        CHAR_BAD = 1 << 2,       /* any other control byte, NUL and \x7f among them, and 0x80 and above */
        CHAR_SEPARATOR = 1 << 3, /* ' ' and '=' (the highest bit, so that a division finds it) */
};

extern const uint8_t char_class[256];

static inline uint8_t class_of(char c) {
        return char_class[(uint8_t) c];
}

#define SCAN_WORDS (POINT_LINE_MAX / 64)

/* Sets bit i % 64 of word i / 64 for every ' ' and '=' at i, and for the end, i == n; the words up to that
 * one are written, n is below POINT_LINE_MAX. true: nothing else is in the line but [-_./a-zA-Z0-9]. Reads
 * exactly the n bytes. */
bool scan_line(const char *p, size_t n, uint64_t words[static SCAN_WORDS]);

/* The same, a byte at a time: for other processors, and for the test to compare with. */
bool scan_line_scalar(const char *p, size_t n, uint64_t words[static SCAN_WORDS]);
