/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only root writes to the folder itself and to col/, so that what is looked at there stays what it is;
 * stalled/ is the agent's, and nothing in it is opened. What is made appears under its name when it is
 * finished, as the agent opens a FIFO as soon as it sees it. */

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "conf/instance.h"
#include "conf/names.h"
#include "ctl/rundir.h"

#define FIFO_MODE 0642 /* other's: a script's `> /dev/stdout` reopens it as the collector's user */
#define UNFINISHED ".new"
#define STALLED_MAX 4096u
#define LOCK_POLL_MSEC 20

/* `fd` may be of O_PATH, as fchmod(2) does not have it. */
static int mend(int fd, uid_t uid, gid_t gid, mode_t mode) {
        char path[64];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_uid != uid || st.st_gid != gid) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
                return -errno;
        if ((st.st_mode & 07777) == mode)
                return 0;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return chmod(path, mode) < 0 ? -errno : 0;
}

static int unlink_any(int dir_fd, const char *name) {
        if (unlinkat(dir_fd, name, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno == EISDIR && unlinkat(dir_fd, name, AT_REMOVEDIR) >= 0)
                return 0;

        return -errno;
}

static int open_folder(int dir_fd, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        _cleanup_(close_fdp) int fd = -1;
        int r;

        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
                return -errno;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        r = mend(fd, uid, gid, mode);
        return r < 0 ? r : TAKE_FD(fd);
}

/* The same within our own folder, where something else in its place has to go. */
static int open_inner(const RunDir *d, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        int fd = open_folder(d->fd, name, uid, gid, mode);

        if (fd != -ENOTDIR && fd != -ELOOP)
                return fd;
        if (unlinkat(d->fd, name, 0) < 0)
                return -errno;

        return open_folder(d->fd, name, uid, gid, mode);
}

int rundir_open(RunDir *ret, const char *path, const RunOwners *owners) {
        _cleanup_(rundir_close) RunDir d = RUNDIR_CLOSED;
        _cleanup_(close_fdp) int stalled = -1;

        d.owners = *owners;
        d.fd = open_folder(AT_FDCWD, path, owners->root, owners->root_group, 0755);
        if (d.fd < 0)
                return d.fd;
        d.col = open_inner(&d, RUN_FIFOS, owners->root, owners->agent_group, 0750);
        if (d.col < 0)
                return d.col;
        stalled = open_inner(&d, RUN_STALLED, owners->agent, owners->agent_group, 0700);
        if (stalled < 0)
                return stalled;

        *ret = d;
        d = RUNDIR_CLOSED;
        return 0;
}

void rundir_close(RunDir *d) {
        (void) close_fd(d->fd);
        (void) close_fd(d->col);
        (void) close_fd(d->lock);
        *d = RUNDIR_CLOSED;
}

int rundir_lock(RunDir *d, usec_t timeout) {
        _cleanup_(close_fdp) int fd =
                openat(d->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + timeout;

        if (fd < 0)
                return -errno;

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (clock_usec(CLOCK_MONOTONIC) >= deadline)
                        return -ETIMEDOUT;
                (void) poll(NULL, 0, LOCK_POLL_MSEC);
        }

        d->lock = TAKE_FD(fd);
        return 0;
}

/* -- FIFOs -- */

static int mend_fifo(const RunDir *d, int fd) {
        return mend(fd, d->owners.root, d->owners.agent_group, FIFO_MODE);
}

static int new_fifo(const RunDir *d) {
        _cleanup_(close_fdp) int fd = -1;
        int r;

        r = unlink_any(d->col, UNFINISHED);
        if (r < 0)
                return r;
        if (mkfifoat(d->col, UNFINISHED, 0600) < 0)
                return -errno;

        fd = openat(d->col, UNFINISHED, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : mend_fifo(d, fd);
}

int rundir_make_fifo(RunDir *d, const char *instance) {
        _cleanup_(close_fdp) int fd = openat(d->col, instance, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 && errno != ENOENT)
                return -errno;
        if (fd >= 0) {
                if (fstat(fd, &st) < 0)
                        return -errno;
                if (S_ISFIFO(st.st_mode))
                        return mend_fifo(d, fd);
                if (S_ISDIR(st.st_mode) && unlinkat(d->col, instance, AT_REMOVEDIR) < 0)
                        return -errno;
        }

        r = new_fifo(d);
        if (r < 0)
                return r;

        return renameat(d->col, UNFINISHED, d->col, instance) < 0 ? -errno : 1;
}

/* Calls `each` with every name in a folder. */
static int for_each_name(int dir_fd, int (*each)(int dir_fd, const char *name, void *userdata),
                         void *userdata) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;

        if (!dir) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }

        while ((e = readdir(dir))) {
                int k = 0;

                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        k = each(dir_fd, e->d_name, userdata);
                if (k < 0 && r == 0)
                        r = k; /* the others are gone through all the same */
        }

        (void) closedir(dir);
        return r;
}

typedef struct Sweep {
        bool (*is_wanted)(void *userdata, const char *instance);
        void *userdata;
} Sweep;

static int sweep_one(int dir_fd, const char *name, void *userdata) {
        Sweep *s = userdata;

        return s->is_wanted(s->userdata, name) ? 0 : unlink_any(dir_fd, name);
}

int rundir_sweep(RunDir *d, bool (*is_wanted)(void *userdata, const char *instance), void *userdata) {
        return for_each_name(d->col, sweep_one, &(Sweep) { is_wanted, userdata });
}

/* -- stalled/ -- */

void names_done(Names *n) {
        for (size_t i = 0; i < n->n; i++)
                free(n->names[i]);
        free(n->names);
        *n = (Names) {};
}

static int take_one(int dir_fd, const char *name, void *userdata) {
        _cleanup_(freep) char *plain = NULL;
        Names *names = userdata;
        int r = unlink_any(dir_fd, name);

        if (r < 0 || names->n >= STALLED_MAX || instance_to_name(slice_from_string(name), &plain) < 0)
                return r;

        names->names[names->n] = strdup(name);
        if (!names->names[names->n])
                return -ENOMEM;

        names->n++;
        return 0;
}

int rundir_take_stalled(RunDir *d, Names *ret) {
        _cleanup_(close_fdp) int fd =
                openat(d->fd, RUN_STALLED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_(names_done) Names names = {};
        int r;

        if (fd < 0)
                return -errno;
        names.names = calloc(STALLED_MAX, sizeof(*names.names));
        if (!names.names)
                return -ENOMEM;

        r = for_each_name(fd, take_one, &names);
        *ret = TAKE(names);
        return r;
}

/* -- notes -- */

int rundir_read(RunDir *d, const char *name, Buffer *ret) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = file_read_at(d->fd, name, RUNDIR_FILE_MAX, &b);

        if (r < 0 && r != -ENOENT && r != -EFBIG)
                return r;

        *ret = TAKE(b);
        return 0;
}

static int write_note(RunDir *d, const char *name, Slice content, mode_t mode) {
        _cleanup_(close_fdp) int fd = -1;
        char unfinished[64];
        int r;

        (void) snprintf(unfinished, sizeof(unfinished), ".%s.new", name);
        r = unlink_any(d->fd, unfinished);
        if (r < 0)
                return r;

        fd = openat(d->fd, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        r = fd_write_all(fd, content);
        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0)
                return -errno;

        return renameat(d->fd, unfinished, d->fd, name) < 0 ? -errno : 0;
}

int rundir_write(RunDir *d, const char *name, Slice content) {
        return write_note(d, name, content, 0644);
}

int rundir_write_private(RunDir *d, const char *name, Slice content) {
        return write_note(d, name, content, 0600);
}

int rundir_remove(RunDir *d, const char *name) {
        return unlink_any(d->fd, name);
}
