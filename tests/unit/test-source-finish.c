/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Processes that die between the commit of lines and their consumption, or anywhere else in a callback, and
 * what the next one makes of the pipe. What the agent keeps in its memfds stands in shared memory here. */

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "unit/source-rig.h"

#define LIMIT POINT_RAW_MAX
#define NEVER UINT_MAX

typedef struct Shared {
        Source *source;
        size_t take; /* lines() takes at most so many bytes */
        unsigned n_steps, die_at;
        unsigned n_taken, n_too_long;
        size_t pending_n;
        uint64_t pending_checksum;
        bool skipping;
        size_t log_n;
        char log[LIMIT];
} Shared;

static Shared *shared_new(void) {
        Shared *shared =
                mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(shared != MAP_FAILED);
        *shared = (Shared) { .take = SIZE_MAX, .die_at = NEVER };
        return shared;
}

static void shared_freep(Shared **shared) {
        assert_int_equal(munmap(*shared, sizeof(**shared)), 0);
}

/* A place to die at. */
static void step(Shared *shared) {
        if (++shared->n_steps == shared->die_at)
                (void) raise(SIGKILL);
}

static size_t on_lines(void *userdata, Slice lines) {
        Shared *shared = userdata;
        size_t n = MIN(lines.n, shared->take);

        if (shared->skipping || shared->pending_n > 0 || shared->log_n + n > sizeof(shared->log))
                _exit(2);

        n = (size_t) ((const char *) memrchr(lines.p, '\n', n) + 1 - lines.p);
        memcpy(shared->log + shared->log_n, lines.p, n);
        step(shared);
        shared->log_n += n;
        shared->pending_checksum = XXH3_64bits(lines.p, n);
        shared->pending_n = n;
        step(shared);
        return n;
}

static void on_too_long(void *userdata, Slice beginning _unused_) {
        Shared *shared = userdata;

        step(shared);
        shared->n_too_long++;
        shared->skipping = true;
        step(shared);
}

static void on_taken(void *userdata) {
        Shared *shared = userdata;

        if (source_is_discarding(shared->source))
                _exit(3);

        shared->n_taken++;
        step(shared);
        shared->pending_n = 0;
        shared->skipping = false;
        step(shared);
}

static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long, .taken = on_taken };

/* -- lives -- */

/* One process: takes over what the last one left, and all that is in the pipe. */
static void live(int fd, Shared *shared) {
        Rig rig = rig_new();

        if (source_new(&shared->source, rig.hub, fd, SOURCE_FIFO, "test", &ops, shared) < 0)
                _exit(4);
        if (shared->pending_n > 0 &&
            !source_finish(shared->source, shared->pending_n, shared->pending_checksum))
                step(shared); /* the last one had consumed them, and died before it said so */
        shared->pending_n = 0;
        source_set_discarding(shared->source, shared->skipping);
        rig_settle(&rig);
        if (!source_is_idle(shared->source))
                _exit(5);
}

/* true: it died where it was to die. */
static bool live_and_die(int fd, Shared *shared, unsigned die_at) {
        pid_t pid;
        int status;

        shared->n_steps = 0;
        shared->die_at = die_at;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                live(fd, shared);
                _exit(0);
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
                assert_int_equal(WEXITSTATUS(status), 0);
        return WIFSIGNALED(status);
}

static void write_all(int fd, Slice s) {
        assert_int_equal(write(fd, s.p, s.n), s.n);
}

static void pipe_open(int fds[2]) {
        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        (void) pipe_grow(fds[0], SOURCE_PIPE_SIZE);
}

/* -- one death, between commit and consumption -- */

static const struct {
        const char *name, *text;
        size_t take;
        const char *committed, *rest; /* rest: what the next process takes */
} rows[] = {
        { "one line", "a 1 2\n", SIZE_MAX, "a 1 2\n", "" },
        { "some lines", "a 1 2\nb 1 2\n\n", SIZE_MAX, "a 1 2\nb 1 2\n\n", "" },
        { "half a line behind", "a 1 2\nb 1", SIZE_MAX, "a 1 2\n", "" },
        { "refused behind", "a 1 2\nb 1 2\nc 1 2\n", 8, "a 1 2\n", "b 1 2\nc 1 2\n" },
        { "alike ones behind", "a 1 2\na 1 2\na 1 2\n", 6, "a 1 2\n", "a 1 2\na 1 2\n" },
};

static void run_row(size_t i) {
        _cleanup_(shared_freep) Shared *shared = shared_new();
        size_t n_text = strlen(rows[i].text), n_committed = strlen(rows[i].committed);
        int fds[2];

        pipe_open(fds);
        write_all(fds[1], slice_from_string(rows[i].text));
        shared->take = rows[i].take;
        assert_true(live_and_die(fds[0], shared, 2));
        if (!slice_equal((Slice) { shared->log, shared->log_n }, slice_from_string(rows[i].committed)))
                fail_msg("%s: other lines committed", rows[i].name);
        assert_int_equal(bytes_in(fds[0]), n_text);

        shared->take = SIZE_MAX;
        shared->log_n = 0;
        assert_false(live_and_die(fds[0], shared, NEVER));
        if (!slice_equal((Slice) { shared->log, shared->log_n }, slice_from_string(rows[i].rest)))
                fail_msg("%s: %.*s behind", rows[i].name, (int) shared->log_n, shared->log);
        assert_int_equal(bytes_in(fds[0]), n_text - n_committed - strlen(rows[i].rest));
        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
}

static void test_dead_before_consumption(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                run_row(i);
}

/* A chunk that fills the shared buffer, of writes that do not fill their pages. */
static void test_whole_chunk(void **state _unused_) {
        static char line[1000] = { [0 ... 998] = 'x', '\n' };
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        const size_t n = SOURCE_CHUNK / sizeof(line) * sizeof(line);
        _cleanup_(freep) char *all = malloc(n);

        assert_non_null(all);
        for (size_t i = 0; i < n; i += sizeof(line)) {
                memcpy(all + i, line, sizeof(line));
                write_all(fd, (Slice) { line, 500 });
                write_all(fd, (Slice) { line + 500, 500 });
        }
        write_all(fd, SLICE("behind\n"));

        assert_true(source_finish(sink.source, n, XXH3_64bits(all, n)));
        rig_settle(&rig);
        assert_true(slice_equal(buffer_slice(&sink.lines), SLICE("behind\n")));
}

static void test_what_does_not_fit_is_left(void **state _unused_) {
        static const char text[] = "a 1 2\nb 1 2\n";
        const uint64_t first = XXH3_64bits(text, 6), both = XXH3_64bits(text, 12);
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {}, other = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        int fds[2];

        assert_false(source_finish(sink.source, 6, first));
        write_all(fd, SLICE("a 1 2\nb 1 2\n"));
        assert_false(source_finish(sink.source, 6, both));
        assert_false(source_finish(sink.source, 12, first));
        assert_false(source_finish(sink.source, 6, first ^ UINT64_C(1) << 63));
        assert_false(source_finish(sink.source, 5, first));
        assert_false(source_finish(sink.source, 13, both));
        assert_false(source_finish(sink.source, 0, XXH3_64bits(text, 0)));
        assert_false(source_finish(sink.source, SOURCE_CHUNK + 1, both));
        assert_false(source_finish(sink.source, SIZE_MAX, both));
        assert_int_equal(bytes_in(source_fd(sink.source)), 12);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        rig_add(&rig, fds[0], SOURCE_PIPE, &other);
        write_all(fds[1], SLICE("a 1 2\nb 1 2\n"));
        assert_false(source_finish(other.source, 6, first));

        assert_true(source_finish(sink.source, 6, first));
        rig_settle(&rig);
        assert_true(slice_equal(buffer_slice(&sink.lines), SLICE("b 1 2\n")));
        assert_int_equal(other.lines.n, 12);
        close_fdp(&fds[1]);
}

/* -- deaths at any place -- */

static void write_long_ones(int fd) {
        static const char over[LIMIT + 1] = { [0 ... LIMIT] = 'x' };

        write_all(fd, SLICE("first 1 2\n"));
        write_all(fd, (Slice) { over, sizeof(over) });
        write_all(fd, SLICE(" tail 1 2\nsecond 1 2\nthird 1 2\n"));
        write_all(fd, (Slice) { over, sizeof(over) });
        write_all(fd, SLICE("\nfourth 1 2\nhalf"));
}

/* Takes the empty lines out of the log; returns how many there were. */
static unsigned cut_empty_lines(Shared *shared) {
        Slice rest = { shared->log, shared->log_n }, line;
        unsigned n = 0;

        shared->log_n = 0;
        while (slice_cut(&rest, '\n', &line)) {
                if (line.n == 0) {
                        n++;
                        continue;
                }
                memmove(shared->log + shared->log_n, line.p, line.n + 1);
                shared->log_n += line.n + 1;
        }

        return n;
}

/* Returns whether both lives ended early. */
static bool run_deaths(unsigned first, unsigned second) {
        static const Slice want = SLICE("first 1 2\nsecond 1 2\nthird 1 2\nfourth 1 2\n");
        _cleanup_(shared_freep) Shared *shared = shared_new();
        unsigned n_died, n_empty;
        int fds[2];

        pipe_open(fds);
        write_long_ones(fds[1]);
        n_died = live_and_die(fds[0], shared, first);
        n_died += live_and_die(fds[0], shared, second);
        assert_false(live_and_die(fds[0], shared, NEVER));

        n_empty = cut_empty_lines(shared);
        if (n_empty > n_died || !slice_equal((Slice) { shared->log, shared->log_n }, want))
                fail_msg("dead at %u and %u: %u empty lines, %.*s", first, second, n_empty,
                         (int) shared->log_n, shared->log);
        assert_in_range(shared->n_too_long, 2, 2 + n_died);
        assert_int_equal(bytes_in(fds[0]), strlen("half"));
        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
        return n_died == 2;
}

static void test_deaths(void **state _unused_) {
        unsigned n = 0, n_both = 0;

        for (unsigned first = 1; first <= 20; first++)
                for (unsigned second = 1; second <= 20; second++, n++)
                        n_both += run_deaths(first, second);

        assert_in_range(n_both, n / 4, n - 1);
}

/* -- in one life -- */

static void test_taken(void **state _unused_) {
        _cleanup_(shared_freep) Shared *shared = shared_new();
        _cleanup_(rig_done) Rig rig = rig_new();
        int fds[2];

        pipe_open(fds);
        assert_int_equal(source_new(&shared->source, rig.hub, fds[0], SOURCE_FIFO, "test", &ops, shared), 0);
        write_long_ones(fds[1]);
        rig_settle(&rig);
        assert_int_equal(shared->n_taken, 3 + 2); /* of lines(), and of over-long lines */
        assert_int_equal(shared->n_too_long, 2);
        assert_int_equal(shared->pending_n, 0);

        /* Parts of an over-long line are not news. */
        write_all(fds[1], (Slice) { shared->log, 1 });
        for (unsigned i = 0; i < 3; i++) {
                static const char part[LIMIT / 2];

                write_all(fds[1], (Slice) { part, sizeof(part) });
                rig_settle(&rig);
        }
        assert_int_equal(shared->n_too_long, 3);
        assert_int_equal(shared->n_taken, 5);
        write_all(fds[1], SLICE("\n"));
        rig_settle(&rig);
        assert_int_equal(shared->n_taken, 6);
        (void) source_free(shared->source);
        close_fdp(&fds[1]);
}

/* What is no pipe says it too, and nobody is told what has freed the source. */
static size_t free_in_lines(void *userdata, Slice lines) {
        Shared *shared = userdata;

        shared->source = source_free(shared->source);
        return lines.n;
}

static void test_taken_elsewhere(void **state _unused_) {
        static const SourceOps freeing = { .lines = free_in_lines,
                                           .too_long = on_too_long,
                                           .taken = on_taken };
        _cleanup_(shared_freep) Shared *shared = shared_new();
        _cleanup_(rig_done) Rig rig = rig_new();
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(source_new(&shared->source, rig.hub, fds[0], SOURCE_PIPE, "test", &ops, shared), 0);
        write_all(fds[1], SLICE("a 1 2\nhalf"));
        rig_settle(&rig);
        assert_int_equal(shared->n_taken, 1);
        assert_true(source_is_idle(shared->source));

        shared->source->ops = &freeing;
        write_all(fds[1], SLICE("\n"));
        assert_false(source_is_idle(shared->source));
        rig_settle(&rig);
        assert_null(shared->source);
        assert_int_equal(shared->n_taken, 1);
        close_fdp(&fds[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dead_before_consumption),
                cmocka_unit_test(test_whole_chunk),
                cmocka_unit_test(test_what_does_not_fit_is_left),
                cmocka_unit_test(test_deaths),
                cmocka_unit_test(test_taken),
                cmocka_unit_test(test_taken_elsewhere),
        };

        return run_tap(tests);
}
