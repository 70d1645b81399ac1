/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* posix_spawn(3) does what has to be done between fork and exec without running this process's code
 * there. The child's descriptors are 0 /dev/null, 1 and 2 the pipes, 3 the hold, and nothing else. */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "basic/slice.h"
#include "config.h"
#include "io/spawn.h"

#define HELPER "tcollector-exec"
#define HOLD_FD 3

/* -- environment -- */

/* The length of "NAME=" in "NAME=value"; 0: no such thing. */
static size_t name_length(const char *variable) {
        const char *end = strchr(variable, '=');

        return end ? (size_t) (end - variable) + 1 : 0;
}

static bool is_overridden(const char *variable, const char *const *by) {
        size_t n = name_length(variable);

        for (; by && *by; by++)
                if (n > 0 && strncmp(*by, variable, n) == 0)
                        return true;

        return false;
}

/* This process's environment with `added` over it: a new array of borrowed strings. NULL: out of memory. */
static char **merge_environment(const char *const *added) {
        size_t n = 0, n_own = 0, n_added = 0;
        char **merged;

        while (environ[n_own])
                n_own++;
        while (added && added[n_added])
                n_added++;

        merged = calloc(n_own + n_added + 1, sizeof(char *));
        if (!merged)
                return NULL;

        for (size_t i = 0; i < n_own; i++)
                if (!is_overridden(environ[i], added))
                        merged[n++] = environ[i];
        for (size_t i = 0; i < n_added; i++)
                merged[n++] = (char *) added[i];

        return merged;
}

/* -- the child -- */

typedef struct Pipes {
        int out[2], err[2], hold[2];
} Pipes;

#define PIPES_NULL ((Pipes) { { -1, -1 }, { -1, -1 }, { -1, -1 } })

static void pipes_close(Pipes *p) {
        for (unsigned i = 0; i < 2; i++) {
                (void) close_fd(p->out[i]);
                (void) close_fd(p->err[i]);
                (void) close_fd(p->hold[i]);
        }
}

/* Out of the way of what the child has at 0 to 3: a descriptor there would be lost to one put there
 * before it. */
static int move_up(int *fd) {
        int moved;

        if (*fd > HOLD_FD)
                return 0;

        moved = fcntl(*fd, F_DUPFD_CLOEXEC, HOLD_FD + 1);
        if (moved < 0)
                return -errno;

        (void) close(*fd);
        *fd = moved;
        return 0;
}

static int pipes_open(Pipes *p) {
        int r;

        if (pipe2(p->out, O_CLOEXEC) < 0 || pipe2(p->err, O_CLOEXEC) < 0 || pipe2(p->hold, O_CLOEXEC) < 0)
                return -errno;
        if (fcntl(p->out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(p->err[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        r = move_up(&p->out[1]);
        if (r >= 0)
                r = move_up(&p->err[1]);
        if (r >= 0)
                r = move_up(&p->hold[0]);

        return r;
}

static int add_actions(posix_spawn_file_actions_t *actions, const Pipes *p) {
        int r;

        r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, p->out[1], STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, p->err[1], STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, p->hold[0], HOLD_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, HOLD_FD + 1);

        return -r;
}

static int set_attributes(posix_spawnattr_t *attributes) {
        short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        sigset_t none, all;
        int r;

        (void) sigemptyset(&none);
        (void) sigfillset(&all);

        r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attributes, flags);

        return -r;
}

static int spawn_helper(const SpawnSpec *spec, const Pipes *p, pid_t *ret) {
        char *argv[] = { (char *) HELPER, (char *) "--hold=3", (char *) spec->path, NULL };
        _cleanup_(freep) char **merged = merge_environment(spec->environ);
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        if (!merged)
                return -ENOMEM;
        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attributes) != 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }

        r = add_actions(&actions, p);
        if (r >= 0)
                r = set_attributes(&attributes);
        if (r >= 0)
                r = -posix_spawn(ret, spec->helper, &actions, &attributes, argv, merged);

        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&actions);
        return r;
}

int spawn_collector(const SpawnSpec *spec, Child *ret) {
        _cleanup_(pipes_close) Pipes p = PIPES_NULL;
        pid_t pid;
        int r, pidfd;

        r = pipes_open(&p);
        if (r < 0)
                return r;
        r = spawn_helper(spec, &p, &pid);
        if (r < 0)
                return r;

        /* Not reaped yet, so the pid is its own still. Without a pidfd its end would never be seen, so
         * there is none: the hold closes, and it leaves quietly. */
        pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
                r = -errno;
                p.hold[1] = close_fd(p.hold[1]);
                (void) waitpid(pid, NULL, 0);
                return r;
        }

        *ret = (Child) {
                .pid = pid,
                .pidfd = pidfd,
                .stdout_fd = TAKE_FD(p.out[0]),
                .stderr_fd = TAKE_FD(p.err[0]),
                .hold_fd = TAKE_FD(p.hold[1]),
        };
        return 0;
}

void child_release(Child *c) {
        if (c->hold_fd < 0)
                return;

        (void) !write(c->hold_fd, "1", 1); /* it may be gone already */
        c->hold_fd = close_fd(c->hold_fd);
}

void child_close(Child *c) {
        c->pidfd = close_fd(c->pidfd);
        c->stdout_fd = close_fd(c->stdout_fd);
        c->stderr_fd = close_fd(c->stderr_fd);
        c->hold_fd = close_fd(c->hold_fd);
}

int child_signal(const Child *c, int sig) {
        if (c->pid <= 1)
                return -ESRCH; /* or it would be this process's own group, or everybody */

        return kill(-c->pid, sig) < 0 ? -errno : 0;
}

/* -- the helper -- */

/* Beside the program itself, or, for a program of the build tree (a test), where that has it. */
static int beside_program(char **ret) {
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(HELPER));
        char *slash;

        if (n < 0)
                return -errno;

        path[n] = '\0';
        if (slice_starts_with(slice_from_string(path), SLICE(BUILD_ROOT "/"))) {
                *ret = strdup(BUILD_ROOT "/src/" HELPER);
                return *ret ? 0 : -ENOMEM;
        }

        slash = strrchr(path, '/');
        if (!slash)
                return -ENOENT;

        memcpy(slash + 1, HELPER, sizeof(HELPER));
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

int spawn_find_helper(char **ret) {
        const char *named = secure_getenv("TCOLLECTOR_EXEC");
        _cleanup_(freep) char *beside = NULL;
        const char *found = NULL;
        int r;

        r = beside_program(&beside);
        if (r == -ENOMEM)
                return r;

        if (named && *named)
                found = access(named, X_OK) == 0 ? named : NULL;
        else if (beside && access(beside, X_OK) == 0)
                found = beside;
        else if (access(PKGLIBEXECDIR "/" HELPER, X_OK) == 0)
                found = PKGLIBEXECDIR "/" HELPER;
        if (!found)
                return -ENOENT;

        *ret = strdup(found);
        return *ret ? 0 : -ENOMEM;
}
