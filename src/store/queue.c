/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ring and spool under one set of positions: a position of the ring is `base` less than the queue's.
 *
 * The boundary is the spool's head: the ring has been told by all its readers that what is before it is
 * acknowledged. A reader whose spool cursor is before the boundary reads there, all others in the ring.
 *
 * The order of a spill: the record is in the spool; the spool's state knows of it, and of those readers who
 * were further; the ring's acked moves. Killed in between, the lines are in both; the last record says from
 * which ring, and where there, it came, and queue_new() finishes the move.
 *
 * A line that was cut by queue_sent() must be finished whatever becomes of the rest, or the server would
 * read one made of two; so its remainder is kept here, should the spool drop it for its bound. */

#include "store/queue.h"
#include "store/lines.h"

#define SPILL_BATCH ((size_t) 256 << 10)
#define SPILL_CALL ((size_t) 4 << 20)
#define STALL_USEC (5 * USEC_PER_SEC)
#define RETRY_MIN USEC_PER_SEC
#define RETRY_MAX (60 * USEC_PER_SEC)

typedef struct QueueReader {
        bool cut;        /* the last byte sent did not end a line */
        uint64_t cut_at; /* position behind it */
        char *rest;      /* of that line; NULL: it is not known */
        size_t rest_n, rest_done;
} QueueReader;

struct Queue {
        Ring *ring;
        Spool *spool;
        uint64_t base;
        QueueReader readers[RING_READERS_MAX];

        uint64_t inherited, lost_before;
        bool spilling;   /* down to half */
        bool full;       /* was found so, and nothing has been acknowledged since */
        uint64_t floor;  /* all before it was acknowledged when it last was looked at */
        uint64_t lost;   /* then */
        usec_t progress; /* when that had changed by itself */
        Backoff backoff;
        usec_t retry_at;
};

static uint64_t boundary(const Queue *q) {
        return spool_head(q->spool);
}

static uint64_t ring_floor(const Ring *r) {
        return ring_head(r) - ring_used(r);
}

/* -- a line that was cut -- */

/* Keeps what `run`, of which `n` bytes are sent, holds of the line behind them. */
static void keep_rest(Queue *q, unsigned reader, Slice run, size_t n) {
        QueueReader *c = &q->readers[reader];
        const char *end = n < run.n ? memchr(run.p + n, '\n', run.n - n) : NULL;
        size_t rest_n = end ? (size_t) (end - run.p) + 1 - n : 0;

        free(TAKE(c->rest));
        c->rest_done = 0;
        c->rest_n = rest_n;
        c->rest = rest_n > 0 ? malloc(rest_n) : NULL;
        if (c->rest)
                memcpy(c->rest, run.p + n, rest_n);
}

static void forget_rest(Queue *q, unsigned reader) {
        QueueReader *c = &q->readers[reader];

        free(c->rest);
        *c = (QueueReader) {};
}

/* -- life -- */

/* How far each reader has read what stands in the ring from `from` to `to`, as a position of the queue. One
 * at `from` may be anywhere in the spool: 0. */
static void read_acked(const Queue *q, uint64_t from, uint64_t to, uint64_t ret[static RING_READERS_MAX]) {
        for (unsigned i = 0; i < RING_READERS_MAX; i++) {
                uint64_t acked = i < ring_n_readers(q->ring) ? ring_acked_at(q->ring, i) : from;

                ret[i] = acked > from ? q->base + MIN(acked, to) : 0;
        }
}

/* What the spool holds of this ring leaves it. While the spool's state does not know of it, a reader beyond
 * the ring's floor has got there by itself. The state learns that of all of them at once, and before the
 * ring moves any: else, killed in between, nobody could tell who had got where. */
static void finish_spill(Queue *q, bool saved) {
        uint64_t at = boundary(q) - q->base, floor = ring_floor(q->ring), acked[RING_READERS_MAX];

        if (at <= floor || at > ring_head(q->ring))
                return;

        read_acked(q, floor, at, acked);
        if (!saved)
                spool_ack_all(q->spool, acked);
        for (unsigned i = 0; i < ring_n_readers(q->ring); i++)
                ring_ack(q->ring, i, at);
}

static int join(Queue *q) {
        SpoolLast last;

        while (spool_n_readers(q->spool) < ring_n_readers(q->ring)) {
                int r = spool_add_reader(q->spool);

                if (r < 0)
                        return r;
        }

        q->base = boundary(q) - ring_floor(q->ring);
        if (spool_last(q->spool, &last) && last.origin.ring == ring_id(q->ring)) {
                q->base = last.end - last.origin.position;
                finish_spill(q, last.saved);
        }
        /* Whatever the disk has lost or invented, the ring begins at or behind the boundary. */
        if (q->base + ring_floor(q->ring) < boundary(q))
                q->base = boundary(q) - ring_floor(q->ring);

        return 0;
}

static uint64_t smallest_acked(const Queue *q) {
        uint64_t floor = UINT64_MAX;

        for (unsigned i = 0; i < ring_n_readers(q->ring); i++)
                floor = MIN(floor, queue_acked_at(q, i));

        return floor;
}

int queue_new(Queue **ret, Ring *ring, Spool *spool) {
        _cleanup_(queue_freep) Queue *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;

        *q = (Queue) {
                .ring = ring,
                .spool = spool,
                .lost_before = spool ? spool_lost(spool) : 0,
                .backoff = { .min = RETRY_MIN, .max = RETRY_MAX },
        };
        for (unsigned i = 0; i < ring_n_readers(ring); i++)
                ring_rewind(ring, i);
        if (spool) {
                r = join(q);
                if (r < 0)
                        return r;
        }

        q->inherited = queue_lines(q);
        q->floor = smallest_acked(q);
        q->full = ring_used(ring) > ring_size(ring) / 4 * 3;
        *ret = TAKE(q);
        return 0;
}

Queue *queue_free(Queue *q) {
        if (!q)
                return NULL;

        for (size_t i = 0; i < RING_READERS_MAX; i++)
                free(q->readers[i].rest);
        free(q);
        return NULL;
}

int queue_add_reader(Queue *q) {
        uint64_t before = queue_lines(q);
        int r = ring_add_reader(q->ring);

        if (r >= 0 && q->spool && spool_n_readers(q->spool) <= (unsigned) r)
                (void) spool_add_reader(q->spool);

        q->inherited += queue_lines(q) - before; /* it may be further behind than the others */
        return r;
}

void queue_restart(Queue *q) {
        uint64_t before = queue_lines(q);

        for (unsigned i = 0; i < queue_n_readers(q); i++)
                forget_rest(q, i);
        if (q->spool)
                spool_restart(q->spool);
        ring_restart(q->ring);
        q->inherited += queue_lines(q) - before;
}

unsigned queue_n_readers(const Queue *q) {
        return ring_n_readers(q->ring);
}

/* -- positions -- */

static bool sends_from_spool(const Queue *q, unsigned reader) {
        return q->spool && spool_sent_at(q->spool, reader) < boundary(q);
}

uint64_t queue_head(const Queue *q) {
        return ring_head(q->ring) + q->base;
}

uint64_t queue_sent_at(const Queue *q, unsigned reader) {
        if (sends_from_spool(q, reader))
                return spool_sent_at(q->spool, reader);

        return ring_sent_at(q->ring, reader) + q->base;
}

uint64_t queue_acked_at(const Queue *q, unsigned reader) {
        if (q->spool && spool_acked_at(q->spool, reader) < boundary(q))
                return spool_acked_at(q->spool, reader);

        return ring_acked_at(q->ring, reader) + q->base;
}

/* -- reading -- */

bool queue_has_more(const Queue *q, unsigned reader) {
        return queue_sent_at(q, reader) != queue_head(q);
}

bool queue_in_mid_line(const Queue *q, unsigned reader) {
        return q->readers[reader].cut;
}

static Slice peek(Queue *q, unsigned reader) {
        Slice run = {};

        if (sends_from_spool(q, reader))
                run = spool_peek(q->spool, reader);

        return run.n > 0 || sends_from_spool(q, reader) ? run : ring_peek(q->ring, reader);
}

Slice queue_peek(Queue *q, unsigned reader) {
        QueueReader *c = &q->readers[reader];

        if (!c->cut || !q->spool)
                return peek(q, reader);
        if (c->rest)
                return (Slice) { c->rest + c->rest_done, c->rest_n - c->rest_done };

        /* Without its remainder nothing may follow what was cut, unless it still stands there. */
        return queue_sent_at(q, reader) == c->cut_at ? peek(q, reader) : (Slice) {};
}

/* The cursors, where the line that was cut has not gone. */
static void move_sent(Queue *q, unsigned reader, size_t n) {
        if (sends_from_spool(q, reader))
                spool_sent(q->spool, reader, spool_sent_at(q->spool, reader) + n);
        else
                ring_sent(q->ring, reader, n);
}

void queue_sent(Queue *q, unsigned reader, size_t n) {
        QueueReader *c = &q->readers[reader];
        Slice run = queue_peek(q, reader);

        if (n == 0)
                return;

        assert(n <= run.n);
        if (!q->spool) {
                c->cut = run.p[n - 1] != '\n';
                ring_sent(q->ring, reader, n);
                return;
        }

        if (!c->cut || queue_sent_at(q, reader) == c->cut_at)
                move_sent(q, reader, n);
        if (c->cut && c->rest && run.p[n - 1] != '\n') {
                c->rest_done += n;
                c->cut_at += n;
        } else if (run.p[n - 1] != '\n') {
                keep_rest(q, reader, run, n);
                c->cut = true;
                c->cut_at = queue_sent_at(q, reader);
        } else
                forget_rest(q, reader);
}

static uint64_t ack_ring(Queue *q, unsigned reader, uint64_t until) {
        Slice run = ring_unacked(q->ring, reader);
        uint64_t acked = ring_acked_at(q->ring, reader);
        const char *end = until > acked ? memrchr(run.p, '\n', until - acked) : NULL;

        if (!end)
                return 0;

        run.n = (size_t) (end - run.p) + 1;
        ring_ack(q->ring, reader, acked + run.n);
        return lines_count(run);
}

uint64_t queue_ack(Queue *q, unsigned reader, uint64_t until) {
        QueueReader *c = &q->readers[reader];
        uint64_t n = 0;

        assert(until <= queue_head(q));

        if (q->spool && until > spool_acked_at(q->spool, reader))
                n = spool_ack(q->spool, reader, until);
        if (!q->spool || until > boundary(q))
                n += ack_ring(q, reader, until - q->base);
        if (!q->spool && c->cut && queue_sent_at(q, reader) == queue_acked_at(q, reader))
                c->cut = false; /* acknowledged further than it was sent */

        return n;
}

void queue_rewind(Queue *q, unsigned reader) {
        if (q->spool)
                spool_rewind(q->spool, reader);

        ring_rewind(q->ring, reader);
        forget_rest(q, reader);
}

/* -- moving to the disk -- */

/* The oldest whole lines: a batch of them, or one that is longer. */
static Slice oldest_lines(const Queue *q) {
        size_t batch = MIN(SPILL_BATCH, ring_size(q->ring) / 4);
        Slice all = {};
        const char *end;

        for (unsigned i = 0; i < ring_n_readers(q->ring); i++) {
                Slice s = ring_unacked(q->ring, i);

                all = s.n > all.n ? s : all;
        }
        if (all.n <= batch)
                return all;

        end = memrchr(all.p, '\n', batch) ?: memchr(all.p + batch, '\n', all.n - batch);
        all.n = (size_t) (end - all.p) + 1;
        return all;
}

/* Moves one batch. Bytes; 0: the ring is empty; or what the spool said. */
static ssize_t spill_batch(Queue *q) {
        uint64_t from = ring_floor(q->ring), acked[RING_READERS_MAX], end;
        SpoolOrigin origin = { ring_id(q->ring), from };
        Slice lines = oldest_lines(q);
        int r;

        if (lines.n == 0)
                return 0;
        if (lines.n > SPOOL_BATCH_MAX)
                return -E2BIG;

        end = from + lines.n;
        read_acked(q, from, end, acked);
        r = spool_append(q->spool, lines, from + q->base, &origin, acked);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < ring_n_readers(q->ring); i++) {
                uint64_t sent = ring_sent_at(q->ring, i);

                if (sent > from && spool_sent_at(q->spool, i) >= q->base + from)
                        spool_sent(q->spool, i, q->base + MIN(sent, end));
                ring_ack(q->ring, i, end);
        }

        return (ssize_t) lines.n;
}

/* Has nothing been acknowledged for so long that the disk is to take what memory cannot, or does one reader
 * make the others wait? */
static bool has_stalled(Queue *q, usec_t now, bool one_waits) {
        uint64_t floor = smallest_acked(q);

        q->full = q->full && floor == q->floor;
        /* What moves because the spool has dropped it is no progress. */
        if ((floor != q->floor && queue_lost(q) == q->lost) || q->progress == 0)
                q->progress = now;
        q->floor = floor;
        q->lost = queue_lost(q);

        /* A process that is killed again and again would wait for ever: the one before has waited already.
         */
        return q->full || one_waits || now - q->progress >= STALL_USEC;
}

static bool wants_spill(Queue *q, usec_t now, bool one_waits) {
        size_t size = ring_size(q->ring), used = ring_used(q->ring);
        bool stalled = has_stalled(q, now, one_waits);

        q->spilling = used > (q->spilling ? size / 2 : size / 4 * 3);
        if (!q->spilling || now < q->retry_at)
                return false;

        return stalled || (!spool_is_empty(q->spool) && !spool_would_drop(q->spool, SPILL_BATCH));
}

int queue_spill(Queue *q, usec_t now, bool one_waits) {
        size_t moved = 0;

        if (!q->spool)
                return 0;

        spool_set_time(q->spool, now);
        while (moved < SPILL_CALL && wants_spill(q, now, one_waits)) {
                ssize_t n = spill_batch(q);

                if (n < 0) {
                        q->retry_at = now + backoff_next(&q->backoff,
                                                         q->base ^ now * UINT64_C(0x9e3779b97f4a7c15));
                        return (int) n;
                }

                backoff_reset(&q->backoff);
                moved += (size_t) n;
        }

        return moved > 0;
}

int queue_flush_to_spool(Queue *q) {
        ssize_t n;

        if (!q->spool)
                return -ENOENT;

        spool_use_reserve(q->spool);
        do
                n = spill_batch(q);
        while (n > 0);
        if (n < 0)
                return (int) n;

        return spool_sync(q->spool, USEC_INFINITY);
}

/* -- measures -- */

size_t queue_size(const Queue *q) {
        return ring_size(q->ring);
}

size_t queue_used(const Queue *q) {
        return ring_used(q->ring);
}

uint64_t queue_lines_queued(const Queue *q) {
        return ring_lines_queued(q->ring);
}

uint64_t queue_lines_spooled(const Queue *q) {
        return q->spool ? spool_lines(q->spool) : 0;
}

uint64_t queue_lines(const Queue *q) {
        return queue_lines_queued(q) + queue_lines_spooled(q);
}

uint64_t queue_inherited(const Queue *q) {
        return q->inherited;
}

uint64_t queue_lost(const Queue *q) {
        return q->spool ? spool_lost(q->spool) - q->lost_before : 0;
}

const Ring *queue_ring(const Queue *q) {
        return q->ring;
}

const Spool *queue_spool(const Queue *q) {
        return q->spool;
}
