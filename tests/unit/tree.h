/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Trees of files below a fresh folder, written as words: "x PATH" an executable file, "f PATH" a plain one,
 * "d PATH" a folder, "p PATH" a FIFO, "l PATH TARGET" a link. What fails, fails the test. */

#include "basic/buffer.h"

typedef struct Tree {
        char root[32];
        int fd; /* of the root */
} Tree;

void tree_make(Tree *ret, const char *words);
void tree_done(Tree *t); /* removes it */

char *tree_path(const Tree *t, const char *path); /* for the caller to free */
void tree_write(const Tree *t, const char *path, const char *text);

/* Everything that is no folder, by path: "== PATH\n" and the text, "-> TARGET\n" of a link. */
void tree_read(const Tree *t, const char *path, Buffer *out);

/* In `b`, every `what` becomes `with`. */
void buffer_replace(Buffer *b, const char *what, const char *with);
