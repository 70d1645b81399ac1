/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SPEC.md section 3 once more, as slow and as plain as it can be: whole lines are kept, in a tree by metric
 * and tags. A DedupPair is the real one and this one, given the same lines; it says whether they agree.
 * Programs of lines and other calls are decoded from bytes, random ones in the unit test and the fuzzer's.
 */

#include "store/dedup.h"

typedef struct Series Series;

typedef struct DedupModel {
        DedupLimits limits;
        void *tree; /* tsearch(3), of Series */
        Series **series;
        size_t n, allocated;
        uint64_t n_lines;
} DedupModel;

typedef struct DedupPair {
        Dedup *dedup;
        DedupModel model;
} DedupPair;

bool pair_begin(DedupPair *pair, const DedupLimits *limits, uint64_t seed);
void pair_done(DedupPair *pair);

/* All true: both agree, on every word of the lines that are sent too. */
bool pair_check(DedupPair *pair, const Point *p, DedupAction *ret);
bool pair_evict(DedupPair *pair, int64_t before_ms);
bool pair_evict_in_parts(DedupPair *pair, int64_t before_ms, size_t n); /* a whole round, n slots each */
bool pair_reload(DedupPair *pair, const DedupLimits *limits);           /* a clean restart */
bool pair_set_limits(DedupPair *pair, const DedupLimits *limits);
size_t pair_n_evicted(DedupPair *pair, int64_t before_ms); /* of the model alone */
bool pair_run(const uint8_t *program, size_t n);

/* The real one has run out of memory for the series and forgotten it. */
void pair_forget(DedupPair *pair, const Point *p);
