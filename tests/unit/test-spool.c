/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "store/segment.h"
#include "unit/spool-rig.h"

#define FIRST_SEGMENT "0000000000000001.seg"
#define LINES_MAX 20000u

static uint64_t seen[LINES_MAX];

static void write_file(SpoolRig *r, const char *name, Slice content) {
        _cleanup_(close_fdp) int fd =
                openat(r->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, content), 0);
}

static void read_file(SpoolRig *r, const char *name, Buffer *b) {
        b->n = 0;
        assert_int_equal(file_read_at(r->dir_fd, name, 64 << 20, b), 0);
}

static void assert_numbers(uint64_t first, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(seen[i], first + i);
}

/* -- in and out -- */

static void test_round(void **state) {
        SpoolRig *r = *state;

        spool_rig_open(r);
        assert_true(spool_is_empty(r->spool));
        assert_int_equal(spool_peek(r->spool, 0).n, 0);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(spool_rig_append(r, 20), 0);

        assert_int_equal(spool_lines(r->spool), 2000);
        assert_true(spool_n_segments(r->spool) > 10);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 2000);
        assert_numbers(1, 2000);
        assert_true(spool_is_empty(r->spool));
        assert_int_equal(spool_lines(r->spool), 0);
        assert_int_equal(spool_bytes(r->spool), 0);
        assert_int_equal(spool_n_segments(r->spool), 0);

        assert_int_equal(spool_rig_append(r, 3), 0);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 3);
        assert_numbers(2001, 3);
        assert_int_equal(r->losses.calls, 0);
        assert_int_equal(spool_error(r->spool), 0);
}

static void test_lock(void **state) {
        SpoolRig *r = *state;
        Spool *other = NULL;

        spool_rig_open(r);
        assert_int_equal(spool_open(&other, r->dir_fd, &r->limits, NULL, NULL), -EBUSY);
        assert_null(other);
        spool_rig_close(r);
        spool_rig_open(r);
}

/* What is acknowledged, in the middle of a record too, stays so over a restart. */
static void test_reopen(void **state) {
        SpoolRig *r = *state;
        uint64_t want = 1;

        spool_rig_open(r);
        for (unsigned i = 0; i < 60; i++)
                assert_int_equal(spool_rig_append(r, 11), 0);

        while (spool_lines(r->spool) > 0) {
                uint64_t lines = spool_lines(r->spool), until, n;
                Slice run;

                run = spool_peek(r->spool, 0);
                assert_true(run.n > 0);
                until = spool_sent_at(r->spool, 0) + 1 + spool_rig_draw(r, run.n);
                spool_sent(r->spool, 0, until);
                n = spool_ack(r->spool, 0, until);
                assert_int_equal(spool_lines(r->spool), lines - n);
                want += n;

                spool_rig_close(r);
                spool_rig_open(r);
                assert_int_equal(spool_lines(r->spool), lines - n);
                run = spool_peek(r->spool, 0);
                assert_int_equal(spool_line_take(&run), lines > n ? want : 0);
        }

        assert_int_equal(want, r->next);
        assert_int_equal(r->losses.calls, 0);
}

static void test_rewind(void **state) {
        SpoolRig *r = *state;
        Slice run;

        spool_rig_open(r);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(spool_rig_append(r, 30), 0);
        for (unsigned i = 0; i < 9; i++) {
                run = spool_peek(r->spool, 0);
                spool_sent(r->spool, 0, spool_sent_at(r->spool, 0) + run.n);
                if (i == 3)
                        assert_int_equal(spool_ack(r->spool, 0, spool_sent_at(r->spool, 0)), 120);
        }
        run = spool_peek(r->spool, 0);
        assert_int_equal(spool_line_take(&run), 271);
        spool_rewind(r->spool, 0);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 480);
        assert_numbers(121, 480);
}

/* Two readers: what one has acknowledged stays for the other; both are remembered. */
static void test_readers(void **state) {
        SpoolRig *r = *state;
        size_t segments;

        spool_rig_open(r);
        assert_int_equal(spool_add_reader(r->spool), 1);
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(spool_rig_append(r, 20), 0);
        segments = spool_n_segments(r->spool);
        assert_int_equal(spool_rig_drain(r, 1, seen, LINES_MAX), 1000);
        assert_int_equal(spool_n_segments(r->spool), segments);
        assert_int_equal(spool_lines(r->spool), 1000);

        spool_rig_close(r);
        spool_rig_open(r);
        assert_int_equal(spool_add_reader(r->spool), 1);
        assert_int_equal(spool_rig_append(r, 7), 0);
        assert_int_equal(spool_rig_drain(r, 1, seen, LINES_MAX), 7);
        assert_numbers(1001, 7);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 1007);
        assert_numbers(1, 1007);
        assert_int_equal(spool_n_segments(r->spool), 0);
        assert_int_equal(r->losses.calls, 0);
}

/* -- the bound -- */

static void test_bound(void **state) {
        SpoolRig *r = *state;
        unsigned n;

        r->limits = (SpoolLimits) { .size = 40000, .segment = 4096 };
        spool_rig_open(r);
        for (unsigned i = 0; i < 300; i++) {
                uint64_t lost = spool_lost(r->spool), lines = spool_lines(r->spool);
                bool drops = spool_would_drop(r->spool, 20 * SPOOL_LINE_MAX);

                assert_int_equal(spool_rig_append(r, 20), 0);
                assert_true(spool_bytes(r->spool) <= r->limits.size);
                assert_true(drops || spool_lost(r->spool) == lost);
                assert_int_equal(spool_lines(r->spool) + spool_lost(r->spool) - lost, lines + 20);
        }

        assert_true(spool_lost(r->spool) > 0);
        assert_int_equal(r->losses.lines, spool_lost(r->spool));
        assert_int_equal(r->losses.n[SPOOL_FULL], r->losses.calls);
        n = spool_rig_drain(r, 0, seen, LINES_MAX);
        assert_int_equal(n + spool_lost(r->spool), 6000);
        assert_numbers(6001 - n, n);
}

/* -- damage -- */

/* Four records of five lines in one segment, delivered to nobody. */
static void make_segment(SpoolRig *r, Buffer *segment, Buffer *state) {
        r->limits.segment = 1 << 20;
        spool_rig_open(r);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(spool_rig_append(r, 5), 0);
        spool_rig_close(r);
        read_file(r, FIRST_SEGMENT, segment);
        read_file(r, "state", state);
}

/* Opens and drains what the files say. At most the lines of one record may be missing, and what is missing
 * is counted. */
static void check_damaged(SpoolRig *r, const char *what, size_t at, unsigned may_miss) {
        unsigned n, missing;

        r->losses = (Losses) {};
        spool_rig_open(r);
        n = spool_rig_drain(r, 0, seen, LINES_MAX);
        missing = 20 - n;
        if (missing > may_miss)
                fail_msg("%s %zu: %u lines are missing", what, at, missing);
        if (spool_lost(r->spool) != missing || r->losses.lines != missing)
                fail_msg("%s %zu: %u lines are missing, %ju are counted, %ju reported", what, at, missing,
                         (uintmax_t) spool_lost(r->spool), (uintmax_t) r->losses.lines);
        for (unsigned i = 0, skipped = 0; i < n; i++) {
                if (seen[i] != 1 + i + skipped) {
                        assert_int_equal(skipped, 0);
                        skipped = missing;
                }
                assert_int_equal(seen[i], 1 + i + skipped);
        }

        /* And it works on. */
        r->next = 21;
        assert_int_equal(spool_rig_append(r, 2), 0);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 2);
        assert_int_equal(spool_error(r->spool), 0);
        spool_rig_close(r);
}

static void test_every_bit(void **state) {
        SpoolRig *r = *state;
        _cleanup_(buffer_done) Buffer segment = {}, saved = {};

        make_segment(r, &segment, &saved);
        for (size_t bit = 0; bit < 8 * segment.n; bit++) {
                spool_rig_empty(r);
                segment.data[bit / 8] ^= (char) (1 << bit % 8);
                write_file(r, FIRST_SEGMENT, buffer_slice(&segment));
                write_file(r, "state", buffer_slice(&saved));
                check_damaged(r, "bit", bit, 5);
                segment.data[bit / 8] ^= (char) (1 << bit % 8);
        }
}

/* The same to the state: the newer copy has gone, so the older counts. */
static void test_every_bit_of_state(void **state) {
        SpoolRig *r = *state;
        _cleanup_(buffer_done) Buffer segment = {}, saved = {};

        make_segment(r, &segment, &saved);
        for (size_t byte = 0; byte < saved.n; byte++) {
                spool_rig_empty(r);
                saved.data[byte] ^= 0x10;
                write_file(r, FIRST_SEGMENT, buffer_slice(&segment));
                write_file(r, "state", buffer_slice(&saved));
                check_damaged(r, "byte", byte, 0);
                saved.data[byte] ^= 0x10;
        }
}

/* No state that could be read: nothing is known to be delivered, so all of it is, once more. */
static void test_state_lost(void **state) {
        static const struct {
                const char *what;
                size_t at[2], n; /* damaged there; so much is left */
        } rows[] = {
                { "both copies", { 40, 4096 + 40 }, SIZE_MAX },
                { "both of another layout", { 8, 4096 + 8 }, SIZE_MAX },
                { "one, and the other is cut off", { 40, 40 }, 4096 + 100 },
                { "empty", {}, 0 },
        };
        SpoolRig *r = *state;
        _cleanup_(buffer_done) Buffer segment = {}, saved = {};

        make_segment(r, &segment, &saved);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *bytes = malloc(saved.n);

                assert_non_null(bytes);
                memcpy(bytes, saved.data, saved.n);
                bytes[rows[i].at[0]] ^= 0x10;
                bytes[rows[i].at[1]] ^= rows[i].at[1] == rows[i].at[0] ? 0 : 0x10;
                spool_rig_empty(r);
                write_file(r, FIRST_SEGMENT, buffer_slice(&segment));
                write_file(r, "state", (Slice) { bytes, MIN(saved.n, rows[i].n) });
                check_damaged(r, rows[i].what, i, 0);
        }
}

/* How many lines the whole records in the first `n` bytes of the segment have. */
static unsigned whole_lines(const Buffer *segment, size_t n) {
        size_t at = sizeof(SegmentHeader);
        unsigned lines = 0;
        RecordHeader h;

        while (at + sizeof(h) <= n) {
                memcpy(&h, segment->data + at, sizeof(h));
                at += sizeof(h) + h.length;
                lines += at <= n ? h.lines : 0;
        }

        return lines;
}

/* Cut off anywhere, with or without the state that knows what was there. */
static void test_every_length(void **state) {
        SpoolRig *r = *state;
        _cleanup_(buffer_done) Buffer segment = {}, saved = {};

        make_segment(r, &segment, &saved);
        for (size_t n = 0; n < segment.n; n++) {
                spool_rig_empty(r);
                write_file(r, FIRST_SEGMENT, (Slice) { segment.data, n });
                write_file(r, "state", buffer_slice(&saved));
                check_damaged(r, "length", n, 20);

                spool_rig_empty(r);
                write_file(r, FIRST_SEGMENT, (Slice) { segment.data, n });
                spool_rig_open(r);
                r->next = 1 + spool_rig_drain(r, 0, seen, LINES_MAX);
                assert_numbers(1, (unsigned) r->next - 1);
                assert_int_equal(r->next - 1, whole_lines(&segment, n));
                assert_int_equal(r->losses.lines, 0);
        }
}

/* Damage in the middle of many segments, while two readers are under way. */
static void test_damage_among_many(void **state) {
        SpoolRig *r = *state;
        unsigned first, second;
        char *p = (char[]) { 'X' };

        spool_rig_open(r);
        assert_int_equal(spool_add_reader(r->spool), 1);
        for (unsigned i = 0; i < 60; i++)
                assert_int_equal(spool_rig_append(r, 20), 0);
        for (unsigned i = 2; i < 12; i += 3) {
                _cleanup_(close_fdp) int fd = -1;
                char name[32];

                (void) snprintf(name, sizeof(name), "%016x.seg", i);
                fd = openat(r->dir_fd, name, O_RDWR | O_CLOEXEC);
                assert_true(fd >= 0);
                assert_int_equal(pwrite(fd, p, 1, i % 2 ? 300 : 70), 1); /* lines, or a record's header */
        }

        first = spool_rig_drain(r, 1, seen, LINES_MAX);
        assert_int_equal(first + spool_lost(r->spool), 1200);
        assert_int_equal(first + spool_lines(r->spool) + spool_lost(r->spool), 1200 + first);
        assert_int_equal(r->losses.n[SPOOL_DAMAGED], 4);
        assert_int_equal(r->losses.lines, 80);
        second = spool_rig_drain(r, 0, seen, LINES_MAX);
        assert_int_equal(second, first);
        assert_int_equal(r->losses.lines, 80);
        assert_int_equal(spool_lines(r->spool), 0);
        assert_int_equal(spool_n_segments(r->spool), 0);
}

/* A whole segment is gone: its lines are counted. */
static void test_missing_segment(void **state) {
        SpoolRig *r = *state;
        unsigned n;

        spool_rig_open(r);
        for (unsigned i = 0; i < 60; i++)
                assert_int_equal(spool_rig_append(r, 20), 0);
        spool_rig_close(r);
        assert_int_equal(unlinkat(r->dir_fd, "0000000000000004.seg", 0), 0);
        spool_rig_open(r);
        n = spool_rig_drain(r, 0, seen, LINES_MAX);
        assert_true(n < 1200);
        assert_int_equal(n + r->losses.lines, 1200);
}

static void test_foreign(void **state) {
        static const char *const names[] = { "readme",
                                             "1.seg",
                                             "000000000000000A.seg",
                                             "0000000000000001.seg~",
                                             "0000000000000000.seg",
                                             "00000000000000aa.seg" };
        SpoolRig *r = *state;
        _cleanup_(buffer_done) Buffer text = {}, segment = {}, saved = {};
        SegmentHeader h;

        make_segment(r, &segment, &saved);
        memcpy(&h, segment.data, sizeof(h));
        spool_lines_add(&text, 1, 10);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                write_file(r, names[i], buffer_slice(&text));
        write_file(r, "00000000000000bb.seg", buffer_slice(&segment)); /* a copy under another name */
        assert_int_equal(mkdirat(r->dir_fd, "00000000000000cc.seg", 0700), 0);

        spool_rig_open(r);
        assert_int_equal(r->losses.n[SPOOL_FOREIGN], ELEMENTSOF(names) + 2);
        assert_int_equal(r->losses.calls, ELEMENTSOF(names) + 2);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), 20);
        assert_int_equal(spool_rig_append(r, 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(buffer_done) Buffer left = {};

                read_file(r, names[i], &left);
                assert_true(slice_equal(buffer_slice(&left), buffer_slice(&text)));
        }
}

/* -- a power cut: of what was not synced, anything may be on the disk -- */

static void cut_power(SpoolRig *r, size_t synced, Slice synced_state) {
        _cleanup_(buffer_done) Buffer segment = {}, later = {};
        size_t n;

        read_file(r, FIRST_SEGMENT, &segment);
        read_file(r, "state", &later);
        n = synced + spool_rig_draw(r, segment.n - synced + 1);
        if (spool_rig_draw(r, 2) == 0)
                for (size_t i = synced + spool_rig_draw(r, n - synced + 1); i < n; i++)
                        segment.data[i] = spool_rig_draw(r, 2) ? '\0' : (char) spool_rig_draw(r, 256);
        write_file(r, FIRST_SEGMENT, (Slice) { segment.data, n });
        write_file(r, "state", spool_rig_draw(r, 2) ? synced_state : buffer_slice(&later));
}

static void test_power_cut(void **state) {
        SpoolRig *r = *state;

        r->limits.segment = 1 << 20;
        for (unsigned round = 0; round < 400; round++) {
                _cleanup_(buffer_done) Buffer segment = {}, saved = {};
                unsigned before = 1 + (unsigned) spool_rig_draw(r, 4), n;

                spool_rig_empty(r);
                spool_rig_open(r);
                for (unsigned i = 0; i < before; i++)
                        assert_int_equal(spool_rig_append(r, 6), 0);
                assert_int_equal(spool_sync(r->spool, USEC_INFINITY), 0);
                read_file(r, FIRST_SEGMENT, &segment);
                read_file(r, "state", &saved);
                for (uint64_t i = spool_rig_draw(r, 4); i > 0; i--)
                        assert_int_equal(spool_rig_append(r, 6), 0);
                spool_rig_close(r);

                cut_power(r, segment.n, buffer_slice(&saved));
                spool_rig_open(r);
                n = spool_rig_drain(r, 0, seen, LINES_MAX);
                assert_true(n >= 6 * before && n % 6 == 0 && n < r->next);
                assert_int_equal(r->losses.n[SPOOL_TORN], r->losses.calls);
                assert_int_equal(r->losses.lines, spool_lost(r->spool));
                assert_numbers(1, n);
        }
}

static void test_sync(void **state) {
        SpoolRig *r = *state;

        spool_rig_open(r);
        assert_int_equal(spool_rig_append(r, 5), 0);
        assert_int_equal(spool_sync(r->spool, 10 * USEC_PER_SEC), 0);
        assert_int_equal(spool_rig_append(r, 5), 0);
        assert_int_equal(spool_sync(r->spool, 10 * USEC_PER_SEC + 1), 0);
        assert_int_equal(spool_sync(r->spool, 12 * USEC_PER_SEC), 0);
        assert_int_equal(spool_sync(r->spool, USEC_INFINITY), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, spool_rig_set_up, spool_rig_tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_round),
                TEST(test_lock),
                TEST(test_reopen),
                TEST(test_rewind),
                TEST(test_readers),
                TEST(test_bound),
                TEST(test_every_bit),
                TEST(test_every_bit_of_state),
                TEST(test_state_lost),
                TEST(test_every_length),
                TEST(test_damage_among_many),
                TEST(test_missing_segment),
                TEST(test_foreign),
                TEST(test_power_cut),
                TEST(test_sync),
        };

        return run_tap(tests);
}
