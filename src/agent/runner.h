/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The collectors of the foreground mode: found in folders, run on schedule, followed as files come, change
 * and go. */

#include "agent/collector.h"

typedef struct Runner Runner;

/* One collector as the status shows it. */
typedef struct RunnerCollector {
        const char *name, *path;
        const CollectorStats *stats;
        usec_t mtime, last_spawn, last_line; /* CLOCK_REALTIME, microseconds; 0: never */
        usec_t next;    /* until its next start, microseconds; USEC_INFINITY: not waiting */
        usec_t kill_in; /* until it is stopped if nothing happens; USEC_INFINITY: not running */
        uint64_t interval_sec;
        uint64_t cpu_usec; /* of its runs that are over, microseconds */
        size_t n_series;
        pid_t pid;          /* 0: not running */
        bool stopping, off; /* off: failed or not for this host, tried again later */
} RunnerCollector;

/* Looks for collectors in `dirs` (borrowed for the runner's life; see discover()) and starts what is due at
 * the loop's next turn. `context` is copied, its over and userdata aside. -errno. */
int runner_new(Runner **ret, const char *const *dirs, size_t n_dirs, const CollectorContext *context);
Runner *runner_free(Runner *r); /* NULL-safe, returns NULL; kills what is still running */
DEFINE_CLEANUP(Runner *, runner_free);

void runner_rescan(Runner *r);

/* Stops all collectors for good; `stopped` is called when the last is gone and read to the end (perhaps at
 * once). */
void runner_stop(Runner *r, void (*stopped)(void *userdata), void *userdata);

void runner_evict(Runner *r, int64_t before_ms); /* dedup_evict() for every collector */

size_t runner_n_collectors(const Runner *r);
RunnerCollector runner_collector(const Runner *r, size_t i,
                                 usec_t now);             /* in name order; borrowed from the runner */
void runner_log_counters(const Runner *r, int level);     /* a line a collector */
void runner_totals(const Runner *r, CollectorStats *ret); /* of all, those that are gone included */
