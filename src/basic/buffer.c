/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <stdio.h>

#include "basic/buffer.h"

void buffer_done(Buffer *b) {
        free(b->data);
        *b = (Buffer) {};
}

int buffer_reserve(Buffer *b, size_t more) {
        size_t need, size;
        char *p;

        if (__builtin_add_overflow(b->n, more, &need) || __builtin_add_overflow(need, (size_t) 1, &need))
                return -ENOMEM;
        if (need <= b->allocated)
                return 0;

        size = MAX(b->allocated * 2, (size_t) 64);
        size = MAX(size, need);
        p = realloc(b->data, size);
        if (!p)
                return -ENOMEM;

        b->data = p;
        b->allocated = size;
        return 0;
}

int buffer_add(Buffer *b, Slice s) {
        int r = buffer_reserve(b, s.n);

        if (r < 0)
                return r;
        if (s.n > 0)
                memcpy(b->data + b->n, s.p, s.n);

        b->n += s.n;
        b->data[b->n] = '\0';
        return 0;
}

int buffer_add_string(Buffer *b, const char *s) {
        return buffer_add(b, slice_from_string(s));
}

int buffer_addf(Buffer *b, const char *format, ...) {
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;

        r = buffer_reserve(b, (size_t) n);
        if (r < 0)
                return r;

        va_start(ap, format);
        (void) vsnprintf(b->data + b->n, (size_t) n + 1, format, ap);
        va_end(ap);
        b->n += (size_t) n;
        return 0;
}

/* The length of the UTF-8 sequence `s` begins with (RFC 3629, section 4), 0 where it begins with none. */
static size_t utf8_length(Slice s) {
        const unsigned char *u = (const unsigned char *) s.p;
        size_t n = u[0] < 0x80                 ? 1 :
                   u[0] >= 0xc2 && u[0] < 0xe0 ? 2 :
                   (u[0] & 0xf0) == 0xe0       ? 3 :
                   u[0] >= 0xf0 && u[0] < 0xf5 ? 4 :
                                                 0;

        if (n > s.n)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
        if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
            (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
                return 0;

        return n;
}

static int add_json_char(Buffer *b, Slice rest, size_t *ret_taken) {
        size_t n = utf8_length(rest);
        char c = rest.p[0];

        *ret_taken = MAX(n, (size_t) 1);
        if (n == 0)
                return buffer_add_string(b, "\xef\xbf\xbd");
        if (c == '"' || c == '\\')
                return buffer_addf(b, "\\%c", c);
        if ((unsigned char) c < 0x20 || c == 0x7f)
                return buffer_addf(b, "\\u%04x", (unsigned) c);

        return buffer_add(b, (Slice) { rest.p, n });
}

int buffer_add_json(Buffer *b, Slice s) {
        size_t before = b->n, taken;
        int r;

        r = buffer_add_string(b, "\"");
        for (; r >= 0 && s.n > 0; s.p += taken, s.n -= taken)
                r = add_json_char(b, s, &taken);
        if (r >= 0)
                r = buffer_add_string(b, "\"");
        if (r < 0)
                b->n = before;

        return r;
}

void buffer_consume(Buffer *b, size_t n) {
        assert(n <= b->n);

        if (n == 0)
                return;

        b->n -= n;
        memmove(b->data, b->data + n, b->n);
        b->data[b->n] = '\0';
}
