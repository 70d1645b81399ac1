/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>
#include <stdio.h>

#include "basic/file.h"
#include "lib/emit.h"
#include "lib/text.h"

#define NUMBER_MAX 32

static bool is_name_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '-' && c <= '9') || c == '_';
}

/* Both add to `text` what still fits in `max` bytes, and to *n what should have. */
static void put_raw(char *text, size_t *n, size_t max, Slice s) {
        if (*n <= max && s.n <= max - *n)
                memcpy(text + *n, s.p, s.n);

        *n += s.n;
}

static void put_name(char *text, size_t *n, size_t max, Slice s) {
        for (size_t i = 0; i < s.n; i++)
                put_raw(text, n, max, is_name_char(s.p[i]) ? (Slice) { s.p + i, 1 } : SLICE("_"));
}

void tags_add(Tags *t, const char *key, Slice value) {
        put_raw(t->text, &t->n, sizeof(t->text), SLICE(" "));
        put_raw(t->text, &t->n, sizeof(t->text), slice_from_string(key));
        put_raw(t->text, &t->n, sizeof(t->text), SLICE("="));
        put_name(t->text, &t->n, sizeof(t->text), value.n > 0 ? value : SLICE("_"));
}

static Slice number_format(char buf[static NUMBER_MAX], uint64_t value) {
        char *p = buf + NUMBER_MAX;

        do
                *--p = (char) ('0' + value % 10);
        while ((value /= 10) > 0);

        return (Slice) { p, (size_t) (buf + NUMBER_MAX - p) };
}

void tags_add_number(Tags *t, const char *key, uint64_t value) {
        char buf[NUMBER_MAX];

        tags_add(t, key, number_format(buf, value));
}

int emit_flush(Emit *e) {
        if (e->error == 0)
                e->error = fd_write_all(e->fd, (Slice) { e->data, e->n });

        e->n = 0;
        return e->error;
}

void emit_text(Emit *e, const char *prefix, Slice name, Slice value, const Tags *tags) {
        char line[EMIT_LINE_MAX], when[NUMBER_MAX];
        size_t n = 0;

        assert(text_is_decimal(value));

        if (tags && tags->n > sizeof(tags->text))
                return;

        put_raw(line, &n, sizeof(line), slice_from_string(prefix));
        put_name(line, &n, sizeof(line), name);
        put_raw(line, &n, sizeof(line), SLICE(" "));
        put_raw(line, &n, sizeof(line), number_format(when, e->time_sec));
        put_raw(line, &n, sizeof(line), SLICE(" "));
        put_raw(line, &n, sizeof(line), value);
        if (tags)
                put_raw(line, &n, sizeof(line), (Slice) { tags->text, tags->n });
        put_raw(line, &n, sizeof(line), SLICE("\n"));
        if (n >= sizeof(line))
                return;

        if (n > sizeof(e->data) - e->n)
                (void) emit_flush(e);
        memcpy(e->data + e->n, line, n);
        e->n += n;
        e->n_lines++;
}

void emit_number(Emit *e, const char *prefix, Slice name, uint64_t value, const Tags *tags) {
        char buf[NUMBER_MAX];

        if (value <= INT64_MAX)
                emit_text(e, prefix, name, number_format(buf, value), tags);
}

void emit_fixed(Emit *e, const char *prefix, Slice name, double value, const Tags *tags) {
        char buf[NUMBER_MAX];

        if (isfinite(value) && value >= 0 && value < 1e18)
                emit_text(e, prefix, name,
                          (Slice) { buf, (size_t) snprintf(buf, sizeof(buf), "%.2f", value) }, tags);
}
