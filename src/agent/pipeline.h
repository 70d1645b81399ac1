/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a collector's lines to the queue: parse, deduplicate, encode, commit. No I/O of its own but the log.
 *
 * A lane is one collector's way: its rules, its series, its counters. It outlives the collector's runs, so a
 * periodic collector is deduplicated from run to run. */

#include "basic/ratelimit.h"
#include "conf/config.h"
#include "point/point.h"
#include "store/dedup.h"
#include "store/ring.h"
#include "store/stats.h"

typedef struct Lane {
        char *name;
        Ring *ring;              /* borrowed */
        const PointRules *rules; /* borrowed */
        Dedup *dedup;
        uint64_t source; /* noted with each commit (RingPending), for a source that is peeked; 0: none */
        CollectorStats stats;
        usec_t last_line;  /* CLOCK_REALTIME of the last line received, microseconds; 0: none yet */
        uint64_t cpu_usec; /* used by the collector's runs that are over, microseconds */
        RateLimit log_limit;
} Lane;

/* What the configuration says of a collector's series. `own`: its settings; NULL: the agent's. */
DedupLimits lane_limits(const Config *c, const ConfigCollector *own);

/* `ring` and `rules` are borrowed for the lane's life. -ENOMEM. */
int lane_new(Lane **ret, const char *name, Ring *ring, const PointRules *rules, const DedupLimits *limits);
Lane *lane_free(Lane *l); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Lane *, lane_free);

/* What a changed configuration says; `rules` is borrowed in place of the old ones. */
void lane_set_rules(Lane *l, const PointRules *rules, const DedupLimits *limits);
/* Remembers what another process's lane did; `dedup` is taken. */
void lane_set_dedup(Lane *l, Dedup *dedup);

/* Takes whole lines (each with its newline) into the queue and commits them. Returns the bytes taken: fewer
 * than lines.n when the queue is full, always ending behind a newline. Every line taken is counted; bad ones
 * are logged a few times a minute. */
size_t lane_lines(Lane *l, Slice lines);

/* A line that is over-long, or half of one at the end of a run: one line received and invalid. */
void lane_fault(Lane *l, Verdict fault, Slice text);

/* Logs all counters in one line: "NAME: 7 received = 5 sent - 0 replayed + 1 suppressed + 1 invalid
 * (bad-time 1)". */
void lane_log_counters(const Lane *l, int level);
