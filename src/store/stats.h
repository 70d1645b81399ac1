/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The counters, and the sums that must hold at any time (SPEC.md section 4):
 *   per collector  received = sent - replayed + suppressed + invalid
 *   over all       sent + inherited = acked + queued + spooled + lost
 * They begin at 0 with the agent's life. */

#include "basic/base.h"
#include "point/verdict.h"

typedef struct CollectorStats {
        uint64_t received;               /* lines, empty ones and run marks aside */
        uint64_t sent;                   /* lines put into the queue */
        uint64_t replayed;               /* of these, the extra lines of dedup rule 4 */
        uint64_t suppressed;             /* by dedup */
        uint64_t invalid;                /* all faults together */
        uint64_t verdicts[_VERDICT_MAX]; /* faults by name */
        uint64_t replaced;               /* lines in which a character was replaced */
        uint64_t series_overflow;        /* lines sent without dedup, their series being beyond max_series */
        uint64_t runs, failures, kills;
} CollectorStats;

typedef struct SenderStats {
        uint64_t acked;              /* lines */
        uint64_t refused;            /* lines the server named as bad; lost */
        uint64_t bytes;              /* put on the wire */
        uint64_t reconnects, errors; /* connections after the first; error lines and failures */
        usec_t latency_usec;         /* of the last acknowledged batch, from sending to its proof */
} SenderStats;

void stats_verdict(CollectorStats *s, Verdict fault); /* counts one invalid line */

/* Adds `b` to `a`, field by field. */
void stats_add(CollectorStats *a, const CollectorStats *b);

/* Does the sum per collector hold? */
bool stats_adds_up(const CollectorStats *s);
