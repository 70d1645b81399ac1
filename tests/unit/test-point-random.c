/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parser on lines no person would think of. The seed is fixed: what fails once fails always. */

#include <stdio.h>

#include "point/encode.h"
#include "point/scan.h"
#include "unit/tap.h"

static uint64_t next_random(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

/* Both forms of the scan say the same, and what the class table says. */
static void test_scan(void **state _unused_) {
        static const char alphabet[] = "aAzZ09-._/ =  ==m.n";
        uint64_t random = 88172645463325252u, words[SCAN_WORDS], scalar[SCAN_WORDS];
        char line[POINT_LINE_MAX];

        for (unsigned i = 0; i < 20000; i++) {
                size_t n = i < 2 * POINT_LINE_MAX ? i / 2 : next_random(&random) % 200;
                bool clean = true, want = true;
                Slice s;

                for (size_t k = 0; k < n; k++)
                        line[k] = alphabet[next_random(&random) % (sizeof(alphabet) - 1)];
                if (i % 2 && n > 0)
                        line[next_random(&random) % n] = (char) next_random(&random);

                s = guarded_slice((Slice) { line, n });
                clean = scan_line(s.p, n, words);
                assert_int_equal(scan_line_scalar(s.p, n, scalar), clean);
                assert_memory_equal(words, scalar, (n / 64 + 1) * sizeof(*words));
                for (size_t k = 0; k < n; k++) {
                        bool sep = line[k] == ' ' || line[k] == '=';

                        assert_int_equal(words[k / 64] >> k % 64 & 1, sep);
                        want = want && (sep || class_of(line[k]) == CHAR_NAME);
                }
                assert_int_equal(words[n / 64] >> n % 64, 1);
                assert_int_equal(clean, want);
        }
}

/* -- random lines -- */

typedef struct Line {
        char metric[64], when[32], value[32], tags[2048];
        unsigned n_tags;
} Line;

static void make_good(Line *l, uint64_t *random) {
        static const char *const decimals[] = {
                "0.5", "-1.25e-3", "1e9", ".5", "-0", "9223372036854775807"
        };
        size_t n = 0;

        (void) snprintf(l->metric, sizeof(l->metric), "m%.*s.%u", (int) (next_random(random) % 30),
                        "abcdefghijklmnopqrstuvwxyz/-_.ABCDEF", (unsigned) next_random(random) % 1000);
        (void) snprintf(l->when, sizeof(l->when), next_random(random) % 2 ? "%u" : "%u.5",
                        1 + (unsigned) (next_random(random) % 2209211999));
        if (next_random(random) % 2)
                (void) snprintf(l->value, sizeof(l->value), "%lld",
                                (long long) next_random(random) >> next_random(random) % 64);
        else
                (void) stpcpy(l->value, decimals[next_random(random) % ELEMENTSOF(decimals)]);

        l->n_tags = (unsigned) next_random(random) % 7;
        l->tags[0] = '\0';
        for (unsigned i = 0; i < l->n_tags; i++)
                n += (size_t) snprintf(l->tags + n, sizeof(l->tags) - n, " key%u=%u", i * 7,
                                       (unsigned) next_random(random) % 100000);
}

/* Makes a good line bad in exactly one way. */
static Verdict make_bad(Line *l, uint64_t *random) {
        static const struct {
                const char *text; /* it goes behind the field */
                size_t field;
                Verdict want;
        } faults[] = {
                { "=", offsetof(Line, metric), VERDICT_BAD_METRIC },
                { "@", offsetof(Line, metric), VERDICT_BAD_METRIC },
                { "\x80", offsetof(Line, metric), VERDICT_BAD_CHAR },
                { "x", offsetof(Line, when), VERDICT_BAD_TIME },
                { "=", offsetof(Line, when), VERDICT_BAD_TIME },
                { "000000000000000000", offsetof(Line, when), VERDICT_BAD_TIME },
                { "\x7f", offsetof(Line, when), VERDICT_BAD_CHAR },
                { "_", offsetof(Line, value), VERDICT_BAD_VALUE },
                { "+", offsetof(Line, value), VERDICT_BAD_VALUE },
                { "=", offsetof(Line, value), VERDICT_BAD_VALUE },
                { "\x01", offsetof(Line, value), VERDICT_BAD_CHAR },
                { " tag", offsetof(Line, tags), VERDICT_BAD_TAG },
                { " tag=", offsetof(Line, tags), VERDICT_BAD_TAG },
                { " =v", offsetof(Line, tags), VERDICT_BAD_TAG },
                { " tag=v=w", offsetof(Line, tags), VERDICT_BAD_TAG },
                { " tag=(v)", offsetof(Line, tags), VERDICT_BAD_TAG },
                { " a=1 a=1", offsetof(Line, tags), VERDICT_DUPLICATE_TAG },
                { " a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1", offsetof(Line, tags), VERDICT_TOO_MANY_TAGS },
        };
        size_t i = next_random(random) % (ELEMENTSOF(faults) + 1);

        if (i == ELEMENTSOF(faults)) {
                size_t n = strlen(l->tags);

                n = (size_t) (stpcpy(l->tags + n, " long=") - l->tags);
                memset(l->tags + n, 'x', 1023);
                l->tags[n + 1023] = '\0';
                return VERDICT_TOO_LONG;
        }

        (void) stpcpy(strchr((char *) l + faults[i].field, '\0'), faults[i].text);
        return faults[i].want;
}

/* A million lines, one in four bad, one in four with white space to squeeze: each gets its verdict, what is
 * good is written as it should be, and every verdict of the parser occurs. */
static void test_million(void **state _unused_) {
        static const char *const spaces[] = { " ", " ", " ", "\t \r" };
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        AgentTag host = { .key = SLICE("host"), .value = SLICE("web01") };
        char text[4096], finished[4096], scratch[POINT_LINE_MAX], out[POINT_FINISHED_MAX];
        uint64_t random = 88172645463325252u;
        size_t n_verdicts[_VERDICT_MAX] = {};
        Line l;

        assert_int_equal(point_rules_new(&rules, (Slice) {}, &host, 1, 8, BAD_CHARS_REJECT), 0);
        for (unsigned i = 0; i < 1000000; i++) {
                const char *space = spaces[i % ELEMENTSOF(spaces)];
                Verdict want = VERDICT_OK, v;
                int n, n_finished;
                Point p;

                make_good(&l, &random);
                if (next_random(&random) % 4 == 0)
                        want = make_bad(&l, &random);

                n = snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", i % 8 == 3 ? space : "", l.metric, space,
                             l.when, space, l.value, l.tags);
                v = point_parse(rules, guarded_slice((Slice) { text, (size_t) n }), scratch, &p);
                if (v != want)
                        fail_msg("\"%s\": %s, not %s", text, verdict_to_string(v), verdict_to_string(want));

                n_verdicts[v]++;
                if (v != VERDICT_OK)
                        continue;

                n_finished = snprintf(finished, sizeof(finished), "put %s %s %s%s host=web01\n", l.metric,
                                      l.when, l.value, l.tags);
                assert_int_equal(p.finished_n, n_finished);
                assert_ptr_equal(encode_telnet(rules, &p, out), out + n_finished);
                assert_memory_equal(out, finished, (size_t) n_finished);
        }

        n_verdicts[point_parse(rules, SLICE(" "), scratch, &(Point) {})]++;
        n_verdicts[point_parse(rules, SLICE(RUN_MARK), scratch, &(Point) {})]++;
        for (Verdict v = 0; v < _VERDICT_MAX; v++)
                if (v != VERDICT_OUT_OF_ORDER && v != VERDICT_UNFINISHED)
                        assert_true(n_verdicts[v] > 0);
        assert_in_range(n_verdicts[VERDICT_OK], 740000, 760000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan),
                cmocka_unit_test(test_million),
        };

        return run_tap(tests);
}
