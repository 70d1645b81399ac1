/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* FIFOs that come and go, from the folder to the queue, and one life of the agent after another: a Life is
 * what one process has, and its ring, its skips and what it remembers go on into the next. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/feeds.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "unit/tap.h"

#define LINES "m.a 1700000000 1\nm.a 1700000015 2\n"

typedef struct World {
        char dir[64], fifos[96], stalled[96], collectors[96];
        Config *config;
        Ring *ring;
        Skips *skips;
} World;

typedef struct Life {
        sd_event *event;
        SourceHub *hub;
        Handover *handover;
        Feeds *feeds;
} Life;

static void no_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static void world_new(World *w) {
        *w = (World) {};
        assert_true(snprintf(w->dir, sizeof(w->dir), "/tmp/test-feeds-XXXXXX") > 0);
        assert_non_null(mkdtemp(w->dir));
        (void) snprintf(w->fifos, sizeof(w->fifos), "%s/col", w->dir);
        (void) snprintf(w->stalled, sizeof(w->stalled), "%s/stalled", w->dir);
        (void) snprintf(w->collectors, sizeof(w->collectors), "%s/collectors", w->dir);
        assert_int_equal(mkdir(w->fifos, 0755), 0);
        assert_int_equal(mkdir(w->stalled, 0755), 0);
        assert_int_equal(mkdir(w->collectors, 0755), 0);
        assert_int_equal(config_new(&w->config), 0);
        config_clear_dirs(w->config);
        assert_int_equal(config_add_dir(w->config, w->collectors), 0);
        assert_int_equal(config_add_tag(w->config, "host=h"), 0);
        w->config->inactivity = 600 * USEC_PER_SEC;
        assert_int_equal(ring_new(&w->ring, 1 << 20), 0);
        assert_int_equal(skips_new(&w->skips), 0);
}

static void world_done(World *w) {
        char command[256];

        config_free(w->config);
        ring_free(w->ring);
        skips_free(w->skips);
        (void) snprintf(command, sizeof(command), "rm -r '%s'", w->dir);
        assert_int_equal(system(command), 0); /* NOLINT */
}

static void life_begin(Life *l, World *w, const Recall *recall) {
        *l = (Life) {};
        assert_true(sd_event_new(&l->event) >= 0);
        assert_int_equal(source_hub_new(&l->hub, l->event), 0);
        assert_int_equal(handover_new(&l->handover), 0);
        assert_int_equal(feeds_new(&l->feeds, l->event,
                                   &(FeedsSpec) {
                                           .context =
                                                   &(FeedContext) {
                                                           .hub = l->hub,
                                                           .ring = w->ring,
                                                           .skips = w->skips,
                                                           .handover = l->handover,
                                                           .config = w->config,
                                                   },
                                           .dir = w->fifos,
                                           .stalled_dir = w->stalled,
                                           .recall = recall,
                                   }),
                         0);
}

static void life_end(Life *l) {
        feeds_free(l->feeds);
        source_hub_free(l->hub);
        handover_free(l->handover);
        sd_event_unref(l->event);
}

/* Lets the loop do what is due, and takes in what stands in the FIFOs. */
static void live(Life *l) {
        while (sd_event_run(l->event, 0) > 0)
                ;
        (void) source_hub_drain(l->hub);
}

static void make_fifo(const World *w, const char *name) {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        assert_int_equal(mkfifo(path, 0600), 0);
}

static void remove_fifo(const World *w, const char *name) {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        assert_int_equal(unlink(path), 0);
}

static int open_to_write(const World *w, const char *name) {
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void say(int fd, const char *text) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What the ring holds; then it is empty. */
static void assert_queued(World *w, const char *want) {
        Slice got = ring_unacked(w->ring, 0);

        if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
                fail_msg("queued: %.*s\nnot: %s", (int) got.n, got.p, want);
        ring_ack(w->ring, 0, ring_head(w->ring));
}

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

/* -- what systemd keeps -- */

/* In a child, whose descriptors from 3 on are the passed ones. */
static int read_passed(World *w, const int *fds, int n, const char *names) {
        char text[16];
        bool good;
        Life l;

        for (int i = 0; i < n; i++)
                if (fcntl(fds[i], F_DUPFD, 100) < 0)
                        return 10;
        for (int i = 0; i < n; i++)
                if (dup2(100 + i, 3 + i) < 0)
                        return 11;
        (void) snprintf(text, sizeof(text), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", text, 1);
        (void) snprintf(text, sizeof(text), "%d", n);
        (void) setenv("LISTEN_FDS", text, 1);
        (void) setenv("LISTEN_FDNAMES", names, 1);

        life_begin(&l, w, NULL);
        live(&l);
        good = slice_equal(ring_unacked(w->ring, 0), SLICE("put m.b 1700000000 2 host=h\n"
                                                           "put m.a 1700000000 1 host=h\n"
                                                           "put m.c 1700000000 3 host=h\n"));
        feeds_look(l.feeds, clock_usec(CLOCK_MONOTONIC));
        if (feeds_n(l.feeds) != 1)
                return 12;

        life_end(&l);
        return good ? 0 : 13;
}

/* Replaced while no process of ours was there, and before that by one that did not come to read it all. */
static void test_replaced_meanwhile(void **state _unused_) {
        static const char *const lines[] = { "m.b 1700000000 2\n", "m.c 1700000000 3\n",
                                             "m.a 1700000000 1\n" };
        _cleanup_(close_fdp) int now = -1;
        _cleanup_(world_done) World w;
        int fds[2], status;
        char path[256];
        pid_t pid;

        world_new(&w);
        (void) snprintf(path, sizeof(path), "%s/a", w.fifos);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                int out, in;

                if (i > 0)
                        remove_fifo(&w, "a");
                make_fifo(&w, "a");
                in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
                out = open_to_write(&w, "a");
                say(out, lines[i]);
                assert_int_equal(close_fd(out), -1);
                if (i < ELEMENTSOF(fds))
                        fds[i] = in;
                else
                        now = in;
        }

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(read_passed(&w, fds, ELEMENTSOF(fds), "col-a:old-a"));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        (void) close_fd(fds[0]);
        (void) close_fd(fds[1]);
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
                cmocka_unit_test(test_replaced_meanwhile),
        };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
