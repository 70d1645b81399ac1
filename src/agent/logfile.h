/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The log as a file: "2026-01-31 13:37:00.123 warning: text", local time, rotated by size.
 *
 * Before a line would make the file as large as `max_bytes`, FILE.1 becomes FILE.2 and so on, the file
 * becomes FILE.1, and a new one is begun; FILE.<backup_count> is the last that is kept. With 0 for either it
 * is never rotated.
 *
 * Nothing that happens to the file stops the caller: lines that cannot be written are counted, and the first
 * that can be again says how many are missing. */

#include "basic/base.h"

typedef struct LogFile LogFile;

/* Opened for appending, made if it is not there. `path` is copied. -errno of open(2), -ENOMEM. */
int logfile_open(LogFile **ret, const char *path, uint64_t max_bytes, uint64_t backup_count);
LogFile *logfile_free(LogFile *f); /* not while it is the sink; NULL-safe, returns NULL */
DEFINE_CLEANUP(LogFile *, logfile_free);

/* Someone else has moved the file away (logrotate(8)): begins a new one at its path. On failure it goes on
 * with the old one, and tries again at the next line. */
int logfile_reopen(LogFile *f);

/* One line, without its newline; `now` is CLOCK_REALTIME. */
void logfile_write(LogFile *f, usec_t now, int level, const char *line);

/* The same at this moment: a LogSink (basic/log.h), `userdata` is the LogFile. */
void logfile_sink(void *userdata, int level, const char *line);
