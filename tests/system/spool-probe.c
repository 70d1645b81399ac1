/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A spool on a disk that loses its power.
 *
 *     spool-probe write FOLDER   appends lines numbered from 1, in records of changing size, for ever;
 * prints how far the disk has promised to keep them, each time it has spool-probe read FOLDER    prints the
 * first and the last number; fails unless they are all there between
 *
 * Every fiftieth round the reader acknowledges the older half, so that its state is written, and segments
 * go. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/base.h"
#include "basic/clock.h"
#include "basic/file.h"
#include "store/spool.h"

#define RECORD_MAX 8192

static void on_loss(void *userdata, const SpoolLoss *loss) {
        uint64_t *n_lost = userdata;

        fprintf(stderr, "%s: %s, %" PRIu64 " lines\n", loss->file, spool_why_to_string(loss->why),
                loss->lines);
        if (loss->why != SPOOL_TORN)
                *n_lost += loss->lines + 1;
}

static int append(Spool *s, uint64_t *n, unsigned n_lines) {
        char text[RECORD_MAX];
        size_t size = 0;
        int r;

        for (unsigned i = 1; i <= n_lines; i++)
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%" PRIu64 "\n", *n + i);

        r = spool_append(s, (Slice) { text, size }, spool_head(s), &(SpoolOrigin) { 1, spool_head(s) },
                         NULL);
        if (r < 0)
                return r;

        *n += n_lines;
        return 0;
}

static int write_for_ever(Spool *s) {
        uint64_t n = 0;

        for (unsigned round = 1;; round++) {
                uint64_t acked = spool_acked_at(s, 0), head = spool_head(s);
                int r = append(s, &n, 1 + round % 200);

                if (r < 0)
                        return r;
                if (round % 50 == 0) {
                        while (spool_sent_at(s, 0) < acked + (head - acked) / 2) {
                                Slice lines = spool_peek(s, 0);

                                spool_sent(s, 0, spool_sent_at(s, 0) + lines.n);
                        }
                        (void) spool_ack(s, 0, spool_sent_at(s, 0));
                }
                if (round % 3 != 0)
                        continue;

                r = spool_sync(s, USEC_INFINITY);
                if (r < 0)
                        return r;

                printf("%" PRIu64 "\n", n);
                (void) fflush(stdout);
        }
}

static int read_all(Spool *s) {
        uint64_t first = 0, last = 0;

        for (;;) {
                Slice lines = spool_peek(s, 0), line;

                if (lines.n == 0)
                        break;

                spool_sent(s, 0, spool_sent_at(s, 0) + lines.n);
                while (slice_cut(&lines, '\n', &line)) {
                        uint64_t n = strtoull(line.p, NULL, 10);

                        if (last > 0 && n != last + 1)
                                return -EBADMSG;
                        first = first ?: n;
                        last = n;
                }
        }

        printf("%" PRIu64 " %" PRIu64 "\n", first, last);
        return 0;
}

int main(int argc, char **argv) {
        static const SpoolLimits limits = { .size = UINT64_C(64) << 20,
                                            .segment = UINT64_C(1) << 20,
                                            .reserve = 1 };
        _cleanup_(spool_freep) Spool *s = NULL;
        _cleanup_(close_fdp) int dir_fd = -1;
        uint64_t n_lost = 0;
        int r;

        if (argc != 3)
                return 2;

        dir_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir_fd < 0 ? -errno : spool_open(&s, dir_fd, &limits, on_loss, &n_lost);
        if (r >= 0)
                r = strcmp(argv[1], "write") == 0 ? write_for_ever(s) : read_all(s);
        if (r < 0)
                fprintf(stderr, "%s\n", strerror(-r));

        return r < 0 || n_lost > 0;
}
