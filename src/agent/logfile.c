/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `fd` is open for the object's whole life: a new file takes the place of the old one only when it is open.
 * While `stale`, the file at `path` is not (known to be) the one written to. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/logfile.h"
#include "basic/buffer.h"
#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"

struct LogFile {
        char *path;
        Buffer line; /* reused */
        uint64_t max_bytes, backup_count;
        uint64_t size;   /* of the file, as far as we know */
        uint64_t missed; /* lines that could not be written */
        int fd;
        int error;    /* why not: an errno */
        bool regular; /* anything else, /dev/null say, is written to but never moved */
        bool stale;
        bool torn; /* the file ends in the middle of a line */
};

int logfile_reopen(LogFile *f) {
        int fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
        struct stat st;

        f->stale = fd < 0;
        if (fd < 0)
                return -errno;

        (void) close_fd(f->fd);
        f->fd = fd;
        f->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        f->size = f->regular ? (uint64_t) st.st_size : 0;
        f->torn = false;
        return 0;
}

int logfile_open(LogFile **ret, const char *path, uint64_t max_bytes, uint64_t backup_count) {
        _cleanup_(logfile_freep) LogFile *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;

        f->path = strdup(path);
        f->max_bytes = max_bytes;
        f->backup_count = backup_count;
        f->fd = -1;
        if (!f->path)
                return -ENOMEM;

        r = logfile_reopen(f);
        if (r < 0)
                return r;

        *ret = TAKE(f);
        return 0;
}

LogFile *logfile_free(LogFile *f) {
        if (!f)
                return NULL;

        (void) close_fd(f->fd);
        buffer_done(&f->line);
        free(f->path);
        free(f);
        return NULL;
}

/* FILE.1 is moved to FILE.2, and so on, the last first; what stood in the place of the last is gone. */
static int move_backups(const LogFile *f) {
        _cleanup_(buffer_done) Buffer from = {}, to = {};

        for (uint64_t i = f->backup_count; i > 0; i--) {
                int r;

                from.n = to.n = 0;
                if (i > 1)
                        r = buffer_addf(&from, "%s.%" PRIu64, f->path, i - 1);
                else
                        r = buffer_add_string(&from, f->path);
                if (r >= 0)
                        r = buffer_addf(&to, "%s.%" PRIu64, f->path, i);
                if (r < 0)
                        return r;
                if (rename(from.data, to.data) < 0 && errno != ENOENT)
                        return -errno;
        }

        return 0;
}

static void rotate(LogFile *f) {
        if (!f->stale && move_backups(f) < 0) {
                f->size = 0; /* too large a file is better than none; tried again after as much more */
                return;
        }

        (void) logfile_reopen(f);
}

static bool is_full(const LogFile *f) {
        return f->regular && f->max_bytes > 0 && f->backup_count > 0 && f->size > 0 &&
               f->size + f->line.n >= f->max_bytes;
}

static int format_time(Buffer *b, usec_t now) {
        time_t sec = (time_t) (now / USEC_PER_SEC);
        char text[32] = "";
        struct tm tm;

        if (!localtime_r(&sec, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return -EINVAL;

        return buffer_addf(b, "%s.%03u", text, (unsigned) (now % USEC_PER_SEC / USEC_PER_MSEC));
}

static int add_line(LogFile *f, usec_t now, int level, const char *text) {
        size_t begin;
        int r = format_time(&f->line, now);

        if (r < 0)
                return r;

        begin = f->line.n;
        r = buffer_addf(&f->line, " %s: %s", log_level_to_string(level) ?: "message", text);
        if (r < 0)
                return r;

        /* no line of the file is anything but one of ours */
        for (char *c = f->line.data + begin; *c; c++)
                if (((unsigned char) *c < 0x20 && *c != '\t') || *c == 0x7f)
                        *c = '?';

        return buffer_add_string(&f->line, "\n");
}

static int format_all(LogFile *f, usec_t now, int level, const char *text) {
        char note[128];
        int r = 0;

        f->line.n = 0;
        if (f->torn)
                r = buffer_add_string(&f->line, "\n");
        if (r >= 0 && f->missed > 0) {
                (void) snprintf(note, sizeof(note), "%" PRIu64 " lines could not be written here: %s",
                                f->missed, strerrordesc_np(f->error) ?: "unknown error");
                r = add_line(f, now, LOG_WARNING, note);
        }
        if (r >= 0)
                r = add_line(f, now, level, text);

        return r;
}

static void miss(LogFile *f, int error) {
        f->missed++;
        f->error = error;
}

void logfile_write(LogFile *f, usec_t now, int level, const char *line) {
        int saved = errno, r = format_all(f, now, level, line);
        ssize_t n;

        if (r < 0) {
                miss(f, -r);
                errno = saved;
                return;
        }

        if (f->stale)
                (void) logfile_reopen(f);
        if (is_full(f))
                rotate(f);

        do
                n = write(f->fd, f->line.data, f->line.n);
        while (n < 0 && errno == EINTR);

        if (n == (ssize_t) f->line.n) {
                f->missed = 0;
                f->torn = false;
        } else
                miss(f, n < 0 ? errno : ENOSPC);
        if (n > 0) {
                f->size += (uint64_t) n;
                f->torn = f->line.data[n - 1] != '\n';
        }
        errno = saved;
}

void logfile_sink(void *userdata, int level, const char *line) {
        logfile_write(userdata, clock_usec(CLOCK_REALTIME), level, line);
}
