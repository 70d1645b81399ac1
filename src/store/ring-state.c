/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/ring-state.h"

static uint64_t header_checksum(const RingHeader *h) {
        return XXH3_64bits(h, offsetof(RingHeader, checksum));
}

void ring_header_init(RingHeader *h, size_t page, size_t size, uint64_t id) {
        *h = (RingHeader) {
                .magic = RING_MAGIC,
                .layout = RING_LAYOUT,
                .page = (uint32_t) page,
                .size = size,
                .id = id,
        };
        h->checksum = header_checksum(h);
}

uint64_t ring_state_checksum(const RingState *s) {
        const char *from = (const char *) &s->sequence, *to = (const char *) &s->readers[s->n_readers];

        return XXH3_64bits(from, (size_t) (to - from));
}

uint64_t ring_state_floor(const RingState *s) {
        uint64_t floor = s->head;

        for (size_t i = 0; i < s->n_readers; i++)
                floor = MIN(floor, s->readers[i].acked);

        return floor;
}

static bool cursors_are_good(const RingState *s, uint64_t size) {
        uint64_t floor = ring_state_floor(s);

        for (size_t i = 0; i < s->n_readers; i++)
                if (s->readers[i].acked > s->readers[i].sent || s->readers[i].sent > s->head)
                        return false;

        return s->head <= RING_NUMBER_MAX && s->head - floor <= size && s->base <= floor &&
               floor - s->base < size;
}

static bool state_is_good(const RingHeader *h, size_t i) {
        const RingState *s = &h->states[i];

        return s->n_readers >= 1 && s->n_readers <= RING_READERS_MAX &&
               s->checksum == ring_state_checksum(s) && s->sequence % 2 == i &&
               s->sequence <= RING_NUMBER_MAX && cursors_are_good(s, h->size);
}

int ring_header_verify(const RingHeader *h, size_t page, uint64_t file_size, RingState *ret) {
        bool good[2];

        if (h->magic != RING_MAGIC)
                return -EBADMSG;
        if (h->layout != RING_LAYOUT)
                return -EPROTO;
        if (h->checksum != header_checksum(h) || h->page != page)
                return -EBADMSG;
        if (h->size < RING_SIZE_MIN || h->size > RING_SIZE_MAX || h->size % page != 0 ||
            file_size != page + h->size)
                return -EBADMSG;

        good[0] = state_is_good(h, 0);
        good[1] = state_is_good(h, 1);
        if (!good[0] && !good[1])
                return -EBADMSG;

        *ret = h->states[!good[0] || (good[1] && h->states[1].sequence > h->states[0].sequence)];
        return 0;
}

uint64_t ring_source_hash(Slice name) {
        return XXH3_64bits(name.p, name.n) | 1;
}

RingPending ring_pending_of(uint64_t source, Slice bytes) {
        return (RingPending) { .source = source, .n = bytes.n, .checksum = XXH3_64bits(bytes.p, bytes.n) };
}
