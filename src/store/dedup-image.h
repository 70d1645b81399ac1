/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A table of slots as bytes, for the next process on this machine. For dedup.c.
 *
 *     ImageHead    how many series there are, and the seed of their keys
 *     series       ImageSeries, then value and time text, without a gap
 *     checksum     XXH3_64bits of all before it, 8 bytes
 *
 * Nothing in it is aligned. Its size is known only by going through it, which is done, and the checksum
 * compared, before anything is allocated. */

#include "store/dedup-segment.h"

#define IMAGE_MAGIC UINT64_C(0x70756465646c6f63) /* "coldedup" */

/* Changes with every change to the structs below, to what the times and texts in a slot mean, and to how a
 * key is made (dedup.c). */
#define IMAGE_LAYOUT 1u

typedef struct ImageHead {
        uint64_t magic;
        uint32_t layout;
        uint32_t reserved; /* 0 */
        uint64_t seed;
        uint64_t n; /* series */
} ImageHead;
static_assert(sizeof(ImageHead) == 32, "layout of ImageHead");

typedef struct ImageSeries {
        DedupKey key;
        int64_t time_ms;
        uint16_t value_n, when_n;
        uint32_t repeated; /* 0 or 1 */
} ImageSeries;
static_assert(sizeof(ImageSeries) == 32, "layout of ImageSeries");

int image_write(const SlotTable *t, uint64_t seed, DedupWrite write, void *userdata); /* -errno of `write` */

/* Cuts an image off `from` and fills the table, which is empty, with at most `max` of its series. -EBADMSG:
 * it is none; -ENOMEM. On failure the table is to be cleared by its owner. */
int image_read(Slice *from, size_t max, SlotTable *t, uint64_t *ret_seed);
