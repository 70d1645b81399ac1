/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Victims work on one ring and one spool, and are killed by the kernel's timer at random moments. Each opens
 * what the one before left, as the agent does, and checks it against what that had noted in shared memory:
 * nothing acknowledged comes again, nothing committed is missing, all in order. A kill keeps the page cache,
 * so all this holds exactly. */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "store/queue.h"
#include "unit/spool-rig.h"

#ifdef __SANITIZE_ADDRESS__
#define VICTIMS 150u
#else
#define VICTIMS 400u
#endif
#define READERS_MAX 2u
#define BACKLOG 4000u /* lines */
#define RING_BYTES ((size_t) 64 << 10)

/* What a victim is about to do, and has done: the truth is between the two. */
typedef struct Log {
        _Atomic uint64_t committing, committed; /* number of the last line */
        _Atomic uint64_t acking[READERS_MAX], acked[READERS_MAX];
        _Atomic uint64_t spills, flushes, turns, openings;
        _Atomic int failed; /* line of this file */
} Log;

typedef struct Victim {
        SpoolRig *rig;
        Log *log;
        Ring *ring;
        Queue *queue;
} Victim;

#define must(condition)                            \
        do                                         \
                if (!(condition)) {                \
                        v->log->failed = __LINE__; \
                        _exit(EXIT_FAILURE);       \
                }                                  \
        while (0)

/* -- what a victim does -- */

/* The first line that is left is the one behind the last that was acknowledged. */
static void check_begin(Victim *v, unsigned reader) {
        _Atomic uint64_t *acked = &v->log->acked[reader], *acking = &v->log->acking[reader];
        Slice run = queue_peek(v->queue, reader);
        uint64_t first;

        if (run.n == 0) {
                must(!queue_has_more(v->queue, reader) && *acking >= v->log->committed);
                *acked = *acking;
                return;
        }

        first = spool_line_take(&run);
        must(first > *acked && first <= *acking + 1);
        *acked = *acking = first - 1;
}

/* All that is left follows on, to the last line that was committed, which is the same for all readers. */
static void check_all(Victim *v, unsigned reader) {
        uint64_t last = v->log->acked[reader];

        while (queue_has_more(v->queue, reader)) {
                Slice run = queue_peek(v->queue, reader);

                must(run.n > 0);
                queue_sent(v->queue, reader, run.n);
                while (run.n > 0)
                        must(spool_line_take(&run) == ++last);
        }

        must(last >= v->log->committed && last <= v->log->committing);
        v->log->committed = v->log->committing = last;
        queue_rewind(v->queue, reader);
}

static void check(Victim *v) {
        uint64_t slowest = UINT64_MAX;

        must(queue_lost(v->queue) == 0);
        for (unsigned i = 0; i < queue_n_readers(v->queue); i++) {
                check_begin(v, i);
                check_all(v, i);
                slowest = MIN(slowest, v->log->acked[i]);
        }
        must(queue_lines(v->queue) == v->log->committed - slowest);
}

static void put_lines(Victim *v) {
        uint64_t n = spool_rig_draw(v->rig, 300), last = v->log->committed;
        char line[SPOOL_LINE_MAX];

        for (; n > 0; n--) {
                size_t k = spool_line(last + 1, line);
                char *p = ring_reserve(v->ring, k);

                if (!p)
                        break;
                memcpy(p, line, k);
                ring_written(v->ring, k);
                last++;
        }

        v->log->committing = last;
        ring_commit(v->ring, NULL);
        v->log->committed = last;
}

static void send_and_ack(Victim *v, unsigned reader) {
        uint64_t rounds = spool_rig_draw(v->rig, 6), last = v->log->acked[reader];
        Slice run;

        for (; rounds > 0 && queue_has_more(v->queue, reader); rounds--) {
                run = queue_peek(v->queue, reader);
                queue_sent(v->queue, reader, run.n);
                while (run.n > 0)
                        must(spool_line_take(&run) == ++last);
        }

        v->log->acking[reader] = last;
        must(queue_ack(v->queue, reader, queue_sent_at(v->queue, reader)) == last - v->log->acked[reader]);
        v->log->acked[reader] = last;
}

static void spill(Victim *v, usec_t now) {
        uint64_t lines = queue_lines_spooled(v->queue);

        must(queue_spill(v->queue, now, false) >= 0);
        v->log->spills += queue_lines_spooled(v->queue) > lines;
        if (spool_rig_draw(v->rig, 10) == 0) {
                must(queue_flush_to_spool(v->queue) == 0);
                v->log->flushes++;
        }
}

static void work(Victim *v, int ring_fd) {
        must(ring_open(&v->ring, ring_fd) == 0);
        must(spool_open(&v->rig->spool, v->rig->dir_fd, &v->rig->limits, NULL, NULL) == 0);
        must(queue_new(&v->queue, v->ring, v->rig->spool) == 0);
        check(v);
        v->log->openings++;

        for (usec_t now = USEC_PER_SEC;; now += 10 * USEC_PER_SEC) {
                if (queue_lines(v->queue) < BACKLOG) /* so that the next one can read it in its life */
                        put_lines(v);
                if (spool_rig_draw(v->rig, 2))
                        spill(v, now);
                if (spool_rig_draw(v->rig, 3) == 0)
                        send_and_ack(v, (unsigned) spool_rig_draw(v->rig, queue_n_readers(v->queue)));
                v->log->turns++;
        }
}

/* -- who kills it -- */

static void die_within(uint64_t nsec) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
        struct itimerspec when = { .it_value = { .tv_nsec = (long) nsec } };
        timer_t timer;

        if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &when, NULL) < 0)
                _exit(EXIT_FAILURE);
}

static void run_victims(SpoolRig *r, unsigned readers) {
        Log *log = mmap(NULL, sizeof(*log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        _cleanup_(ring_freep) Ring *ring = NULL;

        assert_true(log != MAP_FAILED);
        assert_int_equal(ring_new(&ring, RING_BYTES), 0);
        while (ring_n_readers(ring) < readers)
                assert_true(ring_add_reader(ring) > 0);
        r->limits = (SpoolLimits) { .size = UINT64_C(1) << 30, .segment = 100000 };
        for (unsigned i = 0; i < VICTIMS; i++) {
                uint64_t life = 1 + spool_rig_draw(r, i % 4 == 0 ? 2000000 : 12000000);
                int status = 0;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0) {
                        die_within(life);
                        work(&(Victim) { .rig = r, .log = log }, ring_fd(ring));
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (log->failed)
                        fail_msg("victim %u: line %d", i, log->failed);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }

        print_message("# %u readers: %ju openings, %ju turns, %ju spills, %ju flushes, %ju lines\n", readers,
                      (uintmax_t) log->openings, (uintmax_t) log->turns, (uintmax_t) log->spills,
                      (uintmax_t) log->flushes, (uintmax_t) log->committed);
        assert_true(log->openings > 0 && log->spills > 0 && log->flushes > 0 && log->acked[readers - 1] > 0);
        (void) munmap(log, sizeof(*log));
}

static void test_kill(void **state) {
        run_victims(*state, 1);
}

static void test_kill_two_readers(void **state) {
        run_victims(*state, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, spool_rig_set_up, spool_rig_tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_kill),
                TEST(test_kill_two_readers),
        };

        return run_tap(tests);
}
