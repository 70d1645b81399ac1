/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "basic/printable.h"
#include "conf/instance.h"
#include "ctl/say.h"

#define LINE_MAX_BYTES 1024

/* $JOURNAL_STREAM is "device:inode" of the socket that the journal reads (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

static void sink(void *userdata _unused_, int level, const char *line) {
        if (stderr_is_journal())
                (void) fprintf(stderr, "<%d>%s\n", level, line);
        else if (level <= LOG_WARNING || level == LOG_DEBUG)
                (void) fprintf(stderr, "tcollectorctl: %s: %s\n", log_level_to_string(level), line);
        else
                (void) fprintf(stdout, "%s\n", line);
}

void say_init(void) {
        log_set_sink(sink, NULL);
}

void say_fault(int level, const char *line) {
        if (stderr_is_journal())
                (void) log_full(level, 0, "%s", line);
        else
                (void) fprintf(stderr, "%s%s\n", line, level > LOG_ERR ? " (warning)" : "");
}

void say_collector(int level, const char *instance, const char *format, ...) {
        char line[LINE_MAX_BYTES], text[PRINTABLE_MAX];
        _cleanup_(freep) char *name = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);

        r = instance_to_name(slice_from_string(instance), &name);
        (void) printable(text, slice_from_string(r < 0 ? instance : name));
        if (stderr_is_journal() &&
            sd_journal_send("MESSAGE=%s: %s", text, line, "PRIORITY=%i", level,
                            "SYSLOG_IDENTIFIER=tcollectorctl",
                            "OBJECT_SYSTEMD_UNIT=" COLLECTOR_PREFIX "%s.service", instance, NULL) >= 0)
                return;

        (void) log_full(level, 0, "%s: %s", text, line);
}
