/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the generator writes (systemd.generator(7)): a drop-in for each collector's service, one for its
 * timer where it has an interval, the links that start them with tcollector.service, and the folders that
 * tcollector-rescan.path watches. Text only: nothing is written here, and read but which folders there are.
 *
 * A drop-in also says which file it was made for (X-Tcollector-File=, device, inode, size and time of the
 * last change), so that whoever compares two of them sees that a collector's program has changed. */

#include "basic/buffer.h"
#include "conf/roster.h"

typedef struct UnitFile {
        char *path;    /* below the generator's folder: "tcollector-col@NAME.service.d/50-tcollector.conf" */
        char *content; /* the text, or where the link leads */
        char *instance; /* whom it is for; "": all of them */
        bool is_link;
} UnitFile;

typedef struct UnitFiles {
        UnitFile *files; /* by path */
        size_t n;
} UnitFiles;

/* `host` is the name of this host: hosts and collectors start at different moments (a hash of both,
 * modulo the interval, at most 15 s). 0, -ENOMEM. */
int unit_files_make(const Roster *roster, const Config *config, const char *host, UnitFiles *ret);
void unit_files_done(UnitFiles *u);

/* A number that changes when anything does that is written for this collector; with "" as the instance, for
 * all of them. */
uint64_t unit_files_digest(const UnitFiles *u, const char *instance);
