/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "point/encode.h"
#include "unit/tap.h"

#define HOST \
        { .key = SLICE("host"), .value = SLICE("web01") }

static PointRules *make_rules(BadChars bad_chars) {
        PointRules *rules;

        assert_int_equal(point_rules_new(&rules, (Slice) {}, (AgentTag[]) { HOST }, 1, 8, bad_chars), 0);
        return rules;
}

/* Parses a copy of `line` at a guard page. What is not VERDICT_OK must leave the point as it was. */
static Verdict parse(const PointRules *rules, Slice line, char *scratch, Point *ret) {
        Point before;
        Verdict v;

        memset(ret, 0xa5, sizeof(*ret));
        memcpy(&before, ret, sizeof(before));
        v = point_parse(rules, guarded_slice(line), scratch, ret);
        if (v != VERDICT_OK)
                assert_memory_equal(ret, &before, sizeof(before));

        return v;
}

static const struct {
        Slice line;
        Verdict want;
} verdicts[] = {
        { SLICE("a.b 1700000000 1 cpu=x"), VERDICT_OK },
        { SLICE("a 1 1"), VERDICT_OK },
        { SLICE("  a\t1700000000\r\v\f 1   k=v \r"), VERDICT_OK },
        { SLICE("a 1700000000 +5 k=v"), VERDICT_OK },
        { SLICE("a 1700000000 TRUE k=v"), VERDICT_OK },
        { SLICE("-_./azAZ09 1700000000 1 -_./azAZ09=-_./azAZ09"), VERDICT_OK },
        { SLICE("a 1700000000 1 abcde=1 axcye=1"), VERDICT_OK },
        { SLICE("a 1700000000 1 a=1 b=1 c=1 d=1 e=1 f=1 g=1"), VERDICT_OK },
        { SLICE("a 1700000000 1 a=1 b=1 c=1 d=1 e=1 f=1 g=1 host=x"), VERDICT_OK },

        { SLICE(""), VERDICT_EMPTY },
        { SLICE(" "), VERDICT_EMPTY },
        { SLICE(" \t\r\v\f "), VERDICT_EMPTY },
        { SLICE("\x18"), VERDICT_MARK },
        { SLICE(" \x18\r"), VERDICT_MARK },
        { SLICE("\x18\x18"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=\x18"), VERDICT_BAD_CHAR },

        { SLICE("a 1700000000 1 k=\x01"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=\x7f"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=\0v"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=v\n"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=\xc3\xbc"), VERDICT_BAD_CHAR },
        { SLICE("a 1700000000 1 k=v\x80"), VERDICT_BAD_CHAR },
        { SLICE("a:b x y z \x1f"), VERDICT_BAD_CHAR },
        { SLICE("\xff"), VERDICT_BAD_CHAR },

        { SLICE("a:b 1700000000 1 k=v"), VERDICT_BAD_METRIC },
        { SLICE("a=b 1700000000 1 k=v"), VERDICT_BAD_METRIC },
        { SLICE("=ab 1700000000 1 k=v"), VERDICT_BAD_METRIC },
        { SLICE("= 1700000000 1 k=v"), VERDICT_BAD_METRIC },
        { SLICE("a+b"), VERDICT_BAD_METRIC },
        { SLICE("a\"b x y z"), VERDICT_BAD_METRIC },
        { SLICE("put: 1 1"), VERDICT_BAD_METRIC },

        { SLICE("a"), VERDICT_BAD_TIME },
        { SLICE("a.long.metric.name.that.fills.a.vector"), VERDICT_BAD_TIME },
        { SLICE("a soon 1 k=v"), VERDICT_BAD_TIME },
        { SLICE("a 0 x z"), VERDICT_BAD_TIME },
        { SLICE("a 1=2 1 k=v"), VERDICT_BAD_TIME },
        { SLICE("a 2209212000 1 k=v"), VERDICT_BAD_TIME },
        { SLICE("a k=v"), VERDICT_BAD_TIME },
        { SLICE("put a 1700000000 1 k=v"), VERDICT_BAD_TIME },

        { SLICE("a 1700000000"), VERDICT_BAD_VALUE },
        { SLICE("a 1700000000 x k"), VERDICT_BAD_VALUE },
        { SLICE("a 1700000000 k=v"), VERDICT_BAD_VALUE },
        { SLICE("a 1700000000 1=1 k=v"), VERDICT_BAD_VALUE },
        { SLICE("a 1700000000 nan k=v"), VERDICT_BAD_VALUE },
        { SLICE("a 1700000000 1e400 k=v"), VERDICT_BAD_VALUE },

        { SLICE("a 1700000000 1 k"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k=v k"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k k=v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 =v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k="), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k= l=w"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k =v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k= v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 ="), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 =="), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k==v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k=v="), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k=v=w"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k:l=v"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k=v:w"), VERDICT_BAD_TAG },
        { SLICE("a 1700000000 1 k=v k=v l"), VERDICT_BAD_TAG },

        { SLICE("a 1700000000 1 k=v k=v"), VERDICT_DUPLICATE_TAG },
        { SLICE("a 1700000000 1 host=v j=v host=w"), VERDICT_DUPLICATE_TAG },
        { SLICE("a 1700000000 1 k=v k=v abcde=1 axcye=1"), VERDICT_DUPLICATE_TAG },
        { SLICE("a 1700000000 1 a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 a=1"), VERDICT_DUPLICATE_TAG },

        { SLICE("a 1700000000 1 a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1"), VERDICT_TOO_MANY_TAGS },
        { SLICE("a 1700000000 1 a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 host=1"), VERDICT_TOO_MANY_TAGS },
};

/* Each also with its white space spread, which must change nothing. */
static void test_verdicts(void **state _unused_) {
        _cleanup_(point_rules_freep) PointRules *rules = make_rules(BAD_CHARS_REJECT);
        char scratch[POINT_LINE_MAX], spread[512];
        Point p;

        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++) {
                Slice line = verdicts[i].line;
                size_t n = 0;
                Verdict v = parse(rules, line, scratch, &p);

                if (v != verdicts[i].want)
                        fail_msg("\"%.*s\": %s", (int) line.n, line.p, verdict_to_string(v));

                spread[n++] = '\t';
                for (size_t k = 0; k < line.n; k++) {
                        spread[n++] = line.p[k];
                        if (line.p[k] == ' ')
                                n = (size_t) (stpcpy(spread + n, "\v \r") - spread);
                }
                spread[n++] = '\f';
                assert_int_equal(parse(rules, (Slice) { spread, n }, scratch, &p), v);
        }
}

static void test_fields(void **state _unused_) {
        static const struct {
                const char *line, *metric, *when, *value, *tags;
                int64_t time_ms;
                bool zero;
        } rows[] = {
                { "a.b 1700000000 1 cpu=x", "a.b", "1700000000", "1", "cpu=x", 1700000000000, false },
                { "a 1700000000.5 0.0", "a", "1700000000.5", "0.0", "", 1700000000500, true },
                { " a  1700000000123\t+7 k=v   l=w ", "a", "1700000000123", "7", "k=v l=w", 1700000000123,
                  false },
                { "a 17 FALSE z=1 y=2", "a", "17", "0", "z=1 y=2", 17000, true },
        };
        _cleanup_(point_rules_freep) PointRules *rules = make_rules(BAD_CHARS_REJECT);
        char scratch[POINT_LINE_MAX];
        Point p;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(parse(rules, slice_from_string(rows[i].line), scratch, &p), VERDICT_OK);
                assert_true(slice_equal(p.metric, slice_from_string(rows[i].metric)));
                assert_true(slice_equal(p.when, slice_from_string(rows[i].when)));
                assert_true(slice_equal(p.value, slice_from_string(rows[i].value)));
                assert_true(slice_equal(p.tags, slice_from_string(rows[i].tags)));
                assert_true(p.time_ms == rows[i].time_ms);
                assert_int_equal(p.zero, rows[i].zero);
                assert_int_equal(p.agent_tags, 1);
                assert_false(p.replaced);
        }
}

static void test_replace(void **state _unused_) {
        static const struct {
                Slice line;
                Verdict want;
                const char *finished;
                bool replaced;
        } rows[] = {
                { SLICE("a:b 17 1 k:l=v:w"), VERDICT_OK, "put a_b 17 1 k_l=v_w host=web01\n", true },
                { SLICE("a=b=c 17 1 k=v=w="), VERDICT_OK, "put a_b_c 17 1 k=v_w_ host=web01\n", true },
                { SLICE("a 17 1 k==v"), VERDICT_OK, "put a 17 1 k=_v host=web01\n", true },
                { SLICE("a 17 +1 \"=@"), VERDICT_OK, "put a 17 1 _=_ host=web01\n", true },
                { SLICE(": 17 1 k=v"), VERDICT_OK, "put _ 17 1 k=v host=web01\n", true },
                { SLICE("a 17 +1 k=v"), VERDICT_OK, "put a 17 1 k=v host=web01\n", false },
                { SLICE("a  17 1  k=v"), VERDICT_OK, "put a 17 1 k=v host=web01\n", false },
                { SLICE("a 17 1 h:st=x h@st=y"), VERDICT_DUPLICATE_TAG, NULL, false },
                { SLICE("a 17 1 k:v"), VERDICT_BAD_TAG, NULL, false },
                { SLICE("a 17 1 =:v"), VERDICT_BAD_TAG, NULL, false },
                { SLICE("a 17 1 k:="), VERDICT_BAD_TAG, NULL, false },
                { SLICE("a 17:0 1 k=v"), VERDICT_BAD_TIME, NULL, false },
                { SLICE("a 17 1:0 k=v"), VERDICT_BAD_VALUE, NULL, false },
                { SLICE("a:b 17 1 k=\xc3\xbc"), VERDICT_BAD_CHAR, NULL, false },
                { SLICE("a:b 17 1 k=\x01"), VERDICT_BAD_CHAR, NULL, false },
                { SLICE("a:b 17 1 k=\0"), VERDICT_BAD_CHAR, NULL, false },
                { SLICE(":"), VERDICT_BAD_TIME, NULL, false },
        };
        _cleanup_(point_rules_freep) PointRules *rules = make_rules(BAD_CHARS_REPLACE);
        char scratch[POINT_LINE_MAX], out[POINT_FINISHED_MAX];
        Point p;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Verdict v = parse(rules, rows[i].line, scratch, &p);

                if (v != rows[i].want)
                        fail_msg("\"%s\": %s", rows[i].line.p, verdict_to_string(v));
                if (v != VERDICT_OK)
                        continue;

                assert_int_equal(p.replaced, rows[i].replaced);
                assert_ptr_equal(encode_telnet(rules, &p, out), out + p.finished_n);
                assert_true(slice_equal((Slice) { out, p.finished_n }, slice_from_string(rows[i].finished)));
        }
}

/* A line of `n` bytes: "m 1 1 " and one tag, then `spaces` more in front of the tag. */
static Slice make_line(char *out, size_t n, size_t spaces) {
        size_t head = (size_t) (stpcpy(out, "m 1 1 ") - out);

        memset(out + head, ' ', spaces);
        memset(out + head + spaces, 'v', n - head);
        out[head + spaces + 1] = '=';
        return (Slice) { out, n + spaces };
}

static void test_lengths(void **state _unused_) {
        static const struct {
                size_t n, spaces;
                Verdict want;
        } rows[] = {
                { 1023 - 5, 0, VERDICT_OK }, /* finished: "put " and newline more */
                { 1023 - 5, 1, VERDICT_OK },
                { 1023 - 4, 0, VERDICT_TOO_LONG }, /* finished */
                { 1023 - 4, 7, VERDICT_TOO_LONG },
                { 1023, 0, VERDICT_TOO_LONG }, /* finished */
                { 1024, 0, VERDICT_TOO_LONG }, /* squeezed */
                { 1024, 5000, VERDICT_TOO_LONG },
                { 64, 64 * 1024 - 64, VERDICT_OK },
                { 64, 64 * 1024 - 63, VERDICT_TOO_LONG },
        };
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        _cleanup_(freep) char *line = malloc(2 * POINT_RAW_MAX);
        char scratch[POINT_LINE_MAX], out[POINT_FINISHED_MAX];
        Point p;

        assert_non_null(line);
        assert_int_equal(point_rules_new(&rules, (Slice) {}, NULL, 0, 8, BAD_CHARS_REJECT), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Verdict v = parse(rules, make_line(line, rows[i].n, rows[i].spaces), scratch, &p);

                if (v != rows[i].want)
                        fail_msg("%zu bytes and %zu spaces: %s", rows[i].n, rows[i].spaces,
                                 verdict_to_string(v));
                if (v == VERDICT_OK)
                        assert_ptr_equal(encode_telnet(rules, &p, out), out + rows[i].n + 5);
        }

        memset(line, ' ', POINT_RAW_MAX + 1);
        assert_int_equal(parse(rules, (Slice) { line, POINT_RAW_MAX }, scratch, &p), VERDICT_EMPTY);
        assert_int_equal(parse(rules, (Slice) { line, POINT_RAW_MAX + 1 }, scratch, &p), VERDICT_TOO_LONG);
}

/* A line too long in one way or the other, with a second fault at its end. */
static void test_two_faults(void **state _unused_) {
        static const struct {
                size_t n;
                const char *end;
                Verdict want;
        } rows[] = {
                { 1023, "\x01", VERDICT_BAD_CHAR },
                { 1024, "\x01", VERDICT_TOO_LONG },
                { 1023, " k", VERDICT_BAD_TAG },
                { 1024, " k", VERDICT_TOO_LONG },
                { 1023, " k=v k=v", VERDICT_DUPLICATE_TAG },
                { 1023, " a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1", VERDICT_TOO_MANY_TAGS },
                { 1023, " a=1 b=1 c=1 d=1 e=1 f=1 g=1", VERDICT_TOO_LONG },
        };
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        char line[POINT_LINE_MAX], scratch[POINT_LINE_MAX];
        Point p;

        assert_int_equal(point_rules_new(&rules, (Slice) {}, NULL, 0, 8, BAD_CHARS_REJECT), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Slice s = make_line(line, rows[i].n, 0);
                size_t n = strlen(rows[i].end);

                memcpy(line + s.n - n, rows[i].end, n);
                assert_int_equal(parse(rules, s, scratch, &p), rows[i].want);
        }
}

/* Every separator position in a word of the scan, and as many tags as a line can hold. */
static void test_many_tags(void **state _unused_) {
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        char line[POINT_LINE_MAX], scratch[POINT_LINE_MAX], out[POINT_FINISHED_MAX];
        Verdict v;
        Point p;

        assert_int_equal(point_rules_new(&rules, (Slice) {}, NULL, 0, 1000, BAD_CHARS_REJECT), 0);
        for (unsigned shift = 1; shift < 70; shift++) {
                int n = snprintf(line, sizeof(line), "%0*d 1 1", (int) shift, 1);

                for (unsigned i = 0; n + 9 < 1018; i++)
                        n += snprintf(line + n, sizeof(line) - (size_t) n, " %u=v", 100 + i);
                v = parse(rules, (Slice) { line, (size_t) n }, scratch, &p);
                assert_int_equal(v, VERDICT_OK);
                assert_ptr_equal(encode_telnet(rules, &p, out), out + n + 5);
                assert_memory_equal(out + 4, line, n);

                memcpy(line + n, " 142=v", 6);
                v = parse(rules, (Slice) { line, (size_t) n + 6 }, scratch, &p);
                assert_int_equal(v, VERDICT_DUPLICATE_TAG);
        }

        memcpy(line, "m 1 1", 5);
        for (size_t n = 5; n + 4 < POINT_LINE_MAX; n += 4)
                memcpy(line + n, " a=b", 4);
        assert_int_equal(parse(rules, (Slice) { line, 1021 }, scratch, &p), VERDICT_DUPLICATE_TAG);
}

static void test_with(void **state _unused_) {
        _cleanup_(point_rules_freep) PointRules *rules = make_rules(BAD_CHARS_REJECT);
        char scratch[POINT_LINE_MAX], out[POINT_FINISHED_MAX], line[POINT_LINE_MAX];
        Slice text;
        Point p, q;

        assert_int_equal(parse(rules, SLICE("a 1700000015 7 k=v host=x"), scratch, &p), VERDICT_OK);
        assert_true(point_with(&p, SLICE("1700000000.25"), SLICE("0.0"), &q));
        assert_true(q.time_ms == 1700000000250);
        assert_true(q.zero);
        assert_ptr_equal(encode_telnet(rules, &q, out), out + q.finished_n);
        text = SLICE("put a 1700000000.25 0.0 k=v host=x\n");
        assert_true(slice_equal((Slice) { out, q.finished_n }, text));
        assert_false(point_with(&p, SLICE("0"), SLICE("1"), &q));
        assert_false(point_with(&p, SLICE("1"), SLICE("x"), &q));

        text = make_line(line, 1023 - 5 - 11, 0);
        assert_int_equal(parse(rules, text, scratch, &p), VERDICT_OK);
        assert_int_equal(p.finished_n, POINT_FINISHED_MAX);
        assert_true(point_with(&p, SLICE("2"), SLICE("2"), &q));
        assert_false(point_with(&p, SLICE("22"), SLICE("2"), &q));
        assert_false(point_with(&p, SLICE("2"), SLICE("22"), &q));
}

static void test_rules(void **state _unused_) {
        static const struct {
                Slice prefix;
                AgentTag tags[2];
                size_t n_tags;
                int want;
        } rows[] = {
                { SLICE(""), { HOST }, 1, 0 },
                { SLICE("pre.fix"), {}, 0, 0 },
                { SLICE("pre fix"), {}, 0, -EINVAL },
                { SLICE("pre="), {}, 0, -EINVAL },
                { SLICE(""), { { .key = SLICE(""), .value = SLICE("v") } }, 1, -EINVAL },
                { SLICE(""), { { .key = SLICE("k"), .value = SLICE("") } }, 1, -EINVAL },
                { SLICE(""), { { .key = SLICE("k:"), .value = SLICE("v") } }, 1, -EINVAL },
                { SLICE(""), { { .key = SLICE("k"), .value = SLICE("v\xff") } }, 1, -EINVAL },
                { SLICE(""), { HOST, { .key = SLICE("host"), .value = SLICE("b") } }, 2, -EEXIST },
                { SLICE(""), { HOST, { .key = SLICE("hos"), .value = SLICE("b") } }, 2, 0 },
        };
        AgentTag tags[POINT_AGENT_TAGS_MAX + 1];
        char keys[ELEMENTSOF(tags)][8], big[1100];
        PointRules *rules = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(point_rules_new(&rules, rows[i].prefix, rows[i].tags, rows[i].n_tags, 8,
                                                 BAD_CHARS_REJECT),
                                 rows[i].want);
                rules = point_rules_free(rules);
        }

        for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
                (void) snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
                tags[i] = (AgentTag) { .key = slice_from_string(keys[i]), .value = SLICE("v") };
        }
        assert_int_equal(point_rules_new(&rules, (Slice) {}, tags, ELEMENTSOF(tags), 99, BAD_CHARS_REJECT),
                         -E2BIG);
        assert_int_equal(
                point_rules_new(&rules, (Slice) {}, tags, POINT_AGENT_TAGS_MAX, 99, BAD_CHARS_REJECT), 0);
        rules = point_rules_free(rules);

        /* "put " PREFIX "." "m 1 1" "\n" */
        memset(big, 'x', sizeof(big));
        assert_int_equal(point_rules_new(&rules, (Slice) { big, 1012 }, NULL, 0, 8, BAD_CHARS_REJECT), 0);
        rules = point_rules_free(rules);
        assert_int_equal(point_rules_new(&rules, (Slice) { big, 1013 }, NULL, 0, 8, BAD_CHARS_REJECT),
                         -E2BIG);
        tags[0].value = (Slice) { big, 1013 - 4 };
        assert_int_equal(point_rules_new(&rules, (Slice) {}, tags, 1, 8, BAD_CHARS_REJECT), 0);
        rules = point_rules_free(rules);
        tags[0].value.n++;
        assert_int_equal(point_rules_new(&rules, (Slice) {}, tags, 1, 8, BAD_CHARS_REJECT), -E2BIG);
        assert_null(rules);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),   cmocka_unit_test(test_fields),
                cmocka_unit_test(test_replace),    cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_two_faults), cmocka_unit_test(test_many_tags),
                cmocka_unit_test(test_with),       cmocka_unit_test(test_rules),
        };

        return run_tap(tests);
}
