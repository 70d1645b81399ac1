/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>
#include <string.h>

#include "basic/dl.h"

static int failed(int error, const char **ret_why) {
        const char *why = dlerror();

        *ret_why = why ? why : "no such symbol";
        return error;
}

int dl_load(const char *soname, const DlSymbol *symbols, size_t n_symbols, void *table,
            const char **ret_why) {
        void *library;

        /* Never unloaded: libraries leave exit handlers and threads behind. */
        library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library)
                return failed(-ELIBACC, ret_why);

        for (size_t i = 0; i < n_symbols; i++)
                if (!dlsym(library, symbols[i].name))
                        return failed(-ELIBBAD, ret_why);

        for (size_t i = 0; i < n_symbols; i++) {
                void *function = dlsym(library, symbols[i].name);

                memcpy((char *) table + symbols[i].offset, &function, sizeof(function));
        }

        return 0;
}
