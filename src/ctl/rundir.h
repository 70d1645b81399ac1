/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The run-time folder, /run/tcollector: root's, with the FIFOs of the collectors in col/, the agent's own
 * stalled/, and root's notes (known, complaints, restarting, tcollector.conf.good). No link is followed in
 * it. */

#include <sys/types.h>

#include "basic/buffer.h"

#define RUNDIR_FILE_MAX (4u * 1024 * 1024) /* bytes; a note that is longer is taken for empty */

typedef struct RunOwners {
        uid_t root;
        gid_t root_group;
        uid_t agent;
        gid_t agent_group;
} RunOwners;

typedef struct RunDir {
        RunOwners owners;
        int fd, col, lock;
} RunDir;

#define RUNDIR_CLOSED ((RunDir) { .fd = -1, .col = -1, .lock = -1 })

/* Opens `path` (its parent is root's) and makes it, col/ and stalled/ what they should be. */
int rundir_open(RunDir *ret, const char *path, const RunOwners *owners);
void rundir_close(RunDir *d); /* also gives the lock back */

/* Prepare and rescan do not write at the same time. Waits; -ETIMEDOUT. */
int rundir_lock(RunDir *d, usec_t timeout);

/* Makes the FIFO of an instance, in one step, or mends its owner and mode. 0: it was there; 1: it is new. */
int rundir_make_fifo(RunDir *d, const char *instance);

/* Removes all from col/ that `is_wanted` does not want. 0; -errno of what could not be removed. */
int rundir_sweep(RunDir *d, bool (*is_wanted)(void *userdata, const char *instance), void *userdata);

typedef struct Names {
        char **names;
        size_t n;
} Names;

void names_done(Names *n);

/* Empties stalled/; what was called as an instance is in *ret. */
int rundir_take_stalled(RunDir *d, Names *ret);

/* Notes. One that does not exist is empty. */
int rundir_read(RunDir *d, const char *name, Buffer *ret);
int rundir_write(RunDir *d, const char *name, Slice content);         /* in one step */
int rundir_write_private(RunDir *d, const char *name, Slice content); /* for root alone to read */
int rundir_remove(RunDir *d, const char *name);                       /* that it is not there is no error */
