/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One timer for all collectors, set to the earliest thing due. The list is in name order, as discover()
 * gives it, so a rescan is one walk over both lists. */

#include "agent/runner.h"
#include "basic/buffer.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "io/watch.h"

#define EXITED_RECHECK_USEC (1 * USEC_PER_SEC)

struct Runner {
        CollectorContext context;
        const char *const *dirs;
        size_t n_dirs;
        Watch *watch;
        sd_event_source *timer;
        Collector **collectors;
        size_t n_collectors;
        CollectorStats gone;     /* of collectors that are no more */
        Buffer complaints, said; /* of the scan at hand, of the last one: a line each */
        bool stopping;
        bool rescan; /* once the loop is idle: the name of one that is gone may be free for another */
        void (*stopped)(void *userdata);
        void *stopped_userdata;
};

static void arm(Runner *r, usec_t when) {
        int e;

        e = sd_event_source_set_time(r->timer, when);
        if (e >= 0)
                e = sd_event_source_set_enabled(r->timer,
                                                when == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (e < 0)
                (void) log_error_errno(e, "Failed to arm the schedule: %m");
}

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

/* A folder is scanned at least every minute: what has been said of it once is not said again until it has
 * been put right and gone wrong anew. */
static void complain(void *userdata, const char *path, const char *what) {
        Runner *r = userdata;
        size_t before = r->complaints.n;
        bool said;

        if (buffer_addf(&r->complaints, "%s: %s\n", path, what) < 0)
                return;

        said = r->said.n > 0 &&
               memmem(r->said.data, r->said.n, r->complaints.data + before, r->complaints.n - before);
        (void) log_full(said ? LOG_DEBUG : LOG_WARNING, 0, "%s: %s", path, what);
}

static void end_complaints(Runner *r) {
        buffer_done(&r->said);
        r->said = TAKE(r->complaints);
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
                e = collector_new(&r->collectors[r->n_collectors], &r->context, &found->items[i], now);
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

        e = discover(r->dirs, r->n_dirs, complain, r, &found);
        end_complaints(r);
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

static void on_over(void *userdata) {
        arm(userdata, 0);
}

static void on_changed(void *userdata) {
        runner_rescan(userdata);
}

/* -- from outside -- */

int runner_new(Runner **ret, const char *const *dirs, size_t n_dirs, const CollectorContext *context) {
        _cleanup_(runner_freep) Runner *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;

        *r = (Runner) { .context = *context, .dirs = dirs, .n_dirs = n_dirs };
        r->context.over = on_over;
        r->context.userdata = r;

        e = sd_event_add_time(context->run.event, &r->timer, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC,
                              on_timer, r);
        if (e < 0)
                return e;
        (void) sd_event_source_set_description(r->timer, "schedule");

        e = watch_new(&r->watch, context->run.event, dirs, n_dirs, on_changed, r);
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
        buffer_done(&r->said);
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
                collector_shut_down(r->collectors[i]);

        arm(r, 0);
}

void runner_evict(Runner *r, int64_t before_ms) {
        for (size_t i = 0; i < r->n_collectors; i++)
                (void) dedup_evict(r->collectors[i]->lane->dedup, before_ms);
}

size_t runner_n_collectors(const Runner *r) {
        return r->n_collectors;
}

static CensusRow census_row(const Collector *c, usec_t now) {
        usec_t wake = schedule_wake(&c->schedule),
               left = wake == USEC_INFINITY ? wake : wake - MIN(wake, now);
        bool waiting = c->schedule.phase == SCHEDULE_WAITING;

        return (CensusRow) {
                .name = c->item.name,
                .path = c->item.path,
                .stats = &c->lane->stats,
                .mtime = (usec_t) c->item.mtime.tv_sec * USEC_PER_SEC,
                .last_spawn = c->last_spawn,
                .last_line = c->lane->last_line,
                .next = waiting ? left : USEC_INFINITY,
                .kill_in = waiting ? USEC_INFINITY : left,
                .interval_sec = c->item.interval_sec,
                .cpu_usec = c->lane->cpu_usec,
                .n_series = dedup_n_series(c->lane->dedup),
                .pid = c->run ? run_pid(c->run) : 0,
                .stopping = c->schedule.phase == SCHEDULE_STOPPING,
                .off = c->schedule.phase == SCHEDULE_REMOVED || (waiting && c->schedule.off),
        };
}

void runner_log_counters(const Runner *r, int level) {
        for (size_t i = 0; i < r->n_collectors; i++)
                lane_log_counters(r->collectors[i]->lane, level);
}

int runner_census(const Runner *r, usec_t now, Census *ret) {
        int e;

        e = census_new(ret, r->n_collectors);
        if (e < 0)
                return e;

        ret->totals = r->gone;
        for (size_t i = 0; i < r->n_collectors; i++) {
                ret->rows[ret->n++] = census_row(r->collectors[i], now);
                stats_add(&ret->totals, &r->collectors[i]->lane->stats);
        }

        return 0;
}
