/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "io/http-batch.h"
#include "io/http-json.h"
#include "store/lines.h"
#include "unit/tap.h"

#define GOOD "put m 1700000000 5 host=a\n"
#define GOOD_JSON "{\"metric\":\"m\",\"timestamp\":1700000000,\"value\":5,\"tags\":{\"host\":\"a\"}}"

static const struct {
        const char *name, *queue;
        size_t wire, lines; /* limits */
        const char *body;   /* NULL: no point in it */
        size_t n_lines, n_points;
} cases[] = {
        { "nothing", "", 8000, 10, NULL, 0, 0 },
        { "one", GOOD, 8000, 10, "[" GOOD_JSON "]", 1, 1 },
        { "two", GOOD GOOD, 8000, 10, "[" GOOD_JSON "," GOOD_JSON "]", 2, 2 },
        { "lines run out", GOOD GOOD GOOD, 8000, 2, "[" GOOD_JSON "," GOOD_JSON "]", 2, 2 },
        { "just fits", GOOD GOOD GOOD, 2 * sizeof(GOOD_JSON) + 1, 10, "[" GOOD_JSON "," GOOD_JSON "]", 2,
          2 },
        { "just does not", GOOD GOOD GOOD, 2 * sizeof(GOOD_JSON), 10, "[" GOOD_JSON "]", 1, 1 },
        { "one is always taken", GOOD GOOD, 10, 10, "[" GOOD_JSON "]", 1, 1 },
        { "no line of ours first", "rubbish\n" GOOD, 8000, 10, "[" GOOD_JSON "]", 2, 1 },
        { "in the midst", GOOD "\n" GOOD "put m\n", 8000, 10, "[" GOOD_JSON "," GOOD_JSON "]", 4, 2 },
        { "no tags", "rubbish\nput m 1 1\n", 8000, 10,
          "[{\"metric\":\"m\",\"timestamp\":1,\"value\":1,"
          "\"tags\":{}}]",
          2, 1 },
        { "nothing but rubbish", "a\nb\n", 8000, 10, NULL, 2, 0 },
};

static void test_cases(void **state _unused_) {
        HttpBatch b = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Slice queue = guarded(cases[i].queue);
                HttpBatchLimits limits = { .wire = cases[i].wire, .lines = cases[i].lines };

                assert_int_equal(http_batch_build(&b, queue, &limits), 0);
                if (b.n_lines != cases[i].n_lines || b.n_points != cases[i].n_points)
                        fail_msg("%s: %zu lines, %zu points", cases[i].name, b.n_lines, b.n_points);
                if (cases[i].body && !slice_equal(b.body, slice_from_string(cases[i].body)))
                        fail_msg("%s: %.*s", cases[i].name, (int) b.body.n, b.body.p);
                assert_int_equal(lines_count((Slice) { queue.p, b.n_bytes }), b.n_lines);
                assert_int_equal(b.full, b.n_bytes < queue.n);
                assert_false(b.compressed);
        }

        assert_int_equal(http_batch_build_probe(&b), 0);
        assert_true(slice_equal(b.body, SLICE("[]")));
        http_batch_done(&b);
}

static size_t count_points(Slice json) {
        Slice key, value, array;
        size_t n = 0;

        assert_true(json_value(&json, &array));
        assert_int_equal(json.n, 0);
        while (json_member(&array, &key, &value))
                n++;

        return n;
}

/* Lines that compress well, or hardly. */
static Slice make_queue(Buffer *b, unsigned n, bool random) {
        uint64_t x = 88172645463325252u;

        for (unsigned i = 0; i < n; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                assert_int_equal(buffer_addf(b, "put sys.cpu.user %u %llu host=web%llu cpu=%u\n",
                                             1700000000 + i, random ? (unsigned long long) (x >> 1) : 17,
                                             random ? (unsigned long long) (x * 2654435761u) : 1, i % 8),
                                 0);
        }

        return buffer_slice(b);
}

/* However well it compresses, no batch is over the limit, all lines go out once, and most go out full. */
static void test_gzip(void **state _unused_) {
        static const size_t limits[] = { 1000, 8000, 100000, 1u << 20 };
        _cleanup_(http_gzip_freep) HttpGzip *gzip = NULL;
        const char *why = "";

        if (http_gzip_new(&gzip, &why) < 0)
                fail_msg("%s", why);

        for (size_t i = 0; i < 2 * ELEMENTSOF(limits); i++) {
                HttpBatchLimits l = { .wire = limits[i / 2], .lines = SIZE_MAX, .gzip = gzip };
                _cleanup_(buffer_done) Buffer text = {};
                Slice queue = make_queue(&text, 50000, i % 2);
                size_t n_lines = 0, n_batches = 0, n_wire = 0, last = 0;
                HttpBatch b = {};

                while (queue.n > 0) {
                        assert_int_equal(http_batch_build(&b, queue, &l), 0);
                        assert_true(b.body.n > 0 && b.body.n <= l.wire);
                        assert_true(b.json.n <= HTTP_JSON_MAX);
                        assert_int_equal(b.n_lines, b.n_points);
                        assert_int_equal(count_points(buffer_slice(&b.json)), b.n_points);
                        if (b.compressed)
                                assert_memory_equal(b.body.p, "\x1f\x8b", 2);
                        n_lines += b.n_lines;
                        n_wire += last = b.body.n;
                        n_batches++;
                        queue = (Slice) { queue.p + b.n_bytes, queue.n - b.n_bytes };
                }

                assert_int_equal(n_lines, 50000);
                print_message("# %zu bytes, %s: %zu batches, on average %zu %% full\n", l.wire,
                              i % 2 ? "random" : "alike", n_batches, n_wire * 100 / n_batches / l.wire);
                if (n_batches > 4)
                        assert_true((n_wire - last) / (n_batches - 1) >= l.wire / 2);

                http_batch_shrink(&b);
                assert_true(b.json.allocated <= 64 * 1024 && b.wire.allocated <= 64 * 1024);
                assert_int_equal(http_batch_build(&b, SLICE(GOOD), &l), 0);
                assert_true(b.body.n > 0);
                http_batch_done(&b);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_gzip),
        };

        return run_tap(tests);
}
