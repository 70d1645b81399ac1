/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/slice.h"

int slice_compare(Slice a, Slice b) {
        size_t n = MIN(a.n, b.n);
        int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

        if (r != 0)
                return r;

        return (a.n > b.n) - (a.n < b.n);
}

bool slice_cut(Slice *rest, char sep, Slice *ret) {
        const char *hit = rest->n > 0 ? memchr(rest->p, sep, rest->n) : NULL;

        if (!hit)
                return false;

        *ret = (Slice) { rest->p, (size_t) (hit - rest->p) };
        rest->n -= ret->n + 1;
        rest->p = hit + 1;
        return true;
}

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

Slice slice_strip(Slice s) {
        while (s.n > 0 && is_space(s.p[0])) {
                s.p++;
                s.n--;
        }
        while (s.n > 0 && is_space(s.p[s.n - 1]))
                s.n--;

        return s;
}

bool slice_to_uint64(Slice s, uint64_t *ret) {
        uint64_t v = 0;

        if (s.n == 0)
                return false;

        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                if (__builtin_mul_overflow(v, (uint64_t) 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t) (s.p[i] - '0'), &v))
                        return false;
        }

        *ret = v;
        return true;
}
