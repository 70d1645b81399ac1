/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The queue of finished lines: the ring (memory), and the spool (disk) under it, read as one.
 *
 *     acked        sent                 B               head      positions, in bytes
 *       |------------|------- spool ----|---- ring ------|
 *
 * One space of positions, which only grow; what is older than the boundary B is in the spool, what is newer
 * in the ring, and readers pass from one to the other without noticing. Lines are written to the ring, by
 * its own functions. When it is nearly full its oldest lines move to the tail of the spool (queue_spill());
 * their positions stay, so what is in flight simply moves underneath.
 *
 * Without a spool the queue is the ring under another name. Same thread as the ring. */

#include "basic/backoff.h"
#include "store/ring.h"
#include "store/spool.h"

typedef struct Queue Queue;

/* Takes up what ring and spool hold. What a killed process had written to the spool and not yet taken out of
 * the ring is known by the ring's identity and its positions, and taken out now. Nothing counts as sent.
 * `ring` and `spool` (NULL: memory only) are borrowed for the queue's life. -ENOMEM. */
int queue_new(Queue **ret, Ring *ring, Spool *spool);
Queue *queue_free(Queue *q); /* NULL-safe, returns NULL; ring and spool keep what they hold */
DEFINE_CLEANUP(Queue *, queue_free);

/* -- reading: as the ring's functions of these names -- */

/* The new reader's number. It begins where a reader of that number in the spool's state stood, else at the
 * head; to be called before lines are written. -ENOSPC: no more readers. */
int queue_add_reader(Queue *q);
unsigned queue_n_readers(const Queue *q);

/* Is there something that `reader` has not been given? */
bool queue_has_more(const Queue *q, unsigned reader);
/* What `reader` is to be given next: contiguous, whole lines but for one that queue_sent() has cut; not
 * all there is, but something where there is something (unless what was left of the spool is damaged).
 * Borrowed until the next call of any function of this queue that is not const, or ring_reserve(). */
Slice queue_peek(Queue *q, unsigned reader);
void queue_sent(Queue *q, unsigned reader,
                size_t n); /* the first `n` bytes of the last peek are on their way */
bool queue_in_mid_line(const Queue *q, unsigned reader); /* the last byte sent did not end a line */

/* All whole lines before `until` are delivered, which is at most the head; how many they are that had not
 * been acknowledged before (lines that were lost in between aside). */
uint64_t queue_ack(Queue *q, unsigned reader, uint64_t until);
void queue_rewind(Queue *q, unsigned reader); /* sent goes back to acked; a line cut by queue_sent() too */

/* Every reader begins again at the smallest position acknowledged by any, those included that have not been
 * added and that the spool's state knows of; these are then forgotten. */
void queue_restart(Queue *q);

uint64_t queue_head(const Queue *q);
uint64_t queue_sent_at(const Queue *q, unsigned reader);
uint64_t queue_acked_at(const Queue *q,
                        unsigned reader); /* may move on without queue_ack() where lines are lost */

/* -- moving to the disk: called by the owner, behind every turn of the loop -- */

/* Where the ring is over 3/4 full, moves its oldest lines to the spool until it is half empty, at most 4 MiB
 * a call. While no line is spooled it waits until nothing has been acknowledged for five seconds: a server
 * that is only slower than the collectors makes these wait instead. (Not where queue_new() found it so full:
 * the process before has waited; nor where `one_waits`: a server that has everything would wait for another
 * one's slowness.) The same where the spool is at its bound, so that old lines are lost to new ones only
 * when nothing moves. 1: something has moved, so the ring has room; 0: there was nothing to do; negative:
 * what the spool said, once for each try; it is tried again with back-off. `now`: CLOCK_MONOTONIC. */
int queue_spill(Queue *q, usec_t now, bool one_waits);
/* For a clean stop: all that is in the ring moves to the spool, and the disk has it when 0 is returned. It
 * may take what else is kept free for others: what stays in the ring is lost with it. -ENOENT: there is no
 * spool; otherwise what the spool said, and the rest stays in the ring. */
int queue_flush_to_spool(Queue *q);

/* -- measures: sent + inherited = acked + lines_queued + lines_spooled + lost (SPEC.md section 4) -- */

size_t queue_size(const Queue *q);            /* bytes the ring can hold */
size_t queue_used(const Queue *q);            /* bytes in the ring */
uint64_t queue_lines_queued(const Queue *q);  /* in the ring */
uint64_t queue_lines_spooled(const Queue *q); /* on disk */
uint64_t queue_lines(const Queue *q);         /* both */
uint64_t queue_inherited(const Queue *q);     /* lines found in both at queue_new() */
uint64_t queue_lost(const Queue *q);          /* lines of the spool lost since then */
const Ring *queue_ring(const Queue *q);
const Spool *queue_spool(const Queue *q); /* NULL: memory only */
