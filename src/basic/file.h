/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole-file reads, complete writes, durable publication, random bytes. */

#include "basic/buffer.h"

/* Adds the content of `name` below `dir_fd` to `b`, at most `max` bytes. 0; -EFBIG: longer than that
 * (nothing added); otherwise what open(2) or read(2) said. Good for /proc, where files have no size. */
int file_read_at(int dir_fd, const char *name, size_t max, Buffer *b);

/* Writes all of `s`, through short writes and EINTR. 0, or -errno. For blocking descriptors. */
int fd_write_all(int fd, Slice s);

/* Makes the finished file `tmp` appear as `name` in `dir_fd`: after 0 is returned a power cut cannot undo
 * it. */
int file_publish(int dir_fd, int fd, const char *tmp, const char *name);

int fd_set_nonblock(int fd); /* 0, or -errno */

/* Uniform random bits from getrandom(2), for seeds and jitter. */
uint64_t random_u64(void);
