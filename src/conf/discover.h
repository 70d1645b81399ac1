/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Collector folders -> list of collectors (SPEC.md section 5, DESIGN.md section 5).
 *
 * <dir>/<interval>/<name>: the folder is a decimal number of seconds, 0 = runs for ever; the file is regular
 * or a link to one, executable, not hidden. A file in an earlier folder overrides one of the same name in a
 * later one; a link to /dev/null masks it. Under two intervals of one folder, the first in numeric order
 * stands. */

#include <sys/stat.h>

#include "basic/slice.h"

typedef struct DiscoverItem {
        char *name;            /* the file's name, extension included */
        char *path;            /* <dir>/<interval>/<name>, as it is executed */
        uint64_t interval_sec; /* 0: runs for ever */
        struct timespec mtime; /* of the file a link leads to */
        dev_t dev;             /* with inode, size and mtime it tells a changed file */
        ino_t inode;
        off_t size;
} DiscoverItem;

typedef struct Discovered {
        DiscoverItem *items; /* by name */
        size_t n;
} Discovered;

/* Something was left out that a person would want to know of: a folder that cannot be read, the same name
 * under two intervals, an interval that does not fit. `path` is what it is about. */
typedef void (*DiscoverComplaint)(void *userdata, const char *path, const char *what);

/* Reads `n_dirs` folders, the first winning. A folder that does not exist has no collectors (no complaint:
 * it may come). 0, -ENOMEM. */
int discover(const char *const *dirs, size_t n_dirs, DiscoverComplaint complain, void *userdata,
             Discovered *ret);
void discovered_done(Discovered *d);

/* The interval folders that can be read in, empty ones too, as paths in the order they are searched; of what
 * is wrong discover() complains. The caller frees it: string_list_clear(). */
int discover_folders(const char *const *dirs, size_t n_dirs, char ***ret, size_t *ret_n);

bool discover_same_file(const DiscoverItem *a, const DiscoverItem *b); /* dev, inode, size and mtime agree */
