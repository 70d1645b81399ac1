/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asks file systems for their numbers without ever waiting for one that is dead.
 *
 * statvfs(2) on a network file system whose server is gone may never return, and only a deadly signal ends
 * it, if any does. So a child process asks, mount after mount, and sends each answer up a pipe; a mount that
 * gives none within the deadline is given up together with that child, and a new one goes on behind it. A
 * mount given up is left out and asked again after 2, 4, 8, ... rounds, at most 64, and never while a child
 * still hangs on it: there is at most one such child per mount. */

#include <sys/types.h>

#include "basic/slice.h"

typedef struct FsNumbers {
        uint64_t block_size; /* f_frsize */
        uint64_t blocks, blocks_free, blocks_available;
        uint64_t files, files_free;
} FsNumbers;

typedef struct FsAnswer {
        int result; /* 0; -errno; -ETIMEDOUT: given up now; -EAGAIN: not asked in this round */
        FsNumbers numbers;
} FsAnswer;

typedef struct FsDead {
        char *path;
        pid_t child; /* 0: it is gone */
        unsigned failures;
        uint64_t retry; /* number of the round */
} FsDead;

/* Zero-initialised it knows of no dead mount. */
typedef struct FsProbe {
        FsDead *dead; /* at most one per path of a round, and per child that still hangs */
        size_t n_dead;
        uint64_t n_rounds;
} FsProbe;

typedef struct FsQuestion {
        int (*ask)(const void *userdata, const char *path, FsNumbers *ret); /* in the child; 0, or -errno */
        const void *userdata;
        usec_t deadline; /* microseconds, for each mount */
} FsQuestion;

/* One round: an answer for each of the `n` paths, which differ. 0, or -errno of pipe2(2) or fork(2), or
 * -ENOMEM: what had not been asked by then is -EAGAIN. */
int fsprobe_round(FsProbe *p, const FsQuestion *q, const char *const *paths, size_t n, FsAnswer *answers);
void fsprobe_done(FsProbe *p); /* children that hang are left to init */
