/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of PointRules, for parser and encoder alone. */

#include "point/point.h"

#define PUT "put " /* what every finished line begins with */
#define PUT_N (sizeof(PUT) - 1)

struct PointRules {
        BadChars bad_chars;
        unsigned max_tags;
        Slice prefix;      /* with its dot; may be empty */
        Slice tail;        /* " key=value" of every tag, and the newline */
        uint64_t all_tags; /* a bit for each tag, as in Point.agent_tags */
        uint64_t key_bits; /* the key_bit() of every tag */
        size_t n_tags;
        AgentTag tags[]; /* in key order */
};

/* A hash of 64 values as one bit: where two sets of keys have no bit in common, no key is in both. */
static inline uint64_t key_bit(Slice key) {
        unsigned first = (uint8_t) key.p[0], last = (uint8_t) key.p[key.n - 1];

        return UINT64_C(1) << (first * 5 + last * 3 + (unsigned) key.n * 9) % 64;
}
