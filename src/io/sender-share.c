/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Of each line that is staged, the queue's position of its beginning is kept; of lines that are sent only
 * that of the first of each write, in a mark. There are so few marks that the oldest are soon wanted: when
 * they run out, each two become one. The last one always ends where the last whole line sent does, so that
 * all counts as proven when all is. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "basic/buffer.h"
#include "io/sender-share.h"

#define STAGE_ENOUGH ((size_t) 64 << 10) /* bytes; one line more may stand in it */
#define STAGE_LOW (STAGE_ENOUGH / 2)     /* with less than this it is filled up */
#define SCAN_MAX ((size_t) 4 << 20)      /* bytes looked at in one call; one line more may be */
#define LINES_MAX 1024u
#define MARKS_MAX 256u

typedef struct StagedLine {
        uint64_t begin; /* position of the queue */
        size_t end;     /* offset in the stage, behind its newline */
} StagedLine;

typedef struct Mark {
        uint64_t begin; /* position of the queue: of the first of these lines */
        uint64_t end;   /* in bytes of our own: behind the last of them */
        uint64_t lines;
} Mark;

struct SenderShare {
        Queue *queue;
        unsigned reader, index, n;

        Buffer stage;      /* whole lines, */
        size_t done, from; /* up to `done` whole lines of it are sent, up to `from` bytes */
        StagedLine lines[LINES_MAX];
        size_t n_lines; /* behind `done` */
        bool paused;    /* there may be more of ours, but enough was looked at */

        Mark marks[MARKS_MAX];
        size_t n_marks;
        uint64_t sent, acked;
};

int sender_share_new(SenderShare **ret, Queue *queue, unsigned reader, unsigned index, unsigned n) {
        _cleanup_(sender_share_freep) SenderShare *h = calloc(1, sizeof(*h));
        int r;

        assert(index < n);

        if (!h)
                return -ENOMEM;

        h->queue = queue;
        h->reader = reader;
        h->index = index;
        h->n = n;
        r = buffer_reserve(&h->stage, STAGE_ENOUGH);
        if (r < 0)
                return r;

        *ret = TAKE(h);
        return 0;
}

SenderShare *sender_share_free(SenderShare *h) {
        if (!h)
                return NULL;

        buffer_done(&h->stage);
        free(h);
        return NULL;
}

/* -- whose line -- */

unsigned sender_share_of(Slice line, unsigned n) {
        Slice put, metric, time, value;

        if (line.n > 0 && line.p[line.n - 1] == '\n')
                line.n--;
        if (!slice_cut(&line, ' ', &put) || !slice_cut(&line, ' ', &metric) || !slice_cut(&line, ' ', &time))
                return 0; /* no finished line */
        if (!slice_cut(&line, ' ', &value))
                line.n = 0; /* no tags */

        return (unsigned) (XXH3_64bits_withSeed(line.p, line.n, XXH3_64bits(metric.p, metric.n)) % n);
}

/* -- staging -- */

static void forget_sent(SenderShare *h) {
        buffer_consume(&h->stage, h->done);
        for (size_t i = 0; i < h->n_lines; i++)
                h->lines[i].end -= h->done;
        h->from -= h->done;
        h->done = 0;
}

static bool is_full(const SenderShare *h) {
        return h->n_lines >= LINES_MAX || h->stage.n >= STAGE_ENOUGH;
}

/* Takes our lines out of `run`, which begins at `position`; how many bytes of it have been looked at: `max`,
 * or to the end of the line there. */
static size_t stage_lines(SenderShare *h, Slice run, uint64_t position, size_t max) {
        const char *begin = run.p, *end;

        while (!is_full(h) && (size_t) (run.p - begin) < max && (end = memchr(run.p, '\n', run.n))) {
                Slice line = { run.p, (size_t) (end - run.p) + 1 };

                if (sender_share_of(line, h->n) == h->index) {
                        if (buffer_add(&h->stage, line) < 0)
                                break;
                        h->lines[h->n_lines++] = (StagedLine) {
                                .begin = position + (uint64_t) (run.p - begin),
                                .end = h->stage.n,
                        };
                }
                run = (Slice) { run.p + line.n, run.n - line.n };
        }

        return (size_t) (run.p - begin);
}

static void fill(SenderShare *h) {
        size_t n = 1, scanned = 0;

        if (h->stage.n - h->from >= STAGE_LOW)
                return;

        forget_sent(h);
        while (n > 0 && scanned < SCAN_MAX && !is_full(h) && queue_has_more(h->queue, h->reader)) {
                Slice run = queue_peek(h->queue, h->reader);

                /* Where lines were lost, the peek has moved behind them. */
                n = stage_lines(h, run, queue_sent_at(h->queue, h->reader), SCAN_MAX - scanned);
                queue_sent(h->queue, h->reader, n);
                scanned += n;
        }
        h->paused = scanned >= SCAN_MAX;
}

/* -- as the protocol sees it -- */

Slice sender_share_peek(SenderShare *h) {
        fill(h);
        return (Slice) { h->stage.data + h->from, h->stage.n - h->from };
}

Slice sender_share_rest(const SenderShare *h) {
        if (h->from == h->done)
                return (Slice) {};

        return (Slice) { h->stage.data + h->from, h->lines[0].end - h->from };
}

bool sender_share_has_more(const SenderShare *h) {
        return h->stage.n > h->from;
}

bool sender_share_has_unscanned(const SenderShare *h) {
        return h->paused && !sender_share_has_more(h) && queue_has_more(h->queue, h->reader);
}

uint64_t sender_share_sent_at(const SenderShare *h) {
        return h->sent;
}

uint64_t sender_share_acked_at(const SenderShare *h) {
        return h->acked;
}

static void join_marks(SenderShare *h) {
        for (size_t i = 0; i < MARKS_MAX / 2; i++) {
                Mark first = h->marks[2 * i], second = h->marks[2 * i + 1];

                h->marks[i] = (Mark) { first.begin, second.end, first.lines + second.lines };
        }
        h->n_marks = MARKS_MAX / 2;
}

static void mark_lines(SenderShare *h, size_t n) {
        if (h->n_marks >= MARKS_MAX)
                join_marks(h);

        h->done = h->lines[n - 1].end;
        h->marks[h->n_marks++] = (Mark) {
                .begin = h->lines[0].begin,
                .end = h->sent - (h->from - h->done),
                .lines = n,
        };
        h->n_lines -= n;
        memmove(h->lines, h->lines + n, h->n_lines * sizeof(*h->lines));
}

void sender_share_sent(SenderShare *h, size_t n) {
        size_t whole = 0;

        assert(n <= h->stage.n - h->from);

        h->from += n;
        h->sent += n;
        while (whole < h->n_lines && h->lines[whole].end <= h->from)
                whole++;
        if (whole > 0)
                mark_lines(h, whole);
}

/* -- what is proven -- */

uint64_t sender_share_acked(SenderShare *h, uint64_t until) {
        uint64_t lines = 0;
        size_t n = 0;

        assert(until <= h->sent);

        for (; n < h->n_marks && h->marks[n].end <= until; n++) {
                lines += h->marks[n].lines;
                h->acked = h->marks[n].end;
        }

        h->n_marks -= n;
        memmove(h->marks, h->marks + n, h->n_marks * sizeof(*h->marks));
        return lines;
}

uint64_t sender_share_floor(const SenderShare *h) {
        if (h->n_marks > 0)
                return h->marks[0].begin;
        if (h->n_lines > 0)
                return h->lines[0].begin;

        return queue_sent_at(h->queue, h->reader);
}

bool sender_share_is_idle(const SenderShare *h) {
        return h->n_marks == 0 && h->n_lines == 0;
}

void sender_share_rewind(SenderShare *h) {
        queue_rewind(h->queue, h->reader);
        h->stage.n = h->done = h->from = h->n_lines = h->n_marks = 0;
        h->paused = false;
        h->sent = h->acked;
}
