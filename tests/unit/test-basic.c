/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/backoff.h"
#include "basic/buffer.h"
#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"
#include "basic/ratelimit.h"
#include "unit/tap.h"

static void test_slice(void **state _unused_) {
        Slice rest = guarded("put a b"), word;
        uint64_t v;

        assert_true(slice_cut(&rest, ' ', &word));
        assert_true(slice_equal(word, SLICE("put")));
        assert_true(slice_cut(&rest, ' ', &word));
        assert_true(slice_equal(word, SLICE("a")));
        assert_false(slice_cut(&rest, ' ', &word));
        assert_true(slice_equal(rest, SLICE("b")));

        assert_true(slice_equal(slice_strip(guarded(" \t a b\r\n")), SLICE("a b")));
        assert_int_equal(slice_strip(guarded(" \t ")).n, 0);
        assert_true(slice_compare(SLICE("a"), SLICE("ab")) < 0);
        assert_true(slice_compare(SLICE("b"), SLICE("ab")) > 0);
        assert_int_equal(slice_compare(SLICE("ab"), SLICE("ab")), 0);

        assert_true(slice_to_uint64(guarded("18446744073709551615"), &v));
        assert_true(v == UINT64_MAX);
        assert_false(slice_to_uint64(guarded("18446744073709551616"), &v));
        assert_false(slice_to_uint64(guarded("-1"), &v));
        assert_false(slice_to_uint64(guarded(""), &v));
}

static void test_buffer(void **state _unused_) {
        static const struct {
                Slice in;
                const char *out;
        } json[] = {
                { SLICE("plain"), "\"plain\"" },
                { SLICE("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"" },
                { SLICE("\0"), "\"\\u0000\"" },
                { SLICE("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"" },
                { SLICE("\xff\xc3"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
                { SLICE("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        };
        _cleanup_(buffer_done) Buffer b = {};

        assert_int_equal(buffer_add_string(&b, "a"), 0);
        assert_int_equal(buffer_addf(&b, "%d-%s", 12, "x"), 0);
        assert_string_equal(b.data, "a12-x");
        buffer_consume(&b, 3);
        assert_string_equal(b.data, "-x");
        for (size_t i = 0; i < 1000; i++)
                assert_int_equal(buffer_add(&b, SLICE("0123456789")), 0);
        assert_int_equal(b.n, 10002);

        for (size_t i = 0; i < ELEMENTSOF(json); i++) {
                _cleanup_(buffer_done) Buffer j = {};

                assert_int_equal(buffer_add_json(&j, guarded_slice(json[i].in)), 0);
                assert_string_equal(j.data, json[i].out);
        }
}

static void test_span(void **state _unused_) {
        static const struct {
                const char *text;
                int r;
                usec_t usec;
                const char *back; /* NULL: as written */
        } cases[] = {
                { "300", 0, 300 * USEC_PER_SEC, "5min" },
                { "0.5s", 0, USEC_PER_SEC / 2, NULL },
                { "1h 30min", 0, 5400 * USEC_PER_SEC, NULL },
                { "1h30min", 0, 5400 * USEC_PER_SEC, "1h 30min" },
                { "  2 days 1.25 sec ", 0, 172801250000, "2d 1.25s" },
                { "10ms", 0, 10000, "0.01s" },
                { "1.5us", 0, 1, "0.000001s" },
                { "0", 0, 0, NULL },
                { "infinity", 0, USEC_INFINITY, NULL },
                { "", -EINVAL, 0, NULL },
                { "soon", -EINVAL, 0, NULL },
                { "5 parsecs", -EINVAL, 0, NULL },
                { "-1", -EINVAL, 0, NULL },
                { ".", -EINVAL, 0, NULL },
                { "18446744073709551615", -ERANGE, 0, NULL },
                { "99999999999999999999999", -ERANGE, 0, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char buf[SPAN_MAX];
                usec_t usec = 0;

                assert_int_equal(span_parse(guarded(cases[i].text), &usec), cases[i].r);
                if (cases[i].r < 0)
                        continue;
                assert_true(usec == cases[i].usec);
                assert_string_equal(span_format(buf, usec), cases[i].back ?: cases[i].text);
        }
}

static void test_backoff(void **state _unused_) {
        Backoff b = { .min = USEC_PER_SEC, .max = 300 * USEC_PER_SEC };
        usec_t ceiling = USEC_PER_SEC;

        for (unsigned i = 0; i < 100; i++) {
                usec_t low = backoff_next(&(Backoff) { b.min, b.max, b.failures }, 0);
                usec_t wait = backoff_next(&b, UINT64_C(0x9e3779b97f4a7c15) * (i + 1));

                assert_true(low == b.min);
                assert_true(wait >= b.min && wait <= ceiling);
                ceiling = MIN(ceiling * 2, b.max);
        }

        backoff_reset(&b);
        assert_true(backoff_next(&b, UINT64_MAX) == b.min);
}

static void test_ratelimit(void **state _unused_) {
        RateLimit l = { .interval = 60 * USEC_PER_SEC, .burst = 3 };
        uint64_t held = 99;
        unsigned n = 0;

        for (unsigned i = 0; i < 10; i++)
                n += ratelimit_allow(&l, 1000 + i, &held);
        assert_int_equal(n, 3);
        assert_int_equal(held, 0);
        assert_true(ratelimit_allow(&l, 1000 + 60 * USEC_PER_SEC, &held));
        assert_int_equal(held, 7);
}

static void test_file(void **state _unused_) {
        char dir[] = "/tmp/test-basic-XXXXXX";
        _cleanup_(close_fdp) int dir_fd = -1, fd = -1;
        _cleanup_(buffer_done) Buffer b = {};

        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(dir_fd >= 0);
        fd = openat(dir_fd, "x.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);

        for (size_t i = 0; i < 2000; i++)
                assert_int_equal(fd_write_all(fd, SLICE("0123456789")), 0);
        assert_int_equal(file_publish(dir_fd, fd, "x.tmp", "x"), 0);
        assert_int_equal(file_read_at(dir_fd, "x.tmp", 100, &b), -ENOENT);
        assert_int_equal(file_read_at(dir_fd, "x", 100, &b), -EFBIG);
        assert_int_equal(b.n, 0);
        assert_int_equal(file_read_at(dir_fd, "x", 20000, &b), 0);
        assert_int_equal(b.n, 20000);

        assert_int_equal(unlinkat(dir_fd, "x", 0), 0);
        assert_int_equal(rmdir(dir), 0);
}

static void remember_line(void *userdata, int level, const char *line) {
        (void) snprintf(userdata, 128, "%s: %s", log_level_to_string(level), line);
}

static void test_log(void **state _unused_) {
        char seen[128] = "";

        log_set_sink(remember_line, seen);
        assert_int_equal(log_warning_errno(ENOENT, "Failed: %m"), -ENOENT);
        assert_string_equal(seen, "warning: Failed: No such file or directory");
        log_debug("not shown");
        assert_string_equal(seen, "warning: Failed: No such file or directory");
        log_set_sink(NULL, NULL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_slice),     cmocka_unit_test(test_buffer),
                cmocka_unit_test(test_span),      cmocka_unit_test(test_backoff),
                cmocka_unit_test(test_ratelimit), cmocka_unit_test(test_file),
                cmocka_unit_test(test_log),
        };

        return run_tap(tests);
}
