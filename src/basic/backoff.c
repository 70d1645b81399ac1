/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/backoff.h"

usec_t backoff_next(Backoff *b, uint64_t random) {
        usec_t ceiling = b->max;

        assert(b->min > 0 && b->min <= b->max);

        if (b->failures < 63 && b->min <= (b->max >> b->failures))
                ceiling = b->min << b->failures;
        if (b->failures < 63)
                b->failures++;

        return b->min + (ceiling > b->min ? random % (ceiling - b->min + 1) : 0);
}
