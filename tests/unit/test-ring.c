/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "store/lines.h"
#include "unit/ring-tools.h"

#define SMALL ((size_t) RING_SIZE_MIN)
#define BIG (16u * 1024 * 1024)
#define KIB 1024u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static size_t pages_of(const Ring *r) {
        struct stat st;

        assert_int_equal(fstat(ring_fd(r), &st), 0);
        return (size_t) st.st_blocks * 512;
}

static void test_lines(void **state _unused_) {
        static char text[12000];
        uint64_t random = 1;

        memset(text, '\n', sizeof(text));
        for (size_t n = 0; n < sizeof(text); n += 97)
                assert_int_equal(lines_count((Slice) { text, n }), n);

        for (size_t i = 0; i < sizeof(text); i++) {
                random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
                text[i] = (char) ((random >> 60) < 3 ? '\n' : random >> 56);
        }
        for (size_t n = 0; n < 600; n++) {
                Slice s = guarded_slice((Slice) { text + n, n });
                size_t want = 0;

                for (size_t i = 0; i < n; i++)
                        want += s.p[i] == '\n';
                assert_int_equal(lines_count(s), want);
        }
}

static void test_new(void **state _unused_) {
        size_t page = (size_t) sysconf(_SC_PAGESIZE);
        const struct {
                size_t ask, get;
        } cases[] = {
                { 0, SMALL },
                { SMALL, SMALL },
                { SMALL + 1, SMALL + page },
                { BIG - 1, BIG },
        };
        Ring *none = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ring_freep) Ring *ring = ring_make(cases[i].ask);

                assert_int_equal(ring_size(ring), cases[i].get);
                assert_int_equal(ring_n_readers(ring), 1);
                assert_int_equal(ring_head(ring), 0);
                assert_int_equal(ring_peek(ring, 0).n, 0);
                assert_int_equal(ring_used(ring), 0);
                assert_int_equal(ring_lines_queued(ring), 0);
                assert_int_equal(fcntl(ring_fd(ring), F_GET_SEALS) & SEALS, SEALS);
                assert_int_equal(fcntl(ring_fd(ring), F_GETFD), FD_CLOEXEC);
        }

        assert_int_equal(ring_new(&none, (size_t) (RING_SIZE_MAX + 1)), -EINVAL);
        assert_int_equal(ring_new(&none, SIZE_MAX), -EINVAL);
        assert_null(none);
        assert_null(ring_free(NULL));
}

static void test_commit(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
        Slice s;

        assert_true(ring_put(ring, 'a', 10));
        assert_true(ring_put(ring, 'b', 20));
        assert_int_equal(ring_peek(ring, 0).n, 0);
        assert_int_equal(ring_head(ring), 0);
        ring_commit(ring, NULL);

        s = ring_peek(ring, 0);
        assert_int_equal(s.n, 30);
        assert_true(is_line(s, 0, 'a', 10) && is_line(s, 10, 'b', 20));
        assert_int_equal(ring_lines_queued(ring), 2);

        /* What is cancelled was never there; what is reserved may be more than what is written. */
        assert_true(ring_put(ring, 'c', 5));
        ring_cancel(ring);
        assert_non_null(ring_reserve(ring, 1000));
        ring_cancel(ring);
        assert_true(ring_put(ring, 'd', 7));
        ring_commit(ring, NULL);
        s = ring_peek(ring, 0);
        assert_int_equal(s.n, 37);
        assert_true(is_line(s, 30, 'd', 7));

        /* One reservation may be written in parts. */
        memcpy(ring_reserve(ring, 100), "x\nyy\n", 5);
        ring_written(ring, 2);
        ring_written(ring, 0);
        ring_written(ring, 3);
        ring_commit(ring, NULL);
        s = ring_peek(ring, 0);
        assert_true(slice_equal((Slice) { s.p + 37, s.n - 37 }, SLICE("x\nyy\n")));
        assert_int_equal(ring_lines_queued(ring), 5);

        ring_ack_all(ring, 0);
        assert_int_equal(ring_used(ring), 0);
        assert_int_equal(ring_lines_queued(ring), 0);
        assert_int_equal(ring_head(ring), 42);
}

/* Fills the ring with lines of `line` bytes, takes out `take` of them, fills up again; three times round. */
static void test_full(void **state _unused_) {
        static const struct {
                const char *name;
                size_t line, take, fit; /* fit: lines the ring holds */
        } cases[] = {
                { "exact fit, one taken", 1024, 1, 64 },
                { "exact fit, all taken", 1024, 64, 64 },
                { "the whole ring is a line", SMALL, 1, 1 },
                { "one byte less", SMALL - 1, 1, 1 },
                { "one byte more than half", SMALL / 2 + 1, 1, 1 },
                { "runs over the end", 1000, 3, 65 },
                { "prime", 257, 50, 255 },
                { "shortest", 1, 77, SMALL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
                size_t line = cases[i].line, first = 0, n = 0;

                assert_null(ring_reserve(ring, SMALL + 1));
                assert_null(ring_reserve(ring, SIZE_MAX));
                while (n < 3 * cases[i].fit + 3) {
                        Slice s;

                        for (; ring_put(ring, (char) ('a' + n % 26), line); n++)
                                ring_commit(ring, NULL);
                        s = ring_unacked(ring, 0);
                        if (n - first != cases[i].fit || s.n != cases[i].fit * line ||
                            ring_used(ring) != s.n || ring_lines_queued(ring) != cases[i].fit)
                                fail_msg("%s: holds %zu lines", cases[i].name, n - first);
                        for (size_t k = 0; k < cases[i].fit; k++)
                                if (!is_line(s, k * line, (char) ('a' + (first + k) % 26), line))
                                        fail_msg("%s: line %zu", cases[i].name, first + k);

                        first += cases[i].take;
                        ring_ack(ring, 0, first * line);
                        assert_int_equal(ring_lines_queued(ring), n - first);
                }
        }
}

static void test_readers(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);

        ring_put_and_commit(ring, 'a', 1024);
        assert_int_equal(ring_add_reader(ring), 1);
        assert_int_equal(ring_n_readers(ring), 2);
        assert_int_equal(ring_peek(ring, 0).n, 1024);
        assert_int_equal(ring_peek(ring, 1).n, 0);
        assert_int_equal(ring_acked_at(ring, 1), 1024);

        for (unsigned i = 1; i < 64; i++)
                ring_put_and_commit(ring, 'b', 1024);
        assert_null(ring_reserve(ring, 1));

        /* The space is freed at the smallest. */
        ring_ack(ring, 1, ring_head(ring));
        assert_null(ring_reserve(ring, 1));
        assert_int_equal(ring_used(ring), SMALL);
        assert_int_equal(ring_lines_queued(ring), 64);
        ring_ack(ring, 0, 2048);
        assert_int_equal(ring_lines_queued(ring), 62);
        assert_non_null(ring_reserve(ring, 2048));
        assert_null(ring_reserve(ring, 2049));

        ring_put_and_commit(ring, 'c', 2048);
        assert_int_equal(ring_peek(ring, 1).n, 2048);
        assert_true(is_line(ring_peek(ring, 1), 0, 'c', 2048));
        assert_true(is_line(ring_peek(ring, 0), 62 * 1024, 'c', 2048));

        ring = ring_reopen(ring);
        assert_int_equal(ring_n_readers(ring), 2);
        assert_int_equal(ring_peek(ring, 1).n, 2048);
        assert_int_equal(ring_acked_at(ring, 0), 2048);
        assert_int_equal(ring_lines_queued(ring), 63);

        for (unsigned i = 2; i < RING_READERS_MAX; i++)
                assert_int_equal(ring_add_reader(ring), i);
        assert_int_equal(ring_add_reader(ring), -ENOSPC);
}

static void test_rewind(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);

        ring_put_and_commit(ring, 'a', 10);
        ring_put_and_commit(ring, 'b', 10);
        ring_sent(ring, 0, 14);
        assert_int_equal(ring_sent_at(ring, 0), 14);
        assert_true(slice_equal(ring_peek(ring, 0), SLICE("bbbbb\n")));

        /* A proof of less than was sent, then the connection is lost in the middle of a line. */
        ring_ack(ring, 0, 10);
        assert_int_equal(ring_sent_at(ring, 0), 14);
        ring_rewind(ring, 0);
        assert_true(slice_equal(ring_peek(ring, 0), SLICE("bbbbbbbbb\n")));

        /* A late proof of more than has been sent again, and one of what is proven already. */
        ring_ack(ring, 0, 20);
        assert_int_equal(ring_sent_at(ring, 0), 20);
        ring_ack(ring, 0, 10);
        assert_int_equal(ring_acked_at(ring, 0), 20);

        ring_put_and_commit(ring, 'c', 10);
        ring_sent(ring, 0, 3);
        ring = ring_reopen(ring);
        assert_true(slice_equal(ring_peek(ring, 0), SLICE("ccccccccc\n")));
}

static void test_counters(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
        const RingPending pending = { .source = 1, .n = 2, .checksum = 3 };

        for (unsigned i = 0; i < RING_COUNTERS_MAX; i++)
                ring_set_counter(ring, i, 100 + i);
        assert_true(ring_put(ring, 'a', 10));
        ring_commit(ring, &pending);
        ring_set_counter(ring, 0, 999);
        assert_int_equal(ring_counter(ring, 0), 999);

        /* Neither a reservation nor pending_done publishes a counter. */
        ring_ack(ring, 0, 0);
        ring_set_counter(ring, 0, 1000);
        assert_true(ring_put(ring, 'b', 10));
        ring = ring_reopen(ring);
        for (unsigned i = 0; i < RING_COUNTERS_MAX; i++)
                assert_int_equal(ring_counter(ring, i), i == 0 ? 999 : 100 + i);
        assert_int_equal(ring_head(ring), 10);
        assert_memory_equal((&(RingPending[]) { ring_pending(ring) }), &pending, sizeof(pending));

        ring_set_counter(ring, 0, 1001);
        ring_pending_done(ring);
        ring_pending_done(ring);
        ring = ring_reopen(ring);
        assert_int_equal(ring_pending(ring).n, 0);
        assert_int_equal(ring_counter(ring, 0), 999);

        ring_commit(ring, &pending);
        ring_commit(ring, NULL);
        assert_int_equal(ring_pending(ring).n, 0);
}

/* A queue that is drained, or short all the time, stays in its first pages, while positions grow. */
static void test_first_pages(void **state _unused_) {
        static const struct {
                const char *name;
                size_t left; /* bytes always queued */
                size_t pages;
        } cases[] = {
                { "drained", 0, 64 * KIB },
                { "short", 100 * KIB, 512 * KIB },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ring_freep) Ring *ring = ring_make(BIG);
                uint64_t head = 0;

                for (; head < 3 * BIG; head += 4000) {
                        ring_put_and_commit(ring, 'a', 4000);
                        assert_int_equal(ring_head(ring), head + 4000);
                        if (ring_used(ring) > cases[i].left)
                                ring_ack(ring, 0, ring_acked_at(ring, 0) + 4000);
                }
                if (pages_of(ring) > cases[i].pages + 2 * KIB * 4)
                        fail_msg("%s: %zu bytes touched", cases[i].name, pages_of(ring));
        }
}

static void short_rounds(Ring *r, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                ring_put_and_commit(r, 'a', 1000);
                ring_ack_all(r, 0);
        }
}

static void backlog(Ring *r, size_t n) {
        for (size_t i = 0; i < n; i += 64 * KIB)
                ring_put_and_commit(r, 'a', 64 * KIB);
        ring_ack_all(r, 0);
}

static void test_give_back(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(BIG);

        /* Busy: a long queue again and again keeps its pages. */
        for (unsigned i = 0; i < 20; i++) {
                backlog(ring, BIG / 2);
                short_rounds(ring, 7);
                assert_true(pages_of(ring) >= BIG / 2);
        }

        short_rounds(ring, 3);
        assert_true(pages_of(ring) <= 600 * KIB);

        /* The same for a backlog another process left. */
        backlog(ring, BIG / 2);
        ring = ring_reopen(ring);
        short_rounds(ring, 10);
        assert_true(pages_of(ring) <= 600 * KIB);
        ring_put_and_commit(ring, 'z', 10);
        assert_true(is_line(ring_peek(ring, 0), 0, 'z', 10));
}

static void wrong_ack_middle(Ring *r) {
        ring_ack(r, 0, 5);
}
static void wrong_ack_beyond(Ring *r) {
        ring_ack(r, 0, 21);
}
static void wrong_sent(Ring *r) {
        ring_sent(r, 0, 21);
}
static void wrong_reader(Ring *r) {
        ring_ack(r, 1, 10);
}
static void wrong_written(Ring *r) {
        ring_written(r, (memset(ring_reserve(r, 5), 'x', 5), 5));
}
static void wrong_more(Ring *r) {
        ring_written(r, (memset(ring_reserve(r, 5), '\n', 5), 6));
}
static void wrong_counter(Ring *r) {
        ring_set_counter(r, RING_COUNTERS_MAX, 0);
}
static void right_ack(Ring *r) {
        ring_ack(r, 0, 10);
}

/* What would make the queue untrue stops the process instead. */
static void test_wrong_use(void **state _unused_) {
        static const struct {
                const char *name;
                void (*call)(Ring *r);
                bool dies;
        } cases[] = {
                { "ack within a line", wrong_ack_middle, true },
                { "ack beyond the head", wrong_ack_beyond, true },
                { "sent beyond the head", wrong_sent, true },
                { "no such reader", wrong_reader, true },
                { "written half a line", wrong_written, true },
                { "written too much", wrong_more, true },
                { "no such counter", wrong_counter, true },
                { "ack at a line's end", right_ack, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
                int status;
                pid_t pid;

                ring_put_and_commit(ring, 'a', 10);
                ring_put_and_commit(ring, 'b', 10);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        (void) setrlimit(RLIMIT_CORE, &(struct rlimit) {});
                        (void) signal(SIGABRT, SIG_DFL);
                        (void) close(STDERR_FILENO);
                        cases[i].call(ring);
                        _exit(0);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (cases[i].dies != (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT))
                        fail_msg("%s: status %d", cases[i].name, status);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),     cmocka_unit_test(test_new),
                cmocka_unit_test(test_commit),    cmocka_unit_test(test_full),
                cmocka_unit_test(test_readers),   cmocka_unit_test(test_rewind),
                cmocka_unit_test(test_counters),  cmocka_unit_test(test_first_pages),
                cmocka_unit_test(test_give_back), cmocka_unit_test(test_wrong_use),
        };

        return run_tap(tests);
}
