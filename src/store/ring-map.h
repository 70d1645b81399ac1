/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A ring's memfd, and its mapping: the header's page, the data, and the data a second time behind it, so
 * that every run of up to `size` bytes is contiguous. For ring.c. */

#include "basic/base.h"

typedef struct RingMap {
        char *p;    /* the header; NULL: not mapped */
        size_t n;   /* of the whole mapping */
        char *data; /* twice */
} RingMap;

/* A new memfd of `n` bytes that can neither shrink nor grow; close-on-exec. -errno. */
int ring_memfd_new(uint64_t n);

/* Can `fd` be mapped shared and writable, with no SIGBUS at any time to come? *ret is its size. -EBADMSG:
 * no; -errno of fstat(2). */
int ring_memfd_check(int fd, uint64_t *ret);

/* Maps `page` bytes of header and `size` bytes of data, whole pages. -errno of mmap(2). */
int ring_map(int fd, size_t page, size_t size, RingMap *ret);
void ring_unmap(RingMap *m);
