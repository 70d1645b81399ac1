/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What telnet servers say and do not say, and what the sender makes of it. */

#include <stdio.h>
#include <sys/ioctl.h>

#include "io/sender-ops.h"
#include "io/telnet-internal.h"
#include "unit/sender-rig.h"

/* -- answers -- */

static void test_answers(void **state) {
        static const struct {
                const char *name;
                TsdRules rules;
        } cases[] = {
                { "two lines", { .answer = TSD_TWO_LINES } },
                { "the second line late", { .answer = TSD_STRAY } },
                { "a byte at a time", { .answer = TSD_DRIBBLE } },
                { "no newline", { .answer = TSD_BARE } },
                { "no such command", { .answer = TSD_UNKNOWN } },
                { "over IPv6", { .answer = TSD_TWO_LINES, .v6 = true } },
                { "little at a time", { .answer = TSD_TWO_LINES, .narrow = true } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Rig *r = *state;
                SenderStats stats;
                Tsd *t;

                print_message("# %s\n", cases[i].name);
                t = rig_tsd(r, &cases[i].rules);
                rig_start(r, (SenderConfig) {});
                for (unsigned n = 1; n < 20000; n *= 3) {
                        rig_send(r, n);
                        run_until(r, rig_is_done(r));
                }
                assert_true(sender_status(r->sender).confirmed);
                assert_int_equal(sender_status(r->sender).state, SENDER_CONNECTED);
                assert_null(sender_status(r->sender).last_error);

                stats = rig_stats(r);
                assert_int_equal(stats.acked, r->wanted);
                assert_int_equal(stats.refused + stats.errors + stats.reconnects, 0);
                assert_int_equal(stats.bytes, (uint64_t) r->wanted * LINE_N + t->n_versions * 8);
                assert_true(stats.latency_usec > 0);
                assert_int_equal(t->n_taken, r->wanted);
                assert_int_equal(t->n_again, 0);
                assert_int_equal(ring_used(r->ring), 0);

                rig_again(state);
        }
}

static void test_never_answers(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = USEC_PER_MSEC, .hold_time = 100 * USEC_PER_MSEC });
        rig_send(r, 100000);
        run_until(r, rig_is_done(r));
        assert_false(sender_status(r->sender).confirmed);
        run_until(r, t->n_taken == 100000);
        assert_int_equal(t->n_versions, 1);

        /* It is remembered: the next connection is not asked. */
        tsd_kill(t, false);
        rig_send(r, 1000);
        tsd_restart(t);
        run_until(r, rig_is_done(r) && t->n_taken == 101000);
        assert_int_equal(t->n_versions, 1);
        assert_int_equal(t->n_accepted, 2);
}

static void test_mute_for_long(void **state _unused_) {
        TelnetMemory m = { .answers = true };
        const usec_t minute = 60 * USEC_PER_SEC;

        for (unsigned i = 0; i < 30; i++)
                assert_false(telnet_memory_mute(&m, (5 + i) * minute));
        assert_true(m.answers);
        assert_true(telnet_memory_mute(&m, 35 * minute));
        assert_false(m.answers);

        /* Not for two connections, however far apart. */
        assert_false(telnet_memory_mute(&m, 100 * minute));
        assert_false(telnet_memory_mute(&m, 200 * minute));
}

/* Its connection ends too soon behind that to know it for one that never answers: it is asked again. */
static void test_silent_and_gone(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = 500 * USEC_PER_MSEC });
        rig_send(r, 10);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_versions, 1);

        tsd_kill(t, false);
        t->rules.answer = TSD_TWO_LINES;
        rig_send(r, 10);
        tsd_restart(t);
        run_until(r, rig_is_done(r) && t->n_taken == 20);
        assert_int_equal(t->n_versions, 2);
        assert_true(sender_status(r->sender).confirmed);
}

/* It hangs for less than the hold time and is killed: what only its kernel had is sent again. */
static void test_mute_and_killed(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = USEC_PER_MSEC, .hold_time = FOR_EVER });
        rig_send(r, 3000); /* less than a quarter of the queue */
        run_until(r, t->n_taken == 3000);
        assert_int_equal(rig_acked(r), 0);

        tsd_kill(t, true);
        tsd_restart(t);
        run_until(r, t->n_again == 3000);
        assert_int_equal(rig_acked(r), 0);

        /* More than that is not held. */
        rig_send(r, 50000);
        run_until(r, t->n_taken == 53000 && r->written == r->wanted);
        run_until(r, ring_used(r->ring) <= ring_size(r->ring) / 4 + LINE_N);
        assert_true(ring_used(r->ring) > ring_size(r->ring) / 4 - 2 * LINE_N);
}

/* Slow the first time, it is taken for one that never answers; its answer corrects that. */
static void test_answers_late(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = 5 * USEC_PER_MSEC });
        rig_send(r, 10);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_versions, 1);
        assert_false(sender_status(r->sender).confirmed);

        t->rules.answer = TSD_TWO_LINES;
        tsd_answer(t);
        run_until(r, sender_status(r->sender).confirmed);

        r->trusting = false;
        rig_send(r, 50000);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 50010);
}

/* Answers that are never the same twice: after three connections in vain the kernel's word has to do. */
static void test_answers_vary(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_VARYING });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .hung_timeout = 500 * USEC_PER_MSEC });
        rig_send(r, 100000);
        run_until(r, rig_is_done(r));
        run_until(r, t->n_taken == 100000);
        assert_int_equal(t->n_accepted, 4);
        assert_false(sender_status(r->sender).confirmed);
}

/* -- hanging -- */

static int on_tick(sd_event_source *s, uint64_t usec _unused_, void *userdata) {
        ++*(unsigned *) userdata;
        assert_true(sd_event_source_set_time_relative(s, USEC_PER_MSEC) >= 0);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* It accepts and reads nothing: all stays in the ring, and the loop goes round. */
static void test_reads_nothing(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .deaf = true });
        sd_event_source *tick;
        unsigned n_ticks = 0;

        assert_true(sd_event_add_time(r->event, &tick, CLOCK_MONOTONIC, 0, 1, on_tick, &n_ticks) >= 0);
        rig_start(r, (SenderConfig) { .probe_timeout = FOR_EVER, .hung_timeout = FOR_EVER });
        rig_send(r, 100000); /* more than the ring has room for */
        run_until(r, ring_sent_at(r->ring, 0) > 0 && n_ticks > 50);
        assert_int_equal(rig_acked(r), 0);
        assert_true(r->written < r->wanted);
        assert_null(ring_reserve(r->ring, LINE_N));

        tsd_kill(t, true);
        t->rules.deaf = false;
        tsd_restart(t);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 100000);
        (void) sd_event_source_disable_unref(tick);
}

/* One that is not expected to answer, and takes no more: what its kernel has is gone, all else is sent
 * again. */
static void test_takes_no_more(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .deaf = true, .answer = TSD_MUTE });
        int n;

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = USEC_PER_MSEC,
                                      .hung_timeout = 100 * USEC_PER_MSEC,
                                      .backoff = { .min = FOR_EVER, .max = FOR_EVER } });
        rig_send(r, 500000);
        run_until(r, sender_status(r->sender).state == SENDER_WAITING);
        assert_string_equal(sender_status(r->sender).last_error, "it takes nothing any more");
        assert_true(rig_acked(r) > 0);
        assert_true(rig_acked(r) < r->wanted);
        assert_int_equal(ring_sent_at(r->ring, 0), ring_acked_at(r->ring, 0));

        assert_int_equal(ioctl(t->links[0]->fd, FIONREAD, &n), 0);
        assert_true(rig_acked(r) * LINE_N <= (unsigned) n);
}

static void test_hangs_later(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) {});

        rig_start(r, (SenderConfig) { .hung_timeout = 50 * USEC_PER_MSEC });
        rig_send(r, 100);
        run_until(r, rig_is_done(r));

        /* It reads on and says nothing: nothing is proven, the connection is given up, all is sent again. */
        t->rules.answer = TSD_MUTE;
        rig_send(r, 30000);
        run_until(r, t->n_accepted > 2);
        assert_int_equal(rig_acked(r), 100);

        t->rules.answer = TSD_TWO_LINES;
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 30100);
        assert_true(t->n_again > 0);
}

/* -- complaints -- */

static const char *refuse_some(Tsd *t _unused_, unsigned n) {
        return n % 100 == 7 ? "put: illegal argument: Invalid tag\n" : NULL;
}

static void test_refused(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .judge = refuse_some });

        rig_start(r, (SenderConfig) {});
        rig_send(r, 50000);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 49500);
        assert_int_equal(rig_stats(r).refused, 500);
        assert_int_equal(rig_stats(r).errors, 500);
        assert_int_equal(rig_stats(r).acked, 49500);
}

/* Sent, and refused, again and again: counted once. */
static void test_refused_and_dead(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .judge = refuse_some });

        t->seed = 4711;
        t->lifetime = 100000;
        rig_start(r, (SenderConfig) {});
        rig_send(r, 50000);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 49500);
        assert_int_equal(rig_stats(r).refused, 500);
        assert_int_equal(rig_stats(r).acked, 49500);
}

/* Every tenth line of a full house is put off, until it has been sent three times. */
static const char *throttle_some(Tsd *t, unsigned n) {
        static const char *const words[] = {
                "put: Please throttle writes: 10000 RPCs waiting\n",
                "put: Throttling exception: calm down\n",
        };

        if (n % 10 != 5 || t->n_throttled[n % ELEMENTSOF(t->n_throttled)]++ >= 2)
                return NULL;

        return words[n / 10 % 2];
}

static void test_throttled(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .judge = throttle_some, .narrow = true });

        rig_start(r, (SenderConfig) {});
        rig_send(r, TSD_THROTTLED_MAX);

        /* The pause. */
        run_until(r, rig_stats(r).errors > 0 && ring_sent_at(r->ring, 0) == ring_acked_at(r->ring, 0));
        assert_false(rig_is_done(r));
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, TSD_THROTTLED_MAX); /* all of them, those put off too */
        assert_int_equal(rig_stats(r).refused, 0);
        assert_int_equal(rig_stats(r).errors, TSD_THROTTLED_MAX / 10 * 2);
        assert_int_equal(rig_stats(r).acked, TSD_THROTTLED_MAX);
        assert_int_equal(rig_stats(r).reconnects, 0);
}

/* So busy that it answers nothing for a while, and puts off all that comes meanwhile. */
static const char *throttle_while_mute(Tsd *t, unsigned n _unused_) {
        return t->rules.answer == TSD_MUTE ? "put: Please throttle writes: 10000 RPCs waiting\n" : NULL;
}

static const char *refuse_first(Tsd *t _unused_, unsigned n) {
        return n == 0 ? "put: illegal argument: Invalid tag\n" : NULL;
}

static const char *refuse_other_command(Tsd *t _unused_, unsigned n) {
        return n == 0 ? "unknown command: pot.  Try `help'.\n" : NULL;
}

/* One that complains is never taken for one that never answers, though its first answer is late: it is
 * hung, and all is sent again. */
static void test_complains_and_slow(void **state) {
        static const struct {
                const char *name;
                const char *(*judge)(Tsd *t, unsigned n);
                unsigned refused;
        } cases[] = {
                { "throttling", throttle_while_mute, 0 },
                { "a bad line", refuse_first, 1 },
                { "a bad command", refuse_other_command, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Rig *r = *state;
                Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE, .judge = cases[i].judge });

                print_message("# %s\n", cases[i].name);
                rig_start(r, (SenderConfig) { .probe_timeout = 20 * USEC_PER_MSEC,
                                              .hung_timeout = 100 * USEC_PER_MSEC });
                rig_send(r, 100);
                run_until(r, t->n_accepted > 2);
                assert_int_equal(rig_acked(r), 0);

                t->rules.answer = TSD_TWO_LINES;
                run_until(r, rig_is_done(r));
                assert_int_equal(t->n_taken, 100 - cases[i].refused);
                assert_int_equal(rig_stats(r).refused, cases[i].refused);
                rig_again(state);
        }
}

/* Taken for one that never answers, it complains: from then on its kernel's word does not do. */
static void test_complains_late(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE });

        r->trusting = true;
        rig_start(r, (SenderConfig) { .probe_timeout = 5 * USEC_PER_MSEC,
                                      .hung_timeout = 100 * USEC_PER_MSEC,
                                      .hold_time = 2 * USEC_PER_SEC });
        rig_send(r, 10);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_accepted, 1);

        r->trusting = false;
        t->rules.judge = throttle_while_mute;
        rig_send(r, 100);
        run_until(r, t->n_accepted > 2);
        assert_int_equal(rig_acked(r), 10);

        t->rules.answer = TSD_TWO_LINES;
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 110);
        assert_int_equal(rig_stats(r).refused, 0);
}

/* The connection's time is up between the complaint and the answer: it ends, and the next one delivers. */
static void test_throttled_and_expired(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .answer = TSD_MUTE, .judge = throttle_while_mute });

        rig_start(r, (SenderConfig) { .reconnect_interval = 50 * USEC_PER_MSEC,
                                      .probe_timeout = FOR_EVER,
                                      .hung_timeout = FOR_EVER });
        rig_send(r, 100);
        run_until(r, rig_stats(r).errors == 100);
        rig_send(r, 1);
        run_until(r, sender_peek(r->sender).n == 0); /* the time is up */
        assert_int_equal(t->n_accepted, 1);

        t->rules.answer = TSD_TWO_LINES;
        tsd_answer(t);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 101);
        assert_int_equal(rig_stats(r).refused, 0);
        assert_true(t->n_accepted > 1);
}

static const char *refuse_put(Tsd *t _unused_, unsigned n _unused_) {
        return "unknown command: put.  Try `help'.\n";
}

static void test_read_only(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .judge = refuse_put });

        rig_start(r, (SenderConfig) {});
        rig_send(r, 100);
        run_until(r, t->n_accepted > 2);
        assert_non_null(strstr(sender_status(r->sender).last_error, "takes no points"));
        assert_int_equal(rig_acked(r), 0);

        t->rules.judge = NULL;
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 100);
        assert_int_equal(rig_stats(r).refused, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_answers),
                TEST(test_never_answers),
                cmocka_unit_test(test_mute_for_long),
                TEST(test_silent_and_gone),
                TEST(test_mute_and_killed),
                TEST(test_answers_late),
                TEST(test_answers_vary),
                TEST(test_reads_nothing),
                TEST(test_takes_no_more),
                TEST(test_hangs_later),
                TEST(test_refused),
                TEST(test_refused_and_dead),
                TEST(test_throttled),
                TEST(test_read_only),
                TEST(test_complains_and_slow),
                TEST(test_complains_late),
                TEST(test_throttled_and_expired),
        };

        return run_tap(tests);
}
