/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A sender, its ring and its servers in one event loop. A test waits for what is to become true, and for
 * nothing else. Whenever something is acknowledged it is checked that a server has answered for it, and the
 * ring is filled up with what is still to be sent. */

#include "basic/clock.h"
#include "io/sender.h"
#include "unit/tap.h"
#include "unit/tsd.h"

#define LINE_N (TSD_LINE_N + 1)
#define FOR_EVER (3600 * USEC_PER_SEC)
#define RIG_DEADLINE (90 * USEC_PER_SEC)

typedef struct Rig {
        sd_event *event;
        Ring *ring;
        Queue *queue; /* of the ring alone */
        Sender *sender;
        Tsd tsd[2];
        size_t n_tsd;
        unsigned written, wanted; /* lines in the ring so far, and in the end */
        bool trusting;            /* what is acknowledged need not have been answered for */
        int closed;
} Rig;

int rig_set_up(void **state);
int rig_tear_down(void **state);
void rig_again(void **state); /* a fresh one, for the next row */

Tsd *rig_tsd(Rig *r, const TsdRules *rules);

/* A sender for the servers `config` names, or else for those of the rig; its times are short. */
void rig_start(Rig *r, SenderConfig config);
void rig_send(Rig *r, unsigned n); /* so many lines more */

unsigned rig_acked(const Rig *r);    /* lines */
bool rig_is_done(const Rig *r);      /* all that was wanted is acknowledged */
SenderStats rig_stats(const Rig *r); /* over all servers */

#define run_until(r, condition)                                                   \
        do {                                                                      \
                usec_t _end = clock_usec(CLOCK_MONOTONIC) + RIG_DEADLINE;         \
                                                                                  \
                while (!(condition)) {                                            \
                        assert_true(sd_event_run((r)->event, USEC_PER_SEC) >= 0); \
                        if (clock_usec(CLOCK_MONOTONIC) > _end)                   \
                                fail_msg("waited in vain for: %s", #condition);   \
                }                                                                 \
        } while (0)
