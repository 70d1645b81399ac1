/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows of cells, printed in columns as wide as what is in them. */

#include <stdio.h>

#include "basic/base.h"

#define TABLE_COLUMNS_MAX 16u

typedef struct Table {
        char **cells;
        size_t n, allocated;
        size_t n_columns;
        unsigned right; /* bit i: column i is aligned to the right */
} Table;

void table_done(Table *t);
int table_add(Table *t, const char *format, ...) _printf_(2, 3); /* one cell; -ENOMEM */
void table_print(const Table *t, FILE *f);
