/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Policies, each against two servers. */

#include <string.h>

#include "unit/delivery-rig.h"

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
        run_until(w, delivery_one_waits(w->delivery));
        assert_int_equal(delivery_n_servers(w->delivery), 2);
        assert_int_equal(delivery_server(w->delivery, 0).stats->acked, 0);

        come_back(w, 0);
        finish(w);
        assert_false(delivery_one_waits(w->delivery));
        assert_int_equal(w->tsd[0].n_taken, w->written);
        assert_int_equal(w->tsd[1].n_taken, w->written);
        assert_int_equal(w->tsd[1].n_again, 0);
        assert_int_equal(delivery_acked(w->delivery), w->written);
        world_done(w);
}

/* The one that is away is taken out of the configuration: nothing is left to wait for, and nothing is to be
 * sent again. */
static void test_mirror_one_goes(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        tsd_kill(&w->tsd[0], false);
        deliver(w, CONFIG_POLICY_MIRROR, "01");
        put(w, 5000);
        run_until(w, delivery_server(w->delivery, 1).stats->acked == 5000);
        deliver(w, CONFIG_POLICY_MIRROR, "1");
        assert_true(is_done(w));
        put(w, 1000);
        finish(w);
        assert_int_equal(delivery_acked(w->delivery), 6000);
        assert_int_equal(w->tsd[1].n_taken, 6000);
        assert_int_equal(w->tsd[1].n_again, 0);
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
        assert_false(delivery_one_waits(w->delivery));
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
                usec_t end = clock_usec(CLOCK_MONOTONIC) + DELIVERY_DEADLINE;

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

/* -- what has left the queue, but nobody has been told -- */

static uint64_t untold;

uint64_t __real_sender_left(const Sender *s);
uint64_t __wrap_sender_left(const Sender *s);

/* As where a proof lets go of lines of other shares, and of none of its own. */
uint64_t __wrap_sender_left(const Sender *s) {
        uint64_t left = __real_sender_left(s);

        return left > 0 ? left + untold : left;
}

static void test_inherits_all(void **state) {
        World *w = world_new(state, &(TsdRules) { .series = true });

        deliver(w, CONFIG_POLICY_FAILOVER, "0");
        put(w, 1000);
        finish(w);
        untold = 7;
        w->put += untold;
        deliver(w, CONFIG_POLICY_FAILOVER, "01");
        assert_int_equal(delivery_acked(w->delivery), 1007);
        assert_int_equal(delivery_refused(w->delivery), 0);
        untold = 0;
        world_done(w);
}

/* More readers than there can be: refused, and what there was goes on. */
static void test_too_many(void **state) {
        static const SenderEvents events = {};
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
                world_test(test_inherits_all),
                world_test(test_too_many),
        };

        return run_tap(tests);
}
