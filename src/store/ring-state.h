/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stands at the front of a ring's memfd, and whether it may be believed. Pure: nothing here maps or
 * reads a file. For ring.c and its tests.
 *
 *     page 0            RingHeader: a constant part, and two copies of the state
 *     pages 1 to end    the data, header.size bytes
 *
 * The n-th state published goes to copy n % 2, so the two are always the last two published, and one of
 * them is whole while the other is being written. What is torn or damaged is known by its checksum.
 *
 * Position p lies at offset (p - base) % size of the data. base <= the smallest acked < base + size, and
 * head is at most `size` behind the smallest acked. */

#include <stdalign.h>

#include "store/ring.h"

#define RING_MAGIC UINT64_C(0x676e69726c6f6374) /* "tcolring" */
#define RING_LAYOUT 1u                          /* changes with every change to the structs below */

#define RING_SIZE_MIN (UINT64_C(64) * 1024)
#define RING_SIZE_MAX (UINT64_C(1) << 40)
#define RING_NUMBER_MAX (UINT64_C(1) << 62) /* positions, sequence numbers: far from where sums overflow */

typedef struct RingReader {
        uint64_t acked, sent;
} RingReader;

typedef struct RingState {
        uint64_t checksum; /* XXH3_64bits of all that follows, to the last reader in use */
        uint64_t sequence; /* one more at each publication */
        uint64_t base, head;
        uint32_t n_readers;
        uint32_t flags; /* room for a mark of a clean stop; 0 in this layout */
        RingPending pending;
        uint64_t counters[RING_COUNTERS_MAX];
        RingReader readers[RING_READERS_MAX];
} RingState;

typedef struct RingHeader {
        uint64_t magic;
        uint32_t layout;
        uint32_t page; /* bytes before the data: this machine's page size */
        uint64_t size;
        uint64_t id;       /* random: tells this ring from any other, also for what came out of it */
        uint64_t checksum; /* XXH3_64bits of all before it */
        alignas(64) RingState states[2];
} RingHeader;

/* Neither may change without a new RING_LAYOUT. */
static_assert(sizeof(RingState) == 256, "layout of RingState");
static_assert(sizeof(RingHeader) == 576, "layout of RingHeader");

/* The constant part for a ring of `size` bytes; both copies of the state are left invalid. */
void ring_header_init(RingHeader *h, size_t page, size_t size, uint64_t id);

/* Decides what to believe of a header found in a file of `file_size` bytes: *ret is the newer of its
 * copies that are good. -EPROTO: another layout; -EBADMSG: not a ring, of another size or page size, or
 * no copy is good. */
int ring_header_verify(const RingHeader *h, size_t page, uint64_t file_size, RingState *ret);

uint64_t ring_state_checksum(const RingState *s); /* n_readers must be in range */
uint64_t ring_state_floor(const RingState *s);    /* the smallest acked */
