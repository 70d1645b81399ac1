/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/log.h"

#define LOG_LINE_MAX 2048

static int max_level = LOG_INFO;
static LogSink sink;
static void *sink_userdata;

static const char *const level_table[] = {
        [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",   [LOG_CRIT] = "critical", [LOG_ERR] = "error",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",     [LOG_DEBUG] = "debug",
};
static_assert(ELEMENTSOF(level_table) == LOG_DEBUG + 1, "name every level");

const char *log_level_to_string(int level) {
        return level >= 0 && level <= LOG_DEBUG ? level_table[level] : NULL;
}

void log_set_max_level(int level) {
        max_level = level;
}

int log_max_level(void) {
        return max_level;
}

void log_set_sink(LogSink s, void *userdata) {
        sink = s;
        sink_userdata = userdata;
}

/* $JOURNAL_STREAM is "device:inode" of the socket that the journal reads (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        if (!e || sscanf(e, "%llu:%llu", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return false;

        return st.st_dev == dev && st.st_ino == ino;
}

static void log_to_stderr(int level, const char *line) {
        if (stderr_is_journal())
                (void) fprintf(stderr, "<%d>%s\n", level, line);
        else if (level <= LOG_WARNING || level == LOG_DEBUG)
                (void) fprintf(stderr, "tcollector: %s: %s\n", log_level_to_string(level), line);
        else
                (void) fprintf(stderr, "tcollector: %s\n", line);
}

int log_full(int level, int error, const char *format, ...) {
        char line[LOG_LINE_MAX];
        int saved = errno;
        va_list ap;

        error = error < 0 ? -error : error;
        if (level <= max_level) {
                errno = error;
                va_start(ap, format);
                (void) vsnprintf(line, sizeof(line), format, ap);
                va_end(ap);

                if (sink)
                        sink(sink_userdata, level, line);
                else
                        log_to_stderr(level, line);
        }

        errno = saved;
        return -error;
}
