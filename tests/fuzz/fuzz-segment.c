/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A segment file of garbage. The first byte says what is put right before it is read, so that what lies
 * behind the checksums is reached too. It is read as a file, and as the only segment of a spool, which must
 * open, give whole lines, account for every line it had claimed, and work on. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fuzz/fuzz.h"
#include "store/lines.h"
#include "store/segment.h"
#include "store/spool.h"

#define BYTES_MAX (256u << 10)
#define NUMBERS (SEGMENT_NUMBER_MAX / 4) /* what a spool may hold and go on */
#define NAME "0000000000000001.seg"

enum {
        FIX_HEADER = 1 << 0,
        FIX_RECORDS = 1 << 1, /* those whose magic is odd */
        IN_ORDER = 1 << 2,    /* and they follow each other */
};

static void fix_header(char *image, size_t n) {
        SegmentHeader h;

        if (n < sizeof(h))
                return;

        memcpy(&h, image, sizeof(h));
        h.sequence = 1;
        h.position %= NUMBERS;
        h.line %= NUMBERS;
        segment_header_seal(&h);
        memcpy(image, &h, sizeof(h));
}

static void fix_records(char *image, size_t n, bool in_order) {
        uint64_t position = 0, line = 0;
        size_t at = sizeof(SegmentHeader);

        while (at < n && n - at > sizeof(RecordHeader)) {
                size_t left = n - at - sizeof(RecordHeader), length;
                char *lines = image + at + sizeof(RecordHeader);
                RecordHeader h;

                memcpy(&h, image + at, sizeof(h));
                length = 1 + h.length % MIN(left, (size_t) 512);
                h.position = in_order ? position : h.position % NUMBERS;
                h.line = in_order ? line : h.line % NUMBERS;
                if (h.magic % 2) {
                        lines[length - 1] = '\n';
                        record_header_seal(&h, (Slice) { lines, length });
                        memcpy(image + at, &h, sizeof(h));
                }

                position += length;
                line += lines_count((Slice) { lines, length });
                at += sizeof(h) + length;
        }
}

/* Every record that is found is within the file, in order, and behind the one before. */
static void walk(int fd, uint64_t size) {
        SegmentPlace place = {};

        for (;;) {
                _cleanup_(freep) char *lines = NULL;
                RecordHeader h;
                uint64_t offset;
                int r;

                if (segment_next(fd, size, &place, SEGMENT_NUMBER_MAX, &h, &offset) <= 0)
                        return;

                check(offset >= place.offset && h.position >= place.position && h.line >= place.line);
                check(offset + sizeof(h) + h.length <= size && h.position + h.length <= SEGMENT_NUMBER_MAX);
                lines = malloc(h.length);
                check(lines);
                r = segment_read_lines(fd, offset, &h, lines);
                check(r == 0 || r == -EBADMSG);
                place = (SegmentPlace) { offset + sizeof(h) + h.length, h.position + h.length,
                                         h.line + h.lines };
        }
}

static void on_loss(void *userdata, const SpoolLoss *loss) {
        uint64_t *lost = userdata;

        check(loss->file && spool_why_to_string(loss->why));
        *lost += loss->lines;
}

static uint64_t drain(Spool *s) {
        uint64_t acked = 0;

        for (;;) {
                Slice run = spool_peek(s, 0);
                uint64_t end = spool_sent_at(s, 0) + run.n;
                uint64_t n = lines_count(run); /* which is borrowed until they are acknowledged */

                if (run.n == 0)
                        break;
                check(run.p[run.n - 1] == '\n');
                spool_sent(s, 0, end);
                check(spool_ack(s, 0, end) == n);
                acked += n;
        }

        check(spool_is_empty(s) && spool_lines(s) == 0);
        return acked;
}

static void read_spool(int dir_fd) {
        const SpoolLimits limits = { .size = 16 << 20 };
        uint64_t lost = 0, claimed;
        Spool *s = NULL;
        Slice line = SLICE("put a 1 1 b=c\n"), run;

        check(spool_open(&s, dir_fd, &limits, on_loss, &lost) == 0);
        claimed = spool_lines(s);
        check(drain(s) + lost == claimed && lost == spool_lost(s));

        check(spool_append(s, line, spool_head(s), &(SpoolOrigin) {}, NULL) == 0);
        spool_free(s);
        s = NULL;
        check(spool_open(&s, dir_fd, &limits, on_loss, &lost) == 0);
        run = spool_peek(s, 0);
        check(slice_equal(run, line));
        check(spool_ack(s, 0, spool_head(s)) == 1);
        spool_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        char folder[] = "/tmp/fuzz-segment-XXXXXX", in_memory[] = "/dev/shm/fuzz-segment-XXXXXX";
        char *path = access("/dev/shm", W_OK) == 0 ? in_memory : folder;
        _cleanup_(close_fdp) int dir_fd = -1, fd = -1;
        _cleanup_(freep) char *image = NULL;

        if (n == 0 || n > BYTES_MAX)
                return 0;

        image = malloc(n);
        check(image && mkdtemp(path));
        memcpy(image, data + 1, n - 1);
        if (data[0] & FIX_HEADER)
                fix_header(image, n - 1);
        if (data[0] & FIX_RECORDS)
                fix_records(image, n - 1, data[0] & IN_ORDER);

        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = openat(dir_fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        check(fd >= 0 && pwrite(fd, image, n - 1, 0) == (ssize_t) (n - 1));
        walk(fd, n - 1);
        read_spool(dir_fd);

        (void) unlinkat(dir_fd, "state", 0);
        (void) unlinkat(dir_fd, NAME, 0);
        (void) unlinkat(dir_fd, "0000000000000002.seg", 0);
        check(rmdir(path) == 0);
        return 0;
}
