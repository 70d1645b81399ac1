/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "basic/log.h"
#include "unit/delivery-rig.h"

#define LINE_N (TSD_LINE_N + 1)

void check_sum(const World *w) {
        assert_int_equal(w->put + queue_inherited(w->queue),
                         delivery_acked(w->delivery) + delivery_refused(w->delivery) +
                                 queue_lines(w->queue) + queue_lost(w->queue));
}

static void on_acked(void *userdata) {
        World *w = userdata;

        if (w->delivery)
                check_sum(w);
}

static void to_diagnostics(void *userdata _unused_, int level, const char *line) {
        if (getenv("TEST_VERBOSE"))
                (void) fprintf(stderr, "# %s: %s\n", log_level_to_string(level), line);
}

/* -- the world -- */

void open_queue(World *w) {
        spool_rig_open(w->rig);
        assert_int_equal(ring_new(&w->ring, 16u << 20), 0);
        assert_int_equal(queue_new(&w->queue, w->ring, w->rig->spool), 0);
        w->put = 0;
}

void close_queue(World *w) {
        w->queue = queue_free(w->queue);
        w->ring = ring_free(w->ring);
        spool_rig_close(w->rig);
}

World *world_new(void **state, const TsdRules *rules) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        log_set_sink(to_diagnostics, NULL);
        log_set_max_level(LOG_DEBUG);
        (void) signal(SIGPIPE, SIG_IGN);
        w->rig = *state;
        w->rig->limits = (SpoolLimits) { .size = 64u << 20 };
        spool_rig_empty(w->rig);
        assert_true(sd_event_new(&w->event) >= 0);
        for (size_t i = 0; i < ELEMENTSOF(w->tsd); i++)
                tsd_open(&w->tsd[i], w->event, rules);
        open_queue(w);
        return w;
}

void world_done(World *w) {
        w->delivery = delivery_free(w->delivery);
        w->config = config_free(w->config);
        close_queue(w);
        for (size_t i = 0; i < ELEMENTSOF(w->tsd); i++)
                tsd_done(&w->tsd[i]);
        (void) sd_event_unref(w->event);
        free(w);
}

void deliver(World *w, ConfigPolicy policy, const char *servers) {
        static const SenderEvents events = { .acked = on_acked };
        Delivery *old = TAKE(w->delivery);
        Config *config;

        assert_int_equal(config_new(&config), 0);
        config_clear_servers(config);
        config->policy = policy;
        config->reconnect_interval = w->reconnect_interval;
        for (size_t i = 0; servers[i]; i++) {
                char title[24];

                (void) snprintf(title, sizeof(title), "s%zu", i);
                assert_int_equal(config_add_server(config, title, w->tsd[servers[i] - '0'].url), 0);
        }
        assert_int_equal(delivery_new(&w->delivery, w->event,
                                      &(DeliverySpec) {
                                              .queue = w->queue,
                                              .ring = w->ring,
                                              .config = config,
                                      },
                                      &events, w),
                         0);
        if (old)
                delivery_inherit(w->delivery, old);
        delivery_free(old);
        config_free(w->config);
        w->config = config;
        delivery_kick(w->delivery);
        check_sum(w);
}

void put(World *w, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char *p = ring_reserve(w->ring, LINE_N);

                assert_non_null(p);
                tsd_series_line(p, w->written++);
                ring_written(w->ring, LINE_N);
        }
        ring_commit(w->ring, NULL);
        w->put += n;
        if (w->delivery)
                delivery_kick(w->delivery);
}

void come_back(World *w, unsigned i) {
        tsd_restart(&w->tsd[i]);
        delivery_retry(w->delivery);
}

bool is_done(const World *w) {
        return delivery_is_drained(w->delivery) && queue_lines(w->queue) == 0;
}

void finish(World *w) {
        run_until(w, is_done(w));
        check_sum(w);
}

unsigned n_taken_by_any(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->written; i++)
                n += w->tsd[0].taken[i] || w->tsd[1].taken[i];

        return n;
}

void check_spread(const World *w, unsigned from) {
        unsigned n[2] = {};

        for (unsigned s = 0; s < TSD_SERIES; s++) {
                unsigned where = !w->tsd[0].taken[from + s];

                n[where]++;
                for (unsigned i = from + s; i < w->written; i += TSD_SERIES) {
                        assert_true(w->tsd[where].taken[i]);
                        assert_false(w->tsd[!where].taken[i]);
                }
        }
        assert_true(n[0] > TSD_SERIES / 10 && n[1] > TSD_SERIES / 10);
}
