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
#define VICTIMS 200u
#else
#define VICTIMS 600u
#endif
#define RING_BYTES ((size_t) 64 << 10)

/* What a victim is about to do, and has done: the truth is between the two. */
typedef struct Log {
        _Atomic uint64_t committing, committed; /* number of the last line */
        _Atomic uint64_t acking, acked;
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
static void check_begin(Victim *v) {
        Slice run;
        uint64_t first;

        must(queue_lost(v->queue) == 0);
        if (!queue_has_more(v->queue, 0)) {
                must(v->log->acking >= v->log->committed);
                v->log->acked = v->log->acking = v->log->committed = MAX(v->log->committed, v->log->acking);
                return;
        }

        run = queue_peek(v->queue, 0);
        first = spool_line_take(&run);
        must(first > v->log->acked && first <= v->log->acking + 1);
        v->log->acked = v->log->acking = first - 1;
}

/* All that is left follows on, to the last line that was committed. */
static void check_all(Victim *v) {
        uint64_t last = v->log->acked;

        while (queue_has_more(v->queue, 0)) {
                Slice run = queue_peek(v->queue, 0);

                must(run.n > 0);
                queue_sent(v->queue, 0, run.n);
                while (run.n > 0)
                        must(spool_line_take(&run) == ++last);
        }

        must(last >= v->log->committed && last <= v->log->committing);
        must(queue_lines(v->queue) == last - v->log->acked);
        v->log->committed = v->log->committing = last;
        queue_rewind(v->queue, 0);
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

static void send_and_ack(Victim *v) {
        uint64_t rounds = spool_rig_draw(v->rig, 6), last = v->log->acked;
        Slice run;

        for (; rounds > 0 && queue_has_more(v->queue, 0); rounds--) {
                run = queue_peek(v->queue, 0);
                queue_sent(v->queue, 0, run.n);
                while (run.n > 0)
                        must(spool_line_take(&run) == ++last);
        }

        v->log->acking = last;
        must(queue_ack(v->queue, 0, queue_sent_at(v->queue, 0)) == last - v->log->acked);
        v->log->acked = last;
}

static void spill(Victim *v, usec_t now) {
        uint64_t lines = queue_lines_spooled(v->queue);

        must(queue_spill(v->queue, now) >= 0);
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
        check_begin(v);
        check_all(v);
        v->log->openings++;

        for (usec_t now = USEC_PER_SEC;; now += 10 * USEC_PER_SEC) {
                put_lines(v);
                if (spool_rig_draw(v->rig, 2))
                        spill(v, now);
                if (spool_rig_draw(v->rig, 3) == 0)
                        send_and_ack(v);
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

static void test_kill(void **state) {
        SpoolRig *r = *state;
        Log *log = mmap(NULL, sizeof(*log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        _cleanup_(ring_freep) Ring *ring = NULL;

        assert_true(log != MAP_FAILED);
        assert_int_equal(ring_new(&ring, RING_BYTES), 0);
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

        print_message("# %ju openings, %ju turns, %ju spills, %ju flushes, %ju lines\n",
                      (uintmax_t) log->openings, (uintmax_t) log->turns, (uintmax_t) log->spills,
                      (uintmax_t) log->flushes, (uintmax_t) log->committed);
        assert_true(log->openings > 0 && log->spills > 0 && log->flushes > 0 && log->acked > 0);
        (void) munmap(log, sizeof(*log));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_kill, spool_rig_set_up, spool_rig_tear_down),
        };

        return run_tap(tests);
}
