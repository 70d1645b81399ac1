/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which sources are in the middle of an over-long line, in a memfd that outlives the process: the rest of
 * such a line must not be taken for a fresh one after a kill. A table of 64-bit hashes of their names, each
 * written and cleared by one store. */

#include "basic/slice.h"

#define SKIPS_MAX 4096u

typedef struct Skips Skips;

int skips_new(Skips **ret); /* -errno of memfd_create(2), ftruncate(2), mmap(2) */

/* `fd` is taken on success only. -EBADMSG: it is no memfd sealed against shrinking and growing, or has
 * another magic, layout or size; -errno of fstat(2), mmap(2). */
int skips_open(Skips **ret, int fd);
Skips *skips_free(Skips *s); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Skips *, skips_free);

int skips_fd(const Skips *s);                          /* borrowed */
bool skips_has(const Skips *s, uint64_t source);       /* 0 is no hash */
void skips_set(Skips *s, uint64_t source, bool skips); /* beyond SKIPS_MAX it is not noted */
