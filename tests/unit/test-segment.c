/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mman.h>

#include "store/segment.h"
#include "unit/spool-rig.h"

#define N_RECORDS 4u

typedef struct Image {
        Buffer bytes;
        uint64_t offsets[N_RECORDS];
        RecordHeader headers[N_RECORDS];
} Image;

/* A segment of four records, five lines each. */
static void make_image(Image *i) {
        SegmentHeader h = { .sequence = 1, .position = 1000, .line = 7 };
        uint64_t position = h.position, line = h.line;

        segment_header_seal(&h);
        assert_int_equal(buffer_add(&i->bytes, (Slice) { (char *) &h, sizeof(h) }), 0);
        for (unsigned k = 0; k < N_RECORDS; k++) {
                _cleanup_(buffer_done) Buffer lines = {};
                RecordHeader *record = &i->headers[k];

                spool_lines_add(&lines, 1 + 5 * k, 5);
                *record = (RecordHeader) { .position = position, .line = line };
                record_header_seal(record, buffer_slice(&lines));
                i->offsets[k] = i->bytes.n;
                assert_int_equal(buffer_add(&i->bytes, (Slice) { (char *) record, sizeof(*record) }), 0);
                assert_int_equal(buffer_add(&i->bytes, buffer_slice(&lines)), 0);
                position += record->length;
                line += record->lines;
        }
}

static void image_done(Image *i) {
        buffer_done(&i->bytes);
}

static int image_fd(Slice s) {
        int fd = memfd_create("segment", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, s.p, s.n, 0), s.n);
        return fd;
}

static void test_headers(void **state _unused_) {
        _cleanup_(image_done) Image i = {};
        SegmentHeader h;
        RecordHeader record;

        make_image(&i);
        memcpy(&h, i.bytes.data, sizeof(h));
        assert_int_equal(segment_header_verify(&h), 0);
        h.layout++;
        assert_int_equal(segment_header_verify(&h), -EBADMSG);

        for (size_t bit = 0; bit < 8 * sizeof(h); bit++) {
                memcpy(&h, i.bytes.data, sizeof(h));
                ((char *) &h)[bit / 8] ^= (char) (1 << bit % 8);
                assert_int_equal(segment_header_verify(&h), -EBADMSG);
        }
        for (size_t bit = 0; bit < 8 * sizeof(record); bit++) {
                record = i.headers[1];
                assert_true(record_header_is_good(&record));
                ((char *) &record)[bit / 8] ^= (char) (1 << bit % 8);
                assert_false(record_header_is_good(&record));
        }
}

static void test_lines(void **state _unused_) {
        _cleanup_(image_done) Image i = {};
        RecordHeader *h = &i.headers[2];
        Slice lines;
        char *p;

        make_image(&i);
        p = i.bytes.data + i.offsets[2] + sizeof(*h);
        lines = (Slice) { p, h->length };
        assert_true(record_is_good(h, guarded_slice(lines)));
        assert_false(record_is_good(h, (Slice) { p, h->length - 1 }));
        for (size_t bit = 0; bit < 8 * lines.n; bit++) {
                p[bit / 8] ^= (char) (1 << bit % 8);
                assert_false(record_is_good(h, lines));
                p[bit / 8] ^= (char) (1 << bit % 8);
        }
}

static void test_find(void **state _unused_) {
        _cleanup_(image_done) Image i = {};

        make_image(&i);
        for (size_t from = 0; from <= i.bytes.n; from++) {
                Slice s = guarded_slice((Slice) { i.bytes.data + from, i.bytes.n - from });
                size_t want = s.n;

                for (unsigned k = N_RECORDS; k > 0; k--)
                        if (i.offsets[k - 1] >= from)
                                want = i.offsets[k - 1] - from;
                assert_int_equal(record_find(s), want);
        }
        for (size_t n = 0; n <= i.offsets[0] + sizeof(RecordHeader); n++) {
                Slice s = guarded_slice((Slice) { i.bytes.data, n });

                assert_int_equal(record_find(s), n < i.offsets[0] + sizeof(RecordHeader) ? n : i.offsets[0]);
        }
}

/* From any offset the next record is found, and none whose end is cut off or that is not to be expected. */
static void test_next(void **state _unused_) {
        static const struct {
                const char *name;
                unsigned place, want; /* records; N_RECORDS: none */
                uint64_t more_position, more_line, limit;
                uint64_t cut;
        } cases[] = {
                { "the first", 0, 0, 0, 0, SEGMENT_NUMBER_MAX, 0 },
                { "the last", 3, 3, 0, 0, SEGMENT_NUMBER_MAX, 0 },
                { "the last is cut short", 3, 4, 0, 0, SEGMENT_NUMBER_MAX, 1 },
                { "of another position", 1, 2, 1, 0, SEGMENT_NUMBER_MAX, 0 },
                { "of another line", 1, 2, 0, 1, SEGMENT_NUMBER_MAX, 0 },
                { "beyond the limit", 1, 4, 0, 0, 1000, 0 },
        };
        _cleanup_(image_done) Image i = {};
        _cleanup_(close_fdp) int fd = -1;

        make_image(&i);
        fd = image_fd(buffer_slice(&i.bytes));
        for (size_t k = 0; k < ELEMENTSOF(cases); k++) {
                const RecordHeader *at = &i.headers[cases[k].place];
                SegmentPlace place = { i.offsets[cases[k].place], at->position + cases[k].more_position,
                                       at->line + cases[k].more_line };
                RecordHeader h;
                uint64_t offset;
                int r = segment_next(fd, i.bytes.n - cases[k].cut, &place, cases[k].limit, &h, &offset);

                if (r != (cases[k].want < N_RECORDS))
                        fail_msg("%s: %d", cases[k].name, r);
                if (r > 0 && offset != i.offsets[cases[k].want])
                        fail_msg("%s: at %ju", cases[k].name, (uintmax_t) offset);
        }
}

/* A record behind more damage than is looked through at a time, at every alignment to it that may matter. */
static void test_far(void **state _unused_) {
        const size_t chunk = 64 << 10;
        _cleanup_(image_done) Image i = {};
        _cleanup_(freep) char *bytes = calloc(1, 3 * chunk);

        make_image(&i);
        assert_non_null(bytes);
        for (size_t at = 2 * chunk - 140; at < 2 * chunk + 10; at++) {
                size_t n = sizeof(RecordHeader) + i.headers[0].length;
                _cleanup_(close_fdp) int fd = -1;
                SegmentPlace place = {};
                RecordHeader h;
                uint64_t offset = 0;

                memset(bytes, 0, 3 * chunk);
                memcpy(bytes + at, i.bytes.data + i.offsets[0], n);
                fd = image_fd((Slice) { bytes, 3 * chunk });
                assert_int_equal(segment_next(fd, 3 * chunk, &place, SEGMENT_NUMBER_MAX, &h, &offset), 1);
                assert_int_equal(offset, at);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_headers), cmocka_unit_test(test_lines), cmocka_unit_test(test_find),
                cmocka_unit_test(test_next),    cmocka_unit_test(test_far),
        };

        return run_tap(tests);
}
