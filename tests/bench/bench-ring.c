/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the queue costs: nanoseconds of one publication, and bytes a second through it, beside a bare
 * memcpy of the same bytes. Best of a few rounds each. */

#include <stdio.h>

#include "basic/clock.h"
#include "store/lines.h"
#include "store/ring.h"

#define RING_BYTES (16u * 1024 * 1024)
#define BATCH (64u * 1024)
#define ROUNDS 7u
#define LINE "put proc.stat.cpu 1700000000 12345 host=web01.example type=user cpu=1\n"

typedef struct Bench {
        Ring *ring;
        char *batch; /* whole lines */
        size_t batch_n;
        char *scratch; /* RING_BYTES */
        volatile uint64_t sum;
} Bench;

static void run_commit(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                ring_commit(b->ring, NULL);
}

static void run_ack(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                ring_ack(b->ring, 0, ring_head(b->ring));
}

/* One line a commit, one commit an acknowledgement: the dearest way. */
static void run_line(Bench *b, unsigned n) {
        Slice line = SLICE(LINE);

        for (unsigned i = 0; i < n; i++) {
                memcpy(ring_reserve(b->ring, line.n), line.p, line.n);
                ring_written(b->ring, line.n);
                ring_commit(b->ring, NULL);
                b->sum += ring_peek(b->ring, 0).n;
                ring_sent(b->ring, 0, line.n);
                ring_ack(b->ring, 0, ring_head(b->ring));
        }
}

static void pass_batch(Bench *b, uint64_t end) {
        Slice out;

        memcpy(ring_reserve(b->ring, b->batch_n), b->batch, b->batch_n);
        ring_written(b->ring, b->batch_n);
        ring_commit(b->ring, NULL);
        out = ring_peek(b->ring, 0);
        memcpy(b->scratch, out.p, out.n);
        ring_sent(b->ring, 0, out.n);
        ring_ack(b->ring, 0, end);
}

static void run_batches(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                pass_batch(b, ring_head(b->ring) + b->batch_n);
}

static void run_batches_behind(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                pass_batch(b, ring_head(b->ring));
        ring_ack(b->ring, 0, ring_head(b->ring));
}

/* The queue is always nearly full, so every page of it passes by. */
static void run_batches_full(Bench *b, unsigned n) {
        uint64_t end = ring_head(b->ring);

        while (ring_reserve(b->ring, 2 * b->batch_n))
                pass_batch(b, end);
        for (unsigned i = 0; i < n; i++)
                pass_batch(b, ring_acked_at(b->ring, 0) + b->batch_n);
        ring_ack(b->ring, 0, ring_head(b->ring));
}

static void run_memcpy(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                memcpy(b->scratch + (i % 2) * BATCH, b->batch, b->batch_n);
                memcpy(b->scratch + 2 * BATCH, b->scratch + (i % 2) * BATCH, b->batch_n);
                b->sum += (unsigned char) b->scratch[2 * BATCH + i % b->batch_n];
        }
}

static void run_count(Bench *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                b->sum += lines_count((Slice) { b->batch, b->batch_n });
}

static const struct {
        const char *name;
        void (*run)(Bench *b, unsigned n);
        unsigned n;
        bool batches;
} cases[] = {
        { "commit of nothing", run_commit, 200000, false },
        { "ack of nothing", run_ack, 200000, false },
        { "a line: reserve, commit, sent, ack", run_line, 200000, false },
        { "64 KiB: append, peek and copy, ack", run_batches, 4000, true },
        { "the same, one batch behind", run_batches_behind, 4000, true },
        { "the same, 16 MiB behind", run_batches_full, 4000, true },
        { "memcpy in, memcpy out", run_memcpy, 4000, true },
        { "lines_count", run_count, 4000, true },
};

static void measure(Bench *b, size_t i) {
        double best = 0;

        for (unsigned k = 0; k < ROUNDS; k++) {
                usec_t begin = clock_usec(CLOCK_MONOTONIC);
                double ns;

                cases[i].run(b, cases[i].n);
                ns = (double) (clock_usec(CLOCK_MONOTONIC) - begin) * 1000 / cases[i].n;
                if (k == 0 || ns < best)
                        best = ns;
        }

        if (cases[i].batches)
                printf("%-40s %8.2f GB/s\n", cases[i].name, (double) b->batch_n / best);
        else
                printf("%-40s %8.1f ns\n", cases[i].name, best);
}

int main(void) {
        Bench b = { .batch = malloc(BATCH), .scratch = malloc(RING_BYTES) };
        Slice line = SLICE(LINE);

        if (!b.batch || !b.scratch || ring_new(&b.ring, RING_BYTES) < 0)
                return EXIT_FAILURE;
        for (; b.batch_n + line.n <= BATCH; b.batch_n += line.n)
                memcpy(b.batch + b.batch_n, line.p, line.n);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                measure(&b, i);

        ring_free(b.ring);
        free(b.batch);
        free(b.scratch);
        return EXIT_SUCCESS;
}
