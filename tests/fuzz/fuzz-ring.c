/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A ring whose header is garbage. The first byte says which checksums and constants are put right before
 * it is opened, so that what lies behind them is reached too; the rest is laid over header and data. A
 * ring that opens is used: read, filled to the brim, acknowledged, opened once more. */

#include <fcntl.h>
#include <sys/mman.h>

#include "fuzz/fuzz.h"
#include "store/lines.h"
#include "store/ring-state.h"

#define BYTES ((size_t) RING_SIZE_MIN)
#define LINE_BYTES 64u

enum {
        FIX_CONSTANTS = 1 << 0,
        FIX_STATE = 1 << 1,   /* << 2 for the second copy */
        NO_NEWLINES = 1 << 3, /* the data is one long line, but for what the input says */
};

static void fix_constants(RingHeader *h, size_t page) {
        RingHeader fixed;

        ring_header_init(&fixed, page, BYTES, h->id);
        memcpy(fixed.states, h->states, sizeof(fixed.states));
        *h = fixed;
}

static void fix_state(RingHeader *h, unsigned i) {
        RingState *s = &h->states[i];

        s->n_readers = 1 + s->n_readers % RING_READERS_MAX;
        s->sequence = (s->sequence % (RING_NUMBER_MAX / 2) & ~UINT64_C(1)) | i;
        s->checksum = ring_state_checksum(s);
}

/* The file that the input describes. */
static void make_file(int fd, const uint8_t *data, size_t n, size_t page) {
        size_t header = MIN(n - 1, sizeof(RingHeader)), rest = MIN(n - 1 - header, BYTES);
        _cleanup_(freep) char *image = malloc(page + BYTES);
        RingHeader *h = (RingHeader *) (void *) image;

        check(image);
        memset(image, 0, page);
        memset(image + page, 'a', BYTES);
        for (size_t i = 0; !(data[0] & NO_NEWLINES) && i < BYTES; i += LINE_BYTES)
                image[page + i + LINE_BYTES - 1] = '\n';
        memcpy(image, data + 1, header);
        memcpy(image + page, data + 1 + header, rest);

        if (data[0] & FIX_CONSTANTS)
                fix_constants(h, page);
        for (unsigned i = 0; i < 2; i++)
                if (data[0] & (FIX_STATE << i))
                        fix_state(h, i);

        check(pwrite(fd, image, page + BYTES, 0) == (ssize_t) (page + BYTES));
        check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
}

static void check_cursors(const Ring *r) {
        size_t used = 0, lines = 0;

        for (unsigned i = 0; i < ring_n_readers(r); i++) {
                Slice s = ring_unacked(r, i);
                size_t n = 0;

                for (size_t k = 0; k < s.n; k++)
                        n += s.p[k] == '\n';

                check(s.n <= ring_size(r));
                check(s.n == 0 || s.p[s.n - 1] == '\n');
                check(ring_sent_at(r, i) == ring_acked_at(r, i));
                check(ring_head(r) - ring_acked_at(r, i) == s.n);
                used = MAX(used, s.n);
                lines = MAX(lines, n);
        }

        check(ring_used(r) == used);
        check(ring_lines_queued(r) == lines);
}

static void use(Ring *r) {
        char *p;

        while ((p = ring_reserve(r, LINE_BYTES))) {
                memset(p, 'b', LINE_BYTES - 1);
                p[LINE_BYTES - 1] = '\n';
                ring_written(r, LINE_BYTES);
        }
        ring_commit(r, NULL);
        check(ring_size(r) - ring_used(r) < LINE_BYTES);
        check_cursors(r);

        for (unsigned i = 0; i < ring_n_readers(r); i++)
                ring_ack(r, i, ring_head(r));
        check(ring_used(r) == 0);
        check(ring_reserve(r, ring_size(r)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(close_fdp) int fd = -1, again = -1;
        Ring *ring = NULL;
        uint64_t head;
        int r;

        if (n == 0)
                return 0;

        fd = memfd_create("fuzz-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        check(fd >= 0);
        make_file(fd, data, n, (size_t) sysconf(_SC_PAGESIZE));

        r = ring_open(&ring, fd);
        check(r == 0 ? !!ring : (r == -EBADMSG || r == -EPROTO) && !ring);
        if (r < 0)
                return 0;

        again = fcntl(TAKE_FD(fd), F_DUPFD_CLOEXEC, 0);
        check(again >= 0);
        check_cursors(ring);
        use(ring);
        head = ring_head(ring);
        ring = ring_free(ring);
        if (head > RING_NUMBER_MAX)
                return 0; /* used beyond what a ring can ever reach */

        check(ring_open(&ring, again) == 0);
        TAKE_FD(again);
        check(ring_head(ring) == head && ring_used(ring) == 0);
        ring_free(ring);
        return 0;
}
