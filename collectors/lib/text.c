/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/text.h"

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

bool text_line(Slice *rest, Slice *ret) {
        if (rest->n == 0)
                return false;
        if (slice_cut(rest, '\n', ret))
                return true;

        *ret = *rest;
        *rest = (Slice) { rest->p + rest->n, 0 };
        return true;
}

bool text_word(Slice *rest, Slice *ret) {
        size_t begin = 0, end;

        while (begin < rest->n && is_space(rest->p[begin]))
                begin++;
        for (end = begin; end < rest->n && !is_space(rest->p[end]);)
                end++;

        if (end > begin)
                *ret = (Slice) { rest->p + begin, end - begin };
        *rest = (Slice) { rest->p + end, rest->n - end };
        return end > begin;
}

size_t text_words(Slice line, Slice *words, size_t max) {
        size_t n = 0;

        while (n < max && text_word(&line, &words[n]))
                n++;

        return n;
}

bool text_number(Slice *rest, uint64_t *ret) {
        Slice word;

        return text_word(rest, &word) && slice_to_uint64(word, ret);
}

bool text_is_decimal(Slice s) {
        size_t whole = 0, fraction = 0;

        while (whole < s.n && is_digit(s.p[whole]))
                whole++;
        if (whole == 0 || whole == s.n)
                return whole > 0;
        if (s.p[whole] != '.')
                return false;
        while (whole + 1 + fraction < s.n && is_digit(s.p[whole + 1 + fraction]))
                fraction++;

        return fraction > 0 && whole + 1 + fraction == s.n;
}

bool text_range(Slice *list, unsigned *ret_first, unsigned *ret_last) {
        Slice item, front;
        uint64_t first, last;

        if (!slice_cut(list, ',', &item))
                item = TAKE(*list);
        item = slice_strip(item);

        if (!slice_cut(&item, '-', &front))
                front = item;
        if (!slice_to_uint64(front, &first) || !slice_to_uint64(item, &last) || first > last ||
            last > UINT16_MAX)
                return false;

        *ret_first = (unsigned) first;
        *ret_last = (unsigned) last;
        return true;
}

bool text_list_has(Slice list, unsigned n) {
        unsigned first, last;

        while (text_range(&list, &first, &last))
                if (n >= first && n <= last)
                        return true;

        return false;
}

static bool is_octal(char c) {
        return c >= '0' && c <= '7';
}

size_t text_unescape(Slice s, char *buf) {
        size_t n = 0;

        for (size_t i = 0; i < s.n; i++) {
                const char *p = s.p + i;

                if (*p == '\\' && s.n - i >= 4 && p[1] <= '3' && is_octal(p[1]) && is_octal(p[2]) &&
                    is_octal(p[3])) {
                        buf[n++] = (char) ((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
                        i += 3;
                } else
                        buf[n++] = *p;
        }

        return n;
}
