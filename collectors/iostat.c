/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* iostat: the counters of block devices, from /proc/diskstats (Documentation/admin-guide/iostats.rst of the
 * kernel), and what follows from two rounds of them: svctm, r_await, w_await, await (ms) and util (percent).
 *
 * Names are those of tcollector's iostat.py: whole disks under iostat.disk, all else under iostat.part, so
 * that the sum over a metric counts an operation once. A whole disk is what /sys/block has, RAM disks
 * excepted; without sysfs the old rule stands in (minor a multiple of 16). A device mapper's `dev` is its
 * name in /dev/mapper.
 *
 * Left out: devices that have neither read nor written anything (idle loop and RAM devices). Derived values
 * need /sys/block, and a sample of the round before: there are none in the first round, nor where a counter
 * has gone back (the device is another one, or the counter has wrapped). */

#include <limits.h>
#include <stdio.h>

#include "lib/collector.h"
#include "lib/text.h"

#define DEVICES_MAX 16384u
#define RAM_MAJOR 1u
#define N_HEAD 3u      /* major, minor, name */
#define N_BASIC 11u    /* counters since 2.6.25, partitions since then too */
#define N_DISCARDS 15u /* since 4.18 */
#define N_FLUSHES 17u  /* since 5.5 */
#define N_OLD_PART 4u  /* of a partition before 2.6.25 */

enum {
        READ_REQUESTS,
        READ_SECTORS = 2,
        READ_MSEC,
        WRITE_REQUESTS,
        WRITE_SECTORS = 6,
        WRITE_MSEC,
        BUSY_MSEC = 9,
};

static const struct {
        const char *name;
        const char *bytes; /* the same in bytes, where it counts sectors of 512 */
} counters[] = {
        { "read_requests", NULL },          { "read_merged", NULL },
        { "read_sectors", "read_bytes" },   { "msec_read", NULL },
        { "write_requests", NULL },         { "write_merged", NULL },
        { "write_sectors", "write_bytes" }, { "msec_write", NULL },
        { "ios_in_progress", NULL },        { "msec_total", NULL },
        { "msec_weighted_total", NULL },    { "discards_requests", NULL },
        { "discards_merged", NULL },        { "sectors_discarded", NULL },
        { "msecs_discard", NULL },          { "flush_requests", NULL },
        { "msecs_flushing", NULL },
};
static_assert(ELEMENTSOF(counters) == N_FLUSHES, "name every counter");

static const char *const old_part_counters[] = { "read_issued", "read_sectors", "write_issued",
                                                 "write_sectors" };
static_assert(ELEMENTSOF(old_part_counters) == N_OLD_PART, "name every counter");

typedef struct Device {
        uint64_t major, minor;
        Slice name;
        uint64_t v[N_FLUSHES];
        size_t n; /* of v: N_OLD_PART, N_BASIC, N_DISCARDS or N_FLUSHES */
        bool in_sysfs;
} Device;

typedef struct Sample {
        uint64_t major, minor;
        uint64_t reads, writes, read_msec, write_msec, busy_msec;
} Sample;

typedef struct Samples {
        Sample *items;             /* in the order of /proc/diskstats */
        size_t n, allocated, next; /* next: where the one asked for is likely to be */
} Samples;

typedef struct State {
        Samples before, now;
        uint64_t uptime_msec;  /* of the round before; 0: unknown */
        uint64_t elapsed_msec; /* since then; 0: unknown */
} State;

/* Of a line with `n` counters; 0: there is no such line. */
static size_t known_counters(size_t n) {
        if (n < N_BASIC)
                return n == N_OLD_PART ? n : 0;
        if (n < N_DISCARDS)
                return N_BASIC;

        return n < N_FLUSHES ? N_DISCARDS : N_FLUSHES;
}

/* 0, or -EBADMSG. Columns that a later kernel may add are ignored. */
static int device_parse(Slice line, Device *ret) {
        Slice words[N_HEAD + N_FLUSHES];
        size_t n = text_words(line, words, ELEMENTSOF(words));
        Device d = {};

        if (n < N_HEAD + N_OLD_PART || !slice_to_uint64(words[0], &d.major) ||
            !slice_to_uint64(words[1], &d.minor))
                return -EBADMSG;

        d.name = words[2];
        n -= N_HEAD;
        d.n = known_counters(n);
        if (d.n == 0)
                return -EBADMSG;
        for (size_t i = 0; i < d.n; i++)
                if (!slice_to_uint64(words[N_HEAD + i], &d.v[i]))
                        return -EBADMSG;

        *ret = d;
        return 0;
}

static bool device_is_idle(const Device *d) {
        if (d->n == N_OLD_PART)
                return d->v[0] == 0 && d->v[2] == 0;

        return d->v[READ_REQUESTS] == 0 && d->v[WRITE_REQUESTS] == 0;
}

/* "sys/block/NAME" and what is behind it. sysfs has '!' where a name has '/'. */
static const char *sysfs_path(const Device *d, const char *suffix, char buf[static PATH_MAX]) {
        size_t n = MIN(d->name.n, (size_t) NAME_MAX);
        char *name = buf + sizeof("sys/block/") - 1;

        (void) snprintf(buf, PATH_MAX, "sys/block/%.*s%s", (int) n, d->name.p, suffix);
        for (size_t i = 0; i < n; i++)
                if (name[i] == '/')
                        name[i] = '!';

        return buf;
}

static bool device_is_disk(const Round *round, const Device *d) {
        if (d->major == RAM_MAJOR)
                return false;
        if (round_has(round, "sys/block"))
                return d->in_sysfs;

        return d->minor % 16 == 0;
}

static const Sample *samples_find(Samples *s, const Device *d) {
        for (size_t i = 0; i < s->n; i++) {
                const Sample *at = &s->items[(s->next + i) % s->n];

                if (at->major == d->major && at->minor == d->minor) {
                        s->next = (size_t) (at - s->items) + 1;
                        return at;
                }
        }

        return NULL;
}

static int samples_add(Samples *s, const Device *d, const Sample **ret) {
        if (s->n == DEVICES_MAX)
                return -ENOBUFS;
        if (s->n == s->allocated) {
                size_t more = s->allocated > 0 ? s->allocated * 2 : 16;
                Sample *p = reallocarray(s->items, more, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                s->items = p;
                s->allocated = more;
        }

        s->items[s->n] = (Sample) {
                .major = d->major,
                .minor = d->minor,
                .reads = d->v[READ_REQUESTS],
                .writes = d->v[WRITE_REQUESTS],
                .read_msec = d->v[READ_MSEC],
                .write_msec = d->v[WRITE_MSEC],
                .busy_msec = d->v[BUSY_MSEC],
        };
        *ret = &s->items[s->n++];
        return 0;
}

static double ratio(uint64_t msec, uint64_t n) {
        return n > 0 ? (double) msec / (double) n : 0;
}

static void emit_derived(const Round *round, const char *prefix, const Sample *a, const Sample *b,
                         const Tags *tags) {
        const State *state = round->state;
        uint64_t reads, writes, read_msec, write_msec, busy_msec;

        if (__builtin_sub_overflow(b->reads, a->reads, &reads) ||
            __builtin_sub_overflow(b->writes, a->writes, &writes) ||
            __builtin_sub_overflow(b->read_msec, a->read_msec, &read_msec) ||
            __builtin_sub_overflow(b->write_msec, a->write_msec, &write_msec) ||
            __builtin_sub_overflow(b->busy_msec, a->busy_msec, &busy_msec))
                return;

        emit_fixed(round->out, prefix, SLICE("svctm"), ratio(busy_msec, reads + writes), tags);
        emit_fixed(round->out, prefix, SLICE("r_await"), ratio(read_msec, reads), tags);
        emit_fixed(round->out, prefix, SLICE("w_await"), ratio(write_msec, writes), tags);
        emit_fixed(round->out, prefix, SLICE("await"), ratio(read_msec + write_msec, reads + writes), tags);
        if (state->elapsed_msec > 0)
                emit_fixed(round->out, prefix, SLICE("util"),
                           MIN(100 * ratio(busy_msec, state->elapsed_msec), 100.0), tags);
}

static void emit_counters(Emit *out, const char *prefix, const Device *d, const Tags *tags) {
        uint64_t bytes;

        for (size_t i = 0; i < d->n; i++) {
                if (d->n == N_OLD_PART) {
                        emit_number(out, prefix, slice_from_string(old_part_counters[i]), d->v[i], tags);
                        continue;
                }
                emit_number(out, prefix, slice_from_string(counters[i].name), d->v[i], tags);
                if (counters[i].bytes && !__builtin_mul_overflow(d->v[i], (uint64_t) 512, &bytes))
                        emit_number(out, prefix, slice_from_string(counters[i].bytes), bytes, tags);
        }
}

static int collect_device(const Round *round, Device *d) {
        State *state = round->state;
        char path[PATH_MAX], buf[256];
        const Sample *before, *now;
        const char *prefix;
        Slice mapper;
        Tags tags;
        int r;

        d->in_sysfs = round_has(round, sysfs_path(d, "", path));
        prefix = device_is_disk(round, d) ? "iostat.disk." : "iostat.part.";

        tags_reset(&tags);
        r = round_read_small(round, sysfs_path(d, "/dm/name", path), buf, sizeof(buf), &mapper);
        tags_add(&tags, "dev", r >= 0 && mapper.n > 0 ? mapper : d->name);
        emit_counters(round->out, prefix, d, &tags);
        if (!d->in_sysfs || d->n == N_OLD_PART)
                return 0;

        r = samples_add(&state->now, d, &now);
        if (r < 0)
                return r;
        before = samples_find(&state->before, d);
        if (before)
                emit_derived(round, prefix, before, now, &tags);
        return 0;
}

/* "1488.14 2936.32" -> 1488140; 0: unknown. */
static uint64_t uptime_read(const Round *round) {
        char buf[64];
        Slice text, word, whole;
        uint64_t sec, hundredths;

        if (round_read_small(round, "proc/uptime", buf, sizeof(buf), &text) < 0 ||
            !text_word(&text, &word) || !slice_cut(&word, '.', &whole) || word.n != 2 ||
            !slice_to_uint64(whole, &sec) || !slice_to_uint64(word, &hundredths) || sec > UINT32_MAX)
                return 0;

        return sec * 1000 + hundredths * 10;
}

static void round_begin(const Round *round) {
        State *state = round->state;
        uint64_t uptime = uptime_read(round);
        Samples last = TAKE(state->before);

        state->before = TAKE(state->now);
        state->now = (Samples) { .items = last.items, .allocated = last.allocated };
        state->elapsed_msec =
                state->uptime_msec > 0 && uptime > state->uptime_msec ? uptime - state->uptime_msec : 0;
        state->uptime_msec = uptime;
}

static int collect_diskstats(const Round *round) {
        Slice text, line;
        Device d;
        int r, bad = 0;

        round_begin(round);
        r = round_read(round, "proc/diskstats", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                r = device_parse(line, &d);
                if (r >= 0 && !device_is_idle(&d))
                        r = collect_device(round, &d);
                if (r < 0)
                        bad = r;
        }

        return bad;
}

static void state_done(void *p) {
        State *state = p;

        free(state->before.items);
        free(state->now.items);
}

static const CollectorPart parts[] = { { .path = "proc/diskstats", .collect = collect_diskstats } };

static const CollectorSpec spec = {
        .name = "iostat",
        .summary = "Operations, bytes and times of the block devices, from /proc/diskstats.",
        .interval_sec = 60,
        .parts = parts,
        .n_parts = ELEMENTSOF(parts),
        .state_size = sizeof(State),
        .done = state_done,
};

COLLECTOR_MAIN(spec);
