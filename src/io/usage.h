/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a process has used, from /proc/PID/stat (proc(5)). */

#include <sys/types.h>

#include "basic/base.h"

typedef struct Usage {
        uint64_t cpu_usec;     /* of it and of the children it has waited for */
        uint64_t memory_bytes; /* resident */
} Usage;

int usage_of(pid_t pid, Usage *ret); /* -ESRCH or -ENOENT: it is gone; -EBADMSG: not as proc(5) says */
