/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The long way, for what the short cuts in the header leave over: decimals, long integers, words,
 * milliseconds. Exact: whether a decimal is finite is decided on its digits, without a double. */

#include "point/number.h"

#define INT64_DIGITS 19u     /* of INT64_MAX */
#define EXPONENT_MAX 1000000 /* far beyond what digits of one line could make up for */

/* 2^1024 - 2^970, half a step above the largest double: from here on a decimal is rounded to infinity. */
#define OVERFLOW_EXPONENT 308
static const char overflow_digits[] =
        "17976931348623158079372897140530341507993413271003782693617377898044496829276475"
        "09466490179775872070963302864166928879109465555478519404026306574886715058206819"
        "08902000708383676273854845817711531764475730270069855571366959622842914819860834"
        "936475292719074168444365510704342711559699508093042880177904174497792";

static inline bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* -- decimals -- */

/* Takes what is digits off the front of `s`. */
static Slice take_digits(Slice *s) {
        size_t n = 0;

        while (n < s->n && is_digit(s->p[n]))
                n++;

        *s = (Slice) { s->p + n, s->n - n };
        return (Slice) { s->p - n, n };
}

static bool take_char(Slice *s, char c) {
        if (s->n == 0 || *s->p != c)
                return false;

        *s = (Slice) { s->p + 1, s->n - 1 };
        return true;
}

bool number_split(Slice s, Number *ret) {
        Number n = {};

        n.negative = take_char(&s, '-');
        if (!n.negative)
                (void) take_char(&s, '+');

        n.whole = take_digits(&s);
        n.dot = take_char(&s, '.');
        if (n.dot)
                n.fraction = take_digits(&s);
        if (n.whole.n + n.fraction.n == 0)
                return false;

        if (take_char(&s, 'e') || take_char(&s, 'E')) {
                n.exponent = s;
                if (!take_char(&s, '-'))
                        (void) take_char(&s, '+');
                if (take_digits(&s).n == 0)
                        return false;
        }
        if (s.n > 0)
                return false;

        *ret = n;
        return true;
}

static Slice skip_zeros(Slice digits) {
        while (take_char(&digits, '0'))
                ;

        return digits;
}

static bool integer_fits(const Number *n) {
        Slice digits = skip_zeros(n->whole);
        uint64_t v;

        if (digits.n <= SAFE_DIGITS)
                return true;

        return digits.n == INT64_DIGITS && slice_to_uint64(digits, &v) &&
               v <= (uint64_t) INT64_MAX + (n->negative ? 1 : 0);
}

/* Is 0.DIGITS, DIGITS being those of `a` and then of `b`, below 0.overflow_digits? */
static bool below_overflow(Slice a, Slice b) {
        Slice limit = { overflow_digits, sizeof(overflow_digits) - 1 };
        size_t n = MIN(a.n, limit.n);
        int c = n > 0 ? memcmp(a.p, limit.p, n) : 0;

        if (c != 0)
                return c < 0;

        limit = (Slice) { limit.p + n, limit.n - n };
        n = MIN(b.n, limit.n);
        c = n > 0 ? memcmp(b.p, limit.p, n) : 0;
        return c < 0 || (c == 0 && n < limit.n);
}

static int exponent_value(Slice s) {
        bool negative = take_char(&s, '-');
        int v = 0;

        if (!negative)
                (void) take_char(&s, '+');
        for (; s.n > 0 && v < EXPONENT_MAX; s = (Slice) { s.p + 1, s.n - 1 })
                v = v * 10 + (*s.p - '0');

        return negative ? -v : v;
}

static bool decimal_is_finite(const Number *n, bool *ret_zero) {
        Slice whole = skip_zeros(n->whole);
        Slice fraction = whole.n > 0 ? n->fraction : skip_zeros(n->fraction);
        int exponent; /* of the first digit that is not 0 */

        *ret_zero = whole.n + fraction.n == 0;
        if (*ret_zero)
                return true;

        exponent = whole.n > 0 ? (int) whole.n - 1 : (int) fraction.n - (int) n->fraction.n - 1;
        exponent += exponent_value(n->exponent);
        if (exponent != OVERFLOW_EXPONENT)
                return exponent < OVERFLOW_EXPONENT;

        return below_overflow(whole, fraction);
}

/* -- values -- */

static bool number_is_valid(Slice s, bool *ret_zero) {
        Number n;

        if (!number_split(s, &n))
                return false;
        if (n.dot || n.exponent.n > 0)
                return decimal_is_finite(&n, ret_zero);
        if (!integer_fits(&n))
                return false;

        *ret_zero = skip_zeros(n.whole).n == 0;
        return true;
}

static bool equal_without_case(Slice s, Slice lower) {
        if (s.n != lower.n)
                return false;

        for (size_t i = 0; i < s.n; i++)
                if ((s.p[i] | 0x20) != lower.p[i])
                        return false;

        return true;
}

static bool word_parse(Slice s, Slice *ret, bool *ret_zero) {
        bool yes = equal_without_case(s, SLICE("true"));

        if (!yes && !equal_without_case(s, SLICE("false")))
                return false;

        *ret = yes ? SLICE("1") : SLICE("0");
        *ret_zero = !yes;
        return true;
}

bool value_parse_any(Slice s, Slice *ret, bool *ret_zero) {
        bool zero;

        if (!number_is_valid(s, &zero))
                return word_parse(s, ret, ret_zero);

        (void) take_char(&s, '+');
        *ret = s;
        *ret_zero = zero;
        return true;
}

/* -- timestamps -- */

bool time_has_ms(Slice s) {
        return s.n > 11 || memchr(s.p, '.', s.n);
}

bool time_parse_any(Slice s, int64_t *ret_ms) {
        Slice whole, fraction = {};
        uint64_t ms, part = 0;
        bool dot;

        whole = take_digits(&s);
        dot = take_char(&s, '.');
        if (dot)
                fraction = take_digits(&s);
        if (s.n > 0 || whole.n == 0 || (dot && (whole.n > 11 || fraction.n == 0 || fraction.n > 3)))
                return false;
        if (!slice_to_uint64(whole, &ms))
                return false;
        if (whole.n > 11)
                return time_in_range(ms, ret_ms);

        for (size_t i = 0, unit = 100; i < fraction.n; i++, unit /= 10)
                part += (uint64_t) (fraction.p[i] - '0') * unit;
        return time_in_range(ms * 1000 + part, ret_ms);
}
