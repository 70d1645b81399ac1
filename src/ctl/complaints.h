/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is wrong is said once, not by every rescan: what has been said is kept in a note of the run-time
 * folder, and forgotten when it is right again. */

#include "ctl/rundir.h"

typedef struct Complaints {
        Buffer before, now; /* a line each */
        bool quiet;         /* nothing is said, only gathered */
} Complaints;

int complaints_load(Complaints *c, RunDir *d);
int complaints_store(const Complaints *c, RunDir *d); /* those of this run */
void complaints_done(Complaints *c);

/* Logs a warning, unless it has been said before. */
void complain(Complaints *c, const char *format, ...) _printf_(2, 3);
bool complaints_had(const Complaints *c, const char *line); /* was it said by the run before? */

/* For config_load_what_is_good() and discover(), `userdata` being the Complaints. */
void complain_of_config(void *userdata, const char *what);
void complain_of_path(void *userdata, const char *path, const char *what);
