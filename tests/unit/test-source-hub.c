/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When sources are served: wake-ups, turns, back-pressure, the end, and callbacks that free sources. */

#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "unit/source-rig.h"

#define N_WRITES 2000u
#define DEADLINE (60 * USEC_PER_SEC)

static bool timer_is_off(const Rig *rig) {
        int on;

        assert_true(sd_event_source_get_enabled(rig->hub->tick, &on) >= 0);
        return on == SD_EVENT_OFF;
}

/* Lets the loop wait, for ticks too, until nothing can wake it but a writer. */
static void run_until_idle(Rig *rig) {
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + DEADLINE;

        do {
                assert_true(clock_usec(CLOCK_MONOTONIC) < deadline);
                rig_run(rig);
                if (!timer_is_off(rig))
                        assert_true(sd_event_run(rig->event, DEADLINE) > 0);
        } while (rig_run(rig) > 0 || !timer_is_off(rig));
}

/* Every wake-up is a tick, or an event of a source that was armed, which takes a tick: so there are two a
 * tick at most, and ticks come no closer together than the clock allows. */
static void test_small_writes_wake_seldom(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        uint64_t wakeups;
        usec_t begin;

        run_until_idle(&rig);
        wakeups = source_hub_wakeups(rig.hub);
        begin = clock_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < N_WRITES; i++) {
                rig_write(&rig, fd, SLICE("a 1 2\n"));
                rig_run(&rig);
        }
        run_until_idle(&rig);

        assert_int_equal(sink.lines.n, N_WRITES * 6);
        assert_true(source_hub_wakeups(rig.hub) - wakeups <=
                    2 * ((clock_usec(CLOCK_MONOTONIC) - begin) / SOURCE_TICK_MAX + 1) + 1);
        assert_true(rig.hub->interval == SOURCE_TICK_MAX);
}

static void test_half_a_line_wakes_once(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        uint64_t wakeups;

        rig_write(&rig, fd, SLICE("whole\nhalf"));
        run_until_idle(&rig);

        /* From now on only the look at half lines wakes it, and that ever less often. */
        assert_true(sd_event_source_set_enabled(rig.hub->halves, SD_EVENT_OFF) >= 0);
        wakeups = source_hub_wakeups(rig.hub);
        assert_int_equal(rig_run(&rig), 0);
        assert_int_equal(source_hub_wakeups(rig.hub), wakeups);
        for (usec_t interval = SOURCE_HALVES_MIN; interval < SOURCE_HALVES_MAX; interval *= 2) {
                assert_true(rig.hub->halves_interval == interval);
                source_hub_look(rig.hub);
        }
        source_hub_look(rig.hub);
        assert_true(rig.hub->halves_interval == SOURCE_HALVES_MAX);

        rig_write(&rig, fd, SLICE(" a line\nnext"));
        run_until_idle(&rig);
        assert_true(slice_equal(buffer_slice(&sink.lines), SLICE("whole\nhalf a line\n")));
}

/* A writer that has to wait for us makes ticks follow each other faster, for as long as it does. */
static void test_ticks_adapt(void **state _unused_) {
        static const char lines[SOURCE_PIPE_SIZE] = { [0 ... SOURCE_PIPE_SIZE - 1] = '\n' };
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        size_t half = source_pipe_size(sink.source) / 2;

        rig_settle(&rig);
        for (unsigned i = 0; i < 8; i++) {
                rig_write(&rig, fd, (Slice) { lines, half });
                source_hub_turn(rig.hub, false);
                source_hub_turn(rig.hub, true);
                rig_run(&rig);
        }
        assert_true(rig.hub->interval == SOURCE_TICK_MIN);

        for (unsigned i = 0; i < 8; i++) {
                rig_write(&rig, fd, SLICE("a\n"));
                rig_settle(&rig);
        }
        assert_true(rig.hub->interval == SOURCE_TICK_MAX);
}

static void fill_pipe(int fd) {
        static const char lines[4096] = { [0 ... 4095] = '\n' };

        while (write(fd, lines, sizeof(lines)) > 0)
                ;
        assert_int_equal(errno, EAGAIN);
}

static void test_a_flood_does_not_starve(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink slow = {}, flood = {}, also = {};
        _cleanup_(close_fdp) int a = rig_pipe(&rig, SOURCE_FIFO, &flood);
        _cleanup_(close_fdp) int b = rig_pipe(&rig, SOURCE_FIFO, &also);
        _cleanup_(close_fdp) int c = rig_pipe(&rig, SOURCE_FIFO, &slow);

        for (unsigned i = 0; i < 100; i++) {
                size_t n_flood = flood.lines.n, n_also = also.lines.n;

                fill_pipe(a);
                fill_pipe(b);
                rig_write(&rig, c, SLICE("a\n"));

                source_hub_turn(rig.hub, true);
                assert_int_equal(slow.lines.n, 2 * (i + 1));
                n_flood = flood.lines.n - n_flood;
                n_also = also.lines.n - n_also;
                assert_true(n_flood > 0 && n_flood <= SOURCE_BUDGET + SOURCE_CHUNK);
                assert_true(n_also > 0 && n_also <= SOURCE_BUDGET + SOURCE_CHUNK);
        }
}

/* Where there is always less room than one source has, all get their share of it. */
static void test_a_little_room_goes_round(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        Sink sinks[5] = {};
        int fds[5];

        for (size_t i = 0; i < 5; i++) {
                fds[i] = rig_pipe(&rig, SOURCE_FIFO, &sinks[i]);
                fill_pipe(fds[i]);
                sinks[i].room = 0;
        }

        for (unsigned round = 0; round < 100; round++) {
                size_t room = 100;

                rig_settle(&rig);
                source_hub_resume(rig.hub);
                for (Source *s = TAILQ_FIRST(&rig.hub->lists[SOURCE_DUE]); s; s = TAILQ_NEXT(s, list))
                        ((Sink *) s->userdata)->room = TAKE(room);
        }

        rig_settle(&rig);
        for (size_t i = 0; i < 5; i++) {
                assert_int_equal(sinks[i].lines.n, 100 * 100 / 5);
                sink_done(&sinks[i]);
                close_fdp(&fds[i]);
        }
}

static size_t resume_and_refuse(void *userdata, Slice lines) {
        Sink *sink = userdata;

        if (sink->n_calls > 0)
                return sink_lines(sink, lines);

        sink->n_calls++;
        source_hub_resume(sink->source->hub);
        return 0;
}

static void test_resume_within_lines_is_not_lost(void **state _unused_) {
        static const SourceOps ops = { .lines = resume_and_refuse,
                                       .too_long = sink_too_long,
                                       .end = sink_end };
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        sink.source->ops = &ops;
        rig_write(&rig, fd, SLICE("a\n"));
        rig_settle(&rig);
        assert_int_equal(sink.lines.n, 2);
}

/* One write(2) larger than the pipe, behind half a line: its writer waits for room, and has woken nobody. */
static void test_large_write_behind_half_a_line(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(buffer_done) Buffer rest = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + DEADLINE;
        int status;
        pid_t pid;

        rig_write(&rig, fd, SLICE("half"));
        run_until_idle(&rig);
        while (rest.n < 3 * SOURCE_PIPE_SIZE)
                assert_int_equal(buffer_add(&rest, SLICE(" a line\n")), 0);

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(fcntl(fd, F_SETFL, 0) < 0 || write(fd, rest.data, rest.n) != (ssize_t) rest.n);

        while (sink.lines.n < rest.n + 4) {
                assert_true(clock_usec(CLOCK_MONOTONIC) < deadline);
                assert_true(sd_event_run(rig.event, USEC_PER_SEC) >= 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* The last writer of a pipe that has long been empty goes: that alone must wake the loop. */
static void test_end_of_an_idle_pipe(void **state _unused_) {
        static const char *const before[] = { "", "whole\n", "whole\nhalf", "half" };

        for (size_t i = 0; i < ELEMENTSOF(before); i++) {
                _cleanup_(rig_done) Rig rig = rig_new();
                _cleanup_(sink_done) Sink sink = {};
                int fd = rig_pipe(&rig, SOURCE_PIPE, &sink);

                rig_write(&rig, fd, slice_from_string(before[i]));
                run_until_idle(&rig);
                assert_int_equal(sink.n_ends, 0);
                close_fdp(&fd);
                rig_run(&rig);
                assert_int_equal(sink.n_ends, 1);
                run_until_idle(&rig);
                assert_int_equal(sink.n_ends, 1);
                assert_int_equal(sink.lines.n + sink.rest.n, strlen(before[i]));
        }
}

static void test_a_file_needs_no_ticks(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        int fd = memfd_create("test", MFD_CLOEXEC);

        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(write(fd, "0123456789\n", 11), 11);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        rig_add(&rig, fd, SOURCE_PIPE, &sink);
        rig_run(&rig);
        assert_int_equal(sink.n_ends, 1);
        assert_int_equal(sink.lines.n, 1100000);
}

static size_t lines_then_free(void *userdata, Slice lines) {
        Sink *sink = userdata;
        const char *newline = memchr(lines.p, '\n', lines.n);

        sink->source = source_free(sink->source);
        return (size_t) (newline + 1 - lines.p);
}

static void too_long_then_free(void *userdata, Slice beginning) {
        Sink *sink = userdata;

        sink->beginning_n = beginning.n;
        sink->source = source_free(sink->source);
}

static void end_then_free(void *userdata, Slice rest) {
        Sink *sink = userdata;

        sink_end(sink, rest);
        sink->source = source_free(sink->source);
}

static void test_freed_in_its_own_callback(void **state _unused_) {
        static const SourceOps ops = {
                .lines = lines_then_free,
                .too_long = too_long_then_free,
                .end = end_then_free,
        };
        static const char over[POINT_RAW_MAX + 1], *const whole = "first\nsecond\nhalf";
        _cleanup_(rig_done) Rig rig = rig_new();
        Sink sink = {};
        int fd, reader;

        /* In lines(): what it took is consumed, what it did not is still there. */
        fd = rig_pipe(&rig, SOURCE_PIPE, &sink);
        reader = fcntl(source_fd(sink.source), F_DUPFD_CLOEXEC, 0);
        sink.source->ops = &ops;
        rig_write(&rig, fd, slice_from_string(whole));
        rig_settle(&rig);
        assert_null(sink.source);
        assert_int_equal(bytes_in(reader), strlen("second\nhalf"));
        close_fdp(&fd);
        close_fdp(&reader);

        fd = rig_pipe(&rig, SOURCE_PIPE, &sink);
        sink.source->ops = &ops;
        rig_write(&rig, fd, (Slice) { over, sizeof(over) });
        rig_settle(&rig);
        assert_null(sink.source);
        assert_int_equal(sink.beginning_n, POINT_RAW_MAX);
        close_fdp(&fd);

        fd = rig_pipe(&rig, SOURCE_PIPE, &sink);
        sink.source->ops = &ops;
        rig_write(&rig, fd, SLICE("half"));
        close_fdp(&fd);
        rig_settle(&rig);
        assert_null(sink.source);
        assert_true(slice_equal(buffer_slice(&sink.rest), SLICE("half")));
        sink_done(&sink);
}

/* Two sources of one turn, the first to be served frees the other. */
static size_t free_the_other(void *userdata, Slice lines) {
        Sink **other = userdata;

        (*other)->source = source_free((*other)->source);
        return lines.n;
}

static void test_freed_in_anothers_callback(void **state _unused_) {
        static const SourceOps ops = { .lines = free_the_other, .too_long = sink_too_long, .end = sink_end };
        _cleanup_(rig_done) Rig rig = rig_new();
        Sink a = {}, b = {}, *pa = &a, *pb = &b;
        int fds[] = { rig_pipe(&rig, SOURCE_PIPE, &a), rig_pipe(&rig, SOURCE_PIPE, &b) };

        a.source->ops = b.source->ops = &ops;
        a.source->userdata = &pb;
        b.source->userdata = &pa;
        rig_write(&rig, fds[0], SLICE("a\n"));
        rig_write(&rig, fds[1], SLICE("b\n"));
        rig_settle(&rig);
        assert_true(!a.source != !b.source);
        sink_done(&a);
        sink_done(&b);
        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
}

static void test_drain(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        Sink many = {}, half = {}, ended = {};
        int fds[] = { rig_pipe(&rig, SOURCE_FIFO, &many), rig_pipe(&rig, SOURCE_FIFO, &half),
                      rig_pipe(&rig, SOURCE_PIPE, &ended) };
        size_t size = source_pipe_size(many.source);

        fill_pipe(fds[0]);
        rig_write(&rig, fds[1], SLICE("whole\nhalf"));
        rig_write(&rig, fds[2], SLICE("whole\nrest"));
        close_fdp(&fds[2]);
        many.room = 10;

        assert_false(source_hub_drain(rig.hub));
        assert_int_equal(many.lines.n, 10);
        assert_int_equal(half.lines.n, 6);
        assert_int_equal(ended.n_ends, 1);
        assert_int_equal(ended.rest.n, 4);

        many.room = SIZE_MAX;
        assert_true(source_hub_drain(rig.hub));
        assert_int_equal(many.lines.n, size);
        assert_true(source_hub_drain(rig.hub));

        rig_settle(&rig);
        assert_int_equal(ended.n_ends, 1);
        sink_done(&many);
        sink_done(&half);
        sink_done(&ended);
        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
}

/* More pipes than the quota of one without privileges has room for (pipe-user-pages-soft in pipe(7)). */
static void run_many(void) {
        _cleanup_(rig_done) Rig rig = rig_new();
        static Sink sinks[200];
        int fds[ELEMENTSOF(sinks)];
        size_t smallest = SIZE_MAX;

        for (size_t i = 0; i < ELEMENTSOF(sinks); i++) {
                fds[i] = rig_pipe(&rig, SOURCE_PIPE, &sinks[i]);
                smallest = MIN(smallest, source_pipe_size(sinks[i].source));
        }
        assert_true(smallest < SOURCE_PIPE_SIZE);

        for (size_t i = 0; i < ELEMENTSOF(sinks); i++) {
                char line[20000] = { [0 ... 19999] = 'x' };

                line[sizeof(line) - 1] = '\n';
                rig_write(&rig, fds[i], (Slice) { line, sizeof(line) });
                rig_write(&rig, fds[i], SLICE("rest"));
                close_fdp(&fds[i]);
        }

        rig_settle(&rig);
        for (size_t i = 0; i < ELEMENTSOF(sinks); i++) {
                assert_int_equal(sinks[i].lines.n, 20000);
                assert_int_equal(sinks[i].rest.n, 4);
                sink_done(&sinks[i]);
        }
}

static void test_pipe_quota(void **state _unused_) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
                                       setresuid(65534, 65534, 65534) < 0))
                        _exit(2);
                run_many(); /* a failed assertion goes on with the next test, and this is the last one */
                _exit(0);
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_small_writes_wake_seldom),
                cmocka_unit_test(test_half_a_line_wakes_once),
                cmocka_unit_test(test_ticks_adapt),
                cmocka_unit_test(test_a_flood_does_not_starve),
                cmocka_unit_test(test_a_little_room_goes_round),
                cmocka_unit_test(test_resume_within_lines_is_not_lost),
                cmocka_unit_test(test_large_write_behind_half_a_line),
                cmocka_unit_test(test_end_of_an_idle_pipe),
                cmocka_unit_test(test_a_file_needs_no_ticks),
                cmocka_unit_test(test_freed_in_its_own_callback),
                cmocka_unit_test(test_freed_in_anothers_callback),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_pipe_quota),
        };

        return run_tap(tests);
}
