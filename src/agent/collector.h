/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One collector of the foreground mode: its file, its lane, its schedule, and the run at hand. */

#include "agent/run.h"
#include "agent/schedule.h"
#include "conf/discover.h"

typedef struct CollectorContext {
        RunContext run;
        Ring *ring; /* borrowed, as all here, for the collectors' life */
        const PointRules *rules;
        DedupLimits dedup;
        usec_t inactivity;            /* microseconds; 0: nothing is ever stalled */
        bool remove_inactive;         /* a stalled one is stopped for good */
        void (*over)(void *userdata); /* a run is over, and something may be due */
        void *userdata;
} CollectorContext;

typedef struct Collector {
        const CollectorContext *context;
        DiscoverItem item;
        Lane *lane;
        Schedule schedule;
        Run *run;          /* NULL: not running */
        usec_t last_spawn; /* CLOCK_REALTIME, microseconds; 0: never */
        bool removed; /* its file is gone, or has moved to another interval: to be freed when its run is over
                       */
} Collector;

/* Takes `item` over on success. -ENOMEM. */
int collector_new(Collector **ret, const CollectorContext *context, DiscoverItem *item, usec_t now);
Collector *collector_free(Collector *c); /* NULL-safe, returns NULL; kills its run */
DEFINE_CLEANUP(Collector *, collector_free);

/* Does what is due: starts it, stops an overstayer or a stalled one. `now` is CLOCK_MONOTONIC. */
void collector_step(Collector *c, usec_t now);

/* Its file as it is now; taken over. */
void collector_update(Collector *c, DiscoverItem *item, usec_t now);
void collector_remove(Collector *c);    /* its file is gone */
void collector_shut_down(Collector *c); /* the agent stops */
