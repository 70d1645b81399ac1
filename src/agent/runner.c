/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One timer for all collectors, set to the earliest thing due. The list is in name order, as discover() gives it, so
 * a rescan is one walk over both lists. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "agent/runner.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "io/watch.h"

#define EXITED_RECHECK_USEC (1 * USEC_PER_SEC)

typedef struct Collector {
        Runner *runner;
        DiscoverItem item;
        Lane *lane;
        Schedule schedule;
        Run *run;
        usec_t last_spawn; /* CLOCK_REALTIME */
        bool removed;      /* its file is gone, or has moved to another interval */
} Collector;

struct Runner {
        const RunContext *context;
        RunnerConfig config;
        Ring *ring;
        Watch *watch;
        sd_event_source *timer;
        Collector **collectors;
        size_t n_collectors;
        CollectorStats gone; /* of collectors that are no more */
        bool stopping;
        bool rescan; /* once the loop is idle: the name of one that is gone may be free for another */
        void (*stopped)(void *userdata);
        void *stopped_userdata;
};

static void collector_over(void *userdata, int wait_status);

/* -- one collector -- */

static void arm(Runner *r, usec_t when) {
        int e;

        e = sd_event_source_set_time(r->timer, when);
        if (e >= 0)
                e = sd_event_source_set_enabled(r->timer, when == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (e < 0)
                (void) log_error_errno(e, "Failed to arm the schedule: %m");
}

static void item_done(DiscoverItem *item) {
        free(item->name);
        free(item->path);
        *item = (DiscoverItem) {};
}

static Collector *collector_free(Collector *c) {
        if (!c)
                return NULL;

        run_free(c->run);
        lane_free(c->lane);
        item_done(&c->item);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Collector *, collector_free);

static int collector_new(Collector **ret, Runner *r, DiscoverItem *item, usec_t now) {
        _cleanup_(collector_freep) Collector *c = calloc(1, sizeof(*c));
        int e;

        if (!c)
                return -ENOMEM;

        c->runner = r;
        e = lane_new(&c->lane, item->name, r->ring, r->config.rules, &r->config.dedup);
        if (e < 0)
                return e;

        c->item = TAKE(*item);
        schedule_init(&c->schedule, c->item.interval_sec * USEC_PER_SEC, r->config.inactivity,
                      r->config.remove_inactive, now);
        *ret = TAKE(c);
        return 0;
}

/* The folder the collector's interval folder lies in, as a slice of its path. */
static Slice collector_dir(const Collector *c) {
        Slice dir = slice_from_string(c->item.path);

        for (unsigned slashes = 0; dir.n > 0 && slashes < 2; dir.n--)
                slashes += dir.p[dir.n - 1] == '/';

        return dir.n > 0 ? dir : SLICE(".");
}

static char *python_path(const Collector *c) {
        const char *old = getenv("PYTHONPATH");
        Slice dir = collector_dir(c);
        char *text;

        /* "import lib.utils", "import utils" and "import collectors.lib.utils" are all in use. */
        if (asprintf(&text, "PYTHONPATH=%s%s%.*s/lib:%.*s:%.*s/..", old ?: "", old && *old ? ":" : "", (int) dir.n,
                     dir.p, (int) dir.n, dir.p, (int) dir.n, dir.p) < 0)
                return NULL;

        return text;
}

static int collector_spawn(Collector *c) {
        _cleanup_(freep) char *interval = NULL, *name = NULL, *path = NULL;

        path = python_path(c);
        if (!path || asprintf(&interval, "TCOLLECTOR_INTERVAL=%" PRIu64, c->item.interval_sec) < 0 ||
            asprintf(&name, "TCOLLECTOR_NAME=%s", c->item.name) < 0)
                return -ENOMEM;

        return run_start(&c->run, c->runner->context,
                         &(RunSpec) {
                                 .path = c->item.path,
                                 .environ = (const char *const[]) { path, interval, name, NULL },
                                 .lane = c->lane,
                                 .runtime_max = c->schedule.interval > 0 ? c->schedule.interval : USEC_INFINITY,
                                 .over = collector_over,
                                 .userdata = c,
                         });
}

static void collector_start(Collector *c, usec_t now) {
        int e;

        c->last_spawn = clock_usec(CLOCK_REALTIME);
        e = collector_spawn(c);
        if (e < 0) {
                (void) log_error_errno(e, "%s: Failed to start %s, next try in an hour: %m", c->item.name, c->item.path);
                c->lane->stats.failures++;
                schedule_failed_to_start(&c->schedule, now);
                return;
        }

        log_debug("%s: started", c->item.name);
        schedule_started(&c->schedule, now);
}

static void collector_stop(Collector *c) {
        if (c->run && !run_is_stopping(c->run)) {
                c->lane->stats.kills++;
                run_stop(c->run);
        }
}

static void log_failure(const Collector *c, int wait_status) {
        if (WIFEXITED(wait_status))
                log_warning("%s: failed with exit status %d, next try in an hour", c->item.name,
                            WEXITSTATUS(wait_status));
        else
                log_warning("%s: killed by signal %d (%s), next try in an hour", c->item.name, WTERMSIG(wait_status),
                            strsignal(WTERMSIG(wait_status)));
}

static void collector_over(void *userdata, int wait_status) {
        Collector *c = userdata;
        Runner *r = c->runner;

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

        arm(r, 0);
}

static void collector_step(Collector *c, usec_t now) {
        if (c->run)
                schedule_active(&c->schedule, run_last_active(c->run));

        switch (schedule_due(&c->schedule, now)) {
        case SCHEDULE_DO_NOTHING:
                break;
        case SCHEDULE_DO_START:
                collector_start(c, now);
                break;
        case SCHEDULE_DO_STOP_OVERSTAYER:
                if (run_has_exited(c->run))
                        break; /* only its output is still on its way */
                log_warning("%s: still running after its interval of %" PRIu64 " s, stopping it", c->item.name,
                            c->item.interval_sec);
                schedule_stopping(&c->schedule);
                collector_stop(c);
                break;
        case SCHEDULE_DO_STOP_STALLED:
                log_warning("%s: no line for %" PRIu64 " s, %s", c->item.name,
                            (uint64_t) (c->schedule.inactivity / USEC_PER_SEC),
                            c->schedule.remove_inactive ? "stopping it for good" : "restarting it");
                schedule_stopping(&c->schedule);
                collector_stop(c);
                break;
        }
}

/* -- all of them -- */

static void forget(Runner *r, size_t i) {
        log_info("%s: removed", r->collectors[i]->item.name);
        stats_add(&r->gone, &r->collectors[i]->lane->stats);
        collector_free(r->collectors[i]);
        r->n_collectors--;
        memmove(&r->collectors[i], &r->collectors[i + 1], (r->n_collectors - i) * sizeof(Collector *));
}

static usec_t next_wake(const Runner *r, usec_t now) {
        usec_t next = USEC_INFINITY;

        for (size_t i = 0; i < r->n_collectors; i++) {
                usec_t wake = schedule_wake(&r->collectors[i]->schedule);

                /* Overdue though just looked at: only its output is late. Look again soon, not at once. */
                next = MIN(next, wake <= now ? now + EXITED_RECHECK_USEC : wake);
        }

        return next;
}

/* Steps every collector, and drops those whose file and process are both gone. */
static void step_all(Runner *r) {
        usec_t now = clock_usec(CLOCK_MONOTONIC);

        for (size_t i = r->n_collectors; i-- > 0;) {
                Collector *c = r->collectors[i];

                if (!r->stopping && !c->removed)
                        collector_step(c, now);
                if (c->removed && !c->run) {
                        forget(r, i);
                        r->rescan = true;
                }
        }

        arm(r, r->stopping ? USEC_INFINITY : next_wake(r, now));
}

static bool all_stopped(const Runner *r) {
        for (size_t i = 0; i < r->n_collectors; i++)
                if (r->collectors[i]->run)
                        return false;

        return true;
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Runner *r = userdata;

        step_all(r);
        if (TAKE(r->rescan) && !r->stopping)
                runner_rescan(r);
        if (r->stopping && r->stopped && all_stopped(r))
                TAKE(r->stopped)(r->stopped_userdata);

        return 0;
}

/* -- rescan -- */

static void complain(void *userdata _unused_, const char *path, const char *what) {
        log_warning("%s: %s", path, what);
}

static DiscoverItem *find_item(const Discovered *d, const char *name) {
        for (size_t i = 0; i < d->n; i++)
                if (d->items[i].name && strcmp(d->items[i].name, name) == 0)
                        return &d->items[i];

        return NULL;
}

static bool is_known(const Runner *r, const char *name) {
        for (size_t i = 0; i < r->n_collectors; i++)
                if (strcmp(r->collectors[i]->item.name, name) == 0)
                        return true;

        return false;
}

static void collector_remove(Collector *c) {
        c->removed = true;
        if (schedule_removed(&c->schedule))
                collector_stop(c);
}

/* The same collector with its file as it is now. */
static void collector_update(Collector *c, DiscoverItem *item, usec_t now) {
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
                collector_stop(c);
}

static int compare_collectors(const void *a, const void *b) {
        return strcmp((*(Collector *const *) a)->item.name, (*(Collector *const *) b)->item.name);
}

static int add_new(Runner *r, Discovered *found, usec_t now) {
        Collector **grown;
        int e;

        grown = realloc(r->collectors, (r->n_collectors + found->n + 1) * sizeof(Collector *));
        if (!grown)
                return -ENOMEM;
        r->collectors = grown;

        for (size_t i = 0; i < found->n; i++) {
                if (!found->items[i].name || is_known(r, found->items[i].name))
                        continue;
                e = collector_new(&r->collectors[r->n_collectors], r, &found->items[i], now);
                if (e < 0)
                        return e;
                log_info("%s: found in %s", r->collectors[r->n_collectors]->item.name,
                         r->collectors[r->n_collectors]->item.path);
                r->n_collectors++;
        }

        qsort(r->collectors, r->n_collectors, sizeof(Collector *), compare_collectors);
        return 0;
}

void runner_rescan(Runner *r) {
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        Discovered found = {};
        int e;

        if (r->stopping)
                return;

        e = discover(r->config.dirs, r->config.n_dirs, complain, r, &found);
        for (size_t i = 0; e >= 0 && i < r->n_collectors; i++) {
                DiscoverItem *item = find_item(&found, r->collectors[i]->item.name);

                if (r->collectors[i]->removed)
                        continue;
                if (item)
                        collector_update(r->collectors[i], item, now);
                else
                        collector_remove(r->collectors[i]);
        }
        if (e >= 0)
                e = add_new(r, &found, now);
        if (e < 0)
                (void) log_error_errno(e, "Failed to look for collectors: %m");

        discovered_done(&found);
        arm(r, 0);
}

static void on_changed(void *userdata) {
        runner_rescan(userdata);
}

/* -- from outside -- */

int runner_new(Runner **ret, const RunContext *context, Ring *ring, const RunnerConfig *config) {
        _cleanup_(runner_freep) Runner *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;

        *r = (Runner) { .context = context, .config = *config, .ring = ring };
        e = sd_event_add_time(context->event, &r->timer, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_timer, r);
        if (e < 0)
                return e;
        (void) sd_event_source_set_description(r->timer, "schedule");

        e = watch_new(&r->watch, context->event, config->dirs, config->n_dirs, on_changed, r);
        if (e < 0)
                return e;

        runner_rescan(r);
        *ret = TAKE(r);
        return 0;
}

Runner *runner_free(Runner *r) {
        if (!r)
                return NULL;

        for (size_t i = 0; i < r->n_collectors; i++)
                collector_free(r->collectors[i]);

        watch_free(r->watch);
        sd_event_source_disable_unref(r->timer);
        free(r->collectors);
        free(r);
        return NULL;
}

void runner_stop(Runner *r, void (*stopped)(void *userdata), void *userdata) {
        if (r->stopping)
                return;

        r->stopping = true;
        r->stopped = stopped;
        r->stopped_userdata = userdata;
        r->watch = watch_free(r->watch);
        for (size_t i = 0; i < r->n_collectors; i++)
                if (schedule_removed(&r->collectors[i]->schedule) && r->collectors[i]->run)
                        run_stop(r->collectors[i]->run);

        arm(r, 0);
}

void runner_evict(Runner *r, int64_t before_ms) {
        for (size_t i = 0; i < r->n_collectors; i++)
                (void) dedup_evict(r->collectors[i]->lane->dedup, before_ms);
}

size_t runner_n_collectors(const Runner *r) {
        return r->n_collectors;
}

RunnerCollector runner_collector(const Runner *r, size_t i, usec_t now) {
        const Collector *c = r->collectors[i];
        usec_t wake = schedule_wake(&c->schedule), left = wake == USEC_INFINITY ? wake : wake - MIN(wake, now);
        bool waiting = c->schedule.phase == SCHEDULE_WAITING;

        return (RunnerCollector) {
                .name = c->item.name,
                .path = c->item.path,
                .stats = &c->lane->stats,
                .mtime = (usec_t) c->item.mtime.tv_sec * USEC_PER_SEC,
                .last_spawn = c->last_spawn,
                .last_line = c->lane->last_line,
                .next = waiting ? left : USEC_INFINITY,
                .kill_in = waiting ? USEC_INFINITY : left,
                .interval_sec = c->item.interval_sec,
                .n_series = dedup_n_series(c->lane->dedup),
                .pid = c->run ? run_pid(c->run) : 0,
                .stopping = c->schedule.phase == SCHEDULE_STOPPING,
                .off = c->schedule.phase == SCHEDULE_REMOVED || (waiting && c->schedule.off),
        };
}

void runner_totals(const Runner *r, CollectorStats *ret) {
        *ret = r->gone;
        for (size_t i = 0; i < r->n_collectors; i++)
                stats_add(ret, &r->collectors[i]->lane->stats);
}
