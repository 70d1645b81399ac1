/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The queue on disk: a folder of segment files with records of whole lines (store/segment.h), read in order
 * by up to RING_READERS_MAX readers, each with acked <= sent <= head. One writer and its readers, one
 * process (a lock on the folder), one thread.
 *
 * Positions are bytes, given by whoever appends; they only grow, and may leave gaps. Lines are numbered
 * through, so that damage is known by the number of lines it took. What has been appended and synced
 * survives a power cut, what has been appended survives a kill. A segment goes when all readers have
 * acknowledged it, or, past the bound, when it is the oldest; then its lines are lost, counted and reported.
 *
 * No failure of the disk is fatal: the function returns it, spool_error() says it until something has been
 * written again, and reading goes on with what can be read. */

#include "basic/slice.h"
#include "store/ring.h"

typedef struct Spool Spool;

#define SPOOL_BATCH_MAX ((size_t) 1 << 20) /* bytes of lines in one append */

typedef struct SpoolLimits {
        uint64_t size;        /* bytes on disk, at least two segments' worth; beyond it the oldest go */
        uint64_t segment;     /* bytes of one file; 0: a 16th of size, between 1 and 64 MiB */
        uint64_t reserve;     /* of the file system, in thousandths: never taken; 50 is 5 % */
        usec_t sync_interval; /* 0: 1 s */
} SpoolLimits;

typedef enum SpoolWhy {
        SPOOL_FULL,       /* the oldest segment went, as the spool was at its bound */
        SPOOL_NO_SPACE,   /* the same, as the file system was */
        SPOOL_DAMAGED,    /* a record, or its header, does not verify */
        SPOOL_UNREADABLE, /* the disk refused to read it */
        SPOOL_TORN,       /* the tail had not reached the disk; what there is of it is cut off */
        SPOOL_FOREIGN,    /* a file that is not ours; it is left alone, and no line is lost */
        _SPOOL_WHY_MAX,
} SpoolWhy;

const char *spool_why_to_string(SpoolWhy w); /* "full", "no-space", ...; NULL: out of range */

typedef struct SpoolLoss {
        SpoolWhy why;
        const char *file; /* its name in the folder; borrowed */
        uint64_t lines;   /* lost; 0: none, or none that is known of: those of a torn tail follow when a
                           * reader comes there, if the state knew of them */
        uint64_t bytes;   /* of the file */
} SpoolLoss;

/* Called for each loss, from spool_open() and every function that is not const; must not call the spool. */
typedef void (*SpoolOnLoss)(void *userdata, const SpoolLoss *loss);

/* Which ring lines came from, so that what is in both is known after a kill. */
typedef struct SpoolOrigin {
        uint64_t ring;     /* its identity */
        uint64_t position; /* in its positions */
} SpoolOrigin;

/* Takes over the folder, which is made by the caller; `dir_fd` is borrowed for the call. Torn tails are cut
 * off, what is acknowledged stays so. One reader.
 * -EBUSY: another process has it; -EMFILE, -ENFILE, -ENOMEM: it is to be tried again; or what opening and
 * reading the folder said. A read-only folder opens: spool_error() says -EROFS or the like. */
int spool_open(Spool **ret, int dir_fd, const SpoolLimits *limits, SpoolOnLoss on_loss, void *userdata);
Spool *spool_free(Spool *s);         /* NULL-safe, returns NULL; does not sync */
bool spool_has_segments(int dir_fd); /* for who opens none: is there a file in the folder as a spool has? */
DEFINE_CLEANUP(Spool *, spool_free);

/* Tells it CLOCK_MONOTONIC, for what it does at most every 30 s; until it is told, it does so at any time.
 */
void spool_set_time(Spool *s, usec_t now);

/* From now on the file system's reserve may be taken, too: where the alternative is to lose what is to go to
 * the disk. */
void spool_use_reserve(Spool *s);

/* Appends whole lines (at most SPOOL_BATCH_MAX bytes) at `position`, which is at or behind the head. For
 * readers that stand at the head they are the next, but what is before acked[reader] (NULL: nothing) is
 * acknowledged already; the state on disk learns both at once.
 * Where the file system lacks space the oldest segments go only if that is enough, and then none for 30 s.
 * -ENOSPC: nothing more may be taken; or what the disk said: nothing was appended. */
int spool_append(Spool *s, Slice lines, uint64_t position, const SpoolOrigin *origin, const uint64_t *acked);
/* Makes durable what has been appended and acknowledged, if the interval has passed. 0; or what fsync(2)
 * said, or, where the state could not be written and still cannot, write(2). `now`: CLOCK_MONOTONIC;
 * USEC_INFINITY: at once. */
int spool_sync(Spool *s, usec_t now);

/* -- reading -- */

int spool_add_reader(Spool *s); /* the new reader's number; begins as queue_add_reader()'s; -ENOSPC */
unsigned spool_n_readers(const Spool *s);

/* The lines behind sent, to the end of their record; empty: there are none. Borrowed until the next call
 * that is not const. */
Slice spool_peek(Spool *s, unsigned reader);
void spool_sent(Spool *s, unsigned reader,
                uint64_t position); /* sent is there now, if it was not behind it */
/* As queue_ack(). */
uint64_t spool_ack(Spool *s, unsigned reader, uint64_t until);
/* For all readers, which the state learns of at once: until acked[i] each. */
void spool_ack_all(Spool *s, const uint64_t *acked);
void spool_rewind(Spool *s, unsigned reader);
void spool_restart(Spool *s); /* as queue_restart() */

uint64_t spool_head(const Spool *s);
uint64_t spool_sent_at(const Spool *s, unsigned reader);
uint64_t spool_acked_at(const Spool *s, unsigned reader);

/* What spool_open() found to have been appended last, or what has been since. */
typedef struct SpoolLast {
        SpoolOrigin origin; /* of what would follow it */
        uint64_t end;
        bool saved; /* the state knows of it; else a kill came between the two */
} SpoolLast;

bool spool_last(const Spool *s, SpoolLast *ret); /* false: nothing */

/* -- measures -- */

bool spool_is_empty(const Spool *s);  /* no reader has anything unacknowledged */
uint64_t spool_lines(const Spool *s); /* that some reader has not acknowledged */
uint64_t spool_lost(const Spool *s);  /* lines, since spool_open() */
uint64_t spool_bytes(const Spool *s); /* on disk */
size_t spool_n_segments(const Spool *s);
/* Would appending `n` bytes cost the oldest segment, or be refused for want of room? */
bool spool_would_drop(Spool *s, size_t n);
int spool_error(const Spool *s); /* 0: the last thing that was written or synced went well */
