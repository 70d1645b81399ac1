/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/daemon.h"
#include "basic/file.h"

/* What the first process does: the daemon says that it is ready, or the pipe closes because it has ended. */
_Noreturn static void await_daemon(int ready) {
        char c;

        _exit(read(ready, &c, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int daemon_start(int *ret_ready) {
        _cleanup_(close_fdp) int from = -1, to = -1;
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        from = fds[0];
        to = fds[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid > 0) {
                to = close_fd(to);
                await_daemon(from);
        }

        /* A session without a terminal, and no leader of it that could get one. */
        if (setsid() < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid > 0)
                _exit(EXIT_SUCCESS);

        (void) umask(022);
        *ret_ready = TAKE_FD(to);
        return 0;
}

void daemon_ready(int ready) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
                (void) dup2(null, fd);

        (void) close_fd(null);
        (void) fd_write_all(ready, SLICE("1"));
        (void) close_fd(ready);
}

/* The pid that `path` holds; 0: none. */
static pid_t pidfile_read(const char *path) {
        _cleanup_(buffer_done) Buffer b = {};
        uint64_t pid;

        if (file_read_at(AT_FDCWD, path, 64, &b) < 0 ||
            !slice_to_uint64(slice_strip(buffer_slice(&b)), &pid) || pid > INT32_MAX)
                return 0;

        return (pid_t) pid;
}

int pidfile_write(const char *path, int *ret_fd, pid_t *ret_pid) {
        _cleanup_(close_fdp) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        char text[32];
        int r;

        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                *ret_pid = pidfile_read(path);
                return errno == EWOULDBLOCK ? -EEXIST : -errno;
        }

        (void) snprintf(text, sizeof(text), "%d\n", (int) getpid());
        if (ftruncate(fd, 0) < 0)
                return -errno;
        r = fd_write_all(fd, slice_from_string(text));
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

void pidfile_remove(const char *path, int fd) {
        if (fd < 0)
                return;

        (void) unlink(path);
        (void) close_fd(fd);
}
