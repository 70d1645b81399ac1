/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between manager.c, what the agent is made of, and manager-stop.c, how it comes to its end. */

#include "agent/input.h"
#include "agent/manager.h"
#include "agent/report.h"
#include "agent/runner.h"
#include "agent/service.h"
#include "io/monitor.h"

typedef enum Phase {
        PHASE_RUNNING,
        PHASE_STOPPING, /* collectors are told to go */
        PHASE_FLUSHING, /* nothing comes any more; delivering */
} Phase;

struct Manager {
        const Options *options; /* as the process was started */
        const Config
                *config; /* as it is now: borrowed from the options, or from those the service read anew */
        LogFile *log;    /* NULL: not to a file */
        sd_event *event;
        PointRules *rules;
        Ring *ring;
        Spool *spool; /* NULL: no queue on disk */
        int no_spool; /* why there is none though there is to be one: a negative errno; 0: that is not so */
        Queue *queue; /* reads both */
        SourceHub *hub;
        Delivery *delivery;
        Units *units;
        Service *service; /* only with --service */
        Runner *runner;   /* NULL with -s and --service */
        Lane *self;       /* the self-report's way into the queue */
        Input *input;     /* only with -s, as is its lane */
        Lane *input_lane;
        Monitor *monitor;
        char *helper;
        sd_event_source *self_timer, *evict_timer, *flush_timer, *post;
        usec_t started;
        Phase phase;
        bool told_to_stop; /* by a signal */
        bool hurried;      /* ... while it was on its way out already: it does not wait for long any more */
        bool stalled;      /* standard input waits for room in the queue: the flush timer runs */
};

void manager_finish(Manager *m, int status); /* ends the loop */
void manager_finish_if_drained(Manager *m);
void manager_acked(Manager *m);       /* delivery moves */
void manager_watch_input(Manager *m); /* behind every turn of the loop */

/* Goes over to a changed configuration, borrowed for as long as it is used. Logs what fails; -errno, and it
 * goes on with the old one. */
int manager_set_config(Manager *m, const Config *config);

/* Makes something of how it stands, of who runs the collectors too. -ENOMEM, or what `make` said. */
int manager_with_report(const Manager *m, int (*make)(const Report *r, Buffer *out), Buffer *out);
void manager_log_counters(const Manager *m); /* LOG_DEBUG */

/* A timer on CLOCK_MONOTONIC, to a second, that is on: each of its turns sets it anew. Logs what fails;
 * -errno. */
int manager_add_timer(Manager *m, sd_event_source **ret, usec_t usec, sd_event_time_handler_t handler,
                      const char *description);

/* What the loop calls; `userdata` is the Manager. */
int manager_on_flush_timer(sd_event_source *s, uint64_t usec, void *userdata);
int manager_on_stop_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata);
void manager_on_input_ended(void *userdata);
