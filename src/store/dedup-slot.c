/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/dedup-slot.h"

#define BLOCK_STEP 32u /* some room to spare, as times and values grow slowly */

typedef struct Block {
        uint16_t capacity;
        char text[];
} Block;

/* The pointer stands where the text would: it is not aligned, so it is copied in and out. */
static Block *slot_block(const Slot *s) {
        Block *b;

        assert(s->spilled);
        memcpy(&b, s->text, sizeof(b));
        return b;
}

static size_t block_bytes(const Block *b) {
        return heap_bytes(sizeof(*b) + b->capacity);
}

void slot_release(Slot *s, size_t *memory) {
        if (s->spilled) {
                Block *b = slot_block(s);

                *memory -= block_bytes(b);
                free(b);
        }

        s->spilled = false;
        s->value_n = s->when_n = 0;
}

/* Room for `n` bytes of text, or NULL: no memory, nothing changed. */
static char *slot_room(Slot *s, size_t n, size_t *memory) {
        size_t capacity = (n + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP;
        Block *b;

        if (n <= SLOT_TEXT_MAX) {
                slot_release(s, memory);
                return s->text;
        }
        if (s->spilled && slot_block(s)->capacity >= n)
                return slot_block(s)->text;

        b = malloc(sizeof(*b) + capacity);
        if (!b)
                return NULL;

        slot_release(s, memory);
        b->capacity = (uint16_t) capacity;
        memcpy(s->text, &b, sizeof(b));
        s->spilled = true;
        *memory += block_bytes(b);
        return b->text;
}

int slot_set_long_text(Slot *s, Slice value, Slice when, size_t *memory) {
        char *text;

        assert(value.n + when.n <= POINT_LINE_MAX);

        text = slot_room(s, value.n + when.n, memory);
        if (!text)
                return -ENOMEM;

        copy_short(text, value.p, value.n);
        copy_short(text + value.n, when.p, when.n);
        s->value_n = (uint16_t) value.n;
        s->when_n = (uint16_t) when.n;
        return 0;
}

const char *slot_long_text(const Slot *s) {
        return slot_block(s)->text;
}

void slot_get(const Slot *s, DedupLast *ret) {
        memcpy(ret->text, s->spilled ? slot_long_text(s) : s->text, (size_t) s->value_n + s->when_n);
        ret->value = (Slice) { ret->text, s->value_n };
        ret->when = (Slice) { ret->text + s->value_n, s->when_n };
        ret->time_ms = s->time_ms;
}
