/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/wait.h>

#include "agent/schedule.h"

void schedule_init(Schedule *s, usec_t interval, usec_t inactivity, bool remove_inactive, usec_t now) {
        *s = (Schedule) {
                .interval = interval,
                .inactivity = inactivity,
                .remove_inactive = remove_inactive,
                .phase = SCHEDULE_WAITING,
                .next = now,
        };
}

/* When the run at hand has to be stopped if nothing happens. */
static usec_t deadline(const Schedule *s) {
        if (s->interval > 0)
                return s->started + s->interval;
        if (s->inactivity > 0)
                return s->active + s->inactivity;

        return USEC_INFINITY;
}

usec_t schedule_wake(const Schedule *s) {
        if (s->phase == SCHEDULE_WAITING)
                return s->next;
        if (s->phase == SCHEDULE_RUNNING)
                return deadline(s);

        return USEC_INFINITY;
}

ScheduleAction schedule_due(const Schedule *s, usec_t now) {
        if (schedule_wake(s) > now)
                return SCHEDULE_DO_NOTHING;
        if (s->phase == SCHEDULE_WAITING)
                return SCHEDULE_DO_START;

        return s->interval > 0 ? SCHEDULE_DO_STOP_OVERSTAYER : SCHEDULE_DO_STOP_STALLED;
}

/* The first point of the grid that the previous start began, at `now` or later: runs do not drift, and one
 * that was missed is not made up for. */
static usec_t next_on_grid(const Schedule *s, usec_t now) {
        usec_t next = s->started + s->interval;

        if (next < now)
                next += (now - next + s->interval - 1) / s->interval * s->interval;

        return next;
}

static void wait_until(Schedule *s, usec_t next, bool off) {
        s->phase = SCHEDULE_WAITING;
        s->next = next;
        s->off = off;
        s->again = false;
}

void schedule_started(Schedule *s, usec_t now) {
        assert(s->phase == SCHEDULE_WAITING);

        /* Started a little late it keeps its grid; after a pause (an hour off, a suspended machine) it
         * begins a new one. */
        if (s->interval > 0 && s->started > 0 && !s->off && now >= s->next && now - s->next < s->interval)
                s->started = s->next;
        else
                s->started = now;

        s->phase = SCHEDULE_RUNNING;
        s->active = now;
        s->changed = false;
        s->off = false;
}

void schedule_failed_to_start(Schedule *s, usec_t now) {
        assert(s->phase == SCHEDULE_WAITING);
        wait_until(s, now + SCHEDULE_RETRY_USEC, true);
}

void schedule_active(Schedule *s, usec_t when) {
        s->active = MAX(s->active, when);
}

void schedule_stopping(Schedule *s) {
        assert(s->phase == SCHEDULE_RUNNING);

        s->phase = SCHEDULE_STOPPING;
        s->again = s->interval == 0 && !s->remove_inactive;
        s->forget = s->interval == 0 && s->remove_inactive;
}

/* systemd counts these as a success too (systemd.service(5), SuccessExitStatus=). */
static bool is_success(int wait_status) {
        if (WIFEXITED(wait_status))
                return WEXITSTATUS(wait_status) == 0;

        return WTERMSIG(wait_status) == SIGTERM || WTERMSIG(wait_status) == SIGHUP ||
               WTERMSIG(wait_status) == SIGINT || WTERMSIG(wait_status) == SIGPIPE;
}

static ScheduleEnd ended_by_itself(Schedule *s, int wait_status, usec_t now) {
        if (is_success(wait_status)) {
                wait_until(s, s->interval > 0 ? next_on_grid(s, now) : now + SCHEDULE_RESTART_USEC, false);
                return SCHEDULE_ENDED_OK;
        }

        /* That was the old file's failure: the new one need not wait for an hour. */
        wait_until(s, s->changed ? now : now + SCHEDULE_RETRY_USEC, true);
        if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == SCHEDULE_EXIT_NOT_HERE)
                return SCHEDULE_ENDED_NOT_HERE;

        return SCHEDULE_ENDED_FAILED;
}

ScheduleEnd schedule_ended(Schedule *s, int wait_status, usec_t now) {
        assert(s->phase == SCHEDULE_RUNNING || s->phase == SCHEDULE_STOPPING);

        if (s->phase == SCHEDULE_RUNNING)
                return ended_by_itself(s, wait_status, now);
        if (s->forget)
                s->phase = SCHEDULE_REMOVED;
        else
                wait_until(s, s->again ? now : next_on_grid(s, now), false);

        return SCHEDULE_ENDED_STOPPED;
}

bool schedule_changed(Schedule *s, usec_t now) {
        bool running = s->phase == SCHEDULE_RUNNING;

        if (s->phase == SCHEDULE_REMOVED || (s->phase == SCHEDULE_WAITING && (s->off || s->interval == 0))) {
                wait_until(s, now, true);
                return false;
        }
        s->changed = true;
        if (s->phase == SCHEDULE_WAITING || (running && s->interval > 0))
                return false; /* its next run is the new one */

        s->phase = SCHEDULE_STOPPING;
        s->again = s->interval == 0;
        s->forget = false;
        return running;
}

bool schedule_removed(Schedule *s) {
        bool running = s->phase == SCHEDULE_RUNNING;

        if (running || s->phase == SCHEDULE_STOPPING) {
                s->phase = SCHEDULE_STOPPING;
                s->forget = true;
                s->again = false;
        } else
                s->phase = SCHEDULE_REMOVED;

        return running;
}
