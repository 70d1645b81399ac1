/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the spool's files share: spool.c (its life, what to measure), spool-recover.c (opening a folder),
 * spool-write.c (append, room, sync) and spool-read.c (cursors).
 *
 * All accounts are by line numbers. Lines lost to damage are a SpoolRange, found once, by whichever cursor
 * comes there first, and passed over by all. So at any moment
 *     spooled = numbers between the slowest reader's and the head's, the ranges between them aside. */

#include "store/segment.h"
#include "store/spool-state.h"
#include "store/spool.h"

typedef struct SpoolSegment {
        uint64_t sequence; /* its name */
        SpoolPoint first;  /* of what was, or will be, appended first */
        uint64_t size;     /* bytes of the file */
        int fd;            /* -1: not open now */
} SpoolSegment;

typedef struct SpoolRange {
        SpoolPoint from, to;
} SpoolRange;

/* A place among the records. `offset` is where `record` begins, or, while that is not loaded (length 0),
 * where a record at or before `at` does. */
typedef struct SpoolCursor {
        SpoolPoint at; /* the line is exact at a record's begin, and for `acked` everywhere */
        uint64_t sequence, offset;
        RecordHeader record;
} SpoolCursor;

/* The lines of one record, in memory. */
typedef struct SpoolWindow {
        char *data; /* NULL: none */
        size_t allocated;
        uint64_t sequence, offset; /* of the record; offset 0: of none */
} SpoolWindow;

typedef struct SpoolReader {
        SpoolCursor acked, sent;
        SpoolWindow window; /* what it is sending */
} SpoolReader;

struct Spool {
        int dir_fd, state_fd; /* the first holds the lock; the second may be -1: it cannot be written */
        SpoolLimits limits;
        SpoolOnLoss on_loss;
        void *userdata;

        SpoolSegment *segments; /* oldest first; by sequence, so by position too */
        size_t n_segments, n_allocated, n_open;
        bool sealed;   /* nothing may be appended to the last one */
        bool vanished; /* one was found with nothing in it */
        uint64_t next_sequence;
        uint64_t bytes; /* of all segments */

        SpoolPoint head;
        SpoolLast last;     /* end 0: none */
        uint64_t torn_from; /* between what was there at spool_open() and the head that the state knew */
        uint64_t torn_to;

        SpoolReader readers[RING_READERS_MAX];
        unsigned n_readers;
        SpoolWindow window; /* for acknowledging in mid-record, and for recovery */
        SpoolState state;   /* as written last; beyond n_readers it remembers those to be added */

        SpoolRange *ranges; /* lost between the slowest reader and the head, in order */
        size_t n_ranges, n_ranges_allocated;

        uint64_t lost;
        int append_error, sync_error, save_error;
        bool dirty, dir_dirty; /* since the last sync */
        usec_t synced;
        usec_t now;      /* as last told */
        usec_t given_at; /* when a segment last went for want of space; 0: never */
};

#define SEGMENT_SUFFIX ".seg"
#define SEGMENT_NAME_N (16 + sizeof(SEGMENT_SUFFIX)) /* the NUL included */

void segment_name(uint64_t sequence, char ret[static SEGMENT_NAME_N]);

static inline uint64_t record_end(const RecordHeader *h) {
        return h->position + h->length;
}

/* -- spool.c -- */

SpoolPoint spool_floor(const Spool *s); /* the slowest reader's acked */
/* Lines numbered `from` to `to` that are not in a range. */
uint64_t spool_count(const Spool *s, uint64_t from, uint64_t to);
void spool_report(const Spool *s, const SpoolLoss *loss);

/* The number of the first segment of this sequence number or a later one; n_segments: none. */
size_t spool_find(const Spool *s, uint64_t sequence);
/* This process, or the system, has no descriptor or no memory just now: that says nothing of the file. */
static inline bool spool_error_passes(int r) {
        return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}
/* A descriptor of the segment, borrowed until the next call; or -errno. */
int spool_segment_fd(Spool *s, size_t i);
int spool_segment_add(Spool *s, const SpoolSegment *segment); /* behind the others; takes the fd. -ENOMEM */
/* Deletes the file and forgets the segment. 0, or what unlink(2) said: then it is still there. */
int spool_segment_drop(Spool *s, size_t i);

/* -- spool-recover.c -- */

int spool_recover(Spool *s);

/* -- spool-write.c -- */

int spool_state_open(Spool *s); /* makes the file where there is none; 0, or what open(2) said */
void spool_save(Spool *s);      /* writes the state */

/* -- spool-read.c -- */

/* Puts the cursor at the first record. */
void spool_cursor_begin(const Spool *s, SpoolCursor *c, SpoolPoint at);
/* Moves every acked behind what is lost where it stands, forgets what all readers have behind them, and
 * writes that down. */
void spool_settle(Spool *s);
/* Moves acked to the end of the last whole line before `until`, which is at most the head; to be settled. */
void spool_ack_to(Spool *s, SpoolReader *c, uint64_t until);
int spool_window_reserve(SpoolWindow *w, size_t n);
