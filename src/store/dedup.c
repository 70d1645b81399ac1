/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules of SPEC.md section 3, on top of a table of slots (dedup-segment.h).
 *
 * A slot's time is when the series took its value; its text has that value and the time text of the last
 * line seen. `repeated` says that this line was suppressed: the line of rule 4 that is still owed. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/dedup-image.h"

struct Dedup {
        DedupLimits limits;
        uint64_t seed;
        SlotTable table;
};

int dedup_new(Dedup **ret, const DedupLimits *limits, uint64_t seed) {
        Dedup *d = malloc(sizeof(*d));

        if (!d)
                return -ENOMEM;

        *d = (Dedup) { .limits = *limits, .seed = seed };
        *ret = d;
        return 0;
}

Dedup *dedup_free(Dedup *d) {
        if (!d)
                return NULL;

        table_done(&d->table);
        free(d);
        return NULL;
}

void dedup_set_limits(Dedup *d, const DedupLimits *limits) {
        d->limits = *limits;
        if (limits->interval_ms == 0)
                table_done(&d->table);
}

/* Segments of evenly spread keys all fill and split at the same time, and the memory per series swings by a
 * factor of two. The curve y = (2x + x^2) / 3 on 0..1 makes keys twice as dense at one end of the directory
 * as at the other, so that at any time some segments have just been split and others are about to be: the
 * memory per series is the same at any number of them. */
static uint64_t skew(uint64_t h) {
        uint64_t x = h >> 32, y = (2 * x + (x * x >> 32)) / 3;

        return y << 32 | (h & UINT32_MAX);
}

/* The tags are hashed under the hash of the metric, so no byte can pass from one to the other. */
DedupKey dedup_key(const Dedup *d, const Point *p) {
        XXH128_hash_t m = XXH3_128bits_withSeed(p->metric.p, p->metric.n, d->seed);
        XXH128_hash_t t = XXH3_128bits_withSeed(p->tags.p, p->tags.n, d->seed ^ m.low64);

        return (DedupKey) { .low = t.low64 ^ m.high64, .high = skew(t.high64 ^ m.low64) };
}

void dedup_prefetch(const Dedup *d, DedupKey key) {
        table_prefetch(&d->table, key);
}

/* Not inlined: the slot on its stack would cost every check as much again. */
static __attribute__((__noinline__)) DedupAction dedup_add(Dedup *d, DedupKey key, const Point *p) {
        Slot s = { .key = key, .time_ms = p->time_ms, .used = true };

        if (d->table.n >= d->limits.max_series)
                return DEDUP_OVERFLOW;
        if (slot_set_text(&s, p->value, p->when, &d->table.memory) < 0)
                return DEDUP_OVERFLOW;
        if (table_add(&d->table, &s) < 0) {
                slot_release(&s, &d->table.memory);
                return DEDUP_OVERFLOW;
        }

        return DEDUP_SEND;
}

/* There is no memory for the texts, so what is stored of the series is no longer true. With no value and
 * time 0 the next line is sent, whatever it is. */
static DedupAction dedup_forget(Dedup *d, Slot *s, DedupAction action) {
        slot_release(s, &d->table.memory);
        s->time_ms = 0;
        s->repeated = false;
        return action == DEDUP_SEND_BOTH ? DEDUP_SEND_BOTH : DEDUP_OVERFLOW;
}

static bool is_repetition(const DedupLimits *l, const Slot *s, const Point *p) {
        return p->time_ms - s->time_ms < l->interval_ms && (p->zero || !l->only_zero);
}

DedupAction dedup_check(Dedup *d, DedupKey key, const Point *p, DedupLast *ret_last) {
        DedupAction action = DEDUP_SEND;
        bool same;
        Slot *s;

        if (d->limits.interval_ms == 0)
                return DEDUP_SEND;
        s = table_find(&d->table, key);
        if (!s)
                return dedup_add(d, key, p);
        if (p->time_ms <= s->time_ms) {
                slot_get(s, ret_last);
                return DEDUP_OUT_OF_ORDER;
        }

        same = slot_has_value(s, p->value);
        if (same && is_repetition(&d->limits, s, p)) {
                if (slot_set_when(s, p->value, p->when, &d->table.memory) < 0)
                        return dedup_forget(d, s, DEDUP_SUPPRESS);

                s->repeated = true;
                return DEDUP_SUPPRESS;
        }

        /* A line that is not a repetition was sent itself: there is no corner to keep. */
        if (s->repeated && !same) {
                slot_get(s, ret_last);
                action = DEDUP_SEND_BOTH;
        }
        if (slot_set_text(s, p->value, p->when, &d->table.memory) < 0)
                return dedup_forget(d, s, action);

        s->time_ms = p->time_ms;
        s->repeated = false;
        return action;
}

size_t dedup_evict(Dedup *d, int64_t before_ms) {
        return dedup_evict_some(d, before_ms, SIZE_MAX, &(size_t) { 0 });
}

size_t dedup_evict_some(Dedup *d, int64_t before_ms, size_t n, size_t *cursor) {
        return table_evict(&d->table, before_ms, n, cursor);
}

int dedup_save(const Dedup *d, DedupWrite write, void *userdata) {
        return image_write(&d->table, d->seed, write, userdata);
}

int dedup_load(Dedup **ret, const DedupLimits *limits, Slice *from) {
        _cleanup_(dedup_freep) Dedup *d = NULL;
        int r;

        r = dedup_new(&d, limits, 0);
        if (r < 0)
                return r;

        r = image_read(from, limits->interval_ms > 0 ? limits->max_series : 0, &d->table, &d->seed);
        if (r < 0)
                return r;

        *ret = TAKE(d);
        return 0;
}

size_t dedup_n_series(const Dedup *d) {
        return d->table.n;
}

size_t dedup_memory(const Dedup *d) {
        return heap_bytes(sizeof(*d)) + table_memory(&d->table);
}
