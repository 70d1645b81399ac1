/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which server, when, and what becomes of the lines when it dies; and standard output as a server. */

#include <fcntl.h>
#include <stdio.h>

#include "basic/buffer.h"
#include "basic/dl.h"
#include "basic/file.h"
#include "basic/log.h"
#include "unit/sender-rig.h"

/* -- deaths -- */

static void test_random_deaths(void **state) {
        static const TsdAnswer answers[] = { TSD_TWO_LINES, TSD_STRAY, TSD_BARE, TSD_DRIBBLE };
        uint64_t seed = 88172645463325252u;

        for (size_t i = 0; i < 2 * ELEMENTSOF(answers); i++) {
                Rig *r = *state;
                Tsd *t;

                t = rig_tsd(r, &(TsdRules) { .answer = answers[i / 2] });
                t->seed = tsd_random(&seed);
                t->lifetime = 1 + tsd_random(&t->seed) % 400000;
                print_message("# seed %llu\n", (unsigned long long) t->seed);
                rig_start(r, (SenderConfig) {});
                rig_send(r, 100000);
                run_until(r, rig_is_done(r));

                assert_int_equal(t->n_taken, r->wanted);
                assert_int_equal(ring_used(r->ring), 0);
                assert_int_equal(rig_stats(r).acked, r->wanted);
                assert_true(rig_stats(r).reconnects > 10);

                rig_again(state);
        }
}

static void test_fail_over(void **state) {
        Rig *r = *state;
        Tsd *away = rig_tsd(r, &(TsdRules) {}), *there = rig_tsd(r, &(TsdRules) {});

        /* A wait would last for ever here: the second server must be tried without one. */
        tsd_kill(away, false);
        rig_start(r, (SenderConfig) { .backoff = { .min = FOR_EVER, .max = FOR_EVER } });
        rig_send(r, 5000);
        run_until(r, rig_is_done(r));
        assert_int_equal(there->n_taken, 5000);
        assert_string_equal(sender_status(r->sender).url, there->url);
        assert_null(sender_status(r->sender).last_error);
        assert_int_equal(sender_server_stats(r->sender, 1)->acked, 5000);
        assert_true(sender_server_stats(r->sender, 0)->errors <= 1);

        /* Now both are away, and nothing is lost. */
        tsd_kill(there, true);
        rig_send(r, 10);
        run_until(r, sender_status(r->sender).state == SENDER_WAITING);
        assert_non_null(sender_status(r->sender).last_error);
        assert_true(sender_status(r->sender).retry_at > clock_usec(CLOCK_MONOTONIC));
        assert_int_equal(ring_lines_queued(r->ring), 10);
        assert_int_equal(ring_sent_at(r->ring, 0), ring_acked_at(r->ring, 0));
}

/* While all are away, each wait is followed by a round that begins with another than the one that failed
 * last; with two, the same one is always the last before a wait. */
static void test_rounds(void **state) {
        Rig *r = *state;
        const char *last = NULL;

        tsd_kill(rig_tsd(r, &(TsdRules) {}), false);
        tsd_kill(rig_tsd(r, &(TsdRules) {}), false);
        rig_start(r, (SenderConfig) {});
        rig_send(r, 1);
        for (unsigned i = 1; i < 20; i++) {
                run_until(r, sender_status(r->sender).state == SENDER_WAITING);
                assert_true(!last || strcmp(last, sender_status(r->sender).url) == 0);
                last = sender_status(r->sender).url;
                assert_int_equal(sender_server_stats(r->sender, 0)->errors, i);
                assert_int_equal(sender_server_stats(r->sender, 1)->errors, i);
                run_until(r, sender_status(r->sender).state != SENDER_WAITING);
        }
}

static void test_both_take_turns(void **state) {
        Rig *r = *state;
        Tsd *a = rig_tsd(r, &(TsdRules) {}), *b = rig_tsd(r, &(TsdRules) {});

        rig_start(r, (SenderConfig) {});
        b->arrived = a->arrived = TSD_LINES_MAX; /* each gets a part only */
        b->proven = a->proven = TSD_LINES_MAX;
        for (unsigned i = 0; i < 10; i++) {
                rig_send(r, 100);
                run_until(r, rig_is_done(r));
                tsd_kill(i % 2 ? a : b, i % 3 == 0);
                rig_send(r, 100);
                run_until(r, rig_is_done(r));
                tsd_restart(i % 2 ? a : b);
        }
        assert_true(a->n_taken + b->n_taken >= 2000);
        assert_true(a->n_taken > 0 && b->n_taken > 0);
}

/* -- the life of a connection -- */

/* Made anew every few milliseconds, after its proof: nothing is sent twice. */
static void test_reconnect_interval(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) { .narrow = true });
        uint64_t n;

        rig_start(r, (SenderConfig) { .reconnect_interval = 2 * USEC_PER_MSEC });
        while (t->n_accepted < 5) {
                rig_send(r, 1000);
                run_until(r, rig_is_done(r));
        }

        /* In the midst of a backlog too. */
        n = t->n_accepted;
        rig_send(r, 200000);
        run_until(r, t->n_accepted > n + 3);
        assert_true(r->written < r->wanted);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, r->wanted);
        assert_int_equal(t->n_again, 0);
        assert_int_equal(rig_stats(r).errors, 0);
        assert_int_equal(rig_stats(r).reconnects + 1, t->n_accepted);
        assert_null(sender_status(r->sender).last_error);
}

static void test_idle(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) {});

        rig_start(r, (SenderConfig) {});
        while (sd_event_run(r->event, 0) > 0)
                ;
        assert_int_equal(sender_status(r->sender).state, SENDER_IDLE);
        assert_int_equal(t->n_accepted, 0);
        assert_true(sender_is_drained(r->sender));

        rig_send(r, 1);
        run_until(r, rig_is_done(r));

        /* Kicked for nothing it stays still: the agent kicks after every event. */
        while (sd_event_run(r->event, 0) > 0)
                ;
        sender_kick(r->sender);
        assert_int_equal(sd_event_run(r->event, 0), 0);

        /* The server goes and comes while there is nothing to send. */
        tsd_kill(t, false);
        run_until(r, sender_status(r->sender).state == SENDER_IDLE);
        tsd_restart(t);
        rig_send(r, 1);
        run_until(r, rig_is_done(r));
        assert_int_equal(t->n_taken, 2);
}

/* What a former process left in the ring is sent without anybody's doing. */
static void test_inherited(void **state) {
        Rig *r = *state;
        Tsd *t = rig_tsd(r, &(TsdRules) {});
        char *p = ring_reserve(r->ring, LINE_N);

        assert_non_null(p);
        tsd_line(p, 0);
        ring_written(r->ring, LINE_N);
        ring_commit(r->ring, NULL);
        rig_start(r, (SenderConfig) {});
        run_until(r, t->n_taken == 1 && sender_is_drained(r->sender));
}

static void test_bad_urls(void **state) {
        static const struct {
                const char *url;
                int r;
        } cases[] = {
                { "telnetsx://localhost:1", -EPROTONOSUPPORT },
                { "telnets://localhost:1", 0 },
                { "http://localhost:1/api/put", 0 },
                { "https://localhost:1", 0 },
                { "https://user:secret@localhost:1", -EINVAL },
                { "https://localhost:1/a@b", 0 },
                { "tel", -EPROTONOSUPPORT },
                { "", -EPROTONOSUPPORT },
                { "localhost:4242", -EPROTONOSUPPORT },
                { "telnet://localhost:1", 0 },
                { "stdout:", 0 },
        };
        static const SenderEvents events = {};
        Rig *r = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SenderServer servers[] = { { .url = "telnet://127.0.0.1" }, { .url = cases[i].url } };
                SenderConfig config = { .servers = servers, .n_servers = 2 };
                _cleanup_(sender_freep) Sender *s = NULL;

                assert_int_equal(sender_new(&s, r->event, r->queue, 0, &config, &events, NULL), cases[i].r);
                assert_int_equal(!!s, cases[i].r == 0);
        }
}

/* Names that do not resolve, and what is no address at all: an error to be waited after, nothing worse. */
static void test_no_such_host(void **state) {
        static const char *const urls[] = {
                "telnet://nonexistent.invalid:4242",
                "telnet://",
                "telnet://a b",
                "telnet://[::1",
                "telnet://:99999",
        };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                Rig *r = *state;
                SenderServer server = { .url = urls[i] };

                print_message("# %s\n", urls[i]);
                rig_start(r, (SenderConfig) { .servers = &server,
                                              .n_servers = 1,
                                              .backoff = { .min = FOR_EVER, .max = FOR_EVER } });
                rig_send(r, 1);
                run_until(r, sender_status(r->sender).state == SENDER_WAITING);
                assert_non_null(sender_status(r->sender).last_error);
                assert_string_equal(sender_status(r->sender).url, urls[i]);
                assert_int_equal(rig_stats(r).errors, 1);
                assert_int_equal(ring_lines_queued(r->ring), 1);
                rig_again(state);
        }
}

/* -- standard output -- */

/* Makes `fd` standard output for the time being; returns the real one, for restore_stdout(). */
static int replace_stdout(int fd) {
        int saved;

        (void) fflush(stdout);
        saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
        assert_true(saved >= 0);
        assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
        return saved;
}

static void restore_stdout(int saved) {
        assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
        close(saved);
}

static void check_lines(Slice text, unsigned n) {
        char want[LINE_N];

        assert_int_equal(text.n, (size_t) n * LINE_N);
        for (unsigned i = 0; i < n; i++) {
                tsd_line(want, i);
                assert_memory_equal(text.p + (size_t) i * LINE_N, want, LINE_N);
        }
}

static const SenderServer standard_output = { .url = "stdout:" };

static void test_stdout_pipe(void **state) {
        _cleanup_(buffer_done) Buffer out = {};
        Rig *r = *state;
        int fds[2], saved;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(fd_set_nonblock(fds[0]), 0); /* not the other end: that one would block */
        saved = replace_stdout(fds[1]);
        close(fds[1]);

        r->trusting = true;
        rig_start(r, (SenderConfig) { .servers = &standard_output, .n_servers = 1 });
        rig_send(r, 50000);
        while (!rig_is_done(r) || out.n < (size_t) r->wanted * LINE_N) {
                ssize_t n;

                assert_true(sd_event_run(r->event, 0) >= 0); /* full, it returns all the same */
                assert_int_equal(buffer_reserve(&out, 3000), 0);
                n = read(fds[0], out.data + out.n, 3000);
                assert_true(n >= 0 || errno == EAGAIN);
                out.n += (size_t) MAX(n, (ssize_t) 0);
        }

        /* The reader goes: noticed though there is nothing to write. */
        assert_int_equal(r->closed, 0);
        close(fds[0]);
        run_until(r, r->closed != 0);
        restore_stdout(saved);
        assert_int_equal(r->closed, -EPIPE);
        assert_int_equal(sender_status(r->sender).state, SENDER_CLOSED);
        check_lines(buffer_slice(&out), 50000);
}

static void find_delivering(void *userdata, int level, const char *line) {
        if (level <= LOG_INFO && strstr(line, "Delivering"))
                *(bool *) userdata = true;
}

static void test_stdout_file(void **state) {
        _cleanup_(close_fdp) int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        _cleanup_(freep) char *data = malloc((size_t) 50000 * LINE_N + 1);
        Rig *r = *state;
        bool delivering = false;
        int saved;

        assert_true(fd >= 0 && data);
        log_set_sink(find_delivering, &delivering);
        saved = replace_stdout(fd);
        r->trusting = true;
        rig_start(r, (SenderConfig) { .servers = &standard_output, .n_servers = 1 });
        rig_send(r, 50000);
        run_until(r, rig_is_done(r));
        restore_stdout(saved);
        check_lines((Slice) { data, (size_t) pread(fd, data, (size_t) 50000 * LINE_N + 1, 0) }, 50000);
        assert_true(sender_status(r->sender).confirmed);
        assert_string_equal(sender_status(r->sender).url, "standard output");
        assert_string_equal(sender_server_url(r->sender, 0), "standard output");
        log_set_sink(NULL, NULL);
        assert_false(delivering);
}

/* -- libraries -- */

static void test_libraries(void **state _unused_) {
        static const DlSymbol good[] = { { "strlen", 0 } };
        static const DlSymbol bad[] = { { "strlen", 0 }, { "no_such_thing", 0 } };
        __typeof__(strlen) *table = NULL;
        const char *why = NULL;

        assert_int_equal(dl_load("libnot-there.so.9", good, 1, &table, &why), -ELIBACC);
        assert_non_null(strstr(why, "libnot-there.so.9"));
        assert_int_equal(dl_load("libc.so.6", bad, 2, &table, &why), -ELIBBAD);
        assert_non_null(strstr(why, "no_such_thing"));
        assert_null(table);
        assert_int_equal(dl_load("libc.so.6", good, 1, &table, &why), 0);
        assert_int_equal(table("four"), 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_random_deaths),   TEST(test_fail_over),          TEST(test_rounds),
                TEST(test_both_take_turns), TEST(test_reconnect_interval), TEST(test_idle),
                TEST(test_inherited),       TEST(test_bad_urls),           TEST(test_no_such_host),
                TEST(test_stdout_pipe),     TEST(test_stdout_file),        cmocka_unit_test(test_libraries),
        };

        return run_tap(tests);
}
