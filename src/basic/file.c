/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#include "basic/file.h"

int file_read_at(int dir_fd, const char *name, size_t max, Buffer *b) {
        _cleanup_(close_fdp) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        size_t before = b->n;
        int r = 0;

        if (fd < 0)
                return -errno;

        for (;;) {
                ssize_t n;

                r = buffer_reserve(b, 4096);
                if (r < 0)
                        break;

                n = read(fd, b->data + b->n, b->allocated - b->n - 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;

                b->n += (size_t) n;
                if (b->n - before > max) {
                        r = -EFBIG;
                        break;
                }
        }

        if (r < 0)
                b->n = before;
        if (b->data)
                b->data[b->n] = '\0';
        return r;
}

int fd_write_all(int fd, Slice s) {
        while (s.n > 0) {
                ssize_t n = write(fd, s.p, s.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;

                s.p += n;
                s.n -= (size_t) n;
        }

        return 0;
}

int file_publish(int dir_fd, int fd, const char *tmp, const char *name) {
        if (fdatasync(fd) < 0)
                return -errno;
        if (renameat(dir_fd, tmp, dir_fd, name) < 0)
                return -errno;
        if (fsync(dir_fd) < 0)
                return -errno;

        return 0;
}

int fd_set_nonblock(int fd) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;

        return 0;
}

uint64_t random_u64(void) {
        uint64_t v;

        while (getrandom(&v, sizeof(v), 0) != (ssize_t) sizeof(v))
                ; /* only EINTR is possible at this size */

        return v;
}
