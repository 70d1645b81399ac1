/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A growing run of bytes, for text that is put together off the data path. Zero-initialised it is empty.
 * The content is always followed by a NUL that is not counted, so `data` may be read as a string once
 * something has been added. */

#include "basic/slice.h"

typedef struct Buffer {
        char *data;
        size_t n; /* bytes in use */
        size_t allocated;
} Buffer;

void buffer_done(Buffer *b); /* frees the content; the buffer is empty and usable again */

/* All return 0, or -ENOMEM with the content as it was. */
int buffer_reserve(Buffer *b, size_t more);
int buffer_add(Buffer *b, Slice s);
int buffer_add_string(Buffer *b, const char *s);
int buffer_addf(Buffer *b, const char *format, ...) _printf_(2, 3);

/* Adds `s` as a JSON string, quotes included (RFC 8259, section 7). Bytes that are no UTF-8 become U+FFFD.
 */
int buffer_add_json(Buffer *b, Slice s);

static inline Slice buffer_slice(const Buffer *b) {
        return (Slice) { b->data, b->n };
}

/* Forgets the first `n` bytes, moving the others down. */
void buffer_consume(Buffer *b, size_t n);
