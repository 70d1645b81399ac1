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

/* Writes this process's pid to `path`. -EEXIST: it names a process that lives, *ret_pid; or -errno. */
int pidfile_write(const char *path, pid_t *ret_pid);
void pidfile_remove(const char *path); /* only where it still names this process */
