/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When a collector of the foreground mode is started and stopped (SPEC.md section 5). Pure: time is passed
 * in (CLOCK_MONOTONIC, microseconds), what is to be done is returned.
 *
 * In service mode systemd does all this; the rules are the same. */

#include "basic/base.h"

#define SCHEDULE_RESTART_USEC (15 * USEC_PER_SEC) /* a long-running collector that ended with 0 */
#define SCHEDULE_RETRY_USEC (3600 * USEC_PER_SEC) /* one that failed, or said "not for this host" */
#define SCHEDULE_KILL_USEC (5 * USEC_PER_SEC)     /* from SIGTERM to SIGKILL */
#define SCHEDULE_EXIT_NOT_HERE 13                 /* exit status: not for this host */

typedef enum SchedulePhase {
        SCHEDULE_WAITING, /* not running; to be started at `next` */
        SCHEDULE_RUNNING,
        SCHEDULE_STOPPING, /* told to stop, not gone yet */
        SCHEDULE_REMOVED,  /* not running, and never to be started again */
} SchedulePhase;

typedef enum ScheduleEnd {
        SCHEDULE_ENDED_OK,
        SCHEDULE_ENDED_NOT_HERE, /* exit 13: off for an hour, quietly */
        SCHEDULE_ENDED_FAILED,   /* any other status or signal: off for an hour */
        SCHEDULE_ENDED_STOPPED,  /* on our demand */
} ScheduleEnd;

typedef enum ScheduleAction {
        SCHEDULE_DO_NOTHING,
        SCHEDULE_DO_START,
        SCHEDULE_DO_STOP_OVERSTAYER, /* a periodic run is still there when its interval is over */
        SCHEDULE_DO_STOP_STALLED,    /* a long-running one has not printed a line for `inactivity` */
} ScheduleAction;

typedef struct Schedule {
        usec_t interval;      /* 0: runs for ever */
        usec_t inactivity;    /* interval 0 only; 0: never stalled */
        bool remove_inactive; /* a stalled one is not started again */
        SchedulePhase phase;
        usec_t started;     /* the run at hand, or the last one; 0: never */
        usec_t next;        /* SCHEDULE_WAITING: when to start */
        usec_t active;      /* the last sign of life of the run at hand */
        bool off;           /* waiting for the retry, not for the interval */
        bool changed;       /* the file has changed since the run at hand began */
        bool again, forget; /* SCHEDULE_STOPPING: start at once when gone; never again */
} Schedule;

/* A new collector: its first run is due at once. */
void schedule_init(Schedule *s, usec_t interval, usec_t inactivity, bool remove_inactive, usec_t now);

/* What is due at `now`. Changes nothing: the caller acts, and says so below. */
ScheduleAction schedule_due(const Schedule *s, usec_t now);

/* When schedule_due() next has something to say if nothing else happens; USEC_INFINITY: never. */
usec_t schedule_wake(const Schedule *s);

void schedule_started(Schedule *s, usec_t now);
void schedule_failed_to_start(Schedule *s, usec_t now); /* the same as a run that failed */
void schedule_active(Schedule *s, usec_t when); /* a line came, or the queue is full and it could not */
void schedule_stopping(Schedule *s);            /* it was told to stop */

/* The run's process is gone. `wait_status` as of waitpid(2). */
ScheduleEnd schedule_ended(Schedule *s, int wait_status, usec_t now);

/* The file has changed. true: a long-running run at hand must be told to stop, it will start anew. */
bool schedule_changed(Schedule *s, usec_t now);

/* The file is gone. true: the run at hand must be told to stop. */
bool schedule_removed(Schedule *s);
