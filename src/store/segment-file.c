/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Segments as files. Memory is bounded by SCAN_BYTES, whatever is in the file. */

#include <sys/uio.h>

#include "store/segment.h"

#define SCAN_BYTES ((size_t) 64 << 10)

int segment_read(int fd, uint64_t offset, void *p, size_t n) {
        char *to = p;

        while (n > 0) {
                ssize_t k = pread(fd, to, n, (off_t) offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -ENODATA;

                to += k;
                offset += (uint64_t) k;
                n -= (size_t) k;
        }

        return 0;
}

int segment_read_lines(int fd, uint64_t offset, const RecordHeader *h, char *p) {
        int r;

        r = segment_read(fd, offset + sizeof(*h), p, h->length);
        if (r < 0)
                return r;

        return record_is_good(h, (Slice) { p, h->length }) ? 0 : -EBADMSG;
}

/* Could the record, its header at `offset`, be the one that is expected? What is missing before it has no
 * more lines than bytes. */
static bool record_fits(const RecordHeader *h, uint64_t offset, uint64_t size, const SegmentPlace *place,
                        uint64_t limit) {
        return h->length <= size - offset - sizeof(*h) && h->position >= place->position &&
               h->line >= place->line && h->line - place->line <= h->position - place->position &&
               h->position <= limit && h->length <= limit - h->position;
}

/* The place of a good header in the `n` bytes from `offset` on; where there is none, the next place to look
 * at is put in *ret_offset. 1, 0, or what pread(2) said. */
static int scan_chunk(int fd, uint64_t offset, size_t n, RecordHeader *ret, uint64_t *ret_offset) {
        char chunk[SCAN_BYTES];
        size_t at;
        int r;

        r = segment_read(fd, offset, chunk, n);
        if (r < 0)
                return r;

        at = record_find((Slice) { chunk, n });
        if (at == n) {
                *ret_offset = offset + n - sizeof(*ret) + 1;
                return 0;
        }

        memcpy(ret, chunk + at, sizeof(*ret));
        *ret_offset = offset + at;
        return 1;
}

/* Looks at every byte from `offset` on. */
static int scan(int fd, uint64_t size, uint64_t offset, const SegmentPlace *place, uint64_t limit,
                RecordHeader *ret, uint64_t *ret_offset) {
        int error = 0;

        while (size >= sizeof(*ret) && offset <= size - sizeof(*ret)) {
                size_t n = (size_t) MIN((uint64_t) SCAN_BYTES, size - offset);
                uint64_t at = 0;
                RecordHeader h;
                int r = scan_chunk(fd, offset, n, &h, &at);

                if (r < 0) {
                        error = r;
                        offset += n;
                        continue;
                }
                if (r > 0 && record_fits(&h, at, size, place, limit)) {
                        *ret = h;
                        *ret_offset = at;
                        return 1;
                }

                offset = r > 0 ? at + 1 : at;
        }

        return error;
}

int segment_next(int fd, uint64_t size, const SegmentPlace *place, uint64_t limit, RecordHeader *ret,
                 uint64_t *ret_offset) {
        uint64_t offset = place->offset;
        RecordHeader h;

        if (size < sizeof(h) || offset > size - sizeof(h))
                return 0;

        if (segment_read(fd, offset, &h, sizeof(h)) >= 0 && record_header_is_good(&h) &&
            record_fits(&h, offset, size, place, limit)) {
                *ret = h;
                *ret_offset = offset;
                return 1;
        }

        return scan(fd, size, offset, place, limit, ret, ret_offset);
}

int segment_write(int fd, uint64_t offset, const RecordHeader *h, Slice lines) {
        RecordHeader copy = *h;
        struct iovec iov[2] = {
                { .iov_base = &copy, .iov_len = sizeof(copy) },
                { .iov_base = (void *) (uintptr_t) lines.p, .iov_len = lines.n },
        };
        struct iovec *v = iov;

        while (v < iov + ELEMENTSOF(iov)) {
                ssize_t n = pwritev(fd, v, (int) (iov + ELEMENTSOF(iov) - v), (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;

                offset += (uint64_t) n;
                for (; v < iov + ELEMENTSOF(iov) && (size_t) n >= v->iov_len; v++)
                        n -= (ssize_t) v->iov_len;
                if (v < iov + ELEMENTSOF(iov)) {
                        v->iov_base = (char *) v->iov_base + n;
                        v->iov_len -= (size_t) n;
                }
        }

        return 0;
}
