/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Log lines. Where they go is decided once, by main: standard error (with sd-daemon(3) "<N>" level prefixes
 * when that is the journal, see $JOURNAL_STREAM in systemd.exec(5)), or a sink of the caller's.
 *
 * Low floors return errors and do not log; the edge that decides calls one of these. The _errno() forms set
 * errno for %m and return the error, so that "log and return" is one statement. */

#include <syslog.h>

#include "basic/base.h"

/* `line` has no newline; `level` is one of syslog(3)'s. */
typedef void (*LogSink)(void *userdata, int level, const char *line);

void log_set_max_level(int level); /* LOG_INFO unless set */
int log_max_level(void);
void log_set_sink(LogSink sink, void *userdata); /* NULL: standard error again */
const char *log_level_to_string(int level);      /* "error", "warning", ... */

/* `error` is 0 or an errno of either sign; returns -abs(error). */
int log_full(int level, int error, const char *format, ...) _printf_(3, 4);

#define log_error(...) ((void) log_full(LOG_ERR, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_full(LOG_WARNING, 0, __VA_ARGS__))
#define log_notice(...) ((void) log_full(LOG_NOTICE, 0, __VA_ARGS__))
#define log_info(...) ((void) log_full(LOG_INFO, 0, __VA_ARGS__))
#define log_debug(...) ((void) log_full(LOG_DEBUG, 0, __VA_ARGS__))

#define log_error_errno(r, ...) log_full(LOG_ERR, (r), __VA_ARGS__)
#define log_warning_errno(r, ...) log_full(LOG_WARNING, (r), __VA_ARGS__)
#define log_debug_errno(r, ...) log_full(LOG_DEBUG, (r), __VA_ARGS__)

#define log_oom() log_error_errno(-ENOMEM, "Out of memory.")
