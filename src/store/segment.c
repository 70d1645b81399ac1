/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/lines.h"
#include "store/segment.h"

static uint64_t segment_checksum(const SegmentHeader *h) {
        return XXH3_64bits(h, offsetof(SegmentHeader, checksum));
}

static uint64_t record_checksum(const RecordHeader *h) {
        return XXH3_64bits(h, offsetof(RecordHeader, checksum));
}

void segment_header_seal(SegmentHeader *h) {
        h->magic = SEGMENT_MAGIC;
        h->layout = SEGMENT_LAYOUT;
        h->checksum = segment_checksum(h);
}

int segment_header_verify(const SegmentHeader *h) {
        if (h->magic != SEGMENT_MAGIC || h->checksum != segment_checksum(h))
                return -EBADMSG;
        if (h->layout != SEGMENT_LAYOUT)
                return -EPROTO;
        if (h->position > SEGMENT_NUMBER_MAX || h->line > SEGMENT_NUMBER_MAX)
                return -EBADMSG;

        return 0;
}

void record_header_seal(RecordHeader *h, Slice lines) {
        assert(lines.n > 0 && lines.n <= RECORD_BYTES_MAX && lines.p[lines.n - 1] == '\n');

        h->magic = RECORD_MAGIC;
        h->length = (uint32_t) lines.n;
        h->lines = (uint32_t) lines_count(lines);
        h->lines_checksum = XXH3_64bits(lines.p, lines.n);
        h->checksum = record_checksum(h);
}

bool record_header_is_good(const RecordHeader *h) {
        return h->magic == RECORD_MAGIC && h->checksum == record_checksum(h) && h->length > 0 &&
               h->length <= RECORD_BYTES_MAX && h->lines > 0 && h->lines <= h->length &&
               h->position <= SEGMENT_NUMBER_MAX && h->line <= SEGMENT_NUMBER_MAX;
}

bool record_is_good(const RecordHeader *h, Slice lines) {
        return lines.n == h->length && lines.p[lines.n - 1] == '\n' &&
               h->lines_checksum == XXH3_64bits(lines.p, lines.n) && lines_count(lines) == h->lines;
}

size_t record_find(Slice s) {
        const uint64_t magic = RECORD_MAGIC;
        size_t at = 0;

        while (s.n - at >= sizeof(RecordHeader)) {
                const char *hit = memmem(s.p + at, s.n - at, &magic, sizeof(magic));
                RecordHeader h;

                if (!hit || (size_t) (s.p + s.n - hit) < sizeof(h))
                        return s.n;

                memcpy(&h, hit, sizeof(h));
                at = (size_t) (hit - s.p);
                if (record_header_is_good(&h))
                        return at;

                at++;
        }

        return s.n;
}
