/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent/census.h"

int census_new(Census *ret, size_t n) {
        CensusRow *rows = calloc(n + 1, sizeof(*rows));

        if (!rows)
                return -ENOMEM;

        *ret = (Census) { .rows = rows };
        return 0;
}

void census_done(Census *c) {
        free(c->rows);
        *c = (Census) {};
}
