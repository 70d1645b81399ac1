/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "point/encode.h"
#include "unit/tap.h"

#define TAG(k, v) \
        { .key = SLICE(k), .value = SLICE(v) }

/* What is written stands in front of a guard page: not a byte more than said. */
static void check_telnet(const PointRules *rules, const char *line, const char *want) {
        char scratch[POINT_LINE_MAX], room[POINT_FINISHED_MAX] = {}, *out;
        Point p;

        assert_int_equal(point_parse(rules, guarded(line), scratch, &p), VERDICT_OK);
        out = (char *) guarded_slice((Slice) { room, p.finished_n }).p;
        assert_ptr_equal(encode_telnet(rules, &p, out), out + p.finished_n);
        if (!slice_equal((Slice) { out, p.finished_n }, slice_from_string(want)))
                fail_msg("\"%s\": \"%.*s\"", line, p.finished_n, out);
}

static void test_agent_tags(void **state _unused_) {
        static const struct {
                const char *line, *want;
        } rows[] = {
                { "m 17 1", "put n.m 17 1 a=1 host=web01 z=3\n" },
                { "m 17 1 k=v", "put n.m 17 1 k=v a=1 host=web01 z=3\n" },
                { "m 17 1 z=v k=v", "put n.m 17 1 z=v k=v a=1 host=web01\n" },
                { "m 17 1 host=v", "put n.m 17 1 host=v a=1 z=3\n" },
                { "m 17 1 a=v", "put n.m 17 1 a=v host=web01 z=3\n" },
                { "m 17 1 a=x host=y z=z", "put n.m 17 1 a=x host=y z=z\n" },
                { "m 17 1 aa=x hos=y hosts=v zz=z",
                  "put n.m 17 1 aa=x hos=y hosts=v zz=z a=1 host=web01 z=3\n" },
                { " m  17.5\t+1 k=v ", "put n.m 17.5 1 k=v a=1 host=web01 z=3\n" },
                { "m 17 True", "put n.m 17 1 a=1 host=web01 z=3\n" },
                { "m 17 false a=x", "put n.m 17 0 a=x host=web01 z=3\n" },
        };
        AgentTag tags[] = { TAG("z", "3"), TAG("host", "web01"), TAG("a", "1") };
        _cleanup_(point_rules_freep) PointRules *rules = NULL;

        assert_int_equal(point_rules_new(&rules, SLICE("n"), tags, ELEMENTSOF(tags), 8, BAD_CHARS_REJECT),
                         0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_telnet(rules, rows[i].line, rows[i].want);
}

static void test_prefix(void **state _unused_) {
        static const struct {
                Slice prefix;
                const char *want;
        } rows[] = {
                { SLICE(""), "put m 17 1\n" },     { SLICE("n"), "put n.m 17 1\n" },
                { SLICE("n."), "put n.m 17 1\n" }, { SLICE("a.b"), "put a.b.m 17 1\n" },
                { SLICE("."), "put .m 17 1\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(point_rules_freep) PointRules *rules = NULL;

                assert_int_equal(point_rules_new(&rules, rows[i].prefix, NULL, 0, 8, BAD_CHARS_REJECT), 0);
                check_telnet(rules, "m 17 1", rows[i].want);
        }
}

/* Every one of 64 agent tags taken out by the line, one at a time. */
static void test_all_agent_tags(void **state _unused_) {
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        AgentTag tags[POINT_AGENT_TAGS_MAX];
        char keys[POINT_AGENT_TAGS_MAX][4], line[64], want[1024];

        for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
                (void) snprintf(keys[i], sizeof(keys[i]), "k%02zu", i);
                tags[i] = (AgentTag) { .key = slice_from_string(keys[i]), .value = SLICE("v") };
        }
        assert_int_equal(point_rules_new(&rules, (Slice) {}, tags, ELEMENTSOF(tags), 64, BAD_CHARS_REJECT),
                         0);

        for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
                size_t n = (size_t) snprintf(want, sizeof(want), "put m 17 1 %s=x", keys[i]);

                (void) snprintf(line, sizeof(line), "m 17 1 %.3s=x", keys[i]);
                for (size_t k = 0; k < ELEMENTSOF(tags); k++)
                        if (k != i)
                                n += (size_t) snprintf(want + n, sizeof(want) - n, " %s=v", keys[k]);
                (void) stpcpy(want + n, "\n");
                check_telnet(rules, line, want);
        }
}

/* want NULL: not a finished line */
static const struct {
        const char *line, *want;
} json[] = {
        { "put m 1700000000 5 host=a\n",
          "{\"metric\":\"m\",\"timestamp\":1700000000,\"value\":5,\"tags\":{\"host\":\"a\"}}" },
        { "put m 1700000000 5 host=a",
          "{\"metric\":\"m\",\"timestamp\":1700000000,\"value\":5,\"tags\":{\"host\":\"a\"}}" },
        { "put m 17 5 a=b c=d-_./9\n",
          "{\"metric\":\"m\",\"timestamp\":17,\"value\":5,\"tags\":{\"a\":\"b\",\"c\":\"d-_./9\"}}" },
        { "put m 17 5\n", "{\"metric\":\"m\",\"timestamp\":17,\"value\":5,\"tags\":{}}" },
        { "put m 1700000000.5 5\n",
          "{\"metric\":\"m\",\"timestamp\":1700000000500,\"value\":5,\"tags\":{}}" },
        { "put m 17.000 5\n", "{\"metric\":\"m\",\"timestamp\":17000,\"value\":5,\"tags\":{}}" },
        { "put m 1700000000123 5\n",
          "{\"metric\":\"m\",\"timestamp\":1700000000123,\"value\":5,\"tags\":{}}" },
        { "put m 000000000017 5\n", "{\"metric\":\"m\",\"timestamp\":17,\"value\":5,\"tags\":{}}" },
        { "put m 00000000017 5\n", "{\"metric\":\"m\",\"timestamp\":17,\"value\":5,\"tags\":{}}" },
        { "", NULL },
        { "\n", NULL },
        { "put ", NULL },
        { "put \n", NULL },
        { "put m 17 5\n\n", NULL },
        { "put m 17 5 \n", NULL },
        { "put  m 17 5\n", NULL },
        { "put  17 5\n", NULL },
        { "put m 17 +5\n", NULL },
        { "put m 17 true\n", NULL },
        { "put m 17\n", NULL },
        { "put m 0 5\n", NULL },
        { "put m 17 5 k\n", NULL },
        { "put m 17 5 k=v\r\n", NULL },
        { "put m 17 5 k=v k=v\n", NULL },
        { "put m 17 5 k=\"v\"\n", NULL },
        { "PUT m 17 5\n", NULL },
        { "version\n", NULL },
        { "m 17 5 k=v\n", NULL },
};

static const struct {
        const char *value, *want;
} json_values[] = {
        { "0", "0" },
        { "-0", "-0" },
        { "007", "7" },
        { "-007", "-7" },
        { "000", "0" },
        { ".5", "0.5" },
        { "-.5", "-0.5" },
        { "5.", "5.0" },
        { "5.e3", "5.0e3" },
        { "00.50", "0.50" },
        { "1e5", "1e5" },
        { "1E+05", "1e+05" },
        { "007e-1", "7e-1" },
        { ".5e-1", "0.5e-1" },
        { "0.0", "0.0" },
        { "1.25", "1.25" },
        { "-9223372036854775808", "-9223372036854775808" },
};

static void check_json(Slice line, const char *want) {
        char out[ENCODE_JSON_MAX];
        size_t n = encode_json(guarded_slice(line), out);

        if (!slice_equal((Slice) { out, n }, slice_from_string(want ?: "")))
                fail_msg("\"%.*s\": %.*s", (int) line.n, line.p, (int) n, out);
}

static void test_json(void **state _unused_) {
        char line[128], want[256];

        for (size_t i = 0; i < ELEMENTSOF(json); i++)
                check_json(slice_from_string(json[i].line), json[i].want);

        for (size_t i = 0; i < ELEMENTSOF(json_values); i++) {
                (void) snprintf(line, sizeof(line), "put m 17 %s k=v\n", json_values[i].value);
                (void) snprintf(want, sizeof(want),
                                "{\"metric\":\"m\",\"timestamp\":17,\"value\":%s,\"tags\":{\"k\":\"v\"}}",
                                json_values[i].want);
                check_json(slice_from_string(line), want);
        }
}

/* As many different keys as a finished line has room for: the longest JSON there is. */
static void test_json_longest(void **state _unused_) {
        static const char set[] = "-_./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        size_t n_set = sizeof(set) - 1, n, n_tags = 0, n_json;
        char line[POINT_LINE_MAX], out[ENCODE_JSON_MAX];

        n = (size_t) (stpcpy(line, "put m 1.5 .5") - line);
        for (size_t i = 0; i < n_set; i++, n_tags++)
                n += (size_t) snprintf(line + n, sizeof(line) - n, " %c=v", set[i]);
        for (size_t i = 0; n + 5 < POINT_FINISHED_MAX; i++, n_tags++)
                n += (size_t) snprintf(line + n, sizeof(line) - n, " %c%c=v", set[i / n_set],
                                       set[i % n_set]);

        n_json = encode_json(guarded_slice((Slice) { line, n }), out);
        assert_int_equal(n_json,
                         n - strlen("put m 1.5 .5") + 4 * n_tags - 1 +
                                 strlen("{\"metric\":\"m\",\"timestamp\":1500,\"value\":0.5,\"tags\":{}}"));
        assert_true(n_json <= ENCODE_JSON_MAX);
        assert_true(n_tags > 200);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_agent_tags),     cmocka_unit_test(test_prefix),
                cmocka_unit_test(test_all_agent_tags), cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_longest),
        };

        return run_tap(tests);
}
