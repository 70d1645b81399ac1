/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/ratelimit.h"

bool ratelimit_allow(RateLimit *l, usec_t now, uint64_t *ret_held_back) {
        if (l->n == 0 || now - l->begin >= l->interval) {
                l->begin = now;
                l->n = 0;
        }
        if (l->n >= l->burst) {
                l->held_back++;
                return false;
        }

        l->n++;
        *ret_held_back = l->held_back;
        l->held_back = 0;
        return true;
}
