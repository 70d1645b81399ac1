/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values are told apart by their first byte. Strings are skipped with their escapes, brackets are matched on
 * a stack of bits, and everything else is a word; a text that passes may be no JSON in the strict sense, but
 * every slice handed out is bounded by what was seen. */

#include "io/http-json.h"

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
               c == '+' || c == '.';
}

static void skip(Slice *s, size_t n) {
        s->p += n;
        s->n -= n;
}

static void skip_space(Slice *s) {
        while (s->n > 0 && is_space(s->p[0]))
                skip(s, 1);
}

/* `s` begins with a quote. */
static bool skip_string(Slice *s) {
        for (size_t i = 1; i < s->n; i++) {
                if (s->p[i] == '\\')
                        i++;
                else if (s->p[i] == '"') {
                        skip(s, i + 1);
                        return true;
                }
        }

        return false;
}

static bool skip_word(Slice *s) {
        size_t n = 0;

        while (n < s->n && is_word(s->p[n]))
                n++;

        skip(s, n);
        return n > 0;
}

/* `s` begins with a bracket; everything up to the one that matches it. */
static bool skip_nested(Slice *s) {
        uint64_t squares = 0; /* a bit per depth: is it an array? */
        unsigned depth = 0;

        while (s->n > 0) {
                char c = s->p[0];
                bool closes = c == '}' || c == ']';

                if (c == '"') {
                        if (!skip_string(s))
                                return false;
                        continue;
                }

                skip(s, 1);
                if (c == '{' || c == '[') {
                        if (++depth > JSON_DEPTH_MAX)
                                return false;
                        squares = squares << 1 | (c == '[');
                }
                if (closes && (c == ']') != (squares & 1))
                        return false;
                if (closes) {
                        squares >>= 1;
                        depth--;
                }
                if (closes && depth == 0)
                        return true;
        }

        return false;
}

bool json_value(Slice *rest, Slice *ret) {
        Slice s = *rest, begin;
        bool whole;

        skip_space(&s);
        if (s.n == 0)
                return false;

        begin = s;
        if (s.p[0] == '{' || s.p[0] == '[')
                whole = skip_nested(&s);
        else if (s.p[0] == '"')
                whole = skip_string(&s);
        else
                whole = skip_word(&s);
        if (!whole)
                return false;

        *ret = (Slice) { begin.p, begin.n - s.n };
        *rest = s;
        return true;
}

/* The first call takes the opening bracket off, a later one the comma. The closing bracket stays, and tells
 * the one from the other. */
bool json_member(Slice *rest, Slice *ret_key, Slice *ret) {
        Slice s = *rest, key = {}, value;
        bool is_object = s.n > 0 && s.p[s.n - 1] == '}';

        if (s.n < 2 || (s.p[0] != '{' && s.p[0] != '[' && s.p[0] != ','))
                return false;

        skip(&s, 1);
        if (is_object) {
                if (!json_value(&s, &key) || key.p[0] != '"')
                        return false;
                skip_space(&s);
                if (s.n == 0 || s.p[0] != ':')
                        return false;
                skip(&s, 1);
        }
        if (!json_value(&s, &value))
                return false;

        skip_space(&s);
        *rest = s;
        *ret_key = is_object ? json_text(key) : key;
        *ret = value;
        return true;
}

bool json_get(Slice object, Slice key, Slice *ret) {
        Slice name, value;
        bool found = false;

        if (object.n == 0 || object.p[0] != '{')
                return false;

        while (json_member(&object, &name, &value))
                if (slice_equal(name, key)) {
                        *ret = value;
                        found = true;
                }

        return found;
}

Slice json_text(Slice value) {
        if (value.n < 2 || value.p[0] != '"')
                return value;

        return (Slice) { value.p + 1, value.n - 2 };
}
