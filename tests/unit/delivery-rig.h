/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A delivery, its queue with a spool under it, and two servers in one event loop. Whenever something is
 * acknowledged, the sum over all is checked: what was put into the queue, or found in it, is delivered,
 * refused, still there, or lost. */

#include "agent/delivery.h"
#include "basic/clock.h"
#include "unit/spool-rig.h"
#include "unit/tsd.h"

#define DELIVERY_DEADLINE (90 * USEC_PER_SEC)

typedef struct World {
        SpoolRig *rig;
        sd_event *event;
        Ring *ring;
        Queue *queue;
        Tsd tsd[2];
        Config *config;
        Delivery *delivery;
        usec_t reconnect_interval;
        unsigned written; /* in all; the next number */
        uint64_t put;     /* since the queue was opened */
} World;

#define run_until(w, condition)                                                   \
        do {                                                                      \
                usec_t _end = clock_usec(CLOCK_MONOTONIC) + DELIVERY_DEADLINE;    \
                                                                                  \
                while (!(condition)) {                                            \
                        assert_true(sd_event_run((w)->event, USEC_PER_SEC) >= 0); \
                        if (clock_usec(CLOCK_MONOTONIC) > _end)                   \
                                fail_msg("waited in vain for: %s", #condition);   \
                }                                                                 \
        } while (0)

World *world_new(void **state, const TsdRules *rules);
void world_done(World *w);
void close_queue(World *w); /* it, its ring and its spool */
void open_queue(World *w);  /* with a new ring */
void check_sum(const World *w);

/* Makes a delivery that follows on the one there is. `servers` names them by their numbers: "01". */
void deliver(World *w, ConfigPolicy policy, const char *servers);
void put(World *w, unsigned n);
void come_back(World *w, unsigned i); /* a server that was away, and it is tried again at once */
bool is_done(const World *w);
void finish(World *w);

unsigned n_taken_by_any(const World *w); /* lines */
/* From line `from` on each series went to one server, and both have some. */
void check_spread(const World *w, unsigned from);

#define world_test(f) cmocka_unit_test_setup_teardown(f, spool_rig_set_up, spool_rig_tear_down)
