/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Timestamps and values as they are written (SPEC.md section 2). Both stay text; here it is only decided
 * whether they are valid and what follows from it. Locale does not matter. */

#include <endian.h>

#include "point/point.h"

/* A number taken apart: [sign] whole [. fraction] [e exponent], at least one digit in whole and fraction
 * together. */
typedef struct Number {
        Slice whole, fraction; /* digits; either may be empty */
        Slice exponent;        /* with its sign, if any; empty where there is no 'e' */
        bool negative, dot;
} Number;

/* false: `s` is no number of this form. "+5" is one; nan, inf, hex are none. */
bool number_split(Slice s, Number *ret);

/* Was it written in milliseconds: with a fraction, or with 12 digits and more? */
bool time_has_ms(Slice s);

/* -- the common forms: eight bytes at a time spares the branch per digit that no processor foresees -- */

#define SAFE_DIGITS 18u /* so many fit into 64 bits whatever they are */
#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

static inline uint32_t load_4(const char *p) {
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return le32toh(v);
}

static inline uint64_t load_8(const char *p) {
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return le64toh(v);
}

/* The first byte lowest, 0 behind the last; reads the 1 to 7 bytes only. */
static inline uint64_t load_few(const char *p, size_t n) {
        if (n >= 4)
                return load_4(p) | (uint64_t) load_4(p + n - 4) << (n - 4) * 8;

        return (uint64_t) (uint8_t) p[0] | (uint64_t) (uint8_t) p[n / 2] << n / 2 * 8 |
               (uint64_t) (uint8_t) p[n - 1] << (n - 1) * 8;
}

/* Are these eight bytes all 0 to 9? */
static inline bool are_digits(uint64_t v) {
        return (((v + EACH_BYTE(0x76)) | v) & EACH_BYTE(0x80)) == 0;
}

/* 1 to SAFE_DIGITS digits, and nothing else? */
static inline bool short_integer(Slice s, bool *ret_zero) {
        uint64_t v, all;
        bool digits;

        if (s.n < 8) {
                v = load_few(s.p, s.n) ^ EACH_BYTE('0') >> (8 - s.n) * 8;
                *ret_zero = v == 0;
                return are_digits(v);
        }

        all = v = load_8(s.p) ^ EACH_BYTE('0');
        digits = are_digits(v);
        if (s.n > 16) {
                all |= v = load_8(s.p + 8) ^ EACH_BYTE('0');
                digits = digits && are_digits(v);
        }
        all |= v = load_8(s.p + s.n - 8) ^ EACH_BYTE('0');
        *ret_zero = all == 0;
        return digits && are_digits(v);
}

static inline bool time_in_range(uint64_t ms, int64_t *ret_ms) {
        if (ms == 0 || ms >= (uint64_t) POINT_TIME_END_MS)
                return false;

        *ret_ms = (int64_t) ms;
        return true;
}

/* Ten digits: eight of them at once, in pairs first, then four pairs in two multiplications. */
static inline bool ten_digits(const char *p, uint64_t *ret) {
        uint64_t v = load_8(p) ^ EACH_BYTE('0'), even, odd;
        unsigned tens = (uint8_t) p[8] - '0', ones = (uint8_t) p[9] - '0';

        if (!are_digits(v) || tens > 9 || ones > 9)
                return false;

        v = v * 10 + (v >> 8);
        even = v & UINT64_C(0x000000ff000000ff);
        odd = (v >> 16) & UINT64_C(0x000000ff000000ff);
        v = (even * (100 + (UINT64_C(1000000) << 32)) + odd * (1 + (UINT64_C(10000) << 32))) >> 32;
        *ret = v * 100 + tens * 10 + ones;
        return true;
}

/* What value_parse() and time_parse() do, without the short cut. */
bool value_parse_any(Slice s, Slice *ret, bool *ret_zero);
bool time_parse_any(Slice s, int64_t *ret_ms);

/* A value. *ret is what is sent: without a leading '+', 1 and 0 for true and false; *ret_zero: it is
 * numerically 0. false: an integer beyond 64 bits, a decimal that is not finite as a double, or no number at
 * all. */
__attribute__((__always_inline__)) static inline bool value_parse(Slice s, Slice *ret, bool *ret_zero) {
        size_t sign = s.n > 0 && s.p[0] == '-';
        Slice digits = { s.p + sign, s.n - sign };
        bool zero;

        if (digits.n == 0 || digits.n > SAFE_DIGITS || !short_integer(digits, &zero))
                return value_parse_any(s, ret, ret_zero);

        *ret = s;
        *ret_zero = zero;
        return true;
}

/* A timestamp, in milliseconds. false: not one, zero, or at or beyond POINT_TIME_END_MS. */
static inline bool time_parse(Slice s, int64_t *ret_ms) {
        uint64_t seconds;

        if (_unlikely_(s.n != 10) || !ten_digits(s.p, &seconds))
                return time_parse_any(s, ret_ms);

        return time_in_range(seconds * 1000, ret_ms);
}
