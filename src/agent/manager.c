/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the agent is made of, in the order of manager_new(), and what connects the parts: callbacks from
 * below. How it comes to its end is in manager-stop.c. */

#include <signal.h>
#include <string.h>

#include "agent/agent-tags.h"
#include "agent/manager-internal.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "conf/config-table.h"
#include "io/spawn.h"

#define SELF_REPORT_USEC (60 * USEC_PER_SEC)

static int on_hangup(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
                     void *userdata) {
        Manager *m = userdata;

        if (m->log)
                logfile_reopen(m->log);
        if (m->runner)
                runner_rescan(m->runner);
        if (m->service)
                service_reload_on_signal(m);

        return 0;
}

/* -- the data's way -- */

static void on_acked(void *userdata) {
        Manager *m = userdata;

        source_hub_resume(m->hub);
        if (m->input)
                input_resume(m->input);
        manager_acked(m);
}

static void on_sender_closed(void *userdata, int error) {
        Manager *m = userdata;

        /* A dry run into a pipe whose reader has seen enough: that is an end, not a failure. */
        if (error == -EPIPE) {
                manager_finish(m, EXIT_SUCCESS);
                return;
        }

        (void) log_error_errno(error, "Failed to write to standard output: %m");
        manager_finish(m, EXIT_FAILURE);
}

/* Behind every turn of the loop: what was committed in it goes on its way at once. */
static int on_post(sd_event_source *s _unused_, void *userdata) {
        Manager *m = userdata;

        if (m->service)
                service_spill(m);
        delivery_kick(m->delivery);
        manager_watch_input(m);
        manager_finish_if_drained(m);
        return 0;
}

static int on_self_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        _cleanup_(buffer_done) Buffer lines = {};
        Manager *m = userdata;
        usec_t now;
        int r;

        r = manager_with_report(m, report_lines, &lines);
        if (r < 0)
                (void) log_warning_errno(r, "No self-report this time: %m");
        else if (lane_lines(m->self, buffer_slice(&lines)) < lines.n)
                log_debug("The queue is full: no room for the self-report");

        /* minutes that were missed, as this was turned off or the loop stood still, are not made up for */
        usec += SELF_REPORT_USEC;
        now = clock_usec(CLOCK_MONOTONIC);
        (void) sd_event_source_set_time(s, usec > now ? usec : now + SELF_REPORT_USEC);
        return 0;
}

static int on_evict_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        usec_t interval = m->config->evict_interval;
        int64_t before = (int64_t) ((clock_usec(CLOCK_REALTIME) - interval) / USEC_PER_MSEC);

        if (m->runner)
                runner_evict(m->runner, before);
        else
                (void) dedup_evict(m->input_lane->dedup, before);

        (void) sd_event_source_set_time(s, usec + interval);
        return 0;
}

static int on_monitor_request(void *userdata, Buffer *out) {
        return manager_with_report(userdata, report_json, out);
}

/* -- the beginning -- */

static int make_rules(Manager *m) {
        /* Standard input may be about any host: nothing is known of it that the lines do not say. */
        return agent_tags_rules(&m->rules, m->config, !m->options->from_stdin, NULL);
}

static int make_delivery(Manager *m) {
        static const SenderEvents events = { .acked = on_acked, .closed = on_sender_closed };

        return delivery_new(&m->delivery, m->event,
                            &(DeliverySpec) {
                                    .queue = m->queue,
                                    .ring = m->ring,
                                    .config = m->config,
                                    .http_password = m->options->http_password,
                                    .dry_run = m->options->dry_run,
                            },
                            &events, m);
}

static int make_input(Manager *m, const DedupLimits *dedup) {
        int r;

        r = lane_new(&m->input_lane, "stdin", m->ring, m->rules, dedup);
        if (r < 0)
                return log_oom();

        r = input_new(&m->input, m->hub, m->input_lane, manager_on_input_ended, m);
        if (r < 0)
                return log_error_errno(r, "Failed to read standard input: %m");

        return 0;
}

static int make_runner(Manager *m, const DedupLimits *dedup) {
        const Config *c = m->config;
        int r;

        r = spawn_find_helper(&m->helper);
        if (r < 0)
                return log_error_errno(r, "Failed to find tcollector-exec, which starts collectors: %m");

        r = units_open(&m->units, m->event);
        if (r < 0)
                log_info("No systemd manager answers: collectors run without scopes, this process looks "
                         "after them");

        r = runner_new(
                &m->runner, (const char *const *) c->collector_dirs, c->n_collector_dirs,
                &(CollectorContext) {
                        .run = { .event = m->event, .hub = m->hub, .units = m->units, .helper = m->helper },
                        .ring = m->ring,
                        .rules = m->rules,
                        .dedup = *dedup,
                        .inactivity = c->inactivity,
                        .remove_inactive = m->options->remove_inactive,
                });
        if (r < 0)
                return log_error_errno(r, "Failed to set up the collectors: %m");
        if (runner_n_collectors(m->runner) == 0)
                log_warning("There is no collector in %s; waiting for one to come", c->collector_dirs[0]);

        return 0;
}

static int make_lanes(Manager *m) {
        DedupLimits dedup = lane_limits(m->config, NULL);
        int r;

        r = lane_new(&m->self, "tcollector", m->ring, m->rules, &(DedupLimits) {});
        if (r < 0)
                return log_oom();

        if (m->service)
                return service_start(m);

        return m->options->from_stdin ? make_input(m, &dedup) : make_runner(m, &dedup);
}

static int make_monitor(Manager *m) {
        const Options *o = m->options;

        if (!o->monitoring_address)
                return 0;

        return monitor_new(&m->monitor, m->event, o->monitoring_address, o->monitoring_port,
                           on_monitor_request, m);
}

int manager_add_timer(Manager *m, sd_event_source **ret, usec_t usec, sd_event_time_handler_t handler,
                      const char *description) {
        int r;

        r = sd_event_add_time_relative(m->event, ret, CLOCK_MONOTONIC, usec, USEC_PER_SEC, handler, m);
        if (r < 0)
                return log_error_errno(r, "Failed to add the %s timer: %m", description);

        (void) sd_event_source_set_description(*ret, description);
        return sd_event_source_set_enabled(*ret, SD_EVENT_ON);
}

static int add_timers(Manager *m) {
        const Config *c = m->config;
        int r;

        r = manager_add_timer(m, &m->flush_timer, 0, manager_on_flush_timer, "flush");
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(m->flush_timer, SD_EVENT_OFF);

        r = manager_add_timer(m, &m->self_timer, SELF_REPORT_USEC, on_self_timer, "self-report");
        if (r < 0)
                return r;
        /* With -s no host tag is added, and the counters of two hosts would be one series. */
        (void) sd_event_source_set_enabled(
                m->self_timer, c->self_stats && !m->options->from_stdin ? SD_EVENT_ON : SD_EVENT_OFF);

        r = manager_add_timer(m, &m->evict_timer, c->evict_interval, on_evict_timer, "evict");
        if (r < 0)
                return r;

        /* a service does so in small steps, see service.c */
        return sd_event_source_set_enabled(
                m->evict_timer, c->dedup_interval > 0 && !m->service ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int make_loop(Manager *m) {
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } signals[] = { { SIGTERM, manager_on_stop_signal },
                        { SIGINT, manager_on_stop_signal },
                        { SIGHUP, on_hangup } };
        int r;

        r = sd_event_new(&m->event);
        if (r < 0)
                return log_error_errno(r, "Failed to make the event loop: %m");

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(m->event, NULL, signals[i].number | SD_EVENT_SIGNAL_PROCMASK,
                                        signals[i].handler, m);
                if (r < 0)
                        return log_error_errno(r, "Failed to take over %s: %m",
                                               strsignal(signals[i].number));
        }

        r = sd_event_add_post(m->event, &m->post, on_post, m);
        if (r < 0)
                return log_error_errno(r, "Failed to add an event: %m");

        (void) sd_event_source_set_description(m->post, "kick-sender");
        return 0;
}

static int make_ring(Manager *m) {
        int r;

        if (m->options->service)
                return service_new(m);

        r = ring_new(&m->ring, (size_t) m->config->queue_size);
        if (r < 0)
                return log_error_errno(r, "Failed to make the queue: %m");

        return 0;
}

static int make_queue(Manager *m) {
        int r;

        r = make_ring(m);
        if (r < 0)
                return r;

        r = queue_new(&m->queue, m->ring, m->spool);
        if (r < 0)
                return log_oom();

        return 0;
}

static int make_hub(Manager *m) {
        int r;

        r = source_hub_new(&m->hub, m->event);
        if (r < 0)
                return log_error_errno(r, "Failed to set up reading: %m");

        return 0;
}

int manager_new(Manager **ret, const Options *options, LogFile *log) {
        static int (*const steps[])(Manager *) = {
                make_loop,     make_rules, make_queue,   make_hub,
                make_delivery, add_timers, make_monitor, make_lanes,
        };
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));

        if (!m)
                return log_oom();

        m->options = options;
        m->config = options->config;
        m->log = log;
        m->started = clock_usec(CLOCK_MONOTONIC);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](m);

                if (r < 0)
                        return r;
        }

        *ret = TAKE(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        monitor_free(m->monitor);
        runner_free(m->runner);
        service_free(m->service);
        input_free(m->input);
        units_free(m->units);
        delivery_free(m->delivery);
        source_hub_free(m->hub);
        lane_free(m->self);
        lane_free(m->input_lane);
        queue_free(m->queue);
        spool_free(m->spool);
        ring_free(m->ring);
        point_rules_free(m->rules);
        sd_event_source_disable_unref(m->self_timer);
        sd_event_source_disable_unref(m->evict_timer);
        sd_event_source_disable_unref(m->flush_timer);
        sd_event_source_disable_unref(m->post);
        sd_event_unref(m->event);
        free(m->helper);
        free(m);
        return NULL;
}

int manager_run(Manager *m) {
        int r;

        if (m->service && service_ready(m) < 0)
                return EXIT_FAILURE;

        r = sd_event_loop(m->event);
        if (r < 0) {
                (void) log_error_errno(r, "The event loop failed: %m");
                return EXIT_FAILURE;
        }

        if (m->service)
                service_leave(m);
        manager_log_counters(m);
        return r;
}

/* -- a changed configuration -- */

/* What was not proven to the old senders stays in the queue, and the new ones send it. */
static int replace_delivery(Manager *m) {
        Delivery *old = TAKE(m->delivery);
        int r;

        r = make_delivery(m);
        if (r < 0) {
                m->delivery = old;
                return r;
        }

        delivery_inherit(m->delivery, old);
        delivery_free(old);
        delivery_kick(m->delivery);
        source_hub_resume(m->hub); /* what only a server that has gone was still to get has gone, too */
        return 0;
}

static bool same_server(const ConfigServer *a, const ConfigServer *b) {
        CONFIG_FOREACH_KEY(k, config_server_keys) {
                _cleanup_(buffer_done) Buffer x = {}, y = {};

                if (config_key_format(k, a, &x) < 0 || config_key_format(k, b, &y) < 0 ||
                    !slice_equal(buffer_slice(&x), buffer_slice(&y)))
                        return false;
        }

        return true;
}

/* Connections are not made anew for what does not concern them: what is under way would be sent again. */
static bool same_delivery(const Config *a, const Config *b) {
        if (a->policy != b->policy || a->reconnect_interval != b->reconnect_interval ||
            a->n_servers != b->n_servers)
                return false;

        for (size_t i = 0; i < a->n_servers; i++)
                if (!same_server(&a->servers[i], &b->servers[i]))
                        return false;

        return true;
}

int manager_set_config(Manager *m, const Config *config) {
        PointRules *old_rules = TAKE(m->rules);
        const Config *old = m->config;
        int r;

        m->config = config;
        r = make_rules(m);
        if (r >= 0 && !same_delivery(old, config))
                r = replace_delivery(m);
        if (r < 0) {
                point_rules_free(m->rules);
                m->rules = old_rules;
                m->config = old;
                return r;
        }

        lane_set_rules(m->self, m->rules, &(DedupLimits) {});
        point_rules_free(old_rules);
        return sd_event_source_set_enabled(m->self_timer, config->self_stats ? SD_EVENT_ON : SD_EVENT_OFF);
}
