/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dedup beside its model (tests/unit/dedup-model.h): the bytes are a program of lines, changed limits and
 * evictions, and both must say the same of every line and know the same number of series. */

#include "fuzz/fuzz.h"
#include "unit/dedup-model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        check(pair_run(data, n));
        return 0;
}
