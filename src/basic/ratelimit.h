/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* At most `burst` events per `interval`; what is over is counted, so that the next line let through can say
 * how many were held back. */

#include "basic/base.h"

typedef struct RateLimit {
        usec_t interval; /* microseconds */
        unsigned burst;
        usec_t begin;
        unsigned n;
        uint64_t held_back; /* since the last one let through */
} RateLimit;

/* true: go ahead, *ret_held_back events were swallowed before this one. false: swallow this one too. */
bool ratelimit_allow(RateLimit *l, usec_t now, uint64_t *ret_held_back);
