/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Data points on their way out.
 *
 * Lines gather in one buffer, which is written with one write(2) at the end of a round, or before a line
 * that does not fit any more: always at the end of a line, so that a reader never sees a cut one. A line
 * that the agent would refuse (an integer beyond 63 bits, over 1023 bytes) is left out; characters that a
 * name may not have become '_'. Once a write has failed, nothing more is written; emit_flush() says so. */

#include "basic/slice.h"

#define EMIT_BUFFER_MAX (64u * 1024)
#define EMIT_LINE_MAX 1024u /* a line, newline included, has fewer bytes */

typedef struct Emit {
        int fd;
        int error;         /* 0, or the -errno of the first write that failed */
        uint64_t time_sec; /* of every line of this round */
        uint64_t n_lines;  /* emitted so far, all rounds */
        size_t n;
        char data[EMIT_BUFFER_MAX];
} Emit;

/* The tags of a line as they are written, each with a space in front. A caller that changes only the last
 * one sets `n` back to where that began. */
typedef struct Tags {
        size_t n; /* beyond sizeof(text): they did not fit, and lines with them are left out */
        char text[EMIT_LINE_MAX];
} Tags;

static inline void tags_reset(Tags *t) {
        t->n = 0; /* the text need not be zeroed, and is a whole KiB */
}

void tags_add(Tags *t, const char *key, Slice value); /* an empty value becomes "_" */
void tags_add_number(Tags *t, const char *key, uint64_t value);

/* One line each; the metric is `prefix` and `name` together. `tags` may be NULL. The value of emit_text() is
 * as text_is_decimal() has it. */
void emit_text(Emit *e, const char *prefix, Slice name, Slice value, const Tags *tags);
void emit_number(Emit *e, const char *prefix, Slice name, uint64_t value, const Tags *tags);
void emit_fixed(Emit *e, const char *prefix, Slice name, double value, const Tags *tags); /* two decimals */

int emit_flush(Emit *e); /* 0, or -errno of write(2) */
