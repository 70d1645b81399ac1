/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The agent: owns the loop and every part, connects them, and stops them in order. */

#include "agent/logfile.h"
#include "agent/options.h"

typedef struct Manager Manager;

/* Sets everything up; what is due begins with the loop. Logs what fails. `options` and `log` (NULL: no log
 * file) are borrowed. -errno. */
int manager_new(Manager **ret, const Options *options, LogFile *log);
Manager *manager_free(Manager *m); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Manager *, manager_free);

/* Runs until it is told to stop or its input has ended; returns the exit status: 0 done, 1 failed. */
int manager_run(Manager *m);
