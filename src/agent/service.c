/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The watchdog is fed by a timer of our own, and only while every readable source is served: a process whose
 * loop turns but does not get anywhere is to be started anew, too. A database that is away is no reason. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "agent/agent-tags.h"
#include "agent/service-internal.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "conf/names.h"

/* Between looks at what sends no event: soon after the start, when people look too, then ever less often. */
#define LOOK_MIN_USEC USEC_PER_SEC
#define LOOK_MAX_USEC (10 * USEC_PER_SEC)
#define SETTLE_USEC (10 * USEC_PER_SEC) /* for systemd to store what it was sent */
#define LEAVE_USEC (60 * USEC_PER_SEC)  /* to read what is left, and to write it to the disk */

int service_new(Manager *m) {
        int r;

        m->service = calloc(1, sizeof(*m->service));
        if (!m->service)
                return log_oom();

        r = handover_new(&m->service->handover);
        if (r < 0)
                return log_error_errno(r, "Failed to take over descriptors from systemd: %m");
        if (!handover_is_kept(m->service->handover))
                log_warning("Not started by systemd: the queue will not outlive this process");

        m->service->complaints = (RateLimit) { .interval = 60 * USEC_PER_SEC, .burst = 1 };
        return service_open_queue(m);
}

/* -- what systemd and people are told -- */

static int add_status_line(const Report *r, Buffer *out) {
        char line[STATUS_LINE_MAX];

        return buffer_add_string(out, status_line(r, line));
}

static void say_status(Manager *m) {
        _cleanup_(buffer_done) Buffer line = {};
        Service *s = m->service;

        if (manager_with_report(m, add_status_line, &line) < 0 || strcmp(line.data, s->said) == 0)
                return;

        (void) snprintf(s->said, sizeof(s->said), "%s", line.data);
        (void) sd_notifyf(false, "STATUS=%s", line.data);
}

static int on_status(void *userdata, Buffer *out) {
        Manager *m = userdata;

        bus_look(m->service->bus); /* fresh states for who asks again */
        return manager_with_report(m, status_json, out);
}

static void on_flush(void *userdata) {
        Manager *m = userdata;

        delivery_retry(m->delivery);
}

static void on_failed(void *userdata, const char *instance, bool killed) {
        Manager *m = userdata;

        feeds_count_failure(m->service->feeds, instance, killed);
}

static void on_begin(void *userdata) {
        Manager *m = userdata;

        feeds_reset_states(m->service->feeds);
}

static void on_state(void *userdata, Slice instance, const char *state) {
        Manager *m = userdata;

        feeds_set_state(m->service->feeds, instance, state);
}

static const BusOps bus_ops = {
        .status = on_status, .flush = on_flush, .failed = on_failed, .begin = on_begin, .state = on_state
};

static void evict(Manager *m) {
        const Config *c = m->config;

        if (c->dedup_interval > 0)
                feeds_evict(m->service->feeds,
                            (int64_t) ((clock_usec(CLOCK_REALTIME) - c->evict_interval) / USEC_PER_MSEC));
}

static int on_look(sd_event_source *e, uint64_t usec _unused_, void *userdata) {
        Manager *m = userdata;
        usec_t now = clock_usec(CLOCK_MONOTONIC), age = now - m->started;

        evict(m);
        feeds_look(m->service->feeds, now);
        delivery_tidy(m->delivery);
        bus_look(m->service->bus);
        say_status(m);
        (void) sd_event_source_set_time(e, now + MIN(MAX(age, LOOK_MIN_USEC), LOOK_MAX_USEC));
        return 0;
}

static int on_watchdog(sd_event_source *e, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        uint64_t timeout = 0;
        bool progresses = source_hub_progresses(m->hub);

        if (progresses)
                (void) sd_notify(false, "WATCHDOG=1");
        else if (!m->service->stuck)
                log_error("There is something to read that is not read: leaving it to the watchdog");
        m->service->stuck = !progresses;

        (void) sd_watchdog_enabled(false, &timeout);
        (void) sd_event_source_set_time(e, usec + timeout / 4);
        return 0;
}

/* -- the beginning -- */

/* What was refused is looked at every minute: is there anything new to be said? */
static bool is_refused_still(Manager *m) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(buffer_done) Buffer why = {};
        Service *s = m->service;
        bool same;

        if (config_load_folder(&config, m->options->etc, &why) >= 0) {
                buffer_done(&s->refused);
                return false;
        }

        same = s->refused.n > 0 && slice_equal(buffer_slice(&s->refused), buffer_slice(&why));
        buffer_done(&s->refused);
        s->refused = TAKE(why);
        return same;
}

static void on_changed(void *userdata) {
        Manager *m = userdata;

        if (!is_refused_still(m))
                service_reload(m);
}

/* The configuration's folders, and the collectors'. */
static int watch_folders(Manager *m) {
        const Config *c = m->config;
        Service *s = m->service;
        size_t n = 0;
        int r;

        s->watch = watch_free(s->watch);
        free(s->watched);
        s->watched = calloc(c->n_collector_dirs + 2, sizeof(char *));
        if (!s->watched || (!s->conf_d && asprintf(&s->conf_d, "%s/conf.d", m->options->etc) < 0))
                return log_oom();

        s->watched[n++] = m->options->etc;
        s->watched[n++] = s->conf_d;
        for (size_t i = 0; i < c->n_collector_dirs; i++)
                s->watched[n++] = c->collector_dirs[i];

        r = watch_new(&s->watch, m->event, s->watched, n, on_changed, m);
        if (r < 0)
                return log_error_errno(r, "Failed to watch the configuration: %m");

        return 0;
}

static int open_feeds(Manager *m) {
        Service *s = m->service;
        _cleanup_(close_fdp) int fd = handover_take(s->handover, "dedup");
        _cleanup_(recall_freep) Recall *recall = NULL;
        int r;

        if (fd >= 0) {
                r = recall_open(&recall, fd);
                if (r < 0)
                        (void) log_warning_errno(r, "What was remembered of all series is lost: %m");

                /* true now, and no more when the first line has been taken */
                handover_forget(s->handover, "dedup");
        }

        return feeds_new(&s->feeds, m->event,
                         &(FeedsSpec) {
                                 .context =
                                         &(FeedContext) {
                                                 .hub = m->hub,
                                                 .ring = m->ring,
                                                 .skips = s->skips,
                                                 .handover = s->handover,
                                                 .config = m->config,
                                         },
                                 .dir = RUNDIR "/" RUN_FIFOS,
                                 .stalled_dir = RUNDIR "/" RUN_STALLED,
                                 .recall = recall,
                         });
}

static int add_timers(Manager *m) {
        Service *s = m->service;
        uint64_t timeout = 0;
        int r;

        r = manager_add_timer(m, &s->look, LOOK_MIN_USEC, on_look, "look");
        if (r >= 0)
                r = manager_add_timer(m, &s->sync, USEC_PER_SEC, service_on_sync, "spool-sync");
        if (r < 0)
                return r;

        (void) sd_event_source_set_enabled(s->sync, m->spool ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (sd_watchdog_enabled(false, &timeout) <= 0)
                return 0;

        return manager_add_timer(m, &s->watchdog, timeout / 4, on_watchdog, "watchdog");
}

int service_start(Manager *m) {
        int r;

        r = open_feeds(m);
        if (r < 0)
                return r;

        /* A source that had pending bytes has finished with them; for any other they mean nothing. */
        ring_pending_done(m->ring);

        r = bus_new(&m->service->bus, m->event, &bus_ops, m);
        if (r < 0)
                return log_oom();

        r = add_timers(m);
        if (r < 0)
                return r;

        return watch_folders(m);
}

int service_ready(Manager *m) {
        Service *s = m->service;
        int r;

        r = handover_settle(s->handover, SETTLE_USEC);
        if (r < 0)
                return log_error_errno(r, "systemd does not take the queue for safekeeping: %m");

        bus_look(s->bus);
        say_status(m);
        (void) sd_notify(false, "READY=1");
        return 0;
}

/* -- the configuration anew -- */

static bool same_config(const Config *a, const Config *b) {
        _cleanup_(buffer_done) Buffer x = {}, y = {};

        return config_dump(a, &x) >= 0 && config_dump(b, &y) >= 0 &&
               slice_equal(buffer_slice(&x), buffer_slice(&y));
}

static int apply(Manager *m, Options *fresh) {
        const Config *old = m->config;
        Service *s = m->service;
        Options gone;
        int r;

        r = manager_set_config(m, fresh->config);
        if (r < 0)
                return r;

        feeds_configure(s->feeds, m->config);
        if (m->config->queue_size != old->queue_size)
                log_info("queue_size is applied when the service is started anew with an empty queue");
        if (m->config->spool_size != old->spool_size || strcmp(m->config->spool_dir, old->spool_dir) != 0)
                log_info("spool_size and spool_dir are applied when the service is started anew");

        gone = s->options;
        s->options = TAKE(*fresh);
        r = watch_folders(m);
        options_done(&gone);
        return r;
}

void service_reload_on_signal(Manager *m) {
        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_usec(CLOCK_MONOTONIC));
        service_reload(m);
        (void) sd_notify(false, "READY=1");
}

void service_reload(Manager *m) {
        _cleanup_(options_done) Options fresh = {};

        if (m->phase != PHASE_RUNNING)
                return;

        if (options_reread(m->options, &fresh) != 0) {
                log_error("The configuration is refused, the one before stays");
                return;
        }
        if (same_config(m->config, fresh.config)) {
                feeds_configure(m->service->feeds, m->config); /* collectors may have changed */
                return;
        }
        if (apply(m, &fresh) >= 0)
                log_info("The configuration has changed and was applied");
}

/* -- what the manager asks -- */

int service_census(const Manager *m, Census *ret) {
        return feeds_census(m->service->feeds, ret);
}

void service_log_counters(const Manager *m) {
        feeds_log_counters(m->service->feeds, LOG_DEBUG);
}

/* -- the end -- */

bool service_returns(Manager *m _unused_) {
        return access(RUNDIR "/" RUN_RESTARTING, F_OK) == 0;
}

/* systemd is not to end it before it gives up by itself: what is queued then would be lost. */
void service_stopping(Manager *m) {
        (void) sd_notifyf(false, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
                          m->config->flush_timeout + LEAVE_USEC);
}

bool service_is_quiet(Manager *m) {
        return source_hub_drain(m->hub);
}

static int leave_memory(Manager *m) {
        _cleanup_(close_fdp) int fd = -1;
        int r;

        r = recall_begin(&fd);
        if (r >= 0)
                r = feeds_save(m->service->feeds, fd);
        if (r >= 0)
                r = handover_store(m->service->handover, "dedup", fd);

        return r;
}

void service_leave(Manager *m) {
        Service *s = m->service;
        int r;

        if (!handover_is_kept(s->handover))
                return;

        r = leave_memory(m);
        if (r >= 0)
                r = handover_settle(s->handover, SETTLE_USEC);
        if (r < 0)
                (void) log_warning_errno(r,
                                         "Failed to leave to the next process what is known of series: %m");
}

Service *service_free(Service *s) {
        if (!s)
                return NULL;

        watch_free(s->watch);
        bus_free(s->bus);
        feeds_free(s->feeds);
        skips_free(s->skips);
        handover_free(s->handover);
        sd_event_source_disable_unref(s->look);
        sd_event_source_disable_unref(s->watchdog);
        sd_event_source_disable_unref(s->sync);
        options_done(&s->options);
        buffer_done(&s->refused);
        free(s->watched);
        free(s->conf_d);
        free(s);
        return NULL;
}
