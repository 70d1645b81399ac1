/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping has an order: first the collectors, so that nothing new comes; then their pipes are read to the
 * end; then what is queued is delivered, as long as that makes progress; then the loop ends. The end of
 * standard input (-s) enters the same way at its second step. One timer holds all of it against standing
 * still. */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "agent/manager-internal.h"
#include "basic/log.h"

#define FLUSH_USEC (10 * USEC_PER_SEC)        /* told to stop: how long delivery may stand still */
#define FLUSH_INPUT_USEC (300 * USEC_PER_SEC) /* the same at the end of standard input */

/* What collectors may take to go, on top of it. */
#define STOP_USEC (SCHEDULE_KILL_USEC + 2 * USEC_PER_SEC)

void manager_finish(Manager *m, int status) {
        (void) sd_event_exit(m->event, status);
}

#define LEFT_MAX 64

static const char *points_left(char buf[static LEFT_MAX], const Manager *m) {
        uint64_t n = queue_lines(m->queue);

        (void) snprintf(buf, LEFT_MAX, n == 1 ? "%" PRIu64 " point is left" : "%" PRIu64 " points are left",
                        n);
        return buf;
}

void manager_finish_if_drained(Manager *m) {
        if (m->phase == PHASE_FLUSHING && delivery_is_drained(m->delivery) &&
            (!m->service || service_is_quiet(m)) && delivery_is_drained(m->delivery))
                manager_finish(m, EXIT_SUCCESS);
}

static int arm_flush(Manager *m) {
        usec_t limit = m->service ? m->config->flush_timeout : m->options->flush_timeout;
        int r;

        if (limit == 0 && !m->service)
                limit = m->input && !m->told_to_stop ? FLUSH_INPUT_USEC : FLUSH_USEC;
        if (m->phase == PHASE_STOPPING)
                limit += STOP_USEC;
        if (m->hurried)
                limit = MIN(limit, FLUSH_USEC);

        r = sd_event_source_set_time_relative(m->flush_timer, limit);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->flush_timer, SD_EVENT_ONESHOT);
        if (r < 0)
                return log_error_errno(r, "Failed to arm the flush timer: %m");

        return 0;
}

static void begin_flush(Manager *m) {
        uint64_t queued;

        m->phase = PHASE_FLUSHING;
        (void) source_hub_drain(m->hub);
        delivery_kick(m->delivery);

        queued = queue_lines(m->queue);
        if (queued > 0)
                log_debug("Delivering %" PRIu64 " queued points before the end", queued);
        if (arm_flush(m) < 0)
                manager_finish(m, EXIT_FAILURE);

        manager_finish_if_drained(m);
}

static void give_up(Manager *m) {
        SenderStatus status = delivery_status(m->delivery, 0);
        char left[LEFT_MAX];

        log_error("Gave up delivering to %s%s%s: %s%s", status.url, status.last_error ? ": " : "",
                  status.last_error ?: "", points_left(left, m),
                  m->phase == PHASE_FLUSHING ? "" :
                  m->input                   ? ", and what of standard input has not been read" :
                                               ", and what collectors had still to say");
        manager_finish(m, EXIT_FAILURE);
}

/* What could not be delivered waits on disk for the next start. -errno: there it cannot go. */
static int leave_on_disk(Manager *m) {
        char left[LEFT_MAX];
        int r;

        r = service_spool_all(m);
        if (r < 0)
                return r;

        log_notice("%s, in the spool on disk", points_left(left, m));
        manager_finish(m, EXIT_SUCCESS);
        return 0;
}

static void leave(Manager *m) {
        char left[LEFT_MAX];
        int r;

        r = leave_on_disk(m);
        if (r >= 0)
                return;

        if (m->spool)
                (void) log_error_errno(r, "%s, and cannot go to the spool: %m", points_left(left, m));
        else
                log_error("%s, and there is no spool for them", points_left(left, m));
        manager_finish(m, EXIT_FAILURE);
}

int manager_on_flush_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *m = userdata;

        if (m->service)
                leave(m);
        else
                give_up(m);
        return 0;
}

void manager_on_input_ended(void *userdata) {
        begin_flush(userdata);
}

static void on_collectors_stopped(void *userdata) {
        begin_flush(userdata);
}

/* Where it comes back at once, all stays where it is: collectors run on, their FIFOs and the queue are kept.
 * What is queued is on the disk all the same: a stop may take the place of the restart that is under way,
 * and systemd then lets go of what it keeps. Else the collectors have been stopped already, and what they
 * said is delivered. */
static void stop_service(Manager *m) {
        service_stopping(m);
        if (service_returns(m)) {
                service_save_queue(m);
                log_info("Leaving %" PRIu64 " queued points to the next process", queue_lines(m->queue));
                manager_finish(m, EXIT_SUCCESS);
                return;
        }

        begin_flush(m);
        /* with no disk to leave it on, it is tried for as long as it may */
        if (delivery_is_away(m->delivery))
                (void) leave_on_disk(m);
}

int manager_on_stop_signal(sd_event_source *s _unused_, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;
        char left[LEFT_MAX];

        if (m->told_to_stop && m->service) {
                leave(m);
                return 0;
        }
        if (m->told_to_stop) {
                log_warning("Told to stop twice, leaving at once: %s", points_left(left, m));
                manager_finish(m, EXIT_FAILURE);
                return 0;
        }

        log_debug("Stopping on %s", strsignal((int) si->ssi_signo));
        m->told_to_stop = true;
        if (m->phase == PHASE_FLUSHING) {
                m->hurried = true;
                (void) arm_flush(m);
                return 0;
        }

        if (m->service) {
                stop_service(m);
                return 0;
        }

        m->phase = PHASE_STOPPING;
        (void) arm_flush(m);
        if (m->runner) {
                runner_stop(m->runner, on_collectors_stopped, m);
                return 0;
        }

        (void) source_hub_drain(m->hub); /* what the writer has handed over counts as said */
        input_stop(m->input);
        begin_flush(m);
        return 0;
}

/* Input that is longer than the queue never ends while nothing is delivered: delivery that stands still must
 * be found out before its end, too. */
void manager_watch_input(Manager *m) {
        bool stalled = m->phase == PHASE_RUNNING && m->input && input_is_blocked(m->input);

        if (stalled == m->stalled)
                return;

        m->stalled = stalled;
        if (stalled)
                (void) arm_flush(m);
        else if (m->phase == PHASE_RUNNING)
                (void) sd_event_source_set_enabled(m->flush_timer, SD_EVENT_OFF);
}

void manager_acked(Manager *m) {
        /* a service is to stop in a bounded time, however much its spool still holds */
        if (!m->service && (m->phase != PHASE_RUNNING || m->stalled))
                (void) arm_flush(m);
}
