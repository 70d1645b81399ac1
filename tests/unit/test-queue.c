/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue against a model: what its readers put on the wire are whole lines, in order, each once but for
 * rewinds, none missing but those counted as lost. */

#include <fcntl.h>

#include "store/queue.h"
#include "unit/spool-rig.h"

#define KIB ((size_t) 1024)
#define RING_BYTES (64 * KIB)

typedef struct Reader {
        Buffer cut;     /* what is on the wire of a line that is not whole */
        uint64_t last;  /* number of the last whole one since the rewind */
        uint64_t acked; /* lines */
} Reader;

typedef struct World {
        SpoolRig *rig;
        Ring *ring;
        Queue *queue;
        Reader readers[2];
        usec_t now;
        uint64_t inherited, written, lost; /* lines: at the opening, since then; over all openings */
} World;

/* -- the world -- */

static void open_queue(World *w) {
        spool_rig_open(w->rig);
        assert_int_equal(queue_new(&w->queue, w->ring, w->rig->spool), 0);
        w->inherited = queue_inherited(w->queue);
        w->written = 0;
        for (size_t i = 0; i < ELEMENTSOF(w->readers); i++) {
                w->readers[i].acked = 0;
                w->readers[i].last = 0;
                w->readers[i].cut.n = 0;
        }
}

static void close_queue(World *w) {
        w->lost += queue_lost(w->queue);
        w->queue = queue_free(w->queue);
        spool_rig_close(w->rig);
}

static void new_ring(World *w) {
        int r = 0;

        ring_free(w->ring);
        assert_int_equal(ring_new(&w->ring, RING_BYTES), 0);
        assert_int_equal(r, 0);
}

static void world_done(World *w) {
        if (w->queue)
                close_queue(w);
        w->ring = ring_free(w->ring);
        for (size_t i = 0; i < ELEMENTSOF(w->readers); i++)
                buffer_done(&w->readers[i].cut);
}

static uint64_t draw(World *w, uint64_t n) {
        return spool_rig_draw(w->rig, n);
}

/* -- steps -- */

static bool put_lines(World *w, uint64_t n) {
        char line[SPOOL_LINE_MAX];
        bool room = true;

        for (; n > 0 && room; n--) {
                size_t k = spool_line(w->rig->next, line);
                char *p = ring_reserve(w->ring, k);

                room = !!p;
                if (!p)
                        continue;
                memcpy(p, line, k);
                ring_written(w->ring, k);
                w->rig->next++;
                w->written++;
        }

        ring_commit(w->ring, NULL);
        return room;
}

static void check_wire(const World *w, Reader *c, Slice out) {
        Slice all;
        uint64_t number;

        assert_int_equal(buffer_add(&c->cut, out), 0);
        all = buffer_slice(&c->cut);
        while (memchr(all.p, '\n', all.n)) {
                number = spool_line_take(&all);
                assert_true(number > c->last);
                assert_true(c->last == 0 || number == c->last + 1 || queue_lost(w->queue) > 0);
                c->last = number;
        }
        buffer_consume(&c->cut, c->cut.n - all.n);
}

static void send_some(World *w, unsigned reader) {
        Slice run = queue_peek(w->queue, reader);
        size_t n = (size_t) draw(w, run.n + 1);

        if (draw(w, 3) == 0)
                n = run.n;
        if (n == 0)
                return;

        check_wire(w, &w->readers[reader], (Slice) { run.p, n });
        queue_sent(w->queue, reader, n);
        assert_int_equal(queue_in_mid_line(w->queue, reader), w->readers[reader].cut.n > 0);
}

static void ack_some(World *w, unsigned reader) {
        uint64_t acked = queue_acked_at(w->queue, reader), sent = queue_sent_at(w->queue, reader);
        uint64_t until = acked + draw(w, sent - acked + 1);

        w->readers[reader].acked += queue_ack(w->queue, reader, draw(w, 2) ? sent : until);
        assert_true(queue_acked_at(w->queue, reader) <= queue_sent_at(w->queue, reader));
        assert_true(queue_acked_at(w->queue, reader) >= acked);
}

static void rewind_reader(World *w, unsigned reader) {
        queue_rewind(w->queue, reader);
        w->readers[reader].cut.n = 0;
        w->readers[reader].last = 0;
        assert_int_equal(queue_sent_at(w->queue, reader), queue_acked_at(w->queue, reader));
}

/* sent + inherited = acked + queued + spooled + lost, of one reader. */
static void check_sum(World *w) {
        if (queue_n_readers(w->queue) == 1)
                assert_int_equal(w->inherited + w->written,
                                 w->readers[0].acked + queue_lines_queued(w->queue) +
                                         queue_lines_spooled(w->queue) + queue_lost(w->queue));
}

static void spill(World *w) {
        uint64_t head = queue_head(w->queue), acked = queue_acked_at(w->queue, 0),
                 lost = queue_lost(w->queue);

        w->now += draw(w, 4) * USEC_PER_SEC;
        assert_true(queue_spill(w->queue, w->now, false) >= 0);
        assert_int_equal(queue_head(w->queue), head);
        assert_true(queue_acked_at(w->queue, 0) == acked || queue_lost(w->queue) > lost);
}

/* Everything that is left comes out, for each reader. */
static void drain(World *w, unsigned reader) {
        rewind_reader(w, reader);
        while (queue_has_more(w->queue, reader)) {
                Slice run = queue_peek(w->queue, reader);

                if (run.n == 0)
                        continue; /* what was left of the spool is lost */
                check_wire(w, &w->readers[reader], run);
                queue_sent(w->queue, reader, run.n);
        }
        w->readers[reader].acked += queue_ack(w->queue, reader, queue_head(w->queue));
        assert_int_equal(queue_acked_at(w->queue, reader), queue_head(w->queue));
        assert_int_equal(w->readers[reader].cut.n, 0);
}

static void step(World *w) {
        unsigned reader = (unsigned) draw(w, queue_n_readers(w->queue));

        switch (draw(w, 12)) {
        case 0 ... 2:
                (void) put_lines(w, draw(w, 300));
                break;
        case 3 ... 5:
                send_some(w, reader);
                break;
        case 6 ... 7:
                if (draw(w, 2))
                        ack_some(w, reader);
                break;
        case 8:
                if (draw(w, 8) == 0)
                        rewind_reader(w, reader);
                break;
        case 9 ... 10:
                spill(w);
                break;
        default:
                if (draw(w, 20) == 0)
                        assert_int_equal(queue_flush_to_spool(w->queue), 0);
        }
        check_sum(w);
}

/* -- rows -- */

static void run_random(SpoolRig *r, unsigned readers, uint64_t size, unsigned steps) {
        _cleanup_(world_done) World w = { .rig = r, .now = USEC_PER_SEC };
        uint64_t out = 0;

        r->limits = (SpoolLimits) { .size = size, .segment = 20000 };
        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        open_queue(&w);
        while (queue_n_readers(w.queue) < readers)
                assert_true(queue_add_reader(w.queue) > 0);

        for (unsigned i = 0; i < steps; i++) {
                step(&w);
                if (draw(&w, 100) == 0) {
                        out += w.readers[0].acked;
                        close_queue(&w);
                        open_queue(&w);
                }
                if (readers == 1 && draw(&w, 300) == 0) {
                        assert_int_equal(queue_flush_to_spool(w.queue), 0);
                        out += w.readers[0].acked;
                        close_queue(&w);
                        new_ring(&w);
                        open_queue(&w);
                }
        }

        for (unsigned i = 0; i < readers; i++)
                drain(&w, i);
        check_sum(&w);
        assert_int_equal(queue_lines(w.queue), 0);
        assert_int_equal(w.readers[0].last, w.written + w.inherited > 0 ? r->next - 1 : 0);
        out += w.readers[0].acked;
        w.lost += queue_lost(w.queue);
        if (readers == 1)
                assert_int_equal(out + w.lost, r->next - 1);
        if (size > 10 << 20)
                assert_int_equal(w.lost, 0);
        assert_int_equal(r->losses.lines, w.lost);
        assert_int_equal(r->losses.calls, r->losses.n[SPOOL_FULL]);
        print_message("# %u readers, %ju bytes: %ju lines, %ju lost\n", readers, (uintmax_t) size,
                      (uintmax_t) r->next - 1, (uintmax_t) w.lost);
        w.lost -= queue_lost(w.queue);
}

static void test_random(void **state) {
        static const struct {
                unsigned readers;
                uint64_t size;
        } rows[] = { { 1, 64 << 20 }, { 2, 64 << 20 }, { 1, 120000 }, { 2, 120000 }, { 1, 41000 } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (unsigned k = 0; k < 8; k++) {
                        spool_rig_empty(*state);
                        run_random(*state, rows[i].readers, rows[i].size, 3000);
                }
}

/* Memory only: the ring under another name. */
static void test_ring_only(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };
        Queue *q;

        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        assert_int_equal(queue_new(&q, w.ring, NULL), 0);
        w.queue = q;
        assert_null(queue_spool(q));
        assert_ptr_equal(queue_ring(q), w.ring);
        assert_int_equal(queue_flush_to_spool(q), -ENOENT);
        while (put_lines(&w, 100))
                ;
        assert_int_equal(queue_spill(q, 100 * USEC_PER_SEC, false), 0);
        assert_int_equal(queue_size(q), ring_size(w.ring));
        assert_int_equal(queue_used(q), ring_used(w.ring));
        assert_int_equal(queue_lines(q), w.written);
        for (unsigned i = 0; i < 3000; i++) {
                (void) put_lines(&w, draw(&w, 20));
                send_some(&w, 0);
                ack_some(&w, 0);
                if (draw(&w, 30) == 0)
                        rewind_reader(&w, 0);
                check_sum(&w);
        }
        drain(&w, 0);
        assert_int_equal(w.readers[0].acked, w.written);
}

/* A slow server makes the collectors wait; one that is away fills the disk, down to half of the ring. */
static void test_when_to_spill(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };
        Slice run;

        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        open_queue(&w);
        while (put_lines(&w, 10))
                ;
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(queue_spill(w.queue, w.now += USEC_PER_SEC, false), 0);
                run = queue_peek(w.queue, 0);
                queue_sent(w.queue, 0, MIN(run.n, (size_t) 200));
                w.readers[0].acked += queue_ack(w.queue, 0, queue_sent_at(w.queue, 0));
        }
        assert_true(run.n > 0);
        assert_int_equal(queue_spill(w.queue, w.now += USEC_PER_SEC, false), 0);
        assert_int_equal(queue_spill(w.queue, w.now + 5 * USEC_PER_SEC - 1, false), 0);
        assert_int_equal(queue_spill(w.queue, w.now + 5 * USEC_PER_SEC, false), 1);
        assert_true(queue_used(w.queue) <= RING_BYTES / 2 && queue_used(w.queue) > RING_BYTES / 4);
        assert_int_equal(queue_spill(w.queue, w.now + 5 * USEC_PER_SEC, false), 0);

        /* Once there is something on the disk, what is new goes there without a wait. */
        while (put_lines(&w, 10))
                ;
        assert_int_equal(queue_spill(w.queue, w.now + 5 * USEC_PER_SEC, false), 1);
        check_sum(&w);
        drain(&w, 0);
        check_sum(&w);
}

/* The server is slow, but not all are: what holds up another one goes to the disk at once. */
static void test_one_waits(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };
        Slice run;

        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        open_queue(&w);
        (void) put_lines(&w, 100);
        assert_int_equal(queue_spill(w.queue, w.now, true), 0);
        while (put_lines(&w, 10))
                ;
        run = queue_peek(w.queue, 0);
        queue_sent(w.queue, 0, MIN(run.n, (size_t) 200));
        w.readers[0].acked += queue_ack(w.queue, 0, queue_sent_at(w.queue, 0));
        assert_int_equal(queue_spill(w.queue, w.now, false), 0);
        assert_int_equal(queue_spill(w.queue, w.now, true), 1);
        assert_true(queue_used(w.queue) <= RING_BYTES / 2);
        check_sum(&w);
}

/* A process that is killed more often than it would wait must not wait at all: what it finds full goes to
 * disk, unless something is acknowledged after all. */
static void found_full(World *w, bool acked) {
        assert_int_equal(ring_new(&w->ring, RING_BYTES), 0);
        open_queue(w);
        while (put_lines(w, 10))
                ;
        assert_int_equal(queue_spill(w->queue, w->now, false), 0);
        close_queue(w);
        open_queue(w);
        if (acked) {
                queue_sent(w->queue, 0, MIN(queue_peek(w->queue, 0).n, (size_t) 200));
                w->readers[0].acked += queue_ack(w->queue, 0, queue_sent_at(w->queue, 0));
        }
        assert_int_equal(queue_spill(w->queue, w->now, false), !acked);
}

static void test_found_full(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };

        found_full(&w, false);
}

static void test_found_full_and_acked(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };

        found_full(&w, true);
}

/* While the server is away and the spool at its bound, new lines keep taking the place of the oldest; when
 * it is back, however slow, they wait. */
static void test_bound(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };
        bool moved = true;
        Slice run;

        w.rig->limits = (SpoolLimits) { .size = 100000, .segment = 40000 };
        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        open_queue(&w);
        assert_int_equal(queue_spill(w.queue, w.now, false), 0);
        w.now += 5 * USEC_PER_SEC;
        for (unsigned i = 0; i < 50; i++) {
                while (put_lines(&w, 10))
                        ;
                assert_int_equal(queue_spill(w.queue, w.now += USEC_PER_SEC, false), 1);
                check_sum(&w);
        }
        assert_true(queue_lost(w.queue) > 0);

        for (unsigned i = 0; i < 50 && moved; i++) {
                while (put_lines(&w, 10))
                        ;
                run = queue_peek(w.queue, 0);
                queue_sent(w.queue, 0, MIN(run.n, (size_t) 200));
                w.readers[0].acked += queue_ack(w.queue, 0, queue_sent_at(w.queue, 0));
                moved = queue_spill(w.queue, w.now += USEC_PER_SEC, false) > 0;
                check_sum(&w);
        }
        assert_false(moved);
}

/* What is kept free for others is no place for what a server does not take, but for what would be lost. */
static void test_reserve(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };

        w.rig->limits.reserve = 1000; /* all of it, so the file system is always short of space */
        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        open_queue(&w);
        while (put_lines(&w, 10))
                ;
        assert_int_equal(queue_spill(w.queue, w.now, false), 0);
        assert_int_equal(queue_spill(w.queue, w.now + 5 * USEC_PER_SEC, false), -ENOSPC);
        assert_int_equal(queue_lines_spooled(w.queue), 0);
        assert_int_equal(queue_flush_to_spool(w.queue), 0);
        assert_int_equal(queue_lines_queued(w.queue), 0);
        check_sum(&w);
        drain(&w, 0);
        check_sum(&w);
}

/* Killed between the spool's record and the ring's cursor: the ring still has what the spool has. */
static void test_overlap(void **state) {
        _cleanup_(world_done) World w = { .rig = *state, .now = USEC_PER_SEC };
        Slice all;

        assert_int_equal(ring_new(&w.ring, RING_BYTES), 0);
        for (unsigned i = 0; i < 3; i++) {
                SpoolOrigin origin = { .ring = ring_id(w.ring) };

                open_queue(&w);
                (void) put_lines(&w, 100);
                (void) queue_peek(w.queue, 0);
                queue_sent(w.queue, 0, 500);
                w.readers[0].acked += queue_ack(w.queue, 0, queue_sent_at(w.queue, 0));
                all = ring_unacked(w.ring, 0);
                origin.position = ring_acked_at(w.ring, 0);
                assert_int_equal(spool_append(w.rig->spool, all, queue_acked_at(w.queue, 0), &origin, NULL),
                                 0);
                (void) put_lines(&w, 10);
                close_queue(&w);

                open_queue(&w);
                assert_int_equal(queue_lines_queued(w.queue), 10);
                drain(&w, 0);
                check_sum(&w);
                assert_int_equal(w.readers[0].last, w.rig->next - 1);
                close_queue(&w);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, spool_rig_set_up, spool_rig_tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_random),    TEST(test_ring_only),  TEST(test_when_to_spill),
                TEST(test_one_waits), TEST(test_found_full), TEST(test_found_full_and_acked),
                TEST(test_bound),     TEST(test_reserve),    TEST(test_overlap),
        };

        return run_tap(tests);
}
