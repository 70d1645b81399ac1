/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The queue of finished lines: a memfd, mapped shared, that outlives its process (systemd's fd store
 * keeps it over a restart, an upgrade and kill -9).
 *
 * Cursors are byte positions that only grow: acked <= sent <= head for each reader; what lies before the
 * smallest acked is free. The data is mapped twice in a row, so a run of bytes is contiguous wherever it
 * begins. Lines are written behind the head, unseen, until ring_commit() makes them part of the queue;
 * whole lines only.
 *
 * The header holds two copies of the state, each with a sequence number and a checksum; ring_commit(),
 * ring_ack() and the others write the older one and leave the newer alone, so a kill at any instruction
 * leaves at least one good copy, with all it says true of the data. One writer and its readers, same
 * thread. */

#include "basic/slice.h"

#define RING_READERS_MAX 8u

typedef struct Ring Ring;

/* Counters that outlive a restart, in the header for whoever owns them; the ring only keeps them. */
#define RING_COUNTERS_MAX 8u

/* Which bytes of which source the last commit took in, so that the next process can finish the
 * consumption of exactly those bytes. n == 0: none pending. */
typedef struct RingPending {
        uint64_t source;   /* hash of the source's name */
        uint64_t n;        /* bytes */
        uint64_t checksum; /* XXH3_64bits of them */
} RingPending;

uint64_t ring_source_hash(Slice name); /* never 0 */
RingPending ring_pending_of(uint64_t source, Slice bytes);

/* A new, empty ring of `size` bytes (rounded up to whole pages, at least 64 KiB) with one reader.
 * -EINVAL: size beyond 1 TiB; otherwise what memfd_create(2), ftruncate(2) or mmap(2) said. */
int ring_new(Ring **ret, size_t size);

/* Takes over a ring another process left. `fd` is taken on success only. Every reader's sent is rewound
 * to its acked. -EBADMSG: it does not verify (no memfd sealed against shrinking and growing, magic,
 * layout, size, checksums, cursors out of order, no newline at the head); -EPROTO: another layout
 * version; otherwise what fstat(2) or mmap(2) said. What does not verify is left as it was. */
int ring_open(Ring **ret, int fd);
Ring *ring_free(Ring *r); /* NULL-safe, returns NULL; the memfd's other holders keep the data */
DEFINE_CLEANUP(Ring *, ring_free);

int ring_fd(const Ring *r);      /* borrowed */
uint64_t ring_id(const Ring *r); /* random, the same for all who open it */

/* -- writing -- */

/* Room for `n` contiguous bytes behind what has been written, or NULL: full. The bytes stay unseen until
 * ring_commit(). Valid until the next call of a writing function but ring_written(). */
char *ring_reserve(Ring *r, size_t n);
/* The first `n` of the reserved bytes are now whole lines; may be called again for those behind them. */
void ring_written(Ring *r, size_t n);
void ring_commit(Ring *r, const RingPending *pending); /* publishes what was written; NULL: none pending */
void ring_cancel(Ring *r);                             /* forgets what was written since the last commit */

/* The last commit's bytes have been consumed at their source. */
void ring_pending_done(Ring *r);
RingPending ring_pending(const Ring *r);

/* -- reading -- */

int ring_add_reader(Ring *r); /* the new reader's number, beginning at the head; -ENOSPC: no more readers */
unsigned ring_n_readers(const Ring *r);

/* All that `reader` has not been given yet: contiguous, whole lines but for one that ring_sent() has cut.
 * Borrowed until the next ring_reserve(), which may move a short queue to the first page. */
Slice ring_peek(const Ring *r, unsigned reader);
void ring_sent(Ring *r, unsigned reader, size_t n); /* the first `n` bytes of it are on their way */
/* All before position `end`, the end of a line, is delivered; it need not have been sent by this reader.
 * A position already acknowledged changes nothing. */
void ring_ack(Ring *r, unsigned reader, uint64_t end);
void ring_rewind(Ring *r, unsigned reader); /* sent goes back to acked; a line cut by ring_sent() too */
/* Every reader begins again at the smallest acked of all; published together with the counters. */
void ring_restart(Ring *r);

/* Positions, in bytes since the ring was made; they only grow. (Where they lie in the memory is the
 * ring's own affair: drained empty, it begins at its first page again, so that an idle agent touches
 * few.) */
uint64_t ring_head(const Ring *r);
uint64_t ring_sent_at(const Ring *r, unsigned reader);
uint64_t ring_acked_at(const Ring *r, unsigned reader);
Slice ring_unacked(const Ring *r, unsigned reader); /* from acked to head, borrowed as ring_peek()'s */

/* -- measures -- */

size_t ring_size(const Ring *r);           /* bytes it can hold */
size_t ring_used(const Ring *r);           /* bytes between the smallest acked and head */
uint64_t ring_lines_queued(const Ring *r); /* lines in them, counted once at open and kept from then on */

uint64_t ring_counter(const Ring *r, unsigned i);
void ring_set_counter(Ring *r, unsigned i, uint64_t value); /* published with the next commit or ack */
