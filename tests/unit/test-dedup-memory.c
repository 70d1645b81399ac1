/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dedup when there is no memory: linked with --wrap, so that its allocations can be made to fail. (The model
 * uses other functions of the allocator than dedup does; it never fails.) What has been said of a line must
 * stay true, a series that cannot be kept is sent without dedup, and all is well again when there is memory.
 */

#include <stdio.h>
#include <sys/mman.h>

#include "basic/buffer.h"
#include "unit/dedup-model.h"
#include "unit/tap.h"

#define BEGIN_MS INT64_C(1700000000000)
#define N_SERIES 1000u
#define LONG "0.1234567890123456789012345678901234567890"
#define LONGER LONG "12345678901234567890123456789012345678901234567890"

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__real_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);

/* The allocation number `fail_at` fails, and every `fail_each`-th one; 0: none. */
static unsigned n_allocations, n_failed, fail_at, fail_each;

static void fail_allocations(unsigned at, unsigned each) {
        n_allocations = n_failed = 0;
        fail_at = at;
        fail_each = each;
}

static bool allocation_fails(void) {
        n_allocations++;
        if (n_allocations != fail_at && (fail_each == 0 || n_allocations % fail_each != 0))
                return false;

        n_failed++;
        errno = ENOMEM;
        return true;
}

void *__wrap_malloc(size_t n) {
        return allocation_fails() ? NULL : __real_malloc(n);
}

void *__wrap_realloc(void *p, size_t n) {
        return allocation_fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n) {
        return allocation_fails() ? NULL : __real_aligned_alloc(alignment, n);
}

void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset) {
        return allocation_fails() ? MAP_FAILED : __real_mmap(p, n, protection, flags, fd, offset);
}

/* -- lines -- */

static const DedupLimits limits = { 300000, false, SIZE_MAX };

static Slice number_text(size_t i, char text[static 32]) {
        return (Slice) { text, (size_t) snprintf(text, 32, "m.%zu", i) };
}

/* The line to both. Where an allocation failed the series is forgotten, and this line was sent. */
static void step(DedupPair *pair, size_t i, const char *value, int64_t time_ms) {
        char metric[32];
        Point p = {
                .metric = number_text(i, metric),
                .when = SLICE("1700000000"),
                .value = slice_from_string(value),
                .time_ms = time_ms,
        };
        unsigned before = n_failed;
        DedupAction action;
        bool agree = pair_check(pair, &p, &action);

        if (n_failed == before) {
                assert_true(agree);
                return;
        }

        assert_true(action == DEDUP_OVERFLOW || (agree && action == DEDUP_SEND_BOTH));
        pair_forget(pair, &p);
}

/* Every step there is from short to long texts and back, in many series. */
static void play(DedupPair *pair) {
        static const char *const values[] = { "5", "5", LONG, LONG, LONGER, LONGER, "7", LONG, "5", "5" };

        for (size_t k = 0; k < ELEMENTSOF(values); k++)
                for (size_t i = 0; i < N_SERIES; i++)
                        step(pair, i, i % 100 == 0 ? values[k] : values[k / 4 * 4], BEGIN_MS + (int64_t) k);
}

/* With memory again: both know the same, and go on to. */
static void play_on(DedupPair *pair) {
        fail_allocations(0, 0);
        for (int64_t k = 0; k < 2; k++)
                for (size_t i = 0; i < N_SERIES; i++)
                        step(pair, i, "5", BEGIN_MS + 100 + k);

        assert_int_equal(dedup_n_series(pair->dedup), N_SERIES);
        assert_int_equal(dedup_evict(pair->dedup, BEGIN_MS + 1000), N_SERIES);
        assert_true(dedup_memory(pair->dedup) < 256);
}

static void test_new(void **state _unused_) {
        Dedup *d = NULL;

        fail_allocations(1, 0);
        assert_int_equal(dedup_new(&d, &limits, 1), -ENOMEM);
        assert_null(d);
        fail_allocations(0, 0);
}

static DedupAction check_value(Dedup *d, const char *value, int64_t time_ms, DedupLast *last) {
        Point p = { .when = SLICE("1"), .value = slice_from_string(value), .time_ms = BEGIN_MS + time_ms };

        return dedup_check(d, (DedupKey) { 1, 2 }, &p, last);
}

/* A series that cannot be added leaves no trace. */
static void test_add(void **state _unused_) {
        for (unsigned at = 1; at <= 3; at++) {
                _cleanup_(dedup_freep) Dedup *d = NULL;
                DedupLast last;
                size_t before;

                assert_int_equal(dedup_new(&d, &limits, 1), 0);
                before = dedup_memory(d);
                fail_allocations(at, 0);
                assert_int_equal(check_value(d, LONG, 0, &last), DEDUP_OVERFLOW);
                fail_allocations(0, 0);
                assert_int_equal(dedup_n_series(d), 0);
                assert_int_equal(dedup_memory(d), before);
                assert_int_equal(check_value(d, LONG, 0, &last), DEDUP_SEND);
        }
}

/* A series whose new text cannot be kept is forgotten, but not before its corner is handed out. */
static void test_forget(void **state _unused_) {
        _cleanup_(dedup_freep) Dedup *d = NULL;
        DedupLast last;

        assert_int_equal(dedup_new(&d, &limits, 1), 0);
        assert_int_equal(check_value(d, "5", 10, &last), DEDUP_SEND);
        assert_int_equal(check_value(d, "5", 20, &last), DEDUP_SUPPRESS);
        fail_allocations(1, 0);
        assert_int_equal(check_value(d, LONG, 30, &last), DEDUP_SEND_BOTH);
        assert_true(slice_equal(last.value, SLICE("5")));
        assert_int_equal(check_value(d, "5", 5, &last), DEDUP_SEND);
        assert_int_equal(check_value(d, "7", 6, &last), DEDUP_SEND);
        fail_allocations(1, 0);
        assert_int_equal(check_value(d, LONG, 7, &last), DEDUP_OVERFLOW);
        assert_int_equal(check_value(d, LONG, 6, &last), DEDUP_SEND);
        assert_int_equal(check_value(d, LONG, 7, &last), DEDUP_SUPPRESS);
        fail_allocations(0, 0);
}

/* One allocation fails, each one once. */
static void test_each(void **state _unused_) {
        for (unsigned at = 1;; at += 1 + at / 16) {
                DedupPair pair;
                bool failed;

                assert_true(pair_begin(&pair, &limits, 1));
                fail_allocations(at, 0);
                play(&pair);
                failed = n_failed > 0;
                play_on(&pair);
                pair_done(&pair);
                if (!failed)
                        break;
        }
}

static void test_often(void **state _unused_) {
        for (unsigned each = 1; each < 12; each++) {
                DedupPair pair;

                assert_true(pair_begin(&pair, &limits, each));
                fail_allocations(0, each);
                play(&pair);
                assert_true(n_failed > 0);
                play_on(&pair);
                pair_done(&pair);
        }
}

/* Evicting needs none: what stays is known, whatever could not be made smaller. */
static void test_evict(void **state _unused_) {
        DedupPair pair;

        assert_true(pair_begin(&pair, &limits, 1));
        for (size_t i = 0; i < N_SERIES; i++)
                step(&pair, i, i % 7 ? "5" : LONG, BEGIN_MS + (int64_t) i);
        for (size_t gone = 1; gone <= N_SERIES; gone += 1 + gone / 8) {
                fail_allocations(0, 1);
                assert_true(pair_evict(&pair, BEGIN_MS + (int64_t) gone));
                fail_allocations(0, 0);
                for (size_t i = gone; i < N_SERIES; i++)
                        step(&pair, i, i % 7 ? "5" : LONG, BEGIN_MS + 2000 + (int64_t) gone);
        }

        assert_true(pair_evict(&pair, BEGIN_MS + N_SERIES));
        pair_done(&pair);
}

/* -- a restart -- */

static int add_bytes(void *userdata, Slice bytes) {
        return buffer_add(userdata, bytes);
}

/* Whatever cannot be loaded leaves nothing behind, and what was saved can be read again. */
static void test_load(void **state _unused_) {
        _cleanup_(buffer_done) Buffer saved = {};
        bool failed = true;
        DedupPair pair;

        assert_true(pair_begin(&pair, &limits, 1));
        for (size_t i = 0; i < N_SERIES; i++)
                step(&pair, i, i % 100 ? "5" : LONG, BEGIN_MS);
        assert_int_equal(dedup_save(pair.dedup, add_bytes, &saved), 0);
        pair_done(&pair);

        for (unsigned at = 1; failed; at++) {
                Slice from = buffer_slice(&saved);
                Dedup *d = NULL;
                int r;

                fail_allocations(at, 0);
                r = dedup_load(&d, &limits, &from);
                failed = n_failed > 0 && r < 0;
                fail_allocations(0, 0);
                if (failed) {
                        assert_int_equal(r, -ENOMEM);
                        assert_null(d);
                        continue;
                }

                assert_true(at > 10);
                assert_int_equal(r, 0);
                assert_int_equal(dedup_n_series(d), N_SERIES);
                (void) dedup_free(d);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new),  cmocka_unit_test(test_add),   cmocka_unit_test(test_forget),
                cmocka_unit_test(test_each), cmocka_unit_test(test_often), cmocka_unit_test(test_evict),
                cmocka_unit_test(test_load),
        };

        return run_tap(tests);
}
