/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The collectors at one moment, as they are counted and shown, whoever runs them: the runner of the
 * foreground mode, or systemd. */

#include <sys/types.h>

#include "store/stats.h"

typedef struct CensusRow {
        const char *name, *path; /* path: NULL where the collector's file is not known */
        const CollectorStats *stats;
        usec_t mtime, last_spawn, last_line; /* CLOCK_REALTIME, microseconds; 0: never, or not known */
        usec_t next;       /* until its next start, microseconds; USEC_INFINITY: not waiting */
        usec_t kill_in;    /* until it is stopped if nothing happens; USEC_INFINITY: not running */
        const char *state; /* as systemd calls it: "active", "failed", ...; NULL: not known */
        uint64_t interval_sec;
        uint64_t cpu_usec; /* of its runs that are over, microseconds */
        size_t n_series;
        const char *cgroup; /* its folder while it is running; NULL: not known */
        pid_t pid;          /* 0: not running, or not a child of this process */
        bool stopping, off; /* off: failed or not for this host, tried again later */
} CensusRow;

typedef struct Census {
        CensusRow *rows; /* in name order; what they point to is borrowed, for this turn of the loop */
        size_t n;
        CollectorStats totals; /* of these and of those that are gone */
} Census;

/* Room for `n` rows. -ENOMEM. */
int census_new(Census *ret, size_t n);
void census_done(Census *c);
