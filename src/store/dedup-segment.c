/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mman.h>

#include "store/dedup-segment.h"

#define FULL(capacity) ((capacity) / 8 * 7)     /* beyond it the runs of used slots get long */
#define MERGE_MAX (FULL(SEGMENT_SLOTS) / 4 * 3) /* what two halves may hold together to become one again */
#define SPARSE 16u                              /* the directory has fewer entries than a 16th of the keys */
#define CURSOR_BITS (8 * sizeof(size_t))

/* Segments of full size are mapped, so that an eviction gives their memory back to the system and not to a
 * heap full of holes. Where a page is larger than a segment that would be a waste. */
static bool slots_are_mapped(size_t capacity) {
        return capacity == SEGMENT_SLOTS && SEGMENT_SLOTS * SLOT_SIZE % (size_t) sysconf(_SC_PAGESIZE) == 0;
}

static size_t slots_bytes(size_t capacity) {
        return slots_are_mapped(capacity) ? capacity * SLOT_SIZE : heap_bytes(capacity * SLOT_SIZE);
}

static Slot *slots_new(SlotTable *t, size_t capacity) {
        size_t n = capacity * SLOT_SIZE;
        Slot *slots;

        if (slots_are_mapped(capacity)) {
                slots = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (slots == MAP_FAILED)
                        return NULL;
        } else {
                slots = aligned_alloc(SLOT_SIZE, n);
                if (!slots)
                        return NULL;
                memset(slots, 0, n);
        }

        t->memory += slots_bytes(capacity);
        return slots;
}

static void slots_free(SlotTable *t, Slot *slots, size_t capacity) {
        t->memory -= slots_bytes(capacity);
        if (slots_are_mapped(capacity))
                (void) munmap(slots, capacity * SLOT_SIZE);
        else
                free(slots);
}

/* Puts it into the next free slot; the caller has seen to it that there is one. */
static void segment_put(Segment *g, const Slot *s) {
        size_t i = s->key.low;

        while (g->slots[i & (g->capacity - 1u)].used)
                i++;

        g->slots[i & (g->capacity - 1u)] = *s;
        g->n++;
}

static void segment_put_all(Segment *g, const Slot *from, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (from[i].used)
                        segment_put(g, &from[i]);
}

static Segment *row_first(const SlotTable *t, Segment *g) {
        return t->directory + ((size_t) (g - t->directory) & ~(row_length(t, g) - 1));
}

static void row_set(const SlotTable *t, Segment *first, Segment g) {
        for (size_t i = 0; i < row_length(t, &g); i++)
                first[i] = g;
}

static size_t directory_bytes(unsigned bits) {
        return ((size_t) 1 << bits) * sizeof(Segment);
}

/* The directory keeps as many of its entries as fit. */
static int directory_resize(SlotTable *t, unsigned bits) {
        Segment *p = realloc(t->directory, directory_bytes(bits));

        if (!p)
                return -ENOMEM;

        t->directory = p;
        t->bits = bits;
        return 0;
}

/* A segment splits at half a thousand keys: only keys that are no hashes could ask for a sparser one. */
static int directory_double(SlotTable *t) {
        size_t n = (size_t) 1 << t->bits;
        int r;

        if (2 * n > t->n / SPARSE)
                return -ENOMEM;
        r = directory_resize(t, t->bits + 1);
        if (r < 0)
                return r;

        for (size_t i = n; i-- > 0;)
                t->directory[2 * i] = t->directory[2 * i + 1] = t->directory[i];

        return 0;
}

static int table_begin(SlotTable *t) {
        Segment g = { .slots = slots_new(t, SEGMENT_MIN), .capacity = SEGMENT_MIN };

        if (!g.slots)
                return -ENOMEM;
        if (directory_resize(t, 0) < 0) {
                slots_free(t, g.slots, g.capacity);
                return -ENOMEM;
        }

        t->directory[0] = g;
        return 0;
}

/* A split tells keys apart by a bit each time, and they are at most twice as dense in one place as in
 * another (dedup.c): in none of them do hashes need more bits than two beyond what the sparsest ones need.
 */
int table_expect(SlotTable *t, size_t n) {
        Segment g = { .capacity = SEGMENT_SLOTS };
        unsigned bits = 2;

        assert(!t->directory);
        if (n <= FULL(SEGMENT_SLOTS))
                return 0;
        while (n / 4 * 3 >> (bits - 2) > FULL(SEGMENT_SLOTS))
                bits++;

        g.slots = slots_new(t, g.capacity);
        if (!g.slots)
                return -ENOMEM;
        if (directory_resize(t, bits) < 0) {
                slots_free(t, g.slots, g.capacity);
                return -ENOMEM;
        }

        row_set(t, t->directory, g);
        return 0;
}

void table_done(SlotTable *t) {
        for (size_t i = 0; t->directory && i < (size_t) 1 << t->bits;) {
                Segment *g = &t->directory[i];

                i += row_length(t, g);
                for (size_t j = 0; j < g->capacity; j++)
                        slot_release(&g->slots[j], &t->memory);
                slots_free(t, g->slots, g->capacity);
        }

        free(t->directory);
        *t = (SlotTable) {};
}

/* Moves the only segment into one of another capacity. */
static int segment_resize(SlotTable *t, size_t capacity) {
        Segment g = { .slots = slots_new(t, capacity), .capacity = (uint16_t) capacity };
        Segment old = t->directory[0];

        assert(t->bits == 0);
        if (!g.slots)
                return -ENOMEM;

        segment_put_all(&g, old.slots, old.capacity);
        slots_free(t, old.slots, old.capacity);
        t->directory[0] = g;
        return 0;
}

/* Moves the keys whose next bit is set to a segment of their own. */
static int segment_split(SlotTable *t, Segment *first) {
        Segment low = *first, high = { .slots = slots_new(t, SEGMENT_SLOTS), .capacity = SEGMENT_SLOTS };
        uint64_t bit = UINT64_C(1) << (63 - first->depth);
        Slot old[SEGMENT_SLOTS];

        assert(low.capacity == SEGMENT_SLOTS);
        if (!high.slots)
                return -ENOMEM;

        memcpy(old, low.slots, sizeof(old));
        memset(low.slots, 0, sizeof(old));
        low.n = 0;
        high.depth = ++low.depth;
        for (size_t i = 0; i < SEGMENT_SLOTS; i++)
                if (old[i].used)
                        segment_put(old[i].key.high & bit ? &high : &low, &old[i]);

        row_set(t, first, low);
        row_set(t, first + row_length(t, &low), high);
        return 0;
}

static int table_make_room(SlotTable *t, Segment *first) {
        if (first->capacity < SEGMENT_SLOTS)
                return segment_resize(t, first->capacity * 2u);
        if (first->depth == t->bits)
                return directory_double(t);

        return segment_split(t, first);
}

int table_add(SlotTable *t, const Slot *s) {
        Segment *g;
        int r = t->directory ? 0 : table_begin(t);

        if (r < 0)
                return r;

        for (;;) {
                g = row_first(t, table_segment(t, s->key));
                if (g->n < FULL(g->capacity))
                        break;

                r = table_make_room(t, g);
                if (r < 0)
                        return r;
        }

        segment_put(g, s);
        t->n++;
        return 0;
}

/* Takes all out and puts back what stays: closes the gaps, in place. */
static size_t segment_evict(SlotTable *t, Segment *first, int64_t before_ms) {
        size_t n = first->n, n_stale = 0;
        Slot old[SEGMENT_SLOTS];

        for (size_t i = 0; i < first->capacity; i++)
                n_stale += first->slots[i].used && first->slots[i].time_ms < before_ms;
        if (n_stale == 0)
                return 0;

        memcpy(old, first->slots, first->capacity * SLOT_SIZE);
        memset(first->slots, 0, first->capacity * SLOT_SIZE);
        first->n = 0;
        for (size_t i = 0; i < first->capacity; i++) {
                if (old[i].used && old[i].time_ms < before_ms) {
                        slot_release(&old[i], &t->memory);
                        old[i].used = false;
                }
        }
        segment_put_all(first, old, first->capacity);

        assert(first->n == n - n_stale);
        return n_stale;
}

/* Puts a segment into the one before it that differs from it in its last bit only, as often as they fit with
 * room to spare. Returns the first entry of the row it then has. */
static Segment *segment_merge(SlotTable *t, Segment *g) {
        for (;;) {
                size_t row = row_length(t, g), i = (size_t) (g - t->directory);
                Segment *low;

                if (g->depth == 0 || !(i & row))
                        return g;

                low = g - row;
                if (low->depth != g->depth || (unsigned) low->n + g->n > MERGE_MAX)
                        return g;

                segment_put_all(low, g->slots, g->capacity);
                slots_free(t, g->slots, g->capacity);
                low->depth--;
                row_set(t, low, *low);
                g = low;
        }
}

static bool directory_can_halve(const SlotTable *t) {
        if (t->bits == 0)
                return false;
        for (size_t i = 0; i < (size_t) 1 << t->bits; i++)
                if (t->directory[i].depth == t->bits)
                        return false;

        return true;
}

static void directory_halve(SlotTable *t) {
        for (size_t i = 0; i < (size_t) 1 << (t->bits - 1); i++)
                t->directory[i] = t->directory[2 * i];
        if (directory_resize(t, t->bits - 1) < 0)
                t->bits--; /* the entries stay, unused */
}

/* Makes the only segment as small as leaves it half empty. Without memory it stays as it is. */
static void segment_fit(SlotTable *t) {
        size_t capacity = SEGMENT_MIN;

        while (capacity / 2 < t->n)
                capacity *= 2;
        if (capacity < t->directory[0].capacity)
                (void) segment_resize(t, capacity);
}

void table_fit(SlotTable *t) {
        if (t->n == 0) {
                table_done(t);
                return;
        }

        while (directory_can_halve(t))
                directory_halve(t);
        if (t->bits == 0)
                segment_fit(t);
}

/* From the left to the right, so that a segment finds the one it fits into looked at already. The cursor is
 * the keys' top bits: it stands for the same keys however the directory grows in between. */
size_t table_evict(SlotTable *t, int64_t before_ms, size_t n_slots, size_t *cursor) {
        size_t i = t->bits > 0 ? *cursor >> (CURSOR_BITS - t->bits) : 0, n = 0;

        if (!t->directory) {
                *cursor = 0;
                return 0;
        }

        for (size_t looked = 0; looked < n_slots;) {
                Segment *g = row_first(t, &t->directory[i]);
                size_t gone = segment_evict(t, g, before_ms);

                n += gone;
                t->n -= gone;
                looked += g->capacity;
                g = segment_merge(t, g);
                i = (size_t) (g - t->directory) + row_length(t, g);
                if (i == (size_t) 1 << t->bits) {
                        i = 0;
                        break;
                }
        }

        if (i == 0 || t->n == 0)
                table_fit(t);
        *cursor = i > 0 && t->bits > 0 ? i << (CURSOR_BITS - t->bits) : 0;
        return n;
}

size_t table_memory(const SlotTable *t) {
        return t->memory + (t->directory ? heap_bytes(directory_bytes(t->bits)) : 0);
}
