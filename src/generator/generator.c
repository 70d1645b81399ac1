/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "basic/log.h"
#include "conf/unit-files.h"
#include "generator/generator.h"

static void on_bad_file(void *userdata _unused_, const char *what) {
        log_error("%s", what);
}

static void on_bad_collector(void *userdata _unused_, const char *path, const char *what) {
        log_warning("%s: %s", path, what);
}

/* Makes the folder a file is to be in. */
static int make_folder(int dir_fd, const char *path) {
        _cleanup_(freep) char *folder = strndup(path, strcspn(path, "/"));

        if (!folder)
                return -ENOMEM;

        return mkdirat(dir_fd, folder, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_text(int dir_fd, const char *path, const char *text) {
        _cleanup_(close_fdp) int fd =
                openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

        return fd < 0 ? -errno : fd_write_all(fd, slice_from_string(text));
}

static int write_link(int dir_fd, const char *path, const char *target) {
        if (unlinkat(dir_fd, path, 0) < 0 && errno != ENOENT)
                return -errno;

        return symlinkat(target, dir_fd, path) < 0 ? -errno : 0;
}

static int write_file(int dir_fd, const UnitFile *f) {
        int r = make_folder(dir_fd, f->path);

        if (r >= 0)
                r = f->is_link ? write_link(dir_fd, f->path, f->content) :
                                 write_text(dir_fd, f->path, f->content);

        return r;
}

/* Links are written behind drop-ins, so a collector of which something could not be written is not linked:
 * there would be nothing to run. */
static bool failed_before(const UnitFiles *u, const bool *failed, const UnitFile *f) {
        for (size_t i = 0; f->is_link && i < u->n; i++)
                if (failed[i] && strcmp(u->files[i].instance, f->instance) == 0)
                        return true;

        return false;
}

static int write_all(int dir_fd, const UnitFiles *u) {
        _cleanup_(freep) bool *failed = calloc(u->n + 1, sizeof(*failed));
        size_t n_written = 0;
        int r = 0;

        if (!failed)
                return log_oom();

        for (unsigned links = 0; links < 2; links++)
                for (size_t i = 0; i < u->n; i++) {
                        const UnitFile *f = u->files + i;
                        int e;

                        if (f->is_link != links || failed_before(u, failed, f))
                                continue;

                        e = write_file(dir_fd, f);
                        failed[i] = e < 0;
                        n_written += e >= 0;
                        if (e < 0)
                                r = log_error_errno(e, "Failed to write %s: %m", f->path);
                }

        return n_written > 0 ? 0 : r;
}

/* false: it can be used, or there is none. */
static bool is_broken(const char *path) {
        _cleanup_(buffer_done) Buffer text = {}, why = {};
        int r = config_try(path, &text, &why);

        if (r >= 0 || r == -ENOENT)
                return false;

        log_error("%s", why.data ?: path);
        return true;
}

/* Without tcollector.conf nobody knows which folders have the collectors: those that run would lose their
 * settings, and timers their times. So what it said before is used where that is known. */
static int load(const char *etc, const char *good, Config **ret) {
        _cleanup_(freep) char *file = NULL, *drop_ins = NULL;

        if (access(good, F_OK) < 0)
                return config_load_what_is_good_in(ret, etc, on_bad_file, NULL);
        if (asprintf(&file, "%s/tcollector.conf", etc) < 0)
                return -ENOMEM;
        if (!is_broken(file))
                return config_load_what_is_good_in(ret, etc, on_bad_file, NULL);
        if (asprintf(&drop_ins, "%s/conf.d", etc) < 0)
                return -ENOMEM;

        log_notice("%s: what it said when it last could be used is used", file);
        return config_load_what_is_good(ret, good, drop_ins, on_bad_file, NULL);
}

static int make_all(const char *etc, const char *good, const char *host, UnitFiles *ret) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(roster_done) Roster roster = {};
        int r;

        r = load(etc, good, &config);
        if (r >= 0)
                r = roster_read(config, on_bad_collector, NULL, &roster);

        return r < 0 ? r : unit_files_make(&roster, config, host, ret);
}

int generator_run(const char *etc, const char *good, const char *normal_dir) {
        _cleanup_(close_fdp) int fd = open(normal_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(unit_files_done) UnitFiles units = {};
        char host[HOST_NAME_MAX + 1] = {};
        int r;

        if (fd < 0)
                return log_error_errno(errno, "Failed to open %s: %m", normal_dir);

        (void) gethostname(host, sizeof(host) - 1);
        r = make_all(etc, good, host, &units);
        if (r < 0)
                return log_error_errno(r, "Failed to read the collectors: %m");

        return write_all(fd, &units);
}
