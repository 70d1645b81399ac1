/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static int read_below(const char *dir, const char *name, Buffer *b) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", dir, name) < 0)
                return -ENOMEM;

        return file_read_at(AT_FDCWD, path, 4096, b);
}

int usage_of_cgroup(const char *path, Usage *ret) {
        _cleanup_(buffer_done) Buffer cpu = {}, memory = {};
        Usage usage = {};
        const char *line;
        int r;

        r = read_below(path, "cpu.stat", &cpu);
        if (r < 0)
                return r;

        line = cpu.data ? strstr(cpu.data, "usage_usec ") : NULL;
        if (!line || sscanf(line, "usage_usec %" SCNu64, &usage.cpu_usec) != 1)
                return -EBADMSG;

        if (read_below(path, "memory.current", &memory) >= 0 && memory.data)
                (void) slice_to_uint64(slice_strip(buffer_slice(&memory)), &usage.memory_bytes);

        *ret = usage;
        return 0;
}

int usage_find_siblings(char **ret) {
        _cleanup_(buffer_done) Buffer b = {};
        Slice rest, line;
        int r;

        r = file_read_at(AT_FDCWD, "/proc/self/cgroup", 65536, &b);
        if (r < 0)
                return r;

        rest = buffer_slice(&b);
        while (slice_cut(&rest, '\n', &line)) {
                const char *last =
                        slice_starts_with(line, SLICE("0::/")) ? memrchr(line.p, '/', line.n) : NULL;
                size_t n = last ? (size_t) (last - line.p) - 3 : 0;

                if (last)
                        return asprintf(ret, "/sys/fs/cgroup%.*s", (int) n, line.p + 3) < 0 ? -ENOMEM : 0;
        }

        return -ENOENT;
}
