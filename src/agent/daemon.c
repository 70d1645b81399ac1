/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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

int pidfile_write(const char *path, pid_t *ret_pid) {
        _cleanup_(close_fdp) int fd = -1;
        pid_t pid = pidfile_read(path);
        char text[32];

        if (pid > 0 && pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM)) {
                *ret_pid = pid;
                return -EEXIST;
        }

        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;

        (void) snprintf(text, sizeof(text), "%d\n", (int) getpid());
        return fd_write_all(fd, slice_from_string(text));
}

void pidfile_remove(const char *path) {
        if (pidfile_read(path) == getpid())
                (void) unlink(path);
}
