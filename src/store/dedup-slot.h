/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is remembered of one series: exactly one cache line, so that a check costs one miss.
 *
 * The text is the value, followed by the time of the last line seen. It stands in the slot where it fits, as
 * ordinary ones do; otherwise (`spilled`) the slot's text is the address of a block on the heap, which is
 * kept while the texts fit it and freed when they fit the slot again. A slot of zeroes is free.
 *
 * Slots are moved by assignment. `memory` is wherever their owner keeps the bytes of all blocks. */

#include "store/dedup.h"

#define SLOT_SIZE 64u
#define SLOT_TEXT_MAX 35u

typedef struct Slot {
        _Alignas(SLOT_SIZE) DedupKey key;
        int64_t time_ms; /* when the series took its value */
        uint16_t value_n, when_n;
        uint8_t used : 1, repeated : 1, spilled : 1;
        char text[SLOT_TEXT_MAX];
} Slot;
static_assert(sizeof(Slot) == SLOT_SIZE, "one series is one cache line");
static_assert(POINT_LINE_MAX <= UINT16_MAX, "the lengths fit");

void slot_get(const Slot *s, DedupLast *ret);
void slot_release(Slot *s, size_t *memory); /* frees the block, if there is one; the slot then has no text */

/* What the inline functions below leave to a call: texts that do not stand in the slot. */
const char *slot_long_text(const Slot *s); /* borrowed; `s` is spilled */
int slot_set_long_text(Slot *s, Slice value, Slice when, size_t *memory);

/* What an allocation of `n` bytes takes from the heap: malloc's word in front, and its rounding. */
static inline size_t heap_bytes(size_t n) {
        return MAX((n + sizeof(size_t) + 15) & ~(size_t) 15, (size_t) 32);
}

static inline uint64_t load64(const char *p) {
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return v;
}

static inline uint32_t load32(const char *p) {
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return v;
}

/* memcmp() == 0 and memcpy() for the few bytes a value or a time has: words that overlap cover them. The
 * calls would be more than half of what a check costs. */
static inline bool equal_short(const char *a, const char *b, size_t n) {
        if (_unlikely_(n > 16))
                return memcmp(a, b, n) == 0;
        if (n >= 8)
                return load64(a) == load64(b) && load64(a + n - 8) == load64(b + n - 8);
        if (n >= 4)
                return load32(a) == load32(b) && load32(a + n - 4) == load32(b + n - 4);

        return n == 0 || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

static inline void copy_short(char *to, const char *from, size_t n) {
        if (_unlikely_(n > 16)) {
                memcpy(to, from, n);
                return;
        }
        if (n >= 8) {
                memcpy(to, from, 8);
                memcpy(to + n - 8, from + n - 8, 8);
                return;
        }
        if (n >= 4) {
                memcpy(to, from, 4);
                memcpy(to + n - 4, from + n - 4, 4);
                return;
        }
        if (n == 0)
                return;

        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
}

static inline bool slot_has_value(const Slot *s, Slice value) {
        const char *text = _unlikely_(s->spilled) ? slot_long_text(s) : s->text;

        return s->value_n == value.n && equal_short(text, value.p, value.n);
}

/* Stores both texts. 0; -ENOMEM, and the slot is as it was. */
static inline int slot_set_text(Slot *s, Slice value, Slice when, size_t *memory) {
        if (_unlikely_(s->spilled || value.n + when.n > SLOT_TEXT_MAX))
                return slot_set_long_text(s, value, when, memory);

        copy_short(s->text, value.p, value.n);
        copy_short(s->text + value.n, when.p, when.n);
        s->value_n = (uint16_t) value.n;
        s->when_n = (uint16_t) when.n;
        return 0;
}

/* The same for a line with the value that is stored already. */
static inline int slot_set_when(Slot *s, Slice value, Slice when, size_t *memory) {
        if (_unlikely_(s->spilled || value.n + when.n > SLOT_TEXT_MAX))
                return slot_set_long_text(s, value, when, memory);

        copy_short(s->text + value.n, when.p, when.n);
        s->when_n = (uint16_t) when.n;
        return 0;
}
