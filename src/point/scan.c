/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two forms of one function, compared with each other in test-point-random: one takes a byte at a time, the
 * other 16 with SSE2, which every x86-64 has, so that nothing is left to choose at run time. The last load
 * of the latter ends at the line's last byte and overlaps the one before; only lines of fewer than 16 bytes
 * are left to the former. */

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "point/scan.h"

const uint8_t char_class[256] = {
        [0 ... '\t' - 1] = CHAR_BAD,
        ['\t'] = CHAR_SPACE,
        ['\n'] = CHAR_BAD, /* it ends a line, so it is none of a line's bytes */
        ['\v' ... '\r'] = CHAR_SPACE,
        ['\r' + 1 ... ' ' - 1] = CHAR_BAD,
        [' '] = CHAR_SPACE | CHAR_SEPARATOR,
        ['-' ... '9'] = CHAR_NAME, /* "-./0123456789" stand side by side */
        ['='] = CHAR_SEPARATOR,
        ['A' ... 'Z'] = CHAR_NAME,
        ['_'] = CHAR_NAME,
        ['a' ... 'z'] = CHAR_NAME,
        [0x7f ... 0xff] = CHAR_BAD,
};

bool scan_line_scalar(const char *p, size_t n, uint64_t words[static SCAN_WORDS]) {
        uint8_t odd = 0;

        assert(n < POINT_LINE_MAX);

        for (size_t base = 0; base <= n; base += 64) {
                size_t end = MIN(n - base, (size_t) 64);
                uint64_t word = end < 64 ? UINT64_C(1) << end : 0;

                for (size_t i = 0; i < end; i++) {
                        uint8_t class = class_of(p[base + i]);

                        word |= (uint64_t) (class / CHAR_SEPARATOR) << i;
                        odd |= (class & (CHAR_NAME | CHAR_SEPARATOR)) == 0;
                }
                words[base / 64] = word;
        }

        return !odd;
}

#ifdef __SSE2__

/* Bit i is set where byte i is a ' ' or '='; a byte of *clean becomes 0 where it is no name character. */
static inline uint64_t scan_16(const char *p, __m128i *clean) {
        __m128i x = _mm_loadu_si128((const __m128i *) (const void *) p);
        __m128i sep =
                _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(x, _mm_set1_epi8('=')));
        __m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i digit = _mm_sub_epi8(x, _mm_set1_epi8('-'));
        __m128i name = _mm_cmpeq_epi8(x, _mm_set1_epi8('_'));

        name = _mm_or_si128(name, _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8('z' - 'a')), letter));
        name = _mm_or_si128(name, _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8('9' - '-')), digit));
        *clean = _mm_and_si128(*clean, _mm_or_si128(name, sep));

        return (uint64_t) _mm_movemask_epi8(sep);
}

bool scan_line(const char *p, size_t n, uint64_t words[static SCAN_WORDS]) {
        __m128i clean = _mm_set1_epi8(-1);
        uint64_t word = 0;
        size_t i = 0;

        if (n < 16)
                return scan_line_scalar(p, n, words);

        assert(n < POINT_LINE_MAX);

        for (; i + 16 <= n; i += 16) {
                word |= scan_16(p + i, &clean) << (i % 64);
                if (i % 64 == 48) {
                        words[i / 64] = word;
                        word = 0;
                }
        }
        if (i < n)
                word |= scan_16(p + n - 16, &clean) >> (16 - (n - i)) << (i % 64);

        words[n / 64] = word | UINT64_C(1) << (n % 64);
        return _mm_movemask_epi8(clean) == 0xffff;
}

#else

bool scan_line(const char *p, size_t n, uint64_t words[static SCAN_WORDS]) {
        return scan_line_scalar(p, n, words);
}

#endif
