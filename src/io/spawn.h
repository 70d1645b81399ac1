/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starting a collector as a child of this process: foreground mode.
 *
 * The child is tcollector-exec, in a session of its own, with standard input from /dev/null, standard
 * output and error to pipes, no other descriptor, all signals reset. It waits for one byte before it
 * becomes the collector, so that the caller can put it under a scope first. */

#include <sys/types.h>

#include "basic/base.h"

typedef struct SpawnSpec {
        const char *path;           /* of the collector */
        const char *helper;         /* of tcollector-exec */
        const char *const *environ; /* "NAME=value", added over this process's; NULL-terminated */
} SpawnSpec;

typedef struct Child {
        pid_t pid; /* also its process group and session */
        int pidfd;
        int stdout_fd; /* reading ends, close-on-exec, non-blocking */
        int stderr_fd;
        int hold_fd; /* child_release() writes here */
} Child;

#define CHILD_NULL ((Child) { .pidfd = -1, .stdout_fd = -1, .stderr_fd = -1, .hold_fd = -1 })

/* 0, or -errno of pipe2(2), posix_spawn(3), pidfd_open(2). *ret is written on success only. */
int spawn_collector(const SpawnSpec *spec, Child *ret);
/* Lets it go on to the collector; closes hold_fd. SIGPIPE is to be ignored: the child may be gone. */
void child_release(Child *c);
void child_close(Child *c);                /* closes the descriptors; neither kills nor waits */
int child_signal(const Child *c, int sig); /* its whole process group; -ESRCH: nobody is left */

/* Where tcollector-exec is: $TCOLLECTOR_EXEC, beside this program's build, or the installed one. -ENOENT:
 * nowhere. *ret is the caller's to free. */
int spawn_find_helper(char **ret);
