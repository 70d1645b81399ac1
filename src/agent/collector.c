/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "agent/collector.h"
#include "basic/clock.h"
#include "basic/log.h"

static void on_over(void *userdata, int wait_status);

static void item_done(DiscoverItem *item) {
        free(item->name);
        free(item->path);
        *item = (DiscoverItem) {};
}

Collector *collector_free(Collector *c) {
        if (!c)
                return NULL;

        run_free(c->run);
        lane_free(c->lane);
        item_done(&c->item);
        free(c);
        return NULL;
}
int collector_new(Collector **ret, const CollectorContext *context, DiscoverItem *item, usec_t now) {
        _cleanup_(collector_freep) Collector *c = calloc(1, sizeof(*c));
        int e;

        if (!c)
                return -ENOMEM;

        c->context = context;
        e = lane_new(&c->lane, item->name, context->ring, context->rules, &context->dedup);
        if (e < 0)
                return e;

        c->item = TAKE(*item);
        schedule_init(&c->schedule, c->item.interval_sec * USEC_PER_SEC, context->inactivity,
                      context->remove_inactive, now);
        *ret = TAKE(c);
        return 0;
}

/* The folder the collector's interval folder lies in, as a slice of its path. */
static Slice folder(const Collector *c) {
        Slice dir = slice_from_string(c->item.path);

        for (unsigned slashes = 0; dir.n > 0 && slashes < 2; dir.n--)
                slashes += dir.p[dir.n - 1] == '/';

        return dir.n > 0 ? dir : SLICE(".");
}

static char *python_path(const Collector *c) {
        const char *old = getenv("PYTHONPATH");
        Slice dir = folder(c);
        char *text;

        /* "import lib.utils", "import utils" and "import collectors.lib.utils" are all in use. */
        if (asprintf(&text, "PYTHONPATH=%s%s%.*s/lib:%.*s:%.*s/..", old ?: "", old && *old ? ":" : "",
                     (int) dir.n, dir.p, (int) dir.n, dir.p, (int) dir.n, dir.p) < 0)
                return NULL;

        return text;
}

static int spawn(Collector *c) {
        _cleanup_(freep) char *interval = NULL, *name = NULL, *path = NULL;

        path = python_path(c);
        if (!path || asprintf(&interval, "TCOLLECTOR_INTERVAL=%" PRIu64, c->item.interval_sec) < 0 ||
            asprintf(&name, "TCOLLECTOR_NAME=%s", c->item.name) < 0)
                return -ENOMEM;

        return run_start(
                &c->run, &c->context->run,
                &(RunSpec) {
                        .path = c->item.path,
                        .environ = (const char *const[]) { path, interval, name, NULL },
                        .lane = c->lane,
                        .runtime_max = c->schedule.interval > 0 ? c->schedule.interval : USEC_INFINITY,
                        .over = on_over,
                        .userdata = c,
                });
}

static void start(Collector *c, usec_t now) {
        int e;

        c->last_spawn = clock_usec(CLOCK_REALTIME);
        e = spawn(c);
        if (e < 0) {
                (void) log_error_errno(e, "%s: Failed to start %s, next try in an hour: %m", c->item.name,
                                       c->item.path);
                c->lane->stats.failures++;
                schedule_failed_to_start(&c->schedule, now);
                return;
        }

        log_debug("%s: started", c->item.name);
        schedule_started(&c->schedule, now);
}

static void stop(Collector *c) {
        if (c->run && !run_is_stopping(c->run)) {
                c->lane->stats.kills++;
                run_stop(c->run);
        }
}

static void log_failure(const Collector *c, int wait_status) {
        const char *next = c->schedule.changed ? "its new file is tried at once" : "next try in an hour";

        if (WIFEXITED(wait_status))
                log_warning("%s: failed with exit status %d, %s", c->item.name, WEXITSTATUS(wait_status),
                            next);
        else
                log_warning("%s: killed by signal %d (%s), %s", c->item.name, WTERMSIG(wait_status),
                            strsignal(WTERMSIG(wait_status)), next);
}

static void on_over(void *userdata, int wait_status) {
        Collector *c = userdata;

        c->run = run_free(c->run);
        switch (schedule_ended(&c->schedule, wait_status, clock_usec(CLOCK_MONOTONIC))) {
        case SCHEDULE_ENDED_NOT_HERE:
                log_info("%s: not for this host (exit status 13), left out for an hour", c->item.name);
                break;
        case SCHEDULE_ENDED_FAILED:
                c->lane->stats.failures++;
                log_failure(c, wait_status);
                break;
        case SCHEDULE_ENDED_OK:
        case SCHEDULE_ENDED_STOPPED:
                break;
        }

        c->context->over(c->context->userdata);
}

void collector_step(Collector *c, usec_t now) {
        if (c->run)
                schedule_active(&c->schedule, run_last_active(c->run));

        switch (schedule_due(&c->schedule, now)) {
        case SCHEDULE_DO_NOTHING:
                break;
        case SCHEDULE_DO_START:
                start(c, now);
                break;
        case SCHEDULE_DO_STOP_OVERSTAYER:
                if (run_has_exited(c->run))
                        break; /* only its output is still on its way */
                log_warning("%s: still running after its interval of %" PRIu64 " s, stopping it",
                            c->item.name, c->item.interval_sec);
                schedule_stopping(&c->schedule);
                stop(c);
                break;
        case SCHEDULE_DO_STOP_STALLED:
                log_warning("%s: no line for %" PRIu64 " s, %s", c->item.name,
                            (uint64_t) (c->schedule.inactivity / USEC_PER_SEC),
                            c->schedule.remove_inactive ? "stopping it for good" : "restarting it");
                schedule_stopping(&c->schedule);
                stop(c);
                break;
        }
}

void collector_remove(Collector *c) {
        c->removed = true;
        if (schedule_removed(&c->schedule))
                stop(c);
}

/* The same collector with its file as it is now. */
void collector_update(Collector *c, DiscoverItem *item, usec_t now) {
        if (item->interval_sec != c->item.interval_sec) {
                collector_remove(c); /* and found as a new one when this one is gone */
                return;
        }
        if (discover_same_file(&c->item, item) && strcmp(c->item.path, item->path) == 0)
                return;

        item_done(&c->item);
        c->item = TAKE(*item);
        log_info("%s: its file has changed", c->item.name);
        if (schedule_changed(&c->schedule, now))
                stop(c);
}

void collector_shut_down(Collector *c) {
        if (schedule_removed(&c->schedule) && c->run)
                run_stop(c->run);
}
