/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* kill -9 of the reading process, hundreds of times at random moments, while a writer goes on.
 *
 * The pipe outlives its readers, as one in systemd's fd store does. Each reader commits what it takes to
 * shared memory, as the ring does: bytes first, then the count. What is there in the end must be every
 * line, whole and in order; a new reader may only begin where the last commit ended, or at its beginning:
 * killed between commit and splice. */

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "unit/source-rig.h"

#define N_KILLS 300u
#define LOG_BYTES ((size_t) 128 * 1024 * 1024)
#define COMMITS_MAX 100000u
#define AHEAD_MAX 16384u /* bytes in the pipe, to keep the log short */
#define DEADLINE (100 * USEC_PER_SEC)

/* Half of the readers are killed at random; of the others, each dies at one of the two sides of a commit. */
enum {
        DIES_BEFORE = 1,
        DIES_AFTER = 3,
};

typedef struct Commit {
        unsigned reader;
        size_t begin, end; /* in log */
} Commit;

typedef struct Shared {
        size_t n_commits;
        size_t target; /* of this reader: it is killed when it has made so many */
        unsigned reader;
        Commit commits[COMMITS_MAX];
        char log[LOG_BYTES];
} Shared;

static size_t commit_lines(void *userdata, Slice lines) {
        Shared *shared = userdata;
        size_t i = shared->n_commits, at = i > 0 ? shared->commits[i - 1].end : 0;

        if (i == COMMITS_MAX || at + lines.n > LOG_BYTES)
                _exit(3);

        memcpy(shared->log + at, lines.p, lines.n);
        if (shared->reader % 4 == DIES_BEFORE && i + 1 == shared->target)
                (void) raise(SIGKILL);

        shared->commits[i] = (Commit) { shared->reader, at, at + lines.n };
        __atomic_store_n(&shared->n_commits, i + 1, __ATOMIC_RELEASE);
        if (shared->reader % 4 == DIES_AFTER && i + 1 == shared->target)
                (void) raise(SIGKILL);

        return lines.n;
}

static void exit_too_long(void *userdata _unused_, Slice beginning _unused_) {
        _exit(4);
}

static const SourceOps ops = { .lines = commit_lines, .too_long = exit_too_long };

/* Line `i` of the writer: of various lengths, and never twice the same. */
static int line_format(char *buf, size_t size, size_t i) {
        return snprintf(buf, size, "line %zu %.*s %zu\n", i, (int) (i * 7919 % 150),
                        "=========================================================================="
                        "============================================================================",
                        i);
}

static _Noreturn void write_lines(int fd) {
        char block[8192];

        for (size_t i = 0, n = 0;; i++) {
                n += (size_t) line_format(block + n, sizeof(block) - n, i);
                if (n < 1 + i * 31 % 7000)
                        continue; /* a write in the middle of a line now and then */

                if (fd_write_all(fd, (Slice) { block, n / 2 }) < 0 ||
                    fd_write_all(fd, (Slice) { block + n / 2, n - n / 2 }) < 0)
                        _exit(0);
                n = 0;
                while (bytes_in(fd) > AHEAD_MAX)
                        (void) sched_yield();
        }
}

static _Noreturn void read_lines(int fd, Shared *shared) {
        sd_event *event = NULL;
        SourceHub *hub = NULL;
        Source *source = NULL;

        if (sd_event_new(&event) < 0 || source_hub_new(&hub, event) < 0 ||
            source_new(&source, hub, fd, SOURCE_FIFO, "test", &ops, shared) < 0)
                _exit(2);

        (void) sd_event_loop(event);
        _exit(2);
}

static pid_t fork_child(void) {
        pid_t pid = fork();

        if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(2);

        return pid;
}

/* Lets one reader live for a few commits. */
static void run_reader(int fd, Shared *shared, usec_t deadline) {
        int status;
        pid_t pid;

        shared->reader++;
        shared->target = shared->n_commits + 1 + random_u64() % 3;
        pid = fork_child();
        assert_true(pid >= 0);
        if (pid == 0)
                read_lines(fd, shared);

        if (shared->reader % 2 == 0) {
                while (__atomic_load_n(&shared->n_commits, __ATOMIC_ACQUIRE) < shared->target) {
                        assert_true(clock_usec(CLOCK_MONOTONIC) < deadline);
                        (void) sched_yield();
                }
                for (volatile uint64_t n = random_u64() % 100000; n > 0; n--)
                        ;
                assert_int_equal(kill(pid, SIGKILL), 0);
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Reads the lines of one commit; *i is the next one due. */
static void check_lines(Slice lines, size_t *i) {
        char want[256];
        Slice line;

        while (slice_cut(&lines, '\n', &line)) {
                int n = line_format(want, sizeof(want), (*i)++);

                if (!slice_equal(line, (Slice) { want, (size_t) n - 1 }))
                        fail_msg("after line %zu: \"%.*s\"", *i - 1, (int) line.n, line.p);
        }
        assert_int_equal(lines.n, 0);
}

static Slice commit_slice(const Shared *shared, const Commit *c) {
        return (Slice) { shared->log + c->begin, c->end - c->begin };
}

static size_t check(const Shared *shared, unsigned *ret_repeated) {
        size_t due = 0, begun = 0;

        for (size_t k = 0; k < shared->n_commits; k++) {
                const Commit *c = shared->commits + k, *last = k > 0 ? c - 1 : NULL;
                Slice lines = commit_slice(shared, c);

                if (last && last->reader != c->reader &&
                    slice_starts_with(lines, commit_slice(shared, last))) {
                        due = begun;
                        ++*ret_repeated;
                }
                begun = due;
                check_lines(lines, &due);
        }

        return due;
}

static void test_kill(void **state _unused_) {
        Shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + DEADLINE;
        unsigned repeated = 0;
        size_t n_lines;
        int fds[2];
        pid_t writer;

        assert_true(shared != MAP_FAILED);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        writer = fork_child();
        assert_true(writer >= 0);
        if (writer == 0)
                write_lines(fds[1]);

        for (unsigned i = 0; i < N_KILLS; i++)
                run_reader(fds[0], shared, deadline);

        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        n_lines = check(shared, &repeated);
        print_message("# %zu lines in %zu commits, %u of them begun again\n", n_lines, shared->n_commits,
                      repeated);
        assert_in_range(repeated, N_KILLS / 4, N_KILLS); /* all that died between commit and splice */

        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(test_kill) };

        return run_tap(tests);
}
