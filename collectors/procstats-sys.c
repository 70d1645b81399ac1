/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /sys: NUMA allocation per node, and the frequencies of the CPUs (cpufreq, kHz). */

#include <stdio.h>

#include "lib/text.h"
#include "procstats.h"

#define LIST_MAX 4096u
#define PATH_SIZE 96u

static const struct {
        const char *key, *metric, *type; /* of numastat; after "sys.numa."; NULL: no such tag */
} numa_rows[] = {
        { "numa_hit", "zoneallocs", "hit" },        { "numa_miss", "zoneallocs", "miss" },
        { "numa_foreign", "foreign_allocs", NULL }, { "local_node", "allocation", "local" },
        { "other_node", "allocation", "remote" },   { "interleave_hit", "interleave", "hit" },
};

static void numa_emit(Emit *out, unsigned node, Slice key, uint64_t v) {
        for (size_t i = 0; i < ELEMENTSOF(numa_rows); i++) {
                Tags tags;

                if (!slice_equal(key, slice_from_string(numa_rows[i].key)))
                        continue;

                tags_reset(&tags);
                tags_add_number(&tags, "node", node);
                if (numa_rows[i].type)
                        tags_add(&tags, "type", slice_from_string(numa_rows[i].type));
                emit_number(out, "sys.numa.", slice_from_string(numa_rows[i].metric), v, &tags);
        }
}

static int collect_node(const Round *round, unsigned node) {
        char path[PATH_SIZE];
        Slice text, line, key;
        uint64_t v;
        int r;

        (void) snprintf(path, sizeof(path), "sys/devices/system/node/node%u/numastat", node);
        r = round_read(round, path, &text);
        if (r < 0)
                return r;

        r = 0;
        while (text_line(&text, &line))
                if (text_word(&line, &key) && text_number(&line, &v))
                        numa_emit(round->out, node, key, v);
                else
                        r = -EBADMSG;

        return r;
}

static int collect_frequencies(const Round *round, unsigned cpu) {
        static const struct {
                const char *metric, *file;
        } rows[] = { { "min", "cpuinfo_min" }, { "max", "cpuinfo_max" }, { "cur", "scaling_cur" } };
        int r, bad = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char path[PATH_SIZE];
                uint64_t khz;
                Tags tags;

                (void) snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/cpufreq/%s_freq", cpu,
                                rows[i].file);
                r = round_read_number(round, path, &khz);
                if (r == -ENOENT && i == 0)
                        return r;
                if (r < 0) {
                        bad = r;
                        continue;
                }

                tags_reset(&tags);
                tags_add_number(&tags, "cpu", cpu);
                emit_number(round->out, "proc.scaling.", slice_from_string(rows[i].metric), khz, &tags);
        }

        return bad;
}

/* Calls `collect` for each number in the list that `path` has. The first failure is returned; a number
 * without the file in question is none. */
static int collect_listed(const Round *round, const char *path,
                          int (*collect)(const Round *round, unsigned n)) {
        char buf[LIST_MAX];
        unsigned first, last;
        int r, bad = 0;
        Slice list;

        r = round_read_small(round, path, buf, sizeof(buf), &list);
        if (r < 0)
                return r;

        while (text_range(&list, &first, &last))
                for (unsigned n = first; n <= last; n++) {
                        r = collect(round, n);
                        if (r < 0 && r != -ENOENT && bad == 0)
                                bad = r;
                }

        return bad;
}

int collect_numa(const Round *round) {
        return collect_listed(round, "sys/devices/system/node/online", collect_node);
}

int collect_cpufreq(const Round *round) {
        return collect_listed(round, "sys/devices/system/cpu/online", collect_frequencies);
}
