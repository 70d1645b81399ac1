/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a process has used, from /proc/PID/stat (proc(5)), or a control group, from its cpu.stat and
 * memory.current (cgroups(7), the unified hierarchy). */

#include <sys/types.h>

#include "basic/base.h"

typedef struct Usage {
        uint64_t cpu_usec;     /* of it and of the children it has waited for */
        uint64_t memory_bytes; /* resident */
} Usage;

int usage_of(pid_t pid, Usage *ret); /* -ESRCH or -ENOENT: it is gone; -EBADMSG: not as proc(5) says */

/* `path` is that of its folder. What no controller accounts for is 0. -ENOENT: it is gone; -EBADMSG. */
int usage_of_cgroup(const char *path, Usage *ret);

/* The folder this process's control group is in, for the caller to free: that of its siblings. -ENOENT,
 * -EBADMSG: no unified hierarchy. */
int usage_find_siblings(char **ret);
