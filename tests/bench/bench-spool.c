/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the queue on disk costs, beside writing the same bytes to a plain file of the same folder, the one
 * that is named or the current one: all with fdatasync(2) for each MiB, and all with a single one at the
 * end. Best of a few rounds each. */

#include <fcntl.h>
#include <stdio.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "store/lines.h"
#include "store/spool.h"

#define BATCH (256u << 10)
#define MIB (1u << 20)
#define TOTAL (256u << 20)
#define ROUNDS 3u
#define LINE "put proc.stat.cpu 1700000000 12345 host=web01.example type=user cpu=1\n"

typedef struct Bench {
        int dir_fd; /* of a folder of our own */
        Spool *spool;
        char *batch; /* whole lines */
        size_t batch_n;
        char *scratch;
        uint64_t lines;
} Bench;

static int plain(Bench *b, bool each) {
        _cleanup_(close_fdp) int fd =
                openat(b->dir_fd, "plain", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        for (size_t n = 0, unsynced = 0; n < TOTAL; n += b->batch_n) {
                int r = fd_write_all(fd, (Slice) { b->batch, b->batch_n });

                if (r < 0)
                        return r;
                unsynced += b->batch_n;
                if (each && unsynced >= MIB && fdatasync(fd) < 0)
                        return -errno;
                unsynced = unsynced >= MIB ? 0 : unsynced;
        }

        return fdatasync(fd) < 0 ? -errno : 0;
}

static int run_plain_each(Bench *b) {
        return plain(b, true);
}

static int run_plain(Bench *b) {
        return plain(b, false);
}

static int append(Bench *b, bool each) {
        for (size_t n = 0, unsynced = 0; n < TOTAL; n += b->batch_n) {
                int r = spool_append(b->spool, (Slice) { b->batch, b->batch_n }, spool_head(b->spool),
                                     &(SpoolOrigin) {}, NULL);

                unsynced += b->batch_n;
                if (r >= 0 && each && unsynced >= MIB)
                        r = spool_sync(b->spool, USEC_INFINITY);
                if (r < 0)
                        return r;
                unsynced = unsynced >= MIB ? 0 : unsynced;
        }

        return spool_sync(b->spool, USEC_INFINITY);
}

static int run_append_each(Bench *b) {
        return append(b, true);
}

static int run_append(Bench *b) {
        return append(b, false);
}

/* What the append before it has left, out of the page cache. */
static int run_drain(Bench *b) {
        for (;;) {
                Slice run = spool_peek(b->spool, 0);
                uint64_t end = spool_sent_at(b->spool, 0) + run.n;

                if (run.n == 0)
                        return spool_is_empty(b->spool) ? 0 : -EIO;
                memcpy(b->scratch, run.p, run.n);
                spool_sent(b->spool, 0, end);
                b->lines += spool_ack(b->spool, 0, end);
        }
}

static const struct {
        const char *name;
        int (*run)(Bench *b);
        bool drains; /* is followed by a drain, which is not measured with it */
} cases[] = {
        { "plain file, fdatasync for each MiB", run_plain_each, false },
        { "spool: append, sync for each MiB", run_append_each, true },
        { "plain file, one fdatasync", run_plain, false },
        { "spool: append, one sync", run_append, true },
};

static int timed(Bench *b, int (*run)(Bench *), double *best) {
        usec_t begin = clock_usec(CLOCK_MONOTONIC);
        int r = run(b);
        double rate = (double) TOTAL / (double) (clock_usec(CLOCK_MONOTONIC) - begin);

        *best = MAX(*best, rate);
        return r;
}

static int measure(Bench *b) {
        double best[ELEMENTSOF(cases)] = {}, drain = 0;
        int r = 0;

        for (unsigned k = 0; k < ROUNDS; k++)
                for (size_t i = 0; i < ELEMENTSOF(cases) && r >= 0; i++) {
                        (void) unlinkat(b->dir_fd, "plain", 0);
                        r = timed(b, cases[i].run, &best[i]);
                        if (r >= 0 && cases[i].drains)
                                r = timed(b, run_drain, &drain);
                }

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                printf("%-40s %8.0f MB/s\n", cases[i].name, best[i]);
        printf("%-40s %8.0f MB/s\n", "spool: peek, copy, ack", drain);
        return r;
}

int main(int argc, char *argv[]) {
        const SpoolLimits limits = { .size = UINT64_C(1) << 30, .reserve = 50 };
        Bench b = { .batch = malloc(BATCH), .scratch = malloc(SPOOL_BATCH_MAX) };
        char folder[] = "bench-spool-XXXXXX";
        Slice line = SLICE(LINE);
        int r;

        if (!b.batch || !b.scratch || (argc > 1 && chdir(argv[1]) < 0) || !mkdtemp(folder))
                return EXIT_FAILURE;
        for (; b.batch_n + line.n <= BATCH; b.batch_n += line.n)
                memcpy(b.batch + b.batch_n, line.p, line.n);

        b.dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = spool_open(&b.spool, b.dir_fd, &limits, NULL, NULL);
        if (r >= 0)
                r = measure(&b);
        if (r < 0)
                (void) fprintf(stderr, "%s\n", strerror(-r));

        spool_free(b.spool);
        (void) unlinkat(b.dir_fd, "plain", 0);
        (void) unlinkat(b.dir_fd, "state", 0);
        (void) close_fd(b.dir_fd);
        (void) rmdir(folder);
        free(b.batch);
        free(b.scratch);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
