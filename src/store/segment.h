/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One file of the spool: a header, and records behind it, each with a header of its own.
 *
 *     SegmentHeader | RecordHeader lines | RecordHeader lines | ...
 *
 * A record is whole lines, `length` bytes of them, `lines` in number. All that is needed to place it is in
 * its header, so a damaged segment header costs nothing, and a damaged record itself alone: the next one is
 * found by its magic number, which no line can contain, and its checksum. Positions and line numbers grow
 * from record to record; a gap in the line numbers tells how many were lost.
 *
 * Numbers are in this machine's byte order. Files are read with pread(2), not mapped: a disk that fails
 * says so, rather than with SIGBUS. */

#include "basic/slice.h"

#define SEGMENT_MAGIC UINT64_C(0x81006765736c6f63) /* "colseg", 0, no character */
#define RECORD_MAGIC UINT64_C(0x82006365726c6f63)  /* "colrec", 0, no character */
#define SEGMENT_LAYOUT 1u                          /* changes with every change to the structs below */

#define RECORD_BYTES_MAX ((size_t) 1 << 20)    /* lines in a record: what a reader needs in memory */
#define SEGMENT_NUMBER_MAX (UINT64_C(1) << 62) /* positions, line numbers: far from where sums overflow */

typedef struct SegmentHeader {
        uint64_t magic;
        uint32_t layout, reserved;
        uint64_t sequence;
        uint64_t position, line; /* of what is appended first */
        uint64_t unused[2];
        uint64_t checksum; /* XXH3_64bits of all before it */
} SegmentHeader;

typedef struct RecordHeader {
        uint64_t magic;
        uint64_t position;     /* of its first byte, in the queue's positions */
        uint64_t line;         /* number of its first line */
        uint64_t ring, origin; /* the ring it came from, and its position there */
        uint32_t length, lines;
        uint64_t lines_checksum; /* XXH3_64bits of the lines */
        uint64_t checksum;       /* XXH3_64bits of all before it */
} RecordHeader;

/* Neither may change without a new SEGMENT_LAYOUT. */
static_assert(sizeof(SegmentHeader) == 64, "layout of SegmentHeader");
static_assert(sizeof(RecordHeader) == 64, "layout of RecordHeader");

/* -- pure -- */

void segment_header_seal(SegmentHeader *h); /* fills in magic, layout and checksum */
/* 0; -EBADMSG: it does not verify; -EPROTO: it does, and has another layout. */
int segment_header_verify(const SegmentHeader *h);

/* Fills in magic, lengths and checksums; `lines` are 1 to RECORD_BYTES_MAX bytes of whole lines. */
void record_header_seal(RecordHeader *h, Slice lines);
bool record_header_is_good(const RecordHeader *h);
bool record_is_good(const RecordHeader *h, Slice lines); /* of a good header */
/* Where in `s` the first good record header begins; s.n: nowhere. */
size_t record_find(Slice s);

/* -- files -- */

/* Where a record is expected. */
typedef struct SegmentPlace {
        uint64_t offset; /* in the file */
        uint64_t position, line;
} SegmentPlace;

/* The first good record header at or behind place->offset, in a file of `size` bytes, whose record fits in
 * there, is not before the place's position and line nor further behind in lines than in bytes, and ends at
 * or before position `limit`. Its lines have not been looked at. *ret_offset is where the header begins. 1;
 * 0: there is none; negative: there is none in what could be read, and what pread(2) said. */
int segment_next(int fd, uint64_t size, const SegmentPlace *place, uint64_t limit, RecordHeader *ret,
                 uint64_t *ret_offset);

/* Reads exactly `n` bytes. 0; -ENODATA: the file is shorter; or what pread(2) said. */
int segment_read(int fd, uint64_t offset, void *p, size_t n);
/* Reads the lines of the record at `offset` to `p`. As segment_read(); -EBADMSG: they do not verify. */
int segment_read_lines(int fd, uint64_t offset, const RecordHeader *h, char *p);

/* Writes header and lines at `offset`. 0, or what pwritev(2) said: then some of it may be there. */
int segment_write(int fd, uint64_t offset, const RecordHeader *h, Slice lines);
