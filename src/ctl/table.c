/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <string.h>

#include "basic/printable.h"
#include "ctl/table.h"

void table_done(Table *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->cells[i]);
        free(t->cells);
        *t = (Table) {};
}

int table_add(Table *t, const char *format, ...) {
        char text[PRINTABLE_MAX];
        char *cell = NULL;
        va_list ap;
        int n;

        assert(t->n_columns > 0 && t->n_columns <= TABLE_COLUMNS_MAX);

        if (t->n == t->allocated) {
                size_t size = MAX(t->allocated * 2, (size_t) 64);
                char **cells = reallocarray(t->cells, size, sizeof(*cells));

                if (!cells)
                        return -ENOMEM;
                t->cells = cells;
                t->allocated = size;
        }

        va_start(ap, format);
        n = vasprintf(&cell, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;

        t->cells[t->n] = strdup(printable(text, slice_from_string(cell)));
        free(cell);
        if (!t->cells[t->n])
                return -ENOMEM;

        t->n++;
        return 0;
}

void table_print(const Table *t, FILE *f) {
        int widths[TABLE_COLUMNS_MAX] = {};

        for (size_t i = 0; i < t->n; i++)
                widths[i % t->n_columns] = MAX(widths[i % t->n_columns], (int) strlen(t->cells[i]));

        for (size_t i = 0; i < t->n; i++) {
                size_t column = i % t->n_columns;
                bool last = column + 1 == t->n_columns, right = t->right & (1u << column);

                if (right)
                        (void) fprintf(f, "%*s", widths[column], t->cells[i]);
                else if (last)
                        (void) fprintf(f, "%s", t->cells[i]);
                else
                        (void) fprintf(f, "%-*s", widths[column], t->cells[i]);
                (void) fputs(last ? "\n" : "  ", f);
        }
}
