/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What /proc/stat says of the CPUs, and which cpuset (cgroup v1) each belongs to. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "lib/text.h"
#include "procstats.h"

#define CPUSET_LIST_MAX 4096u

/* The cpusets of the first level, a line each: name, tab, the list of its CPUs. Sorted by name, so that of
 * two that share a CPU it is always the same one that gets it. */
static int read_cpusets(const Round *round, const char *folder, Buffer *ret) {
        static const char *const files[] = { "cpuset.cpus", "cpus" };
        _cleanup_(close_fdp) int fd = openat(round->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char path[PATH_MAX], list[CPUSET_LIST_MAX];
        struct dirent **entries;
        int n, r = 0;
        Slice cpus;

        if (fd < 0)
                return -errno;
        n = scandirat(fd, ".", &entries, NULL, alphasort);
        if (n < 0)
                return -errno;

        for (int i = 0; i < n; i++) {
                const char *name = entries[i]->d_name;
                bool folder_maybe = entries[i]->d_type == DT_DIR || entries[i]->d_type == DT_UNKNOWN;

                for (size_t f = 0; f < ELEMENTSOF(files) && r >= 0 && folder_maybe && name[0] != '.'; f++) {
                        (void) snprintf(path, sizeof(path), "%s/%s/%s", folder, name, files[f]);
                        if (round_read_small(round, path, list, sizeof(list), &cpus) >= 0) {
                                r = buffer_addf(ret, "%s\t%.*s\n", name, (int) cpus.n, cpus.p);
                                break;
                        }
                }
                free(entries[i]);
        }

        free(entries);
        return r;
}

/* The last cpuset that has this CPU, or "none". */
static Slice cpuset_of(Slice cpusets, unsigned cpu) {
        Slice found = SLICE("none"), list, name;

        while (text_line(&cpusets, &list))
                if (slice_cut(&list, '\t', &name) && text_list_has(list, cpu))
                        found = name;

        return found;
}

static const char *const cpu_types[] = {
        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice",
};
static const char *const cpu_types_legacy[] = {
        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "guest", "guest_nice",
};

/* `name` is "cpu" or "cpu7", `rest` what stands behind it. */
static int stat_cpu(const Round *round, Slice name, Slice rest, Slice cpusets) {
        const ProcStats *state = round->state;
        const char *const *types = state->legacy_cpu ? cpu_types_legacy : cpu_types;
        size_t n = state->legacy_cpu ? ELEMENTSOF(cpu_types_legacy) : ELEMENTSOF(cpu_types);
        Slice number = { name.p + 3, name.n - 3 }, word, cpuset;
        uint64_t v, cpu = 0;

        if (number.n > 0 && (!slice_to_uint64(number, &cpu) || cpu > UINT16_MAX))
                return -EBADMSG;

        cpuset = cpuset_of(cpusets, (unsigned) cpu);
        for (size_t i = 0; i < n && text_word(&rest, &word); i++) {
                Tags tags;

                if (!slice_to_uint64(word, &v))
                        return -EBADMSG;

                tags_reset(&tags);
                tags_add(&tags, "type", slice_from_string(types[i]));
                if (number.n > 0) {
                        tags_add_number(&tags, "cpu", cpu);
                        tags_add(&tags, "cpuset", cpuset);
                }
                emit_number(round->out, "proc.stat.", number.n > 0 ? SLICE("cpu.percpu") : SLICE("cpu"), v,
                            &tags);
        }

        return 0;
}

static int stat_line(const Round *round, Slice line, Slice cpusets) {
        static const char *const wanted[] = { "intr", "ctxt", "processes", "procs_blocked" };
        Slice name;
        uint64_t v;

        if (!text_word(&line, &name))
                return 0;
        if (slice_starts_with(name, SLICE("cpu")))
                return stat_cpu(round, name, line, cpusets);

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (slice_equal(name, slice_from_string(wanted[i]))) {
                        if (!text_number(&line, &v))
                                return -EBADMSG;
                        emit_number(round->out, "proc.stat.", name, v, NULL);
                }

        return 0;
}

int collect_stat(const Round *round) {
        _cleanup_(buffer_done) Buffer cpusets = {};
        Slice text, line;
        int r, bad = 0;

        r = read_cpusets(round, round_has(round, "dev/cpuset") ? "dev/cpuset" : "sys/fs/cgroup/cpuset",
                         &cpusets);
        if (r == -ENOMEM)
                return r;
        r = round_read(round, "proc/stat", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                r = stat_line(round, line, buffer_slice(&cpusets));
                if (r < 0)
                        bad = r;
        }

        return bad;
}
