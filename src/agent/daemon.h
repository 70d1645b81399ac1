/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The old way of being a daemon (--daemonize, --pidfile), for command lines that ask for it; see daemon(7),
 * "SysV Daemons". The parent stays until the daemon is ready, and ends with 1 if it never is. */

#include <sys/types.h>

#include "basic/base.h"

/* Returns in the daemon only: 0 with *ret_ready to be handed to daemon_ready(), or -errno in the process at
 * hand. */
int daemon_start(int *ret_ready);

/* The daemon works: the parent may end with 0. Closes `ready`; standard descriptors go to /dev/null. */
void daemon_ready(int ready);

/* Writes this process's pid to `path` and keeps it locked (flock(2)) as long as *ret_fd is open: a pid alone
 * may have become another program's. -EEXIST: the process in *ret_pid holds it; or -errno. */
int pidfile_write(const char *path, int *ret_fd, pid_t *ret_pid);
void pidfile_remove(const char *path, int fd); /* unlocks it, too; fd -1: nothing */
