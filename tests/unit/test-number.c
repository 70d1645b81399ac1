/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>
#include <regex.h>
#include <stdio.h>

#include "point/number.h"
#include "unit/tap.h"

/* time_ms 0: bad-time */
static const struct {
        const char *text;
        int64_t time_ms;
} times[] = {
        { "1", 1000 },
        { "1700000000", INT64_C(1700000000000) },
        { "1700000000.1", INT64_C(1700000000100) },
        { "1700000000.12", INT64_C(1700000000120) },
        { "1700000000.123", INT64_C(1700000000123) },
        { "1700000000.000", INT64_C(1700000000000) },
        { "0.001", 1 },
        { "00000000001.5", 1500 },
        { "1700000000123", INT64_C(1700000000123) },
        { "01700000000", INT64_C(1700000000000) }, /* 11 characters: seconds */
        { "001700000000", INT64_C(1700000000) },   /* 12: milliseconds */
        { "000000000017", 17 },
        { "00000000000000000000000000000000001700000000123", INT64_C(1700000000123) },
        { "2209211999", INT64_C(2209211999000) },
        { "2209211999.999", INT64_C(2209211999999) },
        { "2209211999999", INT64_C(2209211999999) },
        { "2209212000", 0 },
        { "2209212000.000", 0 },
        { "2209212000000", 0 },
        { "99999999999", 0 },
        { "999999999999", 999999999999 },
        { "9999999999", 0 },
        { "18446744073709551617", 0 }, /* 1 modulo 2^64 */
        { "18446744073709551616000000000001", 0 },
        { "0", 0 },
        { "0.0", 0 },
        { "0.000", 0 },
        { "0000000000", 0 },
        { "000000000000000", 0 },
        { "1700000000.", 0 },
        { "1700000000.1234", 0 },
        { ".5", 0 },
        { ".", 0 },
        { "", 0 },
        { "170000000000.5", 0 }, /* 12 digits and a dot */
        { "17000000000000.123", 0 },
        { "1.2.3", 0 },
        { "-1", 0 },
        { "+1", 0 },
        { "-170000000", 0 }, /* as long as ten digits */
        { "170000000x", 0 },
        { "17000000x0", 0 },
        { "x700000000", 0 },
        { "1700000/00", 0 },
        { "1700000:00", 0 },
        { "17e8", 0 },
        { "1,700", 0 },
        { "now", 0 },
};

static void test_times(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                int64_t ms = -1;
                bool ok = time_parse(guarded(times[i].text), &ms);

                if (ok != (times[i].time_ms > 0) || ms != (ok ? times[i].time_ms : -1))
                        fail_msg("\"%s\": %s, %lld", times[i].text, ok ? "taken" : "refused",
                                 (long long) ms);
        }
}

/* sent NULL: bad-value */
static const struct {
        const char *text, *sent;
        bool zero;
} values[] = {
        { "5", "5", false },
        { "+5", "5", false },
        { "-5", "-5", false },
        { "007", "007", false },
        { "12345678", "12345678", false },
        { "123456789012", "123456789012", false },
        { "1234567890123456", "1234567890123456", false },
        { "123456789012345678", "123456789012345678", false },
        { "-123456789012345678", "-123456789012345678", false },
        { "9223372036854775807", "9223372036854775807", false },
        { "+9223372036854775807", "9223372036854775807", false },
        { "-9223372036854775808", "-9223372036854775808", false },
        { "00000000000000000000009223372036854775807", "00000000000000000000009223372036854775807", false },
        { "9223372036854775808", NULL, false },
        { "-9223372036854775809", NULL, false },
        { "18446744073709551616", NULL, false },
        { "18446744073709551617", NULL, false },
        { "99999999999999999999999999", NULL, false },
        { "99999999999999999999999999.", "99999999999999999999999999.", false },
        { "0", "0", true },
        { "-0", "-0", true },
        { "+0", "0", true },
        { "0000000000000000", "0000000000000000", true },
        { "00000000000000000", "00000000000000000", true },
        { "0000000000000000000000", "0000000000000000000000", true },
        { "00000000000000010", "00000000000000010", false },
        { "00000000100000000", "00000000100000000", false },
        { "0.00", "0.00", true },
        { ".0", ".0", true },
        { "0.", "0.", true },
        { "0e5", "0e5", true },
        { "0e999999999999999999999", "0e999999999999999999999", true },
        { "-0.0e-400", "-0.0e-400", true },
        { "1e-400", "1e-400", false },
        { "1e-99999999999999999999", "1e-99999999999999999999", false },
        { ".5", ".5", false },
        { "5.", "5.", false },
        { "+.5", ".5", false },
        { "-.5", "-.5", false },
        { "5.e3", "5.e3", false },
        { "1.5e+10", "1.5e+10", false },
        { "1.5E-10", "1.5E-10", false },
        { "1e5", "1e5", false },
        { "1e00000000000000000000000000000005", "1e00000000000000000000000000000005", false },
        { "1.7976931348623157e308", "1.7976931348623157e308", false },
        { "1.7976931348623158e308", "1.7976931348623158e308", false },
        { "1.7976931348623159e308", NULL, false },
        { "-1.7976931348623159e308", NULL, false },
        { "17976931348623159e292", NULL, false },
        { "0.00017976931348623158e312", "0.00017976931348623158e312", false },
        { "0.00017976931348623159e312", NULL, false },
        { "1e308", "1e308", false },
        { "1e309", NULL, false },
        { "1e400", NULL, false },
        { "1e99999999999999999999", NULL, false },
        { "0.1e310", NULL, false },
        { "0.1e309", "0.1e309", false },
        { "true", "1", false },
        { "TRUE", "1", false },
        { "True", "1", false },
        { "false", "0", true },
        { "fAlSe", "0", true },
        { "truE ", NULL, false },
        { "tru", NULL, false },
        { "truee", NULL, false },
        { "TRU\x05", NULL, false },
        { "+true", NULL, false },
        { "nan", NULL, false },
        { "NaN", NULL, false },
        { "inf", NULL, false },
        { "-Infinity", NULL, false },
        { "0x10", NULL, false },
        { "1_000", NULL, false },
        { "1,5", NULL, false },
        { "", NULL, false },
        { "+", NULL, false },
        { "-", NULL, false },
        { "++5", NULL, false },
        { "+-5", NULL, false },
        { "--5", NULL, false },
        { ".", NULL, false },
        { "-.", NULL, false },
        { ".e5", NULL, false },
        { "e5", NULL, false },
        { "5e", NULL, false },
        { "5e+", NULL, false },
        { "5e+-1", NULL, false },
        { "5e1.5", NULL, false },
        { "1.2.3", NULL, false },
        { "5-", NULL, false },
        { "1234567/", NULL, false },
        { "1234567:", NULL, false },
        { "/1234567", NULL, false },
        { "12345678901234:6", NULL, false },
        { "12345678901:34567", NULL, false },
        { "1234:67890123456", NULL, false },
        { "12345678:01234567", NULL, false },
        { "5\xff", NULL, false },
};

static void test_values(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                Slice sent = SLICE("untouched");
                bool zero = values[i].sent && !values[i].zero;
                bool ok = value_parse(guarded(values[i].text), &sent, &zero);
                const char *want = values[i].sent ?: "untouched";

                if (ok != (values[i].sent != NULL) || zero != values[i].zero ||
                    !slice_equal(sent, slice_from_string(want)))
                        fail_msg("\"%s\": %s, \"%.*s\"%s", values[i].text, ok ? "taken" : "refused",
                                 (int) sent.n, sent.p, zero ? ", zero" : "");
        }
}

/* What SPEC.md says of a value, in terms of regcomp(3), strtoll(3) and strtod(3). */
static bool is_value(const char *s, const regex_t *integer, const regex_t *decimal) {
        if (regexec(integer, s, 0, NULL, 0) == 0) {
                errno = 0;
                (void) strtoll(s, NULL, 10);
                return errno == 0;
        }

        return regexec(decimal, s, 0, NULL, 0) == 0 && isfinite(strtod(s, NULL));
}

static uint64_t next_random(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static void check_value(const char *s, const regex_t *integer, const regex_t *decimal, size_t *n_taken) {
        bool ok, want = is_value(s, integer, decimal), zero;
        Slice sent;

        ok = value_parse(guarded(s), &sent, &zero);
        if (ok != want)
                fail_msg("\"%s\": %s", s, ok ? "taken" : "refused");
        if (ok && zero != (strtod(s, NULL) == 0 && !strpbrk(s, "123456789")) && !strpbrk(s, "eE"))
                fail_msg("\"%s\": zero is %d", s, zero);

        *n_taken += ok;
}

/* 2^1024 - 2^970: the smallest number that is rounded to infinity. */
static const char limit[] =
        "17976931348623158079372897140530341507993413271003782693617377898044496829276475"
        "09466490179775872070963302864166928879109465555478519404026306574886715058206819"
        "08902000708383676273854845817711531764475730270069855571366959622842914819860834"
        "936475292719074168444365510704342711559699508093042880177904174497792";

static void test_limit(void **state _unused_) {
        static const struct {
                const char *end; /* in the place of the last digit */
                bool want;
        } rows[] = {
                { "1.", true },  { "1.999999", true }, { "2.", false },     { "2.0000001", false },
                { "3.", false }, { ".2e1", false },    { ".199e1", true },  { "20e-1", false },
                { "2", false },  { "19e-1", true },    { "20.e-1", false },
        };
        char s[512];
        Slice sent;
        bool zero;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                (void) snprintf(s, sizeof(s), "%.*s%s", (int) sizeof(limit) - 2, limit, rows[i].end);
                if (value_parse(guarded(s), &sent, &zero) != rows[i].want)
                        fail_msg("ending in \"%s\": not %d", rows[i].end, rows[i].want);
        }
}

/* Digits around the largest double, the dot anywhere, and the exponent that makes up for it, or nearly. */
static void make_big(char out[static 512], uint64_t *random) {
        size_t n = 1 + next_random(random) % (sizeof(limit) - 1), dot = next_random(random) % (n + 1),
               changed;
        int exponent = 309 - (int) dot + (int) (next_random(random) % 3) - 1;

        if (next_random(random) % 2)
                exponent = 309 - (int) dot;
        if (next_random(random) % 4 == 0)
                n = sizeof(limit) - 1;

        (void) snprintf(out, 512, "%.*s.%.*se%d", (int) dot, limit, (int) (n - dot), limit + dot, exponent);
        changed = next_random(random) % n;
        changed += changed >= dot;
        if (next_random(random) % 2)
                out[changed] = (char) ('0' + next_random(random) % 10);
}

static void test_random_values(void **state _unused_) {
        static const char alphabet[] = "000159..eE+-5";
        size_t n_taken = 0, n = 200000;
        uint64_t random = 88172645463325252u;
        regex_t integer, decimal;
        char s[512];

        assert_int_equal(regcomp(&integer, "^[-+]?[0-9]+$", REG_EXTENDED | REG_NOSUB), 0);
        assert_int_equal(regcomp(&decimal, "^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$",
                                 REG_EXTENDED | REG_NOSUB),
                         0);

        for (size_t i = 0; i < n; i++) {
                size_t length = next_random(&random) % (i % 2 ? 8 : 22);

                for (size_t k = 0; k < length; k++)
                        s[k] = alphabet[next_random(&random) % (i % 3 ? sizeof(alphabet) - 1 : 6)];
                s[length] = '\0';
                check_value(s, &integer, &decimal, &n_taken);
        }
        assert_in_range(n_taken, n / 10, n * 9 / 10);

        n_taken = 0;
        for (size_t i = 0; i < n / 10; i++) {
                make_big(s, &random);
                check_value(s, &integer, &decimal, &n_taken);
        }
        assert_in_range(n_taken, n / 100, n * 9 / 100);

        regfree(&integer);
        regfree(&decimal);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_random_values),
        };

        return run_tap(tests);
}
