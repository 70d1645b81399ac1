/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "basic/file.h"
#include "io/usage.h"

int usage_of(pid_t pid, Usage *ret) {
        uint64_t utime, stime, cutime, cstime, rss, hz = (uint64_t) sysconf(_SC_CLK_TCK);
        _cleanup_(buffer_done) Buffer b = {};
        const char *rest;
        char path[64];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
        r = file_read_at(AT_FDCWD, path, 4096, &b);
        if (r < 0)
                return r;

        /* The second field is the command in parentheses, and may have any byte in it. */
        rest = b.data ? strrchr(b.data, ')') : NULL;
        if (!rest || sscanf(rest,
                            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
                            " %" SCNu64 " %*d %*d %*d %*d %*u %*u %" SCNu64,
                            &utime, &stime, &cutime, &cstime, &rss) != 5)
                return -EBADMSG;

        *ret = (Usage) {
                .cpu_usec = (utime + stime + cutime + cstime) * USEC_PER_SEC / hz,
                .memory_bytes = rss * (uint64_t) sysconf(_SC_PAGESIZE),
        };
        return 0;
}
