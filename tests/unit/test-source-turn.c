/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sources beside all else that the loop has to do: neither keeps the other waiting. */

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "basic/clock.h"
#include "unit/source-rig.h"

#define DEADLINE (60 * USEC_PER_SEC)

static bool timer_is_off(const Rig *rig) {
        int on;

        assert_true(sd_event_source_get_enabled(rig->hub->tick, &on) >= 0);
        return on == SD_EVENT_OFF;
}

/* A writer that is always ahead: whatever is taken stands in the pipe again at once. */
static size_t refill_lines(void *userdata, Slice lines) {
        int fd = *(const int *) userdata;

        assert_true(write(fd, lines.p, lines.n) > 0);
        return lines.n;
}

static int on_once(sd_event_source *e _unused_, uint64_t usec _unused_, void *userdata) {
        *(bool *) userdata = true;
        return 0;
}

static void test_a_flood_leaves_the_loop_to_others(void **state _unused_) {
        static const SourceOps ops = { .lines = refill_lines };
        _cleanup_(sd_event_source_unrefp) sd_event_source *timer = NULL;
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(close_fdp) int fd = -1;
        Source *source;
        bool fired = false;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        fd = fds[1];
        assert_int_equal(source_new(&source, rig.hub, fds[0], SOURCE_FIFO, "flood", &ops, &fd), 0);
        for (size_t i = 0; i < 2 * SOURCE_BUDGET / 6; i++)
                if (write(fd, "a 1 2\n", 6) != 6)
                        break;
        assert_true(sd_event_add_time(rig.event, &timer, CLOCK_MONOTONIC, 0, 0, on_once, &fired) >= 0);

        for (unsigned i = 0; i < 10; i++)
                assert_true(sd_event_run(rig.event, 0) > 0);
        assert_true(fired);
        (void) source_free(source);
}

static int on_always(sd_event_source *e _unused_, int fd _unused_, uint32_t revents _unused_,
                     void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

/* What has something to do at every turn of the loop, as a connection has that always brings more.
 */
static void test_others_do_not_starve_sources(void **state _unused_) {
        _cleanup_(sd_event_source_unrefp) sd_event_source *busy = NULL;
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int ready = eventfd(1, EFD_CLOEXEC);
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + DEADLINE;
        unsigned n = 0;

        assert_true(ready >= 0);
        assert_true(sd_event_add_io(rig.event, &busy, ready, EPOLLIN, on_always, &n) >= 0);
        rig_write(&rig, fd, SLICE("a\n"));
        while (sink.lines.n == 0) {
                assert_true(clock_usec(CLOCK_MONOTONIC) < deadline);
                assert_true(sd_event_run(rig.event, 0) > 0);
        }
        assert_true(n > 0);
}

/* One that is due and served at the loop's next turn leaves no tick behind. */
static void test_due_leaves_no_tick(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        assert_true(fd >= 0);
        assert_false(timer_is_off(&rig));
        assert_true(sd_event_run(rig.event, 0) > 0);
        assert_true(timer_is_off(&rig));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_flood_leaves_the_loop_to_others),
                cmocka_unit_test(test_others_do_not_starve_sources),
                cmocka_unit_test(test_due_leaves_no_tick),
        };

        return run_tap(tests);
}
