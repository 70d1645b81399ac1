/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a changed configuration does to a running agent, and what it does not. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/manager-internal.h"
#include "basic/log.h"
#include "unit/tap.h"

#define SERVER_A "server \"a\" { url = \"telnet://localhost:1\" }\ntags = { \"host=h\" }\n"
#define TWO_SERVERS                                                  \
        SERVER_A "server \"b\" { url = \"telnet://localhost:2\" }\n" \
                 "policy = \"mirror\"\nqueue_size = \"64K\"\n"

typedef struct World {
        char etc[64];
        Options options;
        Manager *manager;
} World;

static void no_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static void parse(const World *w, const char *text, Options *ret) {
        char *argv[] = { (char *) "tcollector", (char *) "--stdin", NULL }, path[96];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/tcollector.conf", w->etc);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(options_parse_at(w->etc, 2, argv, ret), 0);
}

/* Standard input is a pipe in which nothing comes. */
static void world_new(World *w, const char *text) {
        int fds[2];

        *w = (World) {};
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
        assert_true(snprintf(w->etc, sizeof(w->etc), "/tmp/test-manager-XXXXXX") > 0);
        assert_non_null(mkdtemp(w->etc));
        parse(w, text, &w->options);
        assert_int_equal(manager_new(&w->manager, &w->options, NULL), 0);
}

static void world_done(World *w) {
        char command[128];

        manager_free(w->manager);
        options_done(&w->options);
        (void) snprintf(command, sizeof(command), "rm -r '%s'", w->etc);
        assert_int_equal(system(command), 0); /* NOLINT */
}

static void test_refused_as_a_whole(void **state _unused_) {
        _cleanup_(options_done) Options fresh = {};
        _cleanup_(world_done) World w;
        const PointRules *rules;
        const Delivery *delivery;

        world_new(&w, SERVER_A);
        rules = w.manager->rules;
        delivery = w.manager->delivery;
        parse(&w,
              "server \"b\" { url = \"http://localhost:1\" username = \"u\" "
              "password_file = \"/nonexistent\" }\ntags = { \"host=other\" }\n",
              &fresh);
        assert_int_equal(manager_set_config(w.manager, fresh.config), -ENOENT);
        assert_ptr_equal(w.manager->config, w.options.config);
        assert_ptr_equal(w.manager->delivery, delivery);
        assert_ptr_equal(w.manager->rules, rules);
        assert_ptr_equal(w.manager->self->rules, rules);
}

/* Due since the machine was started: there is one report to be made, not one for each minute since. */
static void test_self_report_turned_on(void **state _unused_) {
        _cleanup_(world_done) World w;
        uint64_t lines;
        Manager *m;

        world_new(&w, SERVER_A);
        m = w.manager;
        assert_true(sd_event_source_set_time(m->self_timer, 1) >= 0);
        assert_true(sd_event_source_set_enabled(m->self_timer, SD_EVENT_ON) >= 0);
        while (m->self->stats.received == 0)
                assert_true(sd_event_run(m->event, UINT64_MAX) >= 0);

        lines = m->self->stats.received;
        for (unsigned i = 0; i < 20; i++)
                assert_true(sd_event_run(m->event, 0) >= 0);
        assert_int_equal(m->self->stats.received, lines);
}

typedef struct Reading {
        Ring *ring;
        Source *source;
        size_t taken;
} Reading;

static size_t on_lines(void *userdata, Slice lines) {
        Reading *r = userdata;
        size_t n = ring_reserve(r->ring, 10) ? lines.n : 0;

        r->taken += n;
        return n;
}

static void on_too_long(void *userdata _unused_, Slice beginning _unused_) {
}

static void fill(Ring *ring) {
        char *p;

        while ((p = ring_reserve(ring, 10))) {
                memcpy(p, "put a 1 1\n", 10);
                ring_written(ring, 10);
        }
        ring_commit(ring, NULL);
}

/* A server that is away has filled the queue. When it is taken out there is room, and who waits for it must
 * hear of it, as no server will acknowledge anything. */
static void test_room_by_reload(void **state _unused_) {
        static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long };
        _cleanup_(options_done) Options fresh = {};
        _cleanup_(world_done) World w;
        Reading reading = {};
        Manager *m;
        int fds[2];

        world_new(&w, TWO_SERVERS);
        m = w.manager;
        reading.ring = m->ring;
        fill(m->ring);
        (void) queue_ack(m->queue, 0, queue_head(m->queue));
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "a 1 1\n", 6), 6);
        assert_int_equal(source_new(&reading.source, m->hub, fds[0], SOURCE_FIFO, "a", &ops, &reading), 0);
        while (!source_is_blocked(reading.source))
                assert_true(sd_event_run(m->event, UINT64_MAX) >= 0);

        parse(&w, SERVER_A, &fresh);
        assert_int_equal(manager_set_config(m, fresh.config), 0);
        for (unsigned i = 0; i < 500 && reading.taken == 0; i++)
                assert_true(sd_event_run(m->event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(reading.taken, 6);
        reading.source = source_free(reading.source);
        (void) close_fd(fds[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused_as_a_whole),
                cmocka_unit_test(test_self_report_turned_on),
                cmocka_unit_test(test_room_by_reload),
        };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
