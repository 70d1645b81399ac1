/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Policies, against two servers in the same loop. Whenever something is acknowledged, the sum over all is
 * checked: what was put into the queue, or found in it, is delivered, refused, still there, or lost. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/delivery.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "unit/spool-rig.h"
#include "unit/tsd.h"

#define LINE_N (TSD_LINE_N + 1)
#define DEADLINE (90 * USEC_PER_SEC)

typedef struct World {
        SpoolRig *rig;
        sd_event *event;
        Ring *ring;
        Queue *queue;
        Tsd tsd[2];
        Config *config;
        Delivery *delivery;
        usec_t reconnect_interval;
        unsigned written; /* in all; the next number */
        uint64_t put;     /* since the queue was opened */
} World;

#define run_until(w, condition)                                                   \
        do {                                                                      \
                usec_t _end = clock_usec(CLOCK_MONOTONIC) + DEADLINE;             \
                                                                                  \
                while (!(condition)) {                                            \
                        assert_true(sd_event_run((w)->event, USEC_PER_SEC) >= 0); \
                        if (clock_usec(CLOCK_MONOTONIC) > _end)                   \
                                fail_msg("waited in vain for: %s", #condition);   \
                }                                                                 \
        } while (0)

static void check_sum(const World *w) {
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

static void open_queue(World *w) {
        spool_rig_open(w->rig);
        assert_int_equal(ring_new(&w->ring, 16u << 20), 0);
        assert_int_equal(queue_new(&w->queue, w->ring, w->rig->spool), 0);
        w->put = 0;
}

static void close_queue(World *w) {
        w->queue = queue_free(w->queue);
        w->ring = ring_free(w->ring);
        spool_rig_close(w->rig);
}

static World *world_new(void **state, const TsdRules *rules) {
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

static void world_done(World *w) {
        w->delivery = delivery_free(w->delivery);
        w->config = config_free(w->config);
        close_queue(w);
        for (size_t i = 0; i < ELEMENTSOF(w->tsd); i++)
                tsd_done(&w->tsd[i]);
        (void) sd_event_unref(w->event);
        free(w);
}

/* Makes a delivery that follows on the one there is. `servers` names them by their numbers: "01". */
static void deliver(World *w, ConfigPolicy policy, const char *servers) {
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

static void put(World *w, unsigned n) {
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

/* A server that was away is tried again at once. */
static void come_back(World *w, unsigned i) {
        tsd_restart(&w->tsd[i]);
        delivery_retry(w->delivery);
}

static bool is_done(const World *w) {
        return delivery_is_drained(w->delivery) && queue_lines(w->queue) == 0;
}

static void finish(World *w) {
        run_until(w, is_done(w));
        check_sum(w);
}

static unsigned n_taken_by_any(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->written; i++)
                n += w->tsd[0].taken[i] || w->tsd[1].taken[i];

        return n;
}

static bool any_waits(const World *w) {
        for (size_t i = 0; i < delivery_n_senders(w->delivery); i++)
                if (delivery_status(w->delivery, i).state == SENDER_WAITING)
                        return true;

        return false;
}

/* Each series went to one server, and both have some. */
static void check_spread(const World *w, unsigned from) {
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

/* -- mirror -- */

static void test_mirror_one_away(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        tsd_kill(&w->tsd[0], false);
        deliver(w, CONFIG_POLICY_MIRROR, "01");
        for (unsigned i = 0; i < 10; i++) {
                put(w, 5000);
                run_until(w, w->tsd[1].n_taken == w->written);
        }
        assert_int_equal(delivery_acked(w->delivery), 0);
        assert_int_equal(queue_lines(w->queue), w->written);
        assert_false(delivery_is_drained(w->delivery));
        assert_int_equal(delivery_n_servers(w->delivery), 2);
        assert_int_equal(delivery_server(w->delivery, 0).stats->acked, 0);

        come_back(w, 0);
        finish(w);
        assert_int_equal(w->tsd[0].n_taken, w->written);
        assert_int_equal(w->tsd[1].n_taken, w->written);
        assert_int_equal(w->tsd[1].n_again, 0);
        assert_int_equal(delivery_acked(w->delivery), w->written);
        world_done(w);
}

/* The one that is away is taken out of the configuration: nothing is left to wait for. */
static void test_mirror_one_goes(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        tsd_kill(&w->tsd[0], false);
        deliver(w, CONFIG_POLICY_MIRROR, "01");
        put(w, 5000);
        run_until(w, w->tsd[1].n_taken == w->written);
        deliver(w, CONFIG_POLICY_MIRROR, "1");
        finish(w);
        assert_int_equal(delivery_acked(w->delivery), 5000);
        world_done(w);
}

/* The order of the servers changes: each still gets what it has not got, and no more. */
static void test_mirror_other_order(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        tsd_kill(&w->tsd[0], false);
        deliver(w, CONFIG_POLICY_MIRROR, "01");
        put(w, 5000);
        run_until(w, delivery_server(w->delivery, 1).stats->acked == 5000);
        deliver(w, CONFIG_POLICY_MIRROR, "10");
        come_back(w, 0);
        finish(w);
        assert_int_equal(w->tsd[0].n_taken, 5000);
        assert_int_equal(w->tsd[1].n_taken, 5000);
        assert_int_equal(w->tsd[0].n_again + w->tsd[1].n_again, 0);
        world_done(w);
}

/* -- spread -- */

static void test_spread(void **state) {
        static const TsdAnswer answers[] = { TSD_TWO_LINES, TSD_BARE, TSD_MUTE };

        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true, .answer = answers[i] });

                deliver(w, CONFIG_POLICY_SPREAD, "01");
                for (unsigned k = 0; k < 2; k++) {
                        put(w, 1 + 40000 * k);
                        finish(w);
                }
                check_spread(w, 0);
                assert_int_equal(delivery_acked(w->delivery), w->written);
                assert_int_equal(delivery_n_servers(w->delivery), 2);
                for (size_t k = 0; k < 2; k++) {
                        DeliveryServer server = delivery_server(w->delivery, k);

                        assert_string_equal(server.url, w->tsd[k].url);
                        assert_int_equal(server.stats->acked, w->tsd[k].n_taken);
                        assert_int_equal(server.stats->refused, 0);
                        assert_true(server.in_use);
                }
                world_done(w);
        }
}

/* Lines are cut by the socket in the midst. */
static void test_spread_narrow(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true, .narrow = true });

        deliver(w, CONFIG_POLICY_SPREAD, "01");
        put(w, 40000);
        finish(w);
        check_spread(w, 0);
        world_done(w);
}

/* With one server away the other takes its share, and gives it back. */
static void test_spread_one_away(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });
        unsigned from;

        tsd_kill(&w->tsd[1], false);
        deliver(w, CONFIG_POLICY_SPREAD, "01");
        put(w, 20000);
        finish(w);
        assert_int_equal(w->tsd[0].n_taken, 20000);
        assert_int_equal(w->tsd[1].n_taken, 0);
        assert_false(delivery_server(w->delivery, 1).in_use);

        tsd_restart(&w->tsd[1]);
        tsd_kill(&w->tsd[0], true);
        put(w, 20000);
        finish(w);
        assert_int_equal(n_taken_by_any(w), w->written);

        tsd_restart(&w->tsd[0]);
        deliver(w, CONFIG_POLICY_SPREAD, "01");
        from = w->written;
        put(w, 20000);
        finish(w);
        check_spread(w, from);
        assert_int_equal(delivery_acked(w->delivery), w->written);
        world_done(w);
}

/* While the other one works on, too, when its connection is of age. */
static void test_spread_comes_back(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        w->reconnect_interval = 5 * USEC_PER_MSEC;
        tsd_kill(&w->tsd[1], false);
        deliver(w, CONFIG_POLICY_SPREAD, "01");
        put(w, 20000);
        finish(w);
        assert_int_equal(w->tsd[0].n_taken, 20000);

        tsd_restart(&w->tsd[1]);
        while (w->tsd[1].n_taken < 1000) {
                put(w, 1000);
                finish(w);
        }
        assert_int_equal(n_taken_by_any(w), w->written);
        world_done(w);
}

static void test_spread_deaths(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        for (size_t i = 0; i < 2; i++) {
                w->tsd[i].seed = 88172645463325252u + i;
                w->tsd[i].lifetime = 1 + tsd_random(&w->tsd[i].seed) % 400000;
        }
        deliver(w, CONFIG_POLICY_SPREAD, "01");
        for (unsigned i = 0; i < 4; i++) {
                usec_t end = clock_usec(CLOCK_MONOTONIC) + DEADLINE;

                put(w, 50000);
                while (!is_done(w)) {
                        assert_true(sd_event_run(w->event, USEC_PER_SEC) >= 0);
                        delivery_retry(w->delivery); /* never waits for back-off */
                        assert_true(clock_usec(CLOCK_MONOTONIC) < end);
                }
        }
        assert_int_equal(n_taken_by_any(w), w->written);
        assert_int_equal(delivery_acked(w->delivery), w->written);
        check_sum(w);
        world_done(w);
}

static const char *refuse_sevens(Tsd *t _unused_, unsigned n) {
        return n % 10 == 7 ? "put: illegal argument: no sevens\n" : NULL;
}

static void test_refused(void **state) {
        static const ConfigPolicy policies[] = { CONFIG_POLICY_FAILOVER, CONFIG_POLICY_SPREAD,
                                                 CONFIG_POLICY_MIRROR };

        for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true, .judge = refuse_sevens });

                deliver(w, policies[i], "01");
                put(w, 10000);
                finish(w);
                assert_int_equal(delivery_acked(w->delivery), 9000);
                assert_int_equal(delivery_refused(w->delivery), 1000);
                world_done(w);
        }
}

/* -- another policy, another number -- */

/* As if share or server 0 of `n` had got all of its lines, and the others none. */
static void one_is_ahead(World *w, ConfigPolicy policy, const char *servers) {
        for (size_t i = 0; i < 2; i++)
                if (w->tsd[i].fd >= 0)
                        tsd_kill(&w->tsd[i], false);
        deliver(w, policy, servers);
        put(w, 10000);
        run_until(w, any_waits(w));
        (void) queue_ack(w->queue, 0, queue_head(w->queue));
}

static const struct {
        const char *name;
        ConfigPolicy from;
        const char *before;
        ConfigPolicy to;
        const char *after;
} changes[] = {
        { "spread to failover", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_FAILOVER, "01" },
        { "spread to one", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_SPREAD, "0" },
        { "spread over fewer", CONFIG_POLICY_SPREAD, "0101", CONFIG_POLICY_SPREAD, "10" },
        { "spread over more", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_SPREAD, "011" },
        { "spread to mirror", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_MIRROR, "01" },
        { "mirror to failover", CONFIG_POLICY_MIRROR, "01", CONFIG_POLICY_FAILOVER, "10" },
        { "mirror to spread", CONFIG_POLICY_MIRROR, "01", CONFIG_POLICY_SPREAD, "01" },
};

static void test_changes(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                deliver(w, changes[i].to, changes[i].after);
                come_back(w, 0);
                come_back(w, 1);
                put(w, 1000);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                assert_int_equal(delivery_acked(w->delivery), w->written);
                if (changes[i].to == CONFIG_POLICY_MIRROR)
                        assert_int_equal(w->tsd[0].n_taken + w->tsd[1].n_taken, 2 * w->written);
                world_done(w);
        }
}

/* The same over a stop: the queue is on disk, and nobody knows any more who was where. */
static void test_changes_over_a_stop(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                w->delivery = delivery_free(w->delivery);
                assert_int_equal(queue_flush_to_spool(w->queue), 0);
                close_queue(w);
                open_queue(w);

                deliver(w, changes[i].to, changes[i].after);
                assert_int_equal(queue_inherited(w->queue), 10000);
                come_back(w, 0);
                come_back(w, 1);
                put(w, 1000);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                assert_int_equal(delivery_acked(w->delivery), w->written);
                world_done(w);
        }
}

/* The process is killed; the next one finds the ring, and the spool. */
static void next_process(World *w) {
        int fd = dup(ring_fd(w->ring));

        assert_true(fd >= 0);
        w->delivery = delivery_free(w->delivery);
        close_queue(w);
        spool_rig_open(w->rig);
        assert_int_equal(ring_open(&w->ring, fd), 0);
        assert_int_equal(queue_new(&w->queue, w->ring, w->rig->spool), 0);
        w->put = 0;
}

/* Nothing has changed: each goes on where it was. */
static void test_same_again(void **state) {
        for (unsigned i = 0; i < 2; i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                one_is_ahead(w, CONFIG_POLICY_SPREAD, "01");
                if (i == 1)
                        next_process(w);
                deliver(w, CONFIG_POLICY_SPREAD, "10"); /* a share is a share, whoever gets it */
                come_back(w, 0);
                come_back(w, 1);
                finish(w);
                assert_true(n_taken_by_any(w) > 1000 && n_taken_by_any(w) < 9000);
                world_done(w);
        }
}

static void test_changes_over_a_kill(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                next_process(w);
                deliver(w, changes[i].to, changes[i].after);
                put(w, 1000);
                next_process(w);
                deliver(w, changes[i].to, changes[i].after);
                come_back(w, 0);
                come_back(w, 1);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                world_done(w);
        }
}

/* More readers than there can be: refused, and what there was goes on. */
static void test_too_many(void **state) {
        static const SenderEvents events = { .acked = on_acked };
        World *w = world_new(state, &(TsdRules) { .series = true });
        Delivery *delivery = NULL;
        Config *config;

        assert_int_equal(config_new(&config), 0);
        config_clear_servers(config);
        config->policy = CONFIG_POLICY_SPREAD;
        for (char c = 'a'; c <= 'i'; c++)
                assert_int_equal(config_add_server(config, (char[]) { c, 0 }, "telnet://127.0.0.1:1"), 0);

        deliver(w, CONFIG_POLICY_SPREAD, "01");
        assert_int_equal(delivery_new(&delivery, w->event,
                                      &(DeliverySpec) { w->queue, w->ring, config, NULL, false }, &events,
                                      w),
                         -E2BIG);
        put(w, 1000);
        finish(w);
        check_spread(w, 0);
        config_free(config);
        world_done(w);
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, spool_rig_set_up, spool_rig_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                world_test(test_mirror_one_away),
                world_test(test_mirror_one_goes),
                world_test(test_mirror_other_order),
                world_test(test_spread),
                world_test(test_spread_narrow),
                world_test(test_spread_one_away),
                world_test(test_spread_comes_back),
                world_test(test_spread_deaths),
                world_test(test_refused),
                world_test(test_changes),
                world_test(test_changes_over_a_stop),
                world_test(test_changes_over_a_kill),
                world_test(test_same_again),
                world_test(test_too_many),
        };

        return run_tap(tests);
}
