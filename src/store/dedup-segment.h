/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The slots of one Dedup, by key: extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979).
 *
 * The directory has 2^bits entries and is indexed by the top bits of key.high. A segment of depth d holds
 * the keys that agree in the first d of them, so it stands in 2^(bits - d) entries in a row, of which the
 * first alone keeps its count. Within a segment key.low says where to begin, and the next free slot is
 * taken.
 *
 * A table begins with one segment of SEGMENT_MIN slots that doubles up to SEGMENT_SLOTS; from then on the
 * segments, all of that size, split one at a time, and adding never moves more than one of them. What an
 * eviction leaves is put together again as far as it fits. Nothing is allocated while there is no slot. */

#include "store/dedup-slot.h"

#define SEGMENT_MIN 8u
#define SEGMENT_SLOTS 512u

typedef struct Segment {
        Slot *slots;
        uint16_t capacity; /* a power of two */
        uint16_t n;        /* slots in use; in the first entry of a row only */
        uint8_t depth;
} Segment;

typedef struct SlotTable {
        Segment *directory; /* NULL: empty */
        unsigned bits;
        size_t n;      /* slots in use */
        size_t memory; /* bytes of the segments and the slots' blocks */
} SlotTable;

void table_done(SlotTable *t); /* the table is empty and usable again */

/* Takes over a slot whose key is not there yet. 0; -ENOMEM, with everything as it was. */
int table_add(SlotTable *t, const Slot *s);

/* Makes an empty table ready for `n` keys, all of them hashes, that come in the order of the directory: what
 * comes first is much denser than the whole, and would be refused. table_fit() behind the last. -ENOMEM. */
int table_expect(SlotTable *t, size_t n);

/* Drops the slots whose time is before `before_ms`; returns how many. Looks at segments until it has seen
 * `n_slots` slots, beginning at *cursor, which it moves on; 0 is the beginning, and the end. Needs no
 * memory.
 */
size_t table_evict(SlotTable *t, int64_t before_ms, size_t n_slots, size_t *cursor);

void table_fit(SlotTable *t); /* gives back what its directory, or its only segment, does not need */

size_t table_memory(const SlotTable *t); /* bytes held, the directory and what the heap adds included */

/* How many entries of the directory in a row the segment stands in. */
static inline size_t row_length(const SlotTable *t, const Segment *g) {
        return (size_t) 1 << (t->bits - g->depth);
}

static inline Segment *table_segment(const SlotTable *t, DedupKey key) {
        return &t->directory[(key.high >> 1) >> (63 - t->bits)]; /* in two steps, as bits may be 0 */
}

static inline Slot *table_find(const SlotTable *t, DedupKey key) {
        const Segment *g;

        if (!t->directory)
                return NULL;

        g = table_segment(t, key);
        for (size_t i = key.low;; i++) {
                Slot *s = &g->slots[i & (g->capacity - 1u)];

                if (s->key.low == key.low && s->key.high == key.high && s->used)
                        return s;
                if (!s->used)
                        return NULL;
        }
}

/* Two lines: at the load the segments have, the second saves as much again as the first.
 * The empty asm tells gcc that there is an effect: a function that only prefetches counts as one without,
 * and its calls are dropped. */
static inline void table_prefetch(const SlotTable *t, DedupKey key) {
        const Segment *g;
        const Slot *s;

        if (!t->directory)
                return;

        g = table_segment(t, key);
        s = &g->slots[key.low & (g->capacity - 1u)];
        __builtin_prefetch(s, 1);
        __builtin_prefetch(s + 1, 1);
        __asm__ volatile("");
}
