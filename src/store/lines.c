/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counting newlines, 64 bytes at a time in the compilers' generic vectors: four sums of 16 counters of
 * one byte each. A counter of a block of 63 rounds is at most 63, so the four may be added before they
 * are widened. */

#include "store/lines.h"

#define BLOCK_ROUNDS 63u

typedef uint8_t Bytes __attribute__((__vector_size__(16)));

static Bytes load(const char *p) {
        Bytes v;

        memcpy(&v, p, sizeof(v));
        return v;
}

/* The sum of the 16 counters. */
static size_t add_up(Bytes counters) {
        const uint64_t even = UINT64_C(0x00ff00ff00ff00ff), ones = UINT64_C(0x0001000100010001);
        uint64_t half[2];

        memcpy(half, &counters, sizeof(half));
        half[0] = (half[0] & even) + (half[0] >> 8 & even);
        half[1] = (half[1] & even) + (half[1] >> 8 & even);
        return (half[0] + half[1]) * ones >> 48;
}

/* Counts `rounds` times 64 bytes. */
static size_t count_block(const char *p, size_t rounds) {
        const Bytes newline = (Bytes) {} + (uint8_t) '\n';
        Bytes a = {}, b = {}, c = {}, d = {};

        /* Equal lanes compare as -1. */
        for (const char *end = p + rounds * 64; p < end; p += 64) {
                a -= (Bytes) (load(p) == newline);
                b -= (Bytes) (load(p + 16) == newline);
                c -= (Bytes) (load(p + 32) == newline);
                d -= (Bytes) (load(p + 48) == newline);
        }

        return add_up((a + b) + (c + d));
}

size_t lines_count(Slice s) {
        size_t n = 0;

        while (s.n >= 64) {
                size_t rounds = MIN(s.n / 64, (size_t) BLOCK_ROUNDS);

                n += count_block(s.p, rounds);
                s.p += rounds * 64;
                s.n -= rounds * 64;
        }
        for (size_t i = 0; i < s.n; i++)
                n += s.p[i] == '\n';

        return n;
}
