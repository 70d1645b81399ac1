/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What outlives a clean restart, and what is refused of what claims to be it. */

#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "basic/buffer.h"
#include "store/dedup-image.h"
#include "unit/dedup-model.h"
#include "unit/tap.h"

#define BEGIN_MS INT64_C(1700000000000)
#define LONG "0.1234567890123456789012345678901234567890" /* a value that does not fit a slot */

static const DedupLimits usual = { 300000, false, SIZE_MAX };

static int add_bytes(void *userdata, Slice bytes) {
        return buffer_add(userdata, bytes);
}

/* -- series of any number -- */

static void check_number(DedupPair *pair, size_t i, const char *value, int64_t time_ms, DedupAction want) {
        char metric[32], when[32];
        DedupAction action;
        Point p = { .value = slice_from_string(value), .time_ms = BEGIN_MS + time_ms };

        (void) snprintf(metric, sizeof(metric), "m.%zu", i);
        (void) snprintf(when, sizeof(when), "%lld", (long long) p.time_ms);
        p.metric = slice_from_string(metric);
        p.when = slice_from_string(when);
        if (!pair_check(pair, &p, &action) || action != want)
                fail_msg("series %zu at %lld: %d, not %d", i, (long long) time_ms, (int) action, (int) want);
}

/* Some with texts of their own on the heap, some with a corner owed. */
static const char *value_of(size_t i) {
        return i % 7 == 3 ? LONG : i % 2 ? "17" : "0";
}

static void fill(DedupPair *pair, size_t n) {
        for (size_t i = 0; i < n; i++)
                check_number(pair, i, value_of(i), (int64_t) (i % 10), DEDUP_SEND);
        for (size_t i = 0; i < n; i += 3)
                check_number(pair, i, value_of(i), 20, DEDUP_SUPPRESS);
}

static void run_number(size_t n) {
        size_t before;
        DedupPair pair;

        assert_true(pair_begin(&pair, &usual, n));
        fill(&pair, n);
        before = dedup_memory(pair.dedup);
        assert_true(pair_reload(&pair, &usual));
        assert_true(dedup_memory(pair.dedup) <= before + before / 16);

        for (size_t i = 0; i < n; i++)
                check_number(&pair, i, "5", 30, i % 3 ? DEDUP_SEND : DEDUP_SEND_BOTH);
        assert_true(pair_evict(&pair, BEGIN_MS + 31));
        assert_true(dedup_memory(pair.dedup) < 256);
        pair_done(&pair);
}

/* Around the sizes at which segments and their directory grow, and far beyond. */
static void test_any_number(void **state _unused_) {
        for (size_t n = 0; n < 20; n++)
                run_number(n);
        for (size_t n = 20; n < 6000; n += 1 + n / 16)
                run_number(n);
        for (size_t n = 440; n < 460; n++)
                run_number(n);
        run_number(40000);
        run_number(100000);
}

/* After a restart it goes on growing as if there had been none. */
static void test_grows_on(void **state _unused_) {
        DedupPair pair;

        assert_true(pair_begin(&pair, &usual, 1));
        for (size_t i = 0; i < 20000; i++) {
                check_number(&pair, i, "5", 0, DEDUP_SEND);
                if (i % 1000 == 500)
                        assert_true(pair_reload(&pair, &usual));
        }
        for (size_t i = 0; i < 20000; i++)
                check_number(&pair, i, "5", 1, DEDUP_SUPPRESS);
        assert_true(dedup_memory(pair.dedup) < 20000 * (size_t) 150);
        pair_done(&pair);
}

/* Segments of all depths, most of them nearly empty: what few keys are left of many. */
static void test_sparse(void **state _unused_) {
        for (size_t each = 2; each < 3000; each *= 3) {
                DedupPair pair;

                assert_true(pair_begin(&pair, &usual, each));
                for (size_t i = 0; i < 20000; i++)
                        check_number(&pair, i, "5", i % each == 0, DEDUP_SEND);
                assert_true(pair_evict(&pair, BEGIN_MS + 1));
                assert_true(pair_reload(&pair, &usual));
                for (size_t i = 0; i < 20000; i++)
                        check_number(&pair, i, "5", 2, i % each == 0 ? DEDUP_SUPPRESS : DEDUP_SEND);
                pair_done(&pair);
        }
}

static void test_fewer_series(void **state _unused_) {
        static const size_t bounds[] = { 0, 1, 2, 7, 449, 1000, 9999, 10000, 10001, SIZE_MAX };

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                DedupLimits limits = { 300000, false, bounds[i] };
                DedupPair pair;

                assert_true(pair_begin(&pair, &usual, i));
                fill(&pair, 10000);
                assert_true(pair_reload(&pair, &limits));
                assert_int_equal(dedup_n_series(pair.dedup), MIN(bounds[i], (size_t) 10000));
                assert_true(dedup_memory(pair.dedup) <= MIN(bounds[i], (size_t) 10000) * 300 + 4096);
                pair_done(&pair);
        }
}

static void test_no_dedup_any_more(void **state _unused_) {
        DedupLimits limits = { 0, false, SIZE_MAX };
        DedupPair pair;

        assert_true(pair_begin(&pair, &usual, 1));
        fill(&pair, 1000);
        assert_true(pair_reload(&pair, &limits));
        assert_true(dedup_memory(pair.dedup) < 256);
        pair_done(&pair);
}

/* -- writing -- */

typedef struct Narrow {
        unsigned n_calls, fail_at;
} Narrow;

static int write_some(void *userdata, Slice bytes) {
        Narrow *narrow = userdata;

        assert_true(bytes.n > 0);
        return ++narrow->n_calls == narrow->fail_at ? -ENOSPC : 0;
}

static void test_write_fails(void **state _unused_) {
        Narrow narrow = {};
        DedupPair pair;
        unsigned n;

        assert_true(pair_begin(&pair, &usual, 1));
        fill(&pair, 2000);
        assert_int_equal(dedup_save(pair.dedup, write_some, &narrow), 0);
        n = narrow.n_calls;
        assert_in_range(n, 3, 200);
        for (unsigned at = 1; at <= n; at++) {
                narrow = (Narrow) { .fail_at = at };
                assert_int_equal(dedup_save(pair.dedup, write_some, &narrow), -ENOSPC);
                assert_int_equal(narrow.n_calls, at);
        }
        pair_done(&pair);
}

/* -- what is refused -- */

static void save_few(Buffer *saved) {
        DedupPair pair;

        assert_true(pair_begin(&pair, &usual, 0x5eed));
        fill(&pair, 5);
        assert_int_equal(dedup_save(pair.dedup, add_bytes, saved), 0);
        pair_done(&pair);
}

static int load(Slice s) {
        Slice from = guarded_slice(s);
        Dedup *d = NULL;
        int r;

        r = dedup_load(&d, &usual, &from);
        assert_true(!d == (r < 0));
        (void) dedup_free(d);
        return r;
}

static void seal(Buffer *image) {
        uint64_t checksum = XXH3_64bits(image->data, image->n - sizeof(checksum));

        memcpy(image->data + image->n - sizeof(checksum), &checksum, sizeof(checksum));
}

/* Every byte of it counts, and it may begin anywhere in memory. */
static void test_damaged(void **state _unused_) {
        _cleanup_(buffer_done) Buffer saved = {};
        char shifted[2048];

        save_few(&saved);
        assert_true(saved.n < sizeof(shifted) - 8);
        for (size_t n = 0; n < saved.n; n++)
                assert_int_equal(load((Slice) { saved.data, n }), -EBADMSG);
        for (size_t i = 0; i < saved.n * 8; i++) {
                saved.data[i / 8] ^= (char) (1 << i % 8);
                assert_int_equal(load(buffer_slice(&saved)), -EBADMSG);
                saved.data[i / 8] ^= (char) (1 << i % 8);
        }
        for (size_t i = 0; i < 8; i++) {
                memcpy(shifted + i, saved.data, saved.n);
                assert_int_equal(load((Slice) { shifted + i, saved.n }), 0);
        }
}

#define HEAD(member) offsetof(ImageHead, member)
#define SERIES(member) (sizeof(ImageHead) + offsetof(ImageSeries, member))

/* Bytes that no dedup_save() writes, with a checksum that is right. */
static void test_impossible(void **state _unused_) {
        static const struct {
                const char *name;
                size_t at, n;
                uint64_t to;
                int want;
        } rows[] = {
                { "as it was", SERIES(repeated), 4, 1, 0 },
                { "another key", SERIES(key), 8, 12345, 0 },
                { "another seed", HEAD(seed), 8, 1, 0 },
                { "other magic", HEAD(magic), 8, IMAGE_MAGIC + 1, -EBADMSG },
                { "earlier layout", HEAD(layout), 4, IMAGE_LAYOUT - 1, -EBADMSG },
                { "later layout", HEAD(layout), 4, IMAGE_LAYOUT + 1, -EBADMSG },
                { "something reserved", HEAD(reserved), 4, 1, -EBADMSG },
                { "one series less", HEAD(n), 8, 4, -EBADMSG },
                { "one series more", HEAD(n), 8, 6, -EBADMSG },
                { "endless series", HEAD(n), 8, UINT64_MAX, -EBADMSG },
                { "time before 1970", SERIES(time_ms), 8, UINT64_MAX, -EBADMSG },
                { "last time", SERIES(time_ms), 8, POINT_TIME_END_MS - 1, 0 },
                { "beyond it", SERIES(time_ms), 8, POINT_TIME_END_MS, -EBADMSG },
                { "repeated twice", SERIES(repeated), 4, 2, -EBADMSG },
                { "long value", SERIES(value_n), 2, POINT_LINE_MAX + 1, -EBADMSG },
                { "longest value", SERIES(value_n), 2, UINT16_MAX, -EBADMSG },
                { "longest time", SERIES(when_n), 2, UINT16_MAX, -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer saved = {};
                int r;

                save_few(&saved);
                memcpy(saved.data + rows[i].at, &rows[i].to, rows[i].n);
                seal(&saved);
                r = load(buffer_slice(&saved));
                if (r != rows[i].want)
                        fail_msg("%s: %d", rows[i].name, r);
        }
}

/* Several in a row, as of several collectors: each is cut off. */
static void test_in_a_row(void **state _unused_) {
        _cleanup_(buffer_done) Buffer saved = {};
        Slice from;

        for (size_t n = 0; n < 4; n++) {
                DedupPair pair;

                assert_true(pair_begin(&pair, &usual, n));
                fill(&pair, n * 100);
                assert_int_equal(dedup_save(pair.dedup, add_bytes, &saved), 0);
                pair_done(&pair);
        }

        from = buffer_slice(&saved);
        for (size_t n = 0; n < 4; n++) {
                _cleanup_(dedup_freep) Dedup *d = NULL;

                assert_int_equal(dedup_load(&d, &usual, &from), 0);
                assert_int_equal(dedup_n_series(d), n * 100);
        }
        assert_int_equal(from.n, 0);
}

/* -- evicting in parts -- */

/* Lines of new series come between the parts, so that segments split: none that is due is missed. */
static void run_parts(size_t n, size_t n_slots) {
        size_t cursor = 0, n_evicted = 0, n_calls = 0, next = n;
        DedupPair pair;

        assert_true(pair_begin(&pair, &usual, n_slots));
        for (size_t i = 0; i < n; i++)
                check_number(&pair, i, value_of(i), i % 4 == 0 ? 10 : 0, DEDUP_SEND);

        do {
                size_t before = dedup_n_series(pair.dedup), gone;

                gone = dedup_evict_some(pair.dedup, BEGIN_MS + 10, n_slots, &cursor);
                assert_int_equal(dedup_n_series(pair.dedup), before - gone);
                assert_true(gone <= n_slots + 512);
                n_evicted += gone;
                n_calls++;
                for (size_t i = 0; i < 200; i++)
                        check_number(&pair, next++, "5", 20, DEDUP_SEND);
        } while (cursor != 0);

        assert_int_equal(n_evicted, pair_n_evicted(&pair, BEGIN_MS + 10));
        assert_true(n_calls >= n / (n_slots + 512));
        for (size_t i = 0; i < next; i++)
                check_number(&pair, i, i < n ? value_of(i) : "5", 30,
                             i < n && i % 4 != 0 ? DEDUP_SEND : DEDUP_SUPPRESS);
        pair_done(&pair);
}

static void test_evict_in_parts(void **state _unused_) {
        static const size_t numbers[] = { 0, 1, 7, 100, 448, 449, 1000, 5000, 30000 };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                run_parts(numbers[i], 1);
                run_parts(numbers[i], 2000);
                run_parts(numbers[i], SIZE_MAX - 512);
        }
}

/* In parts or at once, the same memory is given back. */
static void test_parts_give_back(void **state _unused_) {
        for (size_t each = 2; each < 3000; each *= 3) {
                size_t at_once;
                DedupPair a, b;

                assert_true(pair_begin(&a, &usual, 1) && pair_begin(&b, &usual, 1));
                for (size_t i = 0; i < 20000; i++) {
                        check_number(&a, i, "5", i % each == 0, DEDUP_SEND);
                        check_number(&b, i, "5", i % each == 0, DEDUP_SEND);
                }
                assert_true(pair_evict(&a, BEGIN_MS + 1) && pair_evict_in_parts(&b, BEGIN_MS + 1, 1));
                at_once = dedup_memory(a.dedup);
                assert_int_equal(dedup_memory(b.dedup), at_once);
                pair_done(&a);
                pair_done(&b);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_any_number),
                cmocka_unit_test(test_grows_on),
                cmocka_unit_test(test_sparse),
                cmocka_unit_test(test_fewer_series),
                cmocka_unit_test(test_no_dedup_any_more),
                cmocka_unit_test(test_write_fails),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_impossible),
                cmocka_unit_test(test_in_a_row),
                cmocka_unit_test(test_evict_in_parts),
                cmocka_unit_test(test_parts_give_back),
        };

        return run_tap(tests);
}
