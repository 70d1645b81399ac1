/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "basic/buffer.h"
#include "unit/dedup-model.h"
#include "unit/tap.h"

#define BEGIN_MS INT64_C(1700000000000)
#define KIB 1024u
#define LONG "0.1234567890123456789012345678901234567890" /* a value that does not fit a slot */
#define LONGER LONG "1234567890123456789012345678901234567890123456789012345678901234567890"
#define ZEROES "0000000000000000000000000000000000000000" /* in front of a time: it does not fit either */

/* -- rows -- */

/* Steps: "VALUE@SECONDS" is a line, "SERIES:VALUE@SECONDS" one of another series; "D=SECONDS", "max=N" and
 * "zero=0|1" change the limits, "evict<SECONDS" evicts. What comes of it: the lines sent, "!SECONDS" for one
 * out of order with the stored time, "+" in front of one beyond max_series. */
typedef struct Row {
        const char *name;
        const char *steps, *want;
        DedupLimits limits;
} Row;

#define USUAL \
        { 300000, false, 9 }

static const Row rows[] = {
        { "SPEC.md's example", "5@0 5@15 5@30 7@45 7@60 7@360 8@375", "5@0 5@30 7@45 7@360 8@375", USUAL },

        { "rule 1: unknown", "5@0 b:5@0 b:5@1 5@1", "5@0 b:5@0", USUAL },

        { "rule 2: same time", "5@10 5@10 7@10", "5@10 !10 !10", USUAL },
        { "rule 2: before", "5@10 5@9.999 7@0", "5@10 !10 !10", USUAL },
        { "rule 2: 1 ms later", "5@10 7@10.001", "5@10 7@10.001", USUAL },
        { "rule 2: nothing changes", "5@10 7@9 5@20 7@30", "5@10 !10 5@20 7@30", USUAL },
        { "rule 2: behind a suppressed one", "5@0 5@20 5@10 7@30", "5@0 5@10 7@30", USUAL },
        { "rule 2: corner behind the line", "5@0 5@20 7@10", "5@0 5@20 7@10", USUAL },

        { "rule 3: 1 ms before D", "5@0 5@299.999 7@300", "5@0 5@299.999 7@300", USUAL },
        { "rule 3: D", "5@0 5@300 5@599.999 5@600", "5@0 5@300 5@600", USUAL },
        { "rule 3: by text", "5@0 5.0@1 5@2", "5@0 5.0@1 5@2", USUAL },
        { "rule 3: prefix", "55@0 5@1 555@2", "55@0 5@1 555@2", USUAL },
        { "rule 3: zeroes only", "5@0 5@1 0@2 0@3 5@4", "5@0 5@1 0@2 0@3 5@4", { 300000, true, 9 } },
        { "rule 3: any zero", "0.0@0 0.0@1 0.0@2 -0@3 -0@4", "0.0@0 0.0@2 -0@3", { 300000, true, 9 } },
        { "rule 3: D of 1 ms", "5@0 5@0.001 5@0.002", "5@0 5@0.001 5@0.002", { 1, false, 9 } },

        { "rule 4: not repeated", "5@0 7@15 8@30", "5@0 7@15 8@30", USUAL },
        { "rule 4: corner once", "5@0 5@15 7@30 8@45", "5@0 5@15 7@30 8@45", USUAL },
        { "rule 4: never the line sent last", "5@0 5@300 7@315", "5@0 5@300 7@315", USUAL },
        { "rule 4: nor long after it", "5@0 7@1000", "5@0 7@1000", USUAL },
        { "rule 4: corner long after", "5@0 5@299 7@1000", "5@0 5@299 7@1000", USUAL },
        { "rule 4: same value after D", "5@0 5@15 5@300 7@301", "5@0 5@300 7@301", USUAL },
        { "rule 4: back again", "5@0 5@1 7@2 5@3 5@4 7@5", "5@0 5@1 7@2 5@3 5@4 7@5", USUAL },
        { "rule 4: another series", "5@0 b:7@0 5@1 b:7@1 b:8@2 6@3", "5@0 b:7@0 b:7@1 b:8@2 5@1 6@3",
          USUAL },
        { "rule 4: zero and corner", "0@0 0@1 5@2 5@3", "0@0 0@1 5@2 5@3", { 300000, true, 9 } },

        { "rule 5: by the time of the value", "5@0 5@50 b:5@20 evict<20 5@51 b:5@52", "5@0 b:5@20 5@51",
          USUAL },
        { "rule 5: an unknown one may go back", "5@100 evict<101 5@1", "5@100 5@1", USUAL },

        { "rule 6: full",
          "a:1@0 b:1@0 c:1@0 c:1@1 a:1@2",
          "a:1@0 b:1@0 +c:1@0 +c:1@1",
          { 300000, false, 2 } },
        { "rule 6: room again",
          "a:1@0 b:1@5 c:1@5 evict<5 c:1@6 c:1@7 a:1@8",
          "a:1@0 b:1@5 +c:1@5 c:1@6 +a:1@8",
          { 300000, false, 2 } },
        { "rule 6: none", "a:1@0 a:1@1", "+a:1@0 +a:1@1", { 300000, false, 0 } },

        { "D = 0", "5@10 5@11 5@11 5@9", "5@10 5@11 5@11 5@9", { 0, false, 9 } },
        { "D = 0, nothing remembered", "5@10 5@11 D=300 5@9 5@10", "5@10 5@11 5@9", { 0, false, 9 } },

        { "D to 0 and back forgets", "5@10 5@11 D=0 7@12 D=300 5@1 5@2", "5@10 7@12 5@1", USUAL },
        { "D grows", "5@0 5@10 D=300 5@20 7@30", "5@0 5@10 5@20 7@30", { 10000, false, 9 } },
        { "D shrinks", "5@0 5@20 D=10 5@30 7@31", "5@0 5@30 7@31", USUAL },
        { "max_series shrinks",
          "a:1@0 b:1@0 max=1 a:1@1 b:1@1 c:1@1",
          "a:1@0 b:1@0 +c:1@1",
          { 300000, false, 2 } },
        { "max_series grows", "a:1@0 b:1@0 max=2 b:1@1 b:1@2", "a:1@0 +b:1@0 b:1@1", { 300000, false, 1 } },
        { "zeroes only, later", "5@0 5@1 zero=1 5@2 5@3 zero=0 5@4", "5@0 5@2 5@3", USUAL },

        { "long value", LONG "@0 " LONG "@1 5@2", LONG "@0 " LONG "@1 5@2", USUAL },
        { "long value comes and goes", "5@0 5@1 " LONG "@2 " LONG "@3 7@4 7@5 8@6",
          "5@0 5@1 " LONG "@2 " LONG "@3 7@4 7@5 8@6", USUAL },
        { "long values differ at their end", LONG "1@0 " LONG "1@1 " LONG "2@2",
          LONG "1@0 " LONG "1@1 " LONG "2@2", USUAL },
        { "longer and shorter", LONG "@0 " LONGER "@1 " LONGER "@2 " LONG "@3 " LONG "@4 5@5",
          LONG "@0 " LONGER "@1 " LONGER "@2 " LONG "@3 " LONG "@4 5@5", USUAL },
        { "long time", "5@0 5@" ZEROES "1 7@2", "5@0 5@" ZEROES "1 7@2", USUAL },
        { "long time, then a short one", "5@0 5@" ZEROES "1 5@2 7@3", "5@0 5@2 7@3", USUAL },
        { "long texts, evicted", LONG "@0 b:" LONG "@5 evict<5 " LONG "@6 b:" LONG "@7",
          LONG "@0 b:" LONG "@5 " LONG "@6", USUAL },
        { "long texts, forgotten", LONG "@0 " LONG "@1 D=0 5@2", LONG "@0 5@2", USUAL },

        { "lengths around the words", "1@0 1@1 12@2 12@3 123@4 123@5 1234@6 1234@7 1234567@8 1234567@9 5@10",
          "1@0 1@1 12@2 12@3 123@4 123@5 1234@6 1234@7 1234567@8 1234567@9 5@10", USUAL },
        { "and more",
          "12345678@0 12345678@1 1234567890123456@2 1234567890123456@3 12345678901234567@4 "
          "12345678901234567@5 5@6",
          "12345678@0 12345678@1 1234567890123456@2 1234567890123456@3 12345678901234567@4 "
          "12345678901234567@5 5@6",
          USUAL },
};

static int64_t seconds_to_ms(Slice s) {
        char text[256];

        assert_true(s.n < sizeof(text));
        (void) snprintf(text, sizeof(text), "%.*s", (int) s.n, s.p);
        return (int64_t) (strtod(text, NULL) * 1000 + 0.5);
}

static void say(Buffer *out, const char *mark, Slice series, Slice value, Slice when) {
        int r = buffer_addf(out, "%s%s%.*s%s%.*s@%.*s", out->n > 0 ? " " : "", mark, (int) series.n,
                            series.p, series.n > 0 ? ":" : "", (int) value.n, value.p, (int) when.n, when.p);

        assert_int_equal(r, 0);
}

static void run_line(Dedup *d, Slice step, Buffer *out) {
        Slice series = {}, value;
        DedupLast last;
        Point p;
        int r;

        (void) slice_cut(&step, ':', &series);
        assert_true(slice_cut(&step, '@', &value));
        p = (Point) {
                .metric = guarded_slice(series),
                .value = guarded_slice(value),
                .when = guarded_slice(step),
                .time_ms = BEGIN_MS + seconds_to_ms(step),
                .zero = seconds_to_ms(value) == 0,
        };

        switch (dedup_check(d, dedup_key(d, &p), &p, &last)) {
        case DEDUP_SEND_BOTH:
                say(out, "", series, last.value, last.when);
                __attribute__((__fallthrough__));
        case DEDUP_SEND:
                say(out, "", series, value, step);
                break;
        case DEDUP_OUT_OF_ORDER:
                r = buffer_addf(out, " !%lld", (long long) (last.time_ms - BEGIN_MS) / 1000);
                assert_int_equal(r, 0);
                break;
        case DEDUP_OVERFLOW:
                say(out, "+", series, value, step);
                break;
        case DEDUP_SUPPRESS:
                break;
        }
}

static void run_step(Dedup *d, DedupLimits *limits, Slice step, Buffer *out) {
        Slice name, number = step;
        uint64_t n;

        if (slice_starts_with(step, SLICE("evict<"))) {
                number = (Slice) { step.p + 6, step.n - 6 };
                assert_int_equal(dedup_evict(d, BEGIN_MS + seconds_to_ms(number)), 1);
                return;
        }
        if (!slice_cut(&number, '=', &name)) {
                run_line(d, step, out);
                return;
        }

        assert_true(slice_to_uint64(number, &n));
        if (slice_equal(name, SLICE("D")))
                limits->interval_ms = (int64_t) n * 1000;
        if (slice_equal(name, SLICE("max")))
                limits->max_series = n;
        if (slice_equal(name, SLICE("zero")))
                limits->only_zero = n;
        dedup_set_limits(d, limits);
}

static void test_rows(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer out = {};
                _cleanup_(dedup_freep) Dedup *d = NULL;
                DedupLimits limits = rows[i].limits;
                Slice rest = slice_from_string(rows[i].steps), step;

                assert_int_equal(dedup_new(&d, &limits, i), 0);
                while (slice_cut(&rest, ' ', &step))
                        run_step(d, &limits, step, &out);
                run_step(d, &limits, rest, &out);

                if (strcmp(out.data, rows[i].want) != 0)
                        fail_msg("%s: %s, not %s", rows[i].name, out.data, rows[i].want);
        }
}

/* -- texts -- */

/* A value of `n` bytes, all '1' but for one. */
static Slice odd_text(char *text, size_t n, size_t at, char odd) {
        memset(text, '1', n);
        text[at] = odd;
        return guarded_slice((Slice) { text, n });
}

/* Values and times of any length come back as they were, and one byte anywhere makes two values differ. */
static void test_texts(void **state _unused_) {
        char value[POINT_LINE_MAX], when[POINT_LINE_MAX], other[POINT_LINE_MAX];

        for (size_t n = 1; n < 70; n++) {
                for (size_t at = 0; at < n; at++) {
                        _cleanup_(dedup_freep) Dedup *d = NULL;
                        Point p = { .value = odd_text(value, n, at, '2'), .time_ms = BEGIN_MS };
                        DedupKey key = { n, at };
                        DedupLast last;

                        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, 1 }, 1), 0);
                        p.when = odd_text(when, 70 - n, (70 - n) / 2, '4');
                        assert_int_equal(dedup_check(d, key, &p, &last), DEDUP_SEND);
                        p.time_ms++;
                        p.when = odd_text(when, 1 + at, at, '5');
                        assert_int_equal(dedup_check(d, key, &p, &last), DEDUP_SUPPRESS);
                        p.time_ms++;
                        p.value = odd_text(other, n, at, '3');
                        assert_int_equal(dedup_check(d, key, &p, &last), DEDUP_SEND_BOTH);
                        assert_true(slice_equal(last.value, (Slice) { value, n }));
                        assert_true(slice_equal(last.when, (Slice) { when, 1 + at }));
                }
        }
}

/* -- keys -- */

static void test_keys(void **state _unused_) {
        static const struct {
                const char *metric, *tags;
        } cases[] = {
                { "a b", "" },       { "a", "b" },       { "", "a b" },      { "ab", "" },
                { "a", " b" },       { "a ", "b" },      { "", "ab" },       { "b", "a" },
                { "", "" },          { "a", "" },        { "", "a" },        { "a", "a" },
                { "aa", "" },        { "a", "x=1 y=2" }, { "a", "y=2 x=1" }, { "a x=1", "y=2" },
                { "a x=1 y=2", "" },
        };
        _cleanup_(dedup_freep) Dedup *d = NULL, *e = NULL;
        DedupKey keys[ELEMENTSOF(cases)];
        DedupLimits limits = { 300000, false, 10 };

        assert_int_equal(dedup_new(&d, &limits, 1), 0);
        assert_int_equal(dedup_new(&e, &limits, 2), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Point p = { .metric = guarded(cases[i].metric), .tags = guarded(cases[i].tags) };
                DedupKey again = dedup_key(d, &p), other = dedup_key(e, &p);

                keys[i] = again;
                p.value = SLICE("7");
                p.when = SLICE("8");
                p.time_ms = 9;
                again = dedup_key(d, &p);
                assert_true(again.low == keys[i].low && again.high == keys[i].high);
                assert_true(other.low != keys[i].low && other.high != keys[i].high);
                for (size_t j = 0; j < i; j++)
                        if (keys[j].low == keys[i].low || keys[j].high == keys[i].high)
                                fail_msg("'%s' '%s' and '%s' '%s'", cases[j].metric, cases[j].tags,
                                         cases[i].metric, cases[i].tags);
        }
}

/* All of the 128 bits count. */
static void test_whole_key(void **state _unused_) {
        _cleanup_(dedup_freep) Dedup *d = NULL;
        Point p = { .when = SLICE("1"), .value = SLICE("5"), .time_ms = BEGIN_MS };
        DedupLast last;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, 1000 }, 1), 0);
        for (unsigned i = 0; i < 64; i++) {
                DedupKey low = { .low = UINT64_C(1) << i }, high = { .high = UINT64_C(1) << i };

                assert_int_equal(dedup_check(d, low, &p, &last), DEDUP_SEND);
                assert_int_equal(dedup_check(d, high, &p, &last), DEDUP_SEND);
        }
        assert_int_equal(dedup_check(d, (DedupKey) {}, &p, &last), DEDUP_SEND);
        assert_int_equal(dedup_n_series(d), 129);
}

/* -- size -- */

static DedupAction check_number(Dedup *d, size_t i, const char *value, int64_t time_ms) {
        char metric[32];
        Point p = { .when = SLICE("1700000000"), .value = slice_from_string(value), .time_ms = time_ms };
        DedupLast last;

        (void) snprintf(metric, sizeof(metric), "m.%zu", i);
        p.metric = slice_from_string(metric);
        return dedup_check(d, dedup_key(d, &p), &p, &last);
}

static void test_idle(void **state _unused_) {
        _cleanup_(dedup_freep) Dedup *d = NULL;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, 10 }, 1), 0);
        assert_true(dedup_memory(d) > 0 && dedup_memory(d) < 256);
        assert_int_equal(dedup_evict(d, INT64_MAX), 0);
        dedup_prefetch(d, (DedupKey) { 1, 2 });
        for (size_t i = 0; i < 7; i++)
                assert_int_equal(check_number(d, i, "5", BEGIN_MS), DEDUP_SEND);

        assert_true(dedup_memory(d) > 7 * 64 && dedup_memory(d) < KIB);
        assert_int_equal(dedup_evict(d, INT64_MAX), 7);
        assert_true(dedup_memory(d) < 256);
}

/* Grows by no more than a segment and the directory at a time, stays below its 150 bytes a series at any
 * size, knows all of them, and gives the memory back. */
static void test_growth(void **state _unused_) {
        const size_t n = 60000, kept = 100;
        _cleanup_(dedup_freep) Dedup *d = NULL;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, SIZE_MAX }, 7), 0);
        for (size_t i = 0; i < n; i++) {
                size_t before = dedup_memory(d);

                assert_int_equal(check_number(d, i, "5", BEGIN_MS + (i % (n / kept) == 0)), DEDUP_SEND);
                assert_int_equal(dedup_n_series(d), i + 1);
                assert_true(dedup_memory(d) >= (i + 1) * 64);
                assert_true(dedup_memory(d) <= before + 32 * KIB + i / 16 * 16);
                if (i > 2000)
                        assert_true(dedup_memory(d) <= i * 150);
        }
        for (size_t i = 0; i < n; i++)
                assert_int_equal(check_number(d, i, "5", BEGIN_MS + 2), DEDUP_SUPPRESS);

        assert_int_equal(dedup_evict(d, BEGIN_MS + 1), n - kept);
        assert_int_equal(dedup_n_series(d), kept);
        assert_true(dedup_memory(d) < 32 * KIB);
        for (size_t i = 0; i < n; i++) {
                DedupAction want = i % (n / kept) == 0 ? DEDUP_SUPPRESS : DEDUP_SEND;

                assert_int_equal(check_number(d, i, "5", BEGIN_MS + 3), want);
        }
}

/* One series after the other goes, the oldest first: at every size the others stay known. */
static void test_dwindle(void **state _unused_) {
        const size_t n = 3000;
        _cleanup_(dedup_freep) Dedup *d = NULL;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { INT64_MAX, false, SIZE_MAX }, 7), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(check_number(d, i, i % 3 ? "5" : LONG, BEGIN_MS + (int64_t) i), DEDUP_SEND);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(dedup_evict(d, BEGIN_MS + (int64_t) i), i > 0);
                assert_int_equal(dedup_n_series(d), n - i);
                assert_true(dedup_memory(d) <= (n - i) * 300 + 4 * KIB);
                for (size_t j = i; j < n; j += 1 + (n - i) / 50) {
                        const char *value = j % 3 ? "5" : LONG;

                        assert_int_equal(check_number(d, j, value, BEGIN_MS + (int64_t) (n + i)),
                                         DEDUP_SUPPRESS);
                }
        }
}

static void test_spilled_memory(void **state _unused_) {
        _cleanup_(dedup_freep) Dedup *d = NULL;
        size_t before, spilled;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, 10 }, 1), 0);
        (void) check_number(d, 1, "5", BEGIN_MS);
        before = dedup_memory(d);
        (void) check_number(d, 1, LONG, BEGIN_MS + 1);
        spilled = dedup_memory(d);
        assert_true(spilled >= before + sizeof(LONG) && spilled <= before + 2 * sizeof(LONG));
        (void) check_number(d, 1, LONGER, BEGIN_MS + 2);
        assert_true(dedup_memory(d) >= before + sizeof(LONGER));
        (void) check_number(d, 1, LONG, BEGIN_MS + 3); /* the block is kept */
        assert_true(dedup_memory(d) >= before + sizeof(LONGER));
        (void) check_number(d, 1, "6", BEGIN_MS + 4);
        assert_int_equal(dedup_memory(d), before);
}

/* Keys that are no hashes, all in one corner of the directory: refused, not paid for with memory. */
static void test_crowded_keys(void **state _unused_) {
        _cleanup_(dedup_freep) Dedup *d = NULL;
        Point p = { .when = SLICE("1"), .value = SLICE("5"), .time_ms = BEGIN_MS };
        size_t n_sent = 0, n_overflow = 0;
        DedupLast last;

        assert_int_equal(dedup_new(&d, &(DedupLimits) { 300000, false, SIZE_MAX }, 1), 0);
        for (uint64_t i = 0; i < 5000; i++) {
                DedupAction a = dedup_check(d, (DedupKey) { .low = i * 512, .high = i }, &p, &last);

                n_sent += a == DEDUP_SEND;
                n_overflow += a == DEDUP_OVERFLOW;
        }
        assert_true(n_sent > 400 && n_sent + n_overflow == 5000);
        assert_int_equal(dedup_n_series(d), n_sent);
        assert_true(dedup_memory(d) < 1024 * KIB);

        p.time_ms++;
        for (uint64_t i = 0; i < n_sent; i++) {
                DedupKey key = { .low = i * 512, .high = i };

                assert_int_equal(dedup_check(d, key, &p, &last), DEDUP_SUPPRESS);
        }
        assert_int_equal(dedup_evict(d, INT64_MAX), n_sent);
}

/* -- against the model -- */

static void run_programs(unsigned n_programs, size_t n_bytes, uint8_t id_mask, uint64_t random) {
        _cleanup_(freep) uint8_t *program = malloc(n_bytes);

        assert_non_null(program);
        for (unsigned i = 0; i < n_programs; i++) {
                uint64_t seed = random;

                for (size_t k = 0; k < n_bytes; k++) {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        program[k] = (uint8_t) (random >> 32);
                }

                program[1] = id_mask;
                if (!pair_run(program, n_bytes))
                        fail_msg("program %u, seed %llu", i, (unsigned long long) seed);
        }
}

static void test_model_few(void **state _unused_) {
        run_programs(100, 1000, 0, 88172645463325252u);
        run_programs(60, 1000, 1, 1);
}

static void test_model_many(void **state _unused_) {
        run_programs(10, 4000, 2, 2);
        run_programs(4, 12000, 3, 3);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),         cmocka_unit_test(test_texts),
                cmocka_unit_test(test_keys),         cmocka_unit_test(test_whole_key),
                cmocka_unit_test(test_idle),         cmocka_unit_test(test_growth),
                cmocka_unit_test(test_dwindle),      cmocka_unit_test(test_spilled_memory),
                cmocka_unit_test(test_crowded_keys), cmocka_unit_test(test_model_few),
                cmocka_unit_test(test_model_many),
        };

        return run_tap(tests);
}
