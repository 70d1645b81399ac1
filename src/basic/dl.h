/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A shared library that is loaded when it is first needed: whoever does without it pays nothing for it. Once
 * loaded it stays until the process ends. */

#include "basic/base.h"

typedef struct DlSymbol {
        const char *name;
        size_t offset; /* of the function pointer in the caller's table */
} DlSymbol;

/* Loads `soname` and fills `table`. 0; -ELIBACC: it cannot be loaded; -ELIBBAD: it lacks a symbol. On
 * failure `table` is as it was and *ret_why says why, until the next call of this function. */
int dl_load(const char *soname, const DlSymbol *symbols, size_t n_symbols, void *table,
            const char **ret_why);
