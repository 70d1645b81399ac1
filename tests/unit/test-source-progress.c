/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the watchdog asks: is every source that has something served? */

#include "unit/source-rig.h"

static void assert_progress(Rig *rig, unsigned n_calls) {
        for (unsigned i = 0; i < n_calls; i++)
                assert_true(source_hub_progresses(rig->hub));
}

static void test_idle(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {}, half = {};
        _cleanup_(close_fdp) int a = rig_pipe(&rig, SOURCE_FIFO, &sink);
        _cleanup_(close_fdp) int b = rig_pipe(&rig, SOURCE_PIPE, &half);

        assert_progress(&rig, 3); /* not served yet, and empty */
        rig_write(&rig, a, SLICE("whole\n"));
        rig_write(&rig, b, SLICE("whole\nhalf"));
        rig_settle(&rig);
        assert_progress(&rig, 3);
        assert_int_equal(bytes_in(source_fd(half.source)), 4);

        close_fdp(&a); /* a FIFO without a writer */
        rig_settle(&rig);
        assert_progress(&rig, 3);
}

/* The lists are left as they are: nobody runs the loop. */
static void test_unserved(void **state _unused_) {
        static const SourceState states[] = { SOURCE_ARMED, SOURCE_GATHERING, SOURCE_DUE };

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                _cleanup_(rig_done) Rig rig = rig_new();
                _cleanup_(sink_done) Sink sink = {};
                _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

                if (states[i] == SOURCE_GATHERING) {
                        rig_write(&rig, fd, SLICE("first\n"));
                        rig_run(&rig);
                }
                if (states[i] == SOURCE_ARMED)
                        rig_settle(&rig);
                assert_int_equal(sink.source->state, states[i]);

                rig_write(&rig, fd, SLICE("a\n"));
                assert_true(source_hub_progresses(rig.hub));
                assert_false(source_hub_progresses(rig.hub));
                assert_false(source_hub_progresses(rig.hub));
                assert_int_equal(sink.source->state, states[i]);

                rig_settle(&rig);
                assert_progress(&rig, 2);
                assert_true(slice_starts_with(buffer_slice(&sink.lines), states[i] == SOURCE_GATHERING ?
                                                                                 SLICE("first\na\n") :
                                                                                 SLICE("a\n")));
        }
}

/* One that is served hides no other. */
static void test_one_of_many(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        Sink sinks[3] = {};
        int fds[3];

        for (size_t i = 0; i < 3; i++)
                fds[i] = rig_pipe(&rig, SOURCE_FIFO, &sinks[i]);
        rig_settle(&rig);

        for (size_t stuck = 0; stuck < 3; stuck++) {
                rig_write(&rig, fds[stuck], SLICE("a\n"));
                assert_true(source_hub_progresses(rig.hub));
                assert_false(source_hub_progresses(rig.hub));
                rig_settle(&rig);
                assert_progress(&rig, 1);
        }

        for (size_t i = 0; i < 3; i++) {
                sink_done(&sinks[i]);
                close_fdp(&fds[i]);
        }
}

/* Served between two calls, however much there is again. */
static void test_flood(void **state _unused_) {
        static const char lines[4096] = { [0 ... 4095] = '\n' };
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        for (unsigned i = 0; i < 10; i++) {
                while (write(fd, lines, sizeof(lines)) > 0)
                        ;
                assert_progress(&rig, 1);
                source_hub_turn(rig.hub, true);
                assert_true(bytes_in(fd) > 0);
        }
}

/* Refused for a full queue: that is none of its fault; offered again, it counts. */
static void test_blocked(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        sink.room = 0;
        rig_write(&rig, fd, SLICE("a\nb\n"));
        assert_progress(&rig, 1);
        rig_settle(&rig);
        assert_true(source_is_blocked(sink.source));
        assert_progress(&rig, 3);

        source_hub_resume(rig.hub);
        assert_true(source_hub_progresses(rig.hub));
        assert_false(source_hub_progresses(rig.hub));
        rig_settle(&rig); /* refused again */
        assert_progress(&rig, 3);

        sink.room = SIZE_MAX;
        source_hub_resume(rig.hub);
        rig_settle(&rig);
        assert_progress(&rig, 3);
        assert_int_equal(sink.lines.n, 4);
}

/* The rest of half a line may come without an event: the look sees to it. */
static void test_half_grows(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        rig_write(&rig, fd, SLICE("half"));
        rig_settle(&rig);
        assert_true(sd_event_source_set_enabled(sink.source->io, SD_EVENT_OFF) >= 0);
        rig_write(&rig, fd, SLICE(" a line\n"));
        assert_progress(&rig, 1);
        rig_settle(&rig);
        assert_progress(&rig, 2);
        assert_int_equal(sink.lines.n, 12);
}

/* What is no pipe, to its end. */
static void test_socket(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        rig_add(&rig, fds[0], SOURCE_PIPE, &sink);
        rig_settle(&rig);
        assert_progress(&rig, 2);
        rig_write(&rig, fds[1], SLICE("a\nhalf"));
        assert_true(source_hub_progresses(rig.hub));
        assert_false(source_hub_progresses(rig.hub));
        rig_settle(&rig);
        assert_progress(&rig, 2);

        close_fdp(&fds[1]);
        rig_settle(&rig);
        assert_int_equal(sink.n_ends, 1);
        assert_progress(&rig, 2);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_idle),        cmocka_unit_test(test_unserved),
                cmocka_unit_test(test_one_of_many), cmocka_unit_test(test_flood),
                cmocka_unit_test(test_blocked),     cmocka_unit_test(test_half_grows),
                cmocka_unit_test(test_socket),
        };

        return run_tap(tests);
}
