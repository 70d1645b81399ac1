/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shares of the queue against a model: each gets the lines of its series, all of them, in order, and its
 * reader never gets ahead of one that is not proven. */

#include <stdio.h>

#include "io/sender-share.h"
#include "io/sender.h"
#include "unit/spool-rig.h"

#define RING_BYTES (64u << 10)
#define LINES_MAX 60000u
#define SHARES 3u
#define SERIES 20u

/* -- whose line -- */

static void test_share_of(void **state _unused_) {
        static const struct {
                const char *a, *b;
                bool same;
        } cases[] = {
                { "put a 1 2 host=x\n", "put a 3 4.5 host=x\n", true },
                { "put a 1 2 host=x\n", "put a 1 2 host=x", true },
                { "put a 1 2\n", "put a 1700000000.123 -3e7\n", true },
                { "put a.b 1 2 x=1 y=2\n", "put a.b 9 2 x=1 y=2\n", true },
                { "put a 1 2 host=x\n", "put a 1 2 host=y\n", false },
                { "put a 1 2 host=x\n", "put b 1 2 host=x\n", false },
                { "put a 1 2\n", "put a 1 2 host=x\n", false },
                { "put ab 1 2 c=d\n", "put a 1 2 bc=d\n", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Slice a = guarded(cases[i].a), b = guarded(cases[i].b);

                if ((sender_share_of(a, 1u << 30) == sender_share_of(b, 1u << 30)) != cases[i].same)
                        fail_msg("%s%s", cases[i].a, cases[i].b);
                assert_true(sender_share_of(a, 7) < 7);
                assert_int_equal(sender_share_of(a, 1), 0);
        }
}

/* What has no place in a queue is somebody's too. */
static void test_share_of_anything(void **state _unused_) {
        static const char *const lines[] = {
                "", "\n", "put", "put \n", "put a\n", "put a 1\n", "    \n", "x"
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                assert_true(sender_share_of(guarded(lines[i]), 5) < 5);
}

/* -- the model -- */

typedef struct Model {
        SenderShare *share;
        unsigned own[LINES_MAX]; /* numbers of its lines */
        uint64_t ends[LINES_MAX];
        unsigned n_own, next, acked; /* of these: written; next on the wire; proven */
        char wire[128];              /* of a line that is not whole */
        size_t n_wire;
} Model;

typedef struct World {
        SpoolRig *rig;
        Ring *ring;
        Queue *queue;
        Model models[SHARES];
        uint64_t begins[LINES_MAX];
        unsigned n_lines;
        usec_t now;
} World;

static size_t make_line(char line[static 128], unsigned n) {
        unsigned series = (unsigned) ((n * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % SERIES;
        int k = snprintf(line, 128, "put series.%u 1700000000 %u host=a%0*u\n", series, n,
                         1 + (int) (series % 17), 0u);

        assert_true(k > 0 && k < 128);
        return (size_t) k;
}

static World *world_new(SpoolRig *rig, bool with_spool) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        w->rig = rig;
        w->now = USEC_PER_SEC;
        assert_int_equal(ring_new(&w->ring, RING_BYTES), 0);
        if (with_spool) {
                spool_rig_empty(rig);
                spool_rig_open(rig);
        }
        assert_int_equal(queue_new(&w->queue, w->ring, with_spool ? rig->spool : NULL), 0);
        for (unsigned i = 0; i < SHARES; i++) {
                assert_int_equal(i == 0 ? 0 : queue_add_reader(w->queue), i);
                assert_int_equal(sender_share_new(&w->models[i].share, w->queue, i, i, SHARES), 0);
        }

        return w;
}

static void world_done(World *w) {
        for (unsigned i = 0; i < SHARES; i++)
                sender_share_free(w->models[i].share);
        queue_free(w->queue);
        spool_rig_close(w->rig);
        ring_free(w->ring);
        free(w);
}

/* true: it had room. */
static bool put_line(World *w) {
        char line[128];
        size_t n = make_line(line, w->n_lines);
        Model *m = &w->models[sender_share_of((Slice) { line, n }, SHARES)];
        char *p = w->n_lines < LINES_MAX ? ring_reserve(w->ring, n) : NULL;

        if (!p)
                return false;

        w->begins[w->n_lines] = queue_head(w->queue);
        memcpy(p, line, n);
        ring_written(w->ring, n);
        ring_commit(w->ring, NULL);
        m->ends[m->n_own] = (m->n_own > 0 ? m->ends[m->n_own - 1] : 0) + n;
        m->own[m->n_own++] = w->n_lines++;
        return true;
}

/* What is on the wire is the next of its lines. */
static void on_wire(Model *m, Slice bytes) {
        char want[128];

        for (size_t i = 0; i < bytes.n; i++) {
                assert_true(m->n_wire < sizeof(m->wire));
                m->wire[m->n_wire++] = bytes.p[i];
                if (bytes.p[i] != '\n')
                        continue;

                assert_true(m->next < m->n_own);
                assert_int_equal(m->n_wire, make_line(want, m->own[m->next]));
                assert_memory_equal(m->wire, want, m->n_wire);
                m->next++;
                m->n_wire = 0;
        }
}

static void send_some(World *w, Model *m, uint64_t max) {
        Slice run = sender_share_peek(m->share);
        size_t n = (size_t) spool_rig_draw(w->rig, MIN((uint64_t) run.n, max) + 1);

        on_wire(m, (Slice) { run.p, n });
        sender_share_sent(m->share, n);
        assert_int_equal(sender_share_rest(m->share).n > 0, m->n_wire > 0);
        if (m->n_wire > 0)
                assert_int_equal(sender_share_sent_at(m->share) + sender_share_rest(m->share).n,
                                 m->ends[m->next]);
}

static void check_floor(const World *w, unsigned i) {
        const Model *m = &w->models[i];
        uint64_t floor = sender_share_floor(m->share), limit = queue_head(w->queue);

        if (m->acked < m->n_own)
                limit = w->begins[m->own[m->acked]];
        assert_true(floor <= limit);
        assert_true(queue_acked_at(w->queue, i) <= limit);
        if (sender_share_is_idle(m->share))
                assert_true(sender_share_sent_at(m->share) == sender_share_acked_at(m->share));
}

static void prove(World *w, unsigned i, uint64_t until) {
        Model *m = &w->models[i];

        m->acked += (unsigned) sender_share_acked(m->share, until);
        assert_true(m->acked <= m->next);
        assert_int_equal(sender_share_acked_at(m->share), m->acked > 0 ? m->ends[m->acked - 1] : 0);
        if (until == sender_share_sent_at(m->share))
                assert_int_equal(m->acked, m->next); /* all that is whole */
        check_floor(w, i);
        (void) queue_ack(w->queue, i, sender_share_floor(m->share));
        check_floor(w, i);
}

static void back(Model *m) {
        sender_share_rewind(m->share);
        m->next = m->acked;
        m->n_wire = 0;
        assert_int_equal(sender_share_sent_at(m->share), sender_share_acked_at(m->share));
        assert_false(sender_share_has_more(m->share));
}

static void step(World *w) {
        unsigned i = (unsigned) spool_rig_draw(w->rig, SHARES);
        Model *m = &w->models[i];
        uint64_t sent = sender_share_sent_at(m->share), acked = sender_share_acked_at(m->share);

        switch (spool_rig_draw(w->rig, 8)) {
        case 0:
        case 1:
                for (uint64_t n = spool_rig_draw(w->rig, 300); n > 0 && put_line(w); n--)
                        ;
                break;
        case 2:
        case 3:
                send_some(w, m, 10000);
                break;
        case 4:
                send_some(w, m, 100);
                break;
        case 5:
                prove(w, i, acked + spool_rig_draw(w->rig, sent - acked + 1));
                break;
        case 6:
                prove(w, i, sent);
                break;
        case 7:
                if (spool_rig_draw(w->rig, 4) == 0)
                        back(m);
                break;
        }

        w->now += USEC_PER_SEC;
        assert_true(queue_spill(w->queue, w->now, false) >= 0);
        check_floor(w, i);
}

static void drain(World *w) {
        for (unsigned i = 0; i < SHARES; i++) {
                Model *m = &w->models[i];

                do {
                        Slice run = sender_share_peek(m->share);

                        on_wire(m, run);
                        sender_share_sent(m->share, run.n);
                        prove(w, i, sender_share_sent_at(m->share));
                } while (queue_acked_at(w->queue, i) < queue_head(w->queue));

                assert_int_equal(m->acked, m->n_own);
                assert_true(sender_share_is_idle(m->share));
        }
        assert_int_equal(queue_lines(w->queue), 0);
}

static void test_against_model(void **state) {
        for (unsigned round = 0; round < 20; round++) {
                World *w = world_new(*state, round % 2 == 1);

                for (unsigned i = 0; i < 1500; i++)
                        step(w);
                assert_true(w->n_lines > 1000);
                drain(w);
                assert_int_equal(queue_lost(w->queue), 0);
                world_done(w);
        }
}

/* -- what is others' -- */

/* A share that has none of the lines moves on without having anything to send. */
static void test_others_alone(void **state) {
        World *w = world_new(*state, false);
        char line[128];
        unsigned n = 0;

        while (sender_share_of((Slice) { line, make_line(line, n) }, SHARES) == 1)
                n++;
        for (unsigned i = 0; i < 300; i++) {
                char *p = ring_reserve(w->ring, make_line(line, n));

                assert_non_null(p);
                memcpy(p, line, make_line(line, n));
                ring_written(w->ring, make_line(line, n));
        }
        ring_commit(w->ring, NULL);

        assert_int_equal(sender_share_peek(w->models[1].share).n, 0);
        assert_false(sender_share_has_more(w->models[1].share));
        assert_true(sender_share_is_idle(w->models[1].share));
        assert_int_equal(sender_share_floor(w->models[1].share), queue_head(w->queue));
        world_done(w);
}

/* So many lines of others that looking through them takes a while: it is done in parts, and each of these is
 * a turn of the loop. */
static void test_others_alone_for_long(void **state _unused_) {
        static const SenderServer servers[] = { { .url = "telnet://127.0.0.1:1" },
                                                { .url = "telnet://127.0.0.1:2" } };
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(sender_freep) Sender *sender = NULL;
        _cleanup_(queue_freep) Queue *queue = NULL;
        _cleanup_(ring_freep) Ring *ring = NULL;
        unsigned n = 0, turns = 0;
        char line[128], *p;
        size_t size;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(ring_new(&ring, 40u << 20), 0);
        assert_int_equal(queue_new(&queue, ring, NULL), 0);
        assert_int_equal(sender_new(&sender, event, queue, 0,
                                    &(SenderConfig) { .servers = servers, .n_servers = 2, .n_shares = 2 },
                                    &(SenderEvents) {}, NULL),
                         0);
        while (sender_share_of((Slice) { line, size = make_line(line, n) }, 2) == 0)
                n++;
        while ((p = ring_reserve(ring, size))) {
                memcpy(p, line, size);
                ring_written(ring, size);
        }
        ring_commit(ring, NULL);

        do {
                uint64_t before = queue_acked_at(queue, 0);

                sender_kick(sender);
                if (sd_event_run(event, 0) <= 0)
                        break;
                turns++;
                assert_in_range(queue_acked_at(queue, 0) - before, 1, 5u << 20);
        } while (turns < 20);
        assert_in_range(turns, 8, 12);
        assert_true(sender_is_drained(sender));
}

/* So many writes that the marks run out: what is proven never is more than was said, and in the end all. */
static void test_many_writes(void **state) {
        World *w = world_new(*state, true);
        Model *m = &w->models[0];

        for (unsigned i = 0; i < 6000; i++) {
                if (!put_line(w)) {
                        w->now += 10 * USEC_PER_SEC;
                        assert_true(queue_spill(w->queue, w->now, false) >= 0);
                }
        }
        assert_true(m->n_own > 1000);

        while (m->next < m->n_own) {
                Slice run = sender_share_peek(m->share);

                run.n = (size_t) ((const char *) memchr(run.p, '\n', run.n) - run.p) + 1;
                on_wire(m, run);
                sender_share_sent(m->share, run.n);
        }
        prove(w, 0, m->ends[m->n_own / 2]);
        assert_true(m->acked >= m->n_own / 4 && m->acked <= m->n_own / 2 + 1);
        drain(w);
        world_done(w);
}

/* The spool drops, for its bound, what is staged, on its way, and not looked at yet: what is left is passed,
 * and each line that was put is either acknowledged or lost. */
static void test_lost_under_way(void **state) {
        SpoolRig *rig = *state;
        uint64_t left = 0;
        World *w;

        rig->limits = (SpoolLimits) { .size = 256u << 10, .segment = 64u << 10 };
        w = world_new(rig, true);
        for (unsigned round = 0; round < 4; round++) {
                for (unsigned i = 0; i < 12000; i++) {
                        for (unsigned k = 0; k < SHARES && i == 1000; k++) {
                                Slice run = sender_share_peek(w->models[k].share);

                                sender_share_sent(w->models[k].share, run.n / 2);
                        }
                        if (!put_line(w)) {
                                w->now += 10 * USEC_PER_SEC;
                                assert_true(queue_spill(w->queue, w->now, false) >= 0);
                        }
                }

                for (unsigned k = 0; k < SHARES; k++) {
                        SenderShare *h = w->models[k].share;
                        uint64_t before;

                        if (round % 2 == 0)
                                sender_share_rewind(h);
                        while (sender_share_peek(h).n > 0)
                                sender_share_sent(h, sender_share_peek(h).n);
                        (void) sender_share_acked(h, sender_share_sent_at(h));
                        assert_true(sender_share_is_idle(h));
                        before = queue_lines(w->queue) + queue_lost(w->queue);
                        (void) queue_ack(w->queue, k, sender_share_floor(h));
                        left += before - (queue_lines(w->queue) + queue_lost(w->queue));
                        assert_int_equal(queue_acked_at(w->queue, k), queue_head(w->queue));
                }
                assert_int_equal(queue_lines(w->queue), 0);
                assert_int_equal(left + queue_lost(w->queue), w->n_lines);
        }
        assert_true(queue_lost(w->queue) > 1000);
        world_done(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_share_of),
                cmocka_unit_test(test_share_of_anything),
                cmocka_unit_test_setup_teardown(test_against_model, spool_rig_set_up, spool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_others_alone, spool_rig_set_up, spool_rig_tear_down),
                cmocka_unit_test(test_others_alone_for_long),
                cmocka_unit_test_setup_teardown(test_many_writes, spool_rig_set_up, spool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_lost_under_way, spool_rig_set_up, spool_rig_tear_down),
        };

        return run_tap(tests);
}
