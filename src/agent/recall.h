/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the lanes remember of their series, in a memfd, from one process to the next over a clean restart. A
 * memfd that is not whole is good as far as it is. */

#include "store/dedup.h"

typedef struct Recall Recall;

/* -- leaving -- */

/* An empty memfd, the caller's. -errno of memfd_create(2). */
int recall_begin(int *ret_fd);
int recall_save(int fd, const char *name, const Dedup *d); /* adds one lane; -errno of write(2) */

/* -- coming -- */

/* Maps it; `fd` stays the caller's. -EBADMSG: it is no such; -ENOMEM; -errno of fstat(2), mmap(2). */
int recall_open(Recall **ret, int fd);
Recall *recall_free(Recall *r); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Recall *, recall_free);

/* What was remembered under that name. -ENOENT: nothing; -EBADMSG; -ENOMEM. */
int recall_find(const Recall *r, const char *name, const DedupLimits *limits, Dedup **ret);
