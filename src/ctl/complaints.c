/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "basic/log.h"
#include "ctl/complaints.h"

#define NOTE "complaints"
#define LINE_MAX_BYTES 1024
#define ALL_MAX_BYTES (256u * 1024) /* beyond that they are only logged, by every run */

void complaints_done(Complaints *c) {
        buffer_done(&c->before);
        buffer_done(&c->now);
}

int complaints_load(Complaints *c, RunDir *d) {
        buffer_done(&c->before);
        return rundir_read(d, NOTE, &c->before);
}

int complaints_store(const Complaints *c, RunDir *d) {
        if (slice_equal(buffer_slice(&c->before), buffer_slice(&c->now)))
                return 0;

        return c->now.n == 0 ? rundir_remove(d, NOTE) : rundir_write(d, NOTE, buffer_slice(&c->now));
}

static bool has_line(const Buffer *b, const char *line) {
        Slice rest = buffer_slice(b), one;

        while (slice_cut(&rest, '\n', &one))
                if (slice_equal(one, slice_from_string(line)))
                        return true;

        return false;
}

bool complaints_had(const Complaints *c, const char *line) {
        return has_line(&c->before, line);
}

void complain(Complaints *c, const char *format, ...) {
        char line[LINE_MAX_BYTES];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);

        for (char *p = line; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        *p = '?';

        if (has_line(&c->now, line))
                return;
        if (!c->quiet && !complaints_had(c, line))
                log_warning("%s", line);
        if (c->now.n < ALL_MAX_BYTES)
                (void) buffer_addf(&c->now, "%s\n", line);
}

void complain_of_config(void *userdata, const char *what) {
        complain(userdata, "%s", what);
}

void complain_of_path(void *userdata, const char *path, const char *what) {
        complain(userdata, "%s: %s", path, what);
}
