/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests of the ring: lines in and out, and what its memfd holds at one moment, as bytes that a test can
 * damage and open again: just what the next process would find if this one were killed here. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "basic/buffer.h"
#include "store/ring-state.h"
#include "unit/tap.h"

/* Replaces the content of `b`; false: it could not be read. */
static inline bool image_read(Buffer *b, int fd) {
        struct stat st;

        b->n = 0;
        if (fstat(fd, &st) < 0 || buffer_reserve(b, (size_t) st.st_size) < 0)
                return false;
        if (pread(fd, b->data, (size_t) st.st_size, 0) != st.st_size)
                return false;

        b->n = (size_t) st.st_size;
        return true;
}

/* A new memfd with these bytes and seals, or -errno. */
static inline int image_memfd(Slice image, int seals) {
        _cleanup_(close_fdp) int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || (image.n > 0 && pwrite(fd, image.p, image.n, 0) != (ssize_t) image.n) ||
            fcntl(fd, F_ADD_SEALS, seals) < 0)
                return -errno;

        return TAKE_FD(fd);
}

/* What ring_open() says of the image. */
static inline int image_open(Slice image, Ring **ret) {
        _cleanup_(close_fdp) int fd = image_memfd(image, F_SEAL_SHRINK | F_SEAL_GROW);
        int r;

        if (fd < 0)
                return fd;

        r = ring_open(ret, fd);
        if (r >= 0)
                fd = -1;

        return r;
}

static inline RingHeader *image_header(Buffer *b) {
        return (RingHeader *) (void *) b->data;
}

/* The copy of the state that was published last, or NULL where not both are good: then the other one is all
 * there is. */
static inline RingState *image_newest(Buffer *b) {
        RingHeader *h = image_header(b), one = *h;
        RingState s, other;

        if (ring_header_verify(h, h->page, b->n, &s) < 0)
                return NULL;

        one.states[s.sequence % 2].sequence ^= 1;
        if (ring_header_verify(&one, h->page, b->n, &other) < 0)
                return NULL;

        return &h->states[s.sequence % 2];
}

static inline Ring *ring_make(size_t size) {
        Ring *ring = NULL;

        assert_int_equal(ring_new(&ring, size), 0);
        return ring;
}

/* Writes one line of `n` bytes, newline included; false: full. */
static inline bool ring_put(Ring *r, char c, size_t n) {
        char *p = ring_reserve(r, n);

        if (!p)
                return false;

        memset(p, c, n - 1);
        p[n - 1] = '\n';
        ring_written(r, n);
        return true;
}

static inline void ring_put_and_commit(Ring *r, char c, size_t n) {
        assert_true(ring_put(r, c, n));
        ring_commit(r, NULL);
}

static inline void ring_ack_all(Ring *r, unsigned reader) {
        ring_sent(r, reader, ring_peek(r, reader).n);
        ring_ack(r, reader, ring_head(r));
}

static inline bool is_line(Slice s, size_t at, char c, size_t n) {
        for (size_t i = 0; i + 1 < n; i++)
                if (s.p[at + i] != c)
                        return false;

        return s.p[at + n - 1] == '\n';
}

/* Closes the ring and opens it again, as the next process would. */
static inline Ring *ring_reopen(Ring *r) {
        int fd = fcntl(ring_fd(r), F_DUPFD_CLOEXEC, 0);
        Ring *ring = NULL;

        assert_true(fd >= 0);
        ring_free(r);
        assert_int_equal(ring_open(&ring, fd), 0);
        return ring;
}
