/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* FIFOs that come and go, from the folder to the queue, and one life of the agent after another: a Life is
 * what one process has, and its ring, its skips and what it remembers go on into the next. */

#include "basic/clock.h"
#include "basic/log.h"
#include "unit/feeds-rig.h"

#define LINES "m.a 1700000000 1\nm.a 1700000015 2\n"

static CensusRow row_of(const Life *l, const char *name) {
        CensusRow row = {};
        Census census;

        assert_int_equal(feeds_census(l->feeds, &census), 0);
        for (size_t i = 0; i < census.n; i++)
                if (strcmp(census.rows[i].name, name) == 0)
                        row = census.rows[i];
        census_done(&census);
        return row;
}

static void test_come_and_go(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(close_fdp) int a = -1, b = -1;
        Life l;

        world_new(&w);
        make_fifo(&w, "a.py");
        life_begin(&l, &w, NULL);
        a = open_to_write(&w, "a.py");
        say(a, "\x18\nm.a 1700000000 1\nhalf");
        live(&l);
        assert_queued(&w, "put m.a 1700000000 1 host=h\n");
        assert_int_equal(row_of(&l, "a.py").stats->runs, 1);

        make_fifo(&w, "with\\x20space");
        live(&l);
        b = open_to_write(&w, "with\\x20space");
        say(b, "m.b 1700000000 2\n");
        live(&l);
        assert_queued(&w, "put m.b 1700000000 2 host=h\n");
        assert_non_null(row_of(&l, "with space").name);

        /* gone, but read to its end; half a line ends there */
        say(a, " of 1 2\nm.a 1700000001 2\nha");
        remove_fifo(&w, "a.py");
        live(&l);
        assert_int_equal(feeds_n(l.feeds), 2);
        assert_queued(&w, "put m.a 1700000001 2 host=h\n");
        a = close_fd(a);
        feeds_look(l.feeds, 0);
        feeds_look(l.feeds, 0);
        assert_int_equal(feeds_n(l.feeds), 1);

        /* of the same name, but another one */
        make_fifo(&w, "a.py");
        live(&l);
        assert_int_equal(feeds_n(l.feeds), 2);
        assert_int_equal(row_of(&l, "a.py").stats->runs, 0);
        life_end(&l);
}

static void test_what_is_no_fifo(void **state _unused_) {
        _cleanup_(world_done) World w;
        char path[256];
        Life l;

        world_new(&w);
        (void) snprintf(path, sizeof(path), "%s/file", w.fifos);
        assert_true(close_fd(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == -1);
        (void) snprintf(path, sizeof(path), "%s/link", w.fifos);
        assert_int_equal(symlink("/dev/zero", path), 0);
        make_fifo(&w, "not valid"); /* no instance has such a name */
        life_begin(&l, &w, NULL);
        assert_int_equal(feeds_n(l.feeds), 0);
        life_end(&l);
}

/* kill -9 behind the commit, before the bytes have left the FIFO; and in the middle of an over-long line. */
static void test_next_life(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(close_fdp) int a = -1, keep = -1;
        RingPending pending;
        char path[256], *junk = malloc(100000);
        Life l;

        assert_non_null(junk);
        memset(junk, 'x', 100000);
        world_new(&w);
        make_fifo(&w, "a");
        (void) snprintf(path, sizeof(path), "%s/a", w.fifos);
        keep = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* as systemd does */
        a = open_to_write(&w, "a");

        life_begin(&l, &w, NULL);
        live(&l);
        life_end(&l);
        say(a, LINES);
        /* these have been taken in, says the queue, by a process that did not come to consume them */
        pending = ring_pending_of(ring_source_hash(SLICE("a")), SLICE(LINES));
        ring_commit(w.ring, &pending);
        say(a, "m.a 1700000020 3\n");
        assert_int_equal(fcntl(keep, F_SETPIPE_SZ, 1 << 20), 1 << 20);
        life_begin(&l, &w, NULL);
        live(&l);
        assert_queued(&w, "put m.a 1700000020 3 host=h\n");
        assert_int_equal(write(a, junk, 100000), 100000);
        live(&l);
        assert_int_equal(row_of(&l, "a").stats->invalid, 1);
        life_end(&l);

        life_begin(&l, &w, NULL);
        say(a, "m.fake 1700000000 1\nm.a 1700000030 3\n");
        live(&l);
        assert_queued(&w, "put m.a 1700000030 3 host=h\n");
        life_end(&l);

        life_begin(&l, &w, NULL);
        say(a, "m.a 1700000045 4\n");
        live(&l);
        assert_queued(&w, "put m.a 1700000045 4 host=h\n");
        life_end(&l);
        free(junk);
}

static void test_remembered(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(recall_freep) Recall *recall = NULL;
        _cleanup_(close_fdp) int a = -1, keep = -1, fd = -1;
        char path[256];
        Life l;

        world_new(&w);
        make_fifo(&w, "a");
        (void) snprintf(path, sizeof(path), "%s/a", w.fifos);
        keep = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        a = open_to_write(&w, "a");
        life_begin(&l, &w, NULL);
        say(a, "m.a 1700000000 5\nm.a 1700000015 5\n");
        live(&l);
        assert_queued(&w, "put m.a 1700000000 5 host=h\n");
        assert_int_equal(recall_begin(&fd), 0);
        assert_int_equal(feeds_save(l.feeds, fd), 0);
        life_end(&l);

        say(a, "m.a 1700000030 5\nm.a 1700000045 7\n");
        assert_int_equal(recall_open(&recall, fd), 0);
        life_begin(&l, &w, recall);
        live(&l);
        assert_queued(&w, "put m.a 1700000030 5 host=h\nput m.a 1700000045 7 host=h\n");
        life_end(&l);
}

static void test_stalled(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(close_fdp) int a = -1, file = -1;
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        char path[256], dir[128];
        Life l;

        world_new(&w);
        (void) snprintf(dir, sizeof(dir), "%s/0", w.collectors);
        assert_int_equal(mkdir(dir, 0755), 0);
        (void) snprintf(path, sizeof(path), "%s/a", dir);
        file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        assert_true(file >= 0);
        make_fifo(&w, "a");
        life_begin(&l, &w, NULL);
        a = open_to_write(&w, "a");
        (void) snprintf(path, sizeof(path), "%s/a", w.stalled);

        feeds_look(l.feeds, now + 599 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), -1);
        feeds_set_state(l.feeds, SLICE("a"), "failed"); /* its silence has another reason */
        feeds_look(l.feeds, now + 700 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), -1);
        feeds_set_state(l.feeds, SLICE("a"), "active");
        feeds_look(l.feeds, now + 701 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), -1); /* counted from when it was active again */
        feeds_look(l.feeds, now + 1400 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), 0);

        assert_int_equal(unlink(path), 0);
        feeds_look(l.feeds, now + 1500 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), -1); /* said once */
        a = close_fd(a);
        feeds_look(l.feeds, now + 9000 * USEC_PER_SEC);
        assert_int_equal(access(path, F_OK), -1); /* nobody runs */
        life_end(&l);
}

/* A collector that is told to stop has something to say, and its FIFO is gone already. */
static void test_last_words(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(close_fdp) int a = -1;
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        Life l;

        world_new(&w);
        make_fifo(&w, "a");
        life_begin(&l, &w, NULL);
        a = open_to_write(&w, "a");
        remove_fifo(&w, "a");
        live(&l);
        feeds_look(l.feeds, now);
        feeds_look(l.feeds, now + 10 * USEC_PER_SEC);
        assert_int_equal(feeds_n(l.feeds), 1);
        say(a, "m.a 1700000000 1\n");
        live(&l);
        assert_queued(&w, "put m.a 1700000000 1 host=h\n");

        /* but for ever it is not waited for */
        feeds_look(l.feeds, clock_usec(CLOCK_MONOTONIC) + 61 * USEC_PER_SEC);
        assert_int_equal(feeds_n(l.feeds), 0);
        life_end(&l);
}

/* A FIFO is replaced while an over-long line is in the middle of it: that is no line of the new one. */
static void test_replaced_in_mid_line(void **state _unused_) {
        _cleanup_(world_done) World w;
        _cleanup_(close_fdp) int old = -1, a = -1;
        char *junk = malloc(100000);
        Life l;

        assert_non_null(junk);
        memset(junk, 'x', 100000);
        for (unsigned seen = 0; seen < 2; seen++) {
                world_new(&w);
                make_fifo(&w, "a");
                life_begin(&l, &w, NULL);
                old = open_to_write(&w, "a");
                assert_int_equal(write(old, junk, 100000), 100000);
                live(&l);
                remove_fifo(&w, "a");
                if (seen > 0)
                        live(&l);
                make_fifo(&w, "a");
                live(&l);
                a = open_to_write(&w, "a");
                say(a, "m.a 1700000000 1\n");
                say(old, "\nm.b 1700000000 2\n");
                live(&l);
                if (slice_equal(ring_unacked(w.ring, 0), SLICE("put m.a 1700000000 1 host=h\n"
                                                               "put m.b 1700000000 2 host=h\n")))
                        ring_ack(w.ring, 0, ring_head(w.ring));
                else
                        assert_queued(&w, "put m.b 1700000000 2 host=h\nput m.a 1700000000 1 host=h\n");
                old = close_fd(old);
                a = close_fd(a);
                life_end(&l);
                if (seen == 0)
                        world_done(&w);
        }
        free(junk);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_come_and_go),
                cmocka_unit_test(test_what_is_no_fifo),
                cmocka_unit_test(test_next_life),
                cmocka_unit_test(test_remembered),
                cmocka_unit_test(test_stalled),
                cmocka_unit_test(test_last_words),
                cmocka_unit_test(test_replaced_in_mid_line),
        };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
