/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Exponential back-off with full jitter above the minimum: the n-th wait is drawn between `min` and
 * min(max, min * 2^n), so that a thousand agents whose database comes back do not all knock at once. */

#include "basic/base.h"

typedef struct Backoff {
        usec_t min, max; /* microseconds; 0 < min <= max */
        unsigned failures;
} Backoff;

/* The wait before the next try, in microseconds, and one failure more. `random` is any uniform 64-bit
 * number. */
usec_t backoff_next(Backoff *b, uint64_t random);

static inline void backoff_reset(Backoff *b) {
        b->failures = 0;
}
