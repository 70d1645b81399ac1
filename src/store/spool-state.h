/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The spool's file "state": where its readers and its head stand. Two copies in blocks of their own, written
 * in turn, so that one is whole whenever the power goes; the newer good one counts. Losing both costs no
 * line: what had been delivered of what is still there is delivered once more. */

#include "store/ring.h"

#define SPOOL_STATE_NAME "state"

typedef struct SpoolPoint {
        uint64_t position, line;
} SpoolPoint;

typedef struct SpoolState {
        uint64_t magic;
        uint32_t layout, n_readers;
        uint64_t sequence; /* one more each time */
        SpoolPoint head;
        SpoolPoint acked[RING_READERS_MAX];
        uint64_t checksum; /* XXH3_64bits of all before it */
} SpoolState;

static_assert(sizeof(SpoolState) == 176, "layout of SpoolState");

/* The newer good copy. 0; -ENODATA: there is none; or what pread(2) said. */
int spool_state_read(int fd, SpoolState *ret);
/* Writes `s` over the older copy, under the next sequence number. 0, or what pwrite(2) said. */
int spool_state_write(int fd, SpoolState *s);
