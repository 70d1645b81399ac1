/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* procstats: what /proc says of the host as a whole: uptime, memory, paging, CPU time, load, entropy,
 * interrupts, NUMA allocation, and how fast the CPUs may and do run.
 *
 * Names are those of tcollector's procstats.py. Two of its errors are mended:
 * - proc.stat.cpu: the kernel's columns are user nice system idle iowait irq softirq steal guest guest_nice;
 * the old list lacked steal, so that steal was called guest, and guest guest_nice. --legacy-cpu brings that
 * back.
 * - proc.uptime.now is the idle time summed over CPUs. It stays, and proc.uptime.idle is the same by its
 * name. In proc.interrupts and proc.softirqs, `cpu` is the number in the file's own heading. Rows of single
 * interrupt lines are left out, but for those of network cards as kernels before 3.x named them
 * (PCI-MSI-edge, eth); the queues of one card (eth0-1, eth0-2) are summed. */

#include "procstats.h"
#include "lib/text.h"

static int collect_uptime(const Round *round) {
        Slice text, words[2];
        int r;

        r = round_read(round, "proc/uptime", &text);
        if (r < 0)
                return r;
        if (text_words(text, words, 2) < 2 || !text_is_decimal(words[0]) || !text_is_decimal(words[1]))
                return -EBADMSG;

        emit_text(round->out, "proc.uptime.", SLICE("total"), words[0], NULL);
        emit_text(round->out, "proc.uptime.", SLICE("now"), words[1], NULL);
        emit_text(round->out, "proc.uptime.", SLICE("idle"), words[1], NULL);
        return 0;
}

/* "Active(anon)" -> "active_anon" */
static Slice meminfo_name(Slice name, char buf[static 64]) {
        size_t n = MIN(name.n, (size_t) 64);
        Slice s = { buf, n };

        for (size_t i = 0; i < n; i++) {
                char c = name.p[i];
                bool upper = c >= 'A' && c <= 'Z';

                buf[i] = upper ? c - 'A' + 'a' : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
        }
        while (s.n > 0 && s.p[0] == '_') {
                s.p++;
                s.n--;
        }
        while (s.n > 0 && s.p[s.n - 1] == '_')
                s.n--;

        return s;
}

static bool is_kib(Slice unit) {
        return unit.n == 2 && (unit.p[0] | 0x20) == 'k' && (unit.p[1] | 0x20) == 'b';
}

static int collect_meminfo(const Round *round) {
        Slice text, line, name, unit;
        bool bad = false;
        char buf[64];
        uint64_t v;
        int r;

        r = round_read(round, "proc/meminfo", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                if (!slice_cut(&line, ':', &name) || !text_number(&line, &v)) {
                        bad = true;
                        continue;
                }
                name = meminfo_name(name, buf);
                if (text_word(&line, &unit) && is_kib(unit) &&
                    __builtin_mul_overflow(v, (uint64_t) 1024, &v))
                        bad = true;
                else if (name.n > 0)
                        emit_number(round->out, "proc.meminfo.", name, v, NULL);
        }

        return bad ? -EBADMSG : 0;
}

static int collect_vmstat(const Round *round) {
        static const char *const wanted[] = { "pgpgin",  "pgpgout", "pswpin",
                                              "pswpout", "pgfault", "pgmajfault" };
        Slice text, line, name;
        bool bad = false;
        uint64_t v;
        int r;

        r = round_read(round, "proc/vmstat", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                if (!text_word(&line, &name))
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                        if (!slice_equal(name, slice_from_string(wanted[i])))
                                continue;
                        if (text_number(&line, &v))
                                emit_number(round->out, "proc.vmstat.", name, v, NULL);
                        else
                                bad = true;
                }
        }

        return bad ? -EBADMSG : 0;
}

static int collect_loadavg(const Round *round) {
        static const char *const names[] = { "1min", "5min", "15min" };
        Slice text, words[4], runnable;
        uint64_t n_runnable, n_threads;
        int r;

        r = round_read(round, "proc/loadavg", &text);
        if (r < 0)
                return r;
        if (text_words(text, words, 4) < 4 || !text_is_decimal(words[0]) || !text_is_decimal(words[1]) ||
            !text_is_decimal(words[2]))
                return -EBADMSG;
        if (!slice_cut(&words[3], '/', &runnable) || !slice_to_uint64(runnable, &n_runnable) ||
            !slice_to_uint64(words[3], &n_threads))
                return -EBADMSG;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                emit_text(round->out, "proc.loadavg.", slice_from_string(names[i]), words[i], NULL);
        emit_number(round->out, "proc.loadavg.", SLICE("runnable"), n_runnable, NULL);
        emit_number(round->out, "proc.loadavg.", SLICE("total_threads"), n_threads, NULL);
        return 0;
}

static int collect_entropy(const Round *round) {
        uint64_t bits;
        int r;

        r = round_read_number(round, "proc/sys/kernel/random/entropy_avail", &bits);
        if (r < 0)
                return r;

        emit_number(round->out, "proc.kernel.", SLICE("entropy_avail"), bits, NULL);
        return 0;
}

static int set_legacy_cpu(void *state, const char *value _unused_) {
        ProcStats *s = state;

        s->legacy_cpu = true;
        return 0;
}

static const CollectorOption options[] = {
        { "legacy-cpu", NULL, "steal as type=guest, guest as type=guest_nice", set_legacy_cpu },
};

#define EVERY_MINUTE 4u /* rounds of the default interval */

static const CollectorPart parts[] = {
        { .path = "proc/uptime", .collect = collect_uptime },
        { .path = "proc/meminfo", .collect = collect_meminfo },
        { .path = "proc/vmstat", .collect = collect_vmstat },
        { .path = "proc/stat", .collect = collect_stat },
        { .path = "proc/loadavg", .collect = collect_loadavg },
        { .path = "proc/sys/kernel/random/entropy_avail", .collect = collect_entropy },
        { .path = "proc/interrupts", .collect = collect_interrupts, .every = EVERY_MINUTE },
        { .path = "proc/softirqs", .collect = collect_softirqs, .every = EVERY_MINUTE },
        { .path = "sys/devices/system/node/node*/numastat", .collect = collect_numa },
        { .path = "sys/devices/system/cpu/cpu*/cpufreq", .collect = collect_cpufreq },
};

static const CollectorSpec spec = {
        .name = "procstats",
        .summary = "Memory, CPU, load, interrupts and NUMA statistics of this host, from /proc and /sys.",
        .interval_sec = 15,
        .parts = parts,
        .n_parts = ELEMENTSOF(parts),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .state_size = sizeof(ProcStats),
};

COLLECTOR_MAIN(spec);
