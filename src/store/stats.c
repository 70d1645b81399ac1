/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/stats.h"

void stats_verdict(CollectorStats *s, Verdict fault) {
        assert(fault >= _VERDICT_FIRST_FAULT && fault < _VERDICT_MAX);

        s->invalid++;
        s->verdicts[fault]++;
}

void stats_add(CollectorStats *a, const CollectorStats *b) {
        a->received += b->received;
        a->sent += b->sent;
        a->replayed += b->replayed;
        a->suppressed += b->suppressed;
        a->invalid += b->invalid;
        for (size_t i = 0; i < _VERDICT_MAX; i++)
                a->verdicts[i] += b->verdicts[i];
        a->replaced += b->replaced;
        a->series_overflow += b->series_overflow;
        a->runs += b->runs;
        a->failures += b->failures;
        a->kills += b->kills;
}

bool stats_adds_up(const CollectorStats *s) {
        uint64_t faults = 0;

        for (size_t i = _VERDICT_FIRST_FAULT; i < _VERDICT_MAX; i++)
                faults += s->verdicts[i];

        return s->received == s->sent - s->replayed + s->suppressed + s->invalid && faults == s->invalid;
}
