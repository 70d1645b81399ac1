/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Children of the foreground mode. This program is also the collector it starts: with $TEST_SPAWN set it
 * does what that says. */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "io/spawn.h"
#include "unit/tap.h"

#define DEADLINE_MSEC 60000
#define MARK "\x18\n"

/* -- the collector -- */

static void print_descriptors(void) {
        for (int fd = 0; fd < 1024; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        printf("%d ", fd);
}

static void print_signals(void) {
        struct sigaction action;
        sigset_t mask;

        (void) sigprocmask(SIG_BLOCK, NULL, &mask);
        for (int sig = 1; sig < SIGRTMIN; sig++)
                if (sigismember(&mask, sig) == 1 ||
                    (sigaction(sig, NULL, &action) >= 0 && action.sa_handler == SIG_IGN))
                        printf("%d ", sig);
}

static void print_session(void) {
        printf("%d %d", getsid(0) == getpid(), getpgrp() == getpid());
}

static void print_environment(void) {
        printf("%s %s %s", getenv("TEST_KEPT"), getenv("TEST_CHANGED"), getenv("TEST_ADDED"));
}

static void answer(int sig _unused_) {
        (void) !write(STDOUT_FILENO, "here\n", 5);
}

/* Stays, whatever SIGTERM says, with a child that does the same; both answer to SIGUSR1. */
static void be_stubborn(void) {
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGUSR1, answer);
        (void) fork();
        (void) !write(STDOUT_FILENO, "ready\n", 6);
        for (;;)
                (void) pause();
}

static const struct {
        const char *name;
        void (*act)(void);
} acts[] = {
        { "descriptors", print_descriptors }, { "signals", print_signals }, { "session", print_session },
        { "environment", print_environment }, { "stubborn", be_stubborn },
};

static int act(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(acts); i++)
                if (strcmp(acts[i].name, name) == 0) {
                        acts[i].act();
                        return EXIT_SUCCESS;
                }

        return EXIT_FAILURE;
}

/* -- what the tests share -- */

static Child start_with(const char *path, const char *const *environment) {
        _cleanup_(freep) char *helper = NULL;
        SpawnSpec spec = { .path = path, .environ = environment };
        Child c;

        assert_int_equal(spawn_find_helper(&helper), 0);
        spec.helper = helper;
        assert_int_equal(spawn_collector(&spec, &c), 0);
        return c;
}

static Child start_act(const char *name) {
        char variable[64], self[PATH_MAX] = "";
        const char *environment[] = { variable, "TEST_CHANGED=new", "TEST_ADDED=added", NULL };

        assert_in_range(readlink("/proc/self/exe", self, sizeof(self) - 1), 1, sizeof(self) - 1);
        (void) snprintf(variable, sizeof(variable), "TEST_SPAWN=%s", name);
        return start_with(self, environment);
}

static void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, DEADLINE_MSEC), 1);
}

/* Reads until the text is there, or to the end where `until` is NULL. */
static void read_until(int fd, const char *until, Buffer *b) {
        while (!until || !b->data || !strstr(b->data, until)) {
                char bytes[4096];
                ssize_t n;

                wait_readable(fd);
                n = read(fd, bytes, sizeof(bytes));
                assert_true(n >= 0);
                if (n == 0)
                        break;
                assert_int_equal(buffer_add(b, (Slice) { bytes, (size_t) n }), 0);
        }
}

static int wait_status(const Child *c) {
        int status;

        wait_readable(c->pidfd);
        assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
        return status;
}

/* Runs it to its end. */
static int finish(Child *c, Buffer *out, Buffer *err) {
        int status;

        child_release(c);
        read_until(c->stdout_fd, NULL, out);
        read_until(c->stderr_fd, NULL, err);
        status = wait_status(c);
        child_close(c);
        return status;
}

static void check_act(const char *name, const char *want) {
        _cleanup_(buffer_done) Buffer out = {}, err = {};
        Child c = start_act(name);

        assert_int_equal(finish(&c, &out, &err), 0);
        assert_int_equal(err.n, 0);
        assert_true(slice_starts_with(buffer_slice(&out), SLICE(MARK)));
        assert_string_equal(out.data + 2, want);
}

/* -- tests -- */

static const struct {
        const char *name, *content; /* NULL: no such file */
        mode_t mode;
        bool killed;
        int status; /* or signal */
        const char *out, *err;
} scripts[] = {
        { "good", "#!/bin/sh\necho a 1 2\n", 0700, false, 0, "a 1 2\n", "" },
        { "failed", "#!/bin/sh\necho oh >&2; exit 1\n", 0700, false, 1, "", "oh" },
        { "not for here", "#!/bin/sh\nexit 13\n", 0700, false, 13, "", "" },
        { "killed", "#!/bin/sh\nkill -9 $$\n", 0700, true, SIGKILL, "", "" },
        { "broken pipe", "#!/bin/sh\nkill -PIPE $$\n", 0700, true, SIGPIPE, "", "" },
        { "input", "#!/bin/sh\ncat; echo end\n", 0700, false, 0, "end\n", "" },
        { "reopened", "#!/bin/sh\necho b >/dev/stdout\necho c >/dev/stderr\n", 0700, false, 0, "b\n", "c" },
        { "no #! line", "echo \"$0\" | sed 's,.*/,,'\n", 0700, false, 0, "script\n", "" },
        { "missing", NULL, 0, false, 127, "", "No such file or directory" },
        { "not executable", "#!/bin/sh\n", 0600, false, 126, "", "Permission denied" },
        { "no interpreter", "#!/no/such/shell\n", 0700, false, 127, "", "cannot be run" },
};

static void write_script(const char *path, Slice content, mode_t mode) {
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, content), 0);
        assert_int_equal(fchmod(fd, mode), 0);
}

static void run_script(const char *path, size_t i) {
        _cleanup_(buffer_done) Buffer out = {}, err = {};
        int status;
        Child c;

        if (scripts[i].content)
                write_script(path, slice_from_string(scripts[i].content), scripts[i].mode);

        c = start_with(path, NULL);
        status = finish(&c, &out, &err);
        if (scripts[i].killed ? !WIFSIGNALED(status) || WTERMSIG(status) != scripts[i].status :
                                !WIFEXITED(status) || WEXITSTATUS(status) != scripts[i].status)
                fail_msg("%s: wait status %#x", scripts[i].name, (unsigned) status);

        assert_true(slice_starts_with(buffer_slice(&out), SLICE(MARK)));
        assert_string_equal(out.data + 2, scripts[i].out);
        if (scripts[i].err[0] ? !err.data || !strstr(err.data, scripts[i].err) : err.n > 0)
                fail_msg("%s: \"%s\" on stderr", scripts[i].name, err.data ? err.data : "");
        if (scripts[i].content)
                assert_int_equal(unlink(path), 0);
}

static void test_scripts(void **state _unused_) {
        char dir[] = "/tmp/test-spawn-XXXXXX", path[64];

        assert_non_null(mkdtemp(dir));
        (void) snprintf(path, sizeof(path), "%s/script", dir);
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++)
                run_script(path, i);
        assert_int_equal(rmdir(dir), 0);
}

/* A program for another kind of machine is no script. */
static void test_foreign_binary(void **state _unused_) {
        char path[] = "/tmp/test-spawn-XXXXXX";
        _cleanup_(buffer_done) Buffer out = {}, err = {};
        int fd = mkostemp(path, O_CLOEXEC), status;
        Child c;

        assert_true(fd >= 0);
        close_fdp(&fd);
        write_script(path,
                     SLICE("\x7f"
                           "ELF\0\0\0\0echo not this\n"),
                     0700);
        c = start_with(path, NULL);
        status = finish(&c, &out, &err);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 126);
        assert_string_equal(out.data, MARK);
        assert_non_null(strstr(err.data, "Exec format error"));
        assert_int_equal(unlink(path), 0);
}

static void test_no_descriptor_but_three(void **state _unused_) {
        int inherited = dup(STDERR_FILENO), high = fcntl(STDERR_FILENO, F_DUPFD, 500);

        assert_true(inherited >= 0 && high >= 0);
        check_act("descriptors", "0 1 2 ");
        close_fdp(&inherited);
        close_fdp(&high);
}

/* Whatever of 0 to 3 this process has closed, the pipes do not get in each other's way. */
static void test_descriptors_below_four_are_free(void **state _unused_) {
        int saved[4];

        for (int fd = 0; fd < 4; fd++) {
                saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
                (void) close(fd);
        }

        check_act("descriptors", "0 1 2 ");
        for (int fd = 0; fd < 4; fd++) {
                if (saved[fd] >= 0)
                        assert_int_equal(dup2(saved[fd], fd), fd);
                close_fdp(&saved[fd]);
        }
}

static void test_signals_are_reset(void **state _unused_) {
        sigset_t all, before;

        assert_int_equal(sigfillset(&all), 0);
        assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
        (void) signal(SIGHUP, SIG_IGN); /* SIGPIPE is ignored all along */
        check_act("signals", "");
        (void) signal(SIGHUP, SIG_DFL);
        assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static void test_session(void **state _unused_) {
        check_act("session", "1 1");
}

static void test_environment(void **state _unused_) {
        assert_int_equal(setenv("TEST_KEPT", "kept", true), 0);
        assert_int_equal(setenv("TEST_CHANGED", "old", true), 0);
        check_act("environment", "kept new added");
}

/* A process that is asleep, as it is while it reads where nothing is. */
static bool is_asleep(pid_t pid) {
        _cleanup_(buffer_done) Buffer b = {};
        char name[64];

        (void) snprintf(name, sizeof(name), "/proc/%d/stat", (int) pid);
        assert_int_equal(file_read_at(AT_FDCWD, name, 4096, &b), 0);
        return strstr(b.data, ") S ");
}

static void test_held_until_released(void **state _unused_) {
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + DEADLINE_MSEC * USEC_PER_MSEC;
        _cleanup_(buffer_done) Buffer out = {}, err = {};
        Child c = start_act("session");
        int n;

        while (!is_asleep(c.pid))
                assert_true(clock_usec(CLOCK_MONOTONIC) < deadline);
        assert_int_equal(ioctl(c.stdout_fd, FIONREAD, &n), 0);
        assert_int_equal(n, 0);

        assert_int_equal(finish(&c, &out, &err), 0);
        assert_int_equal(c.hold_fd, -1);
        assert_string_equal(out.data, MARK "1 1");
}

static void test_abandoned_while_held(void **state _unused_) {
        _cleanup_(buffer_done) Buffer out = {}, err = {};
        Child c = start_act("session");

        c.hold_fd = close_fd(c.hold_fd);
        assert_int_equal(finish(&c, &out, &err), 0);
        assert_int_equal(out.n + err.n, 0);
}

static void test_released_when_gone(void **state _unused_) {
        Child c = start_act("session");
        int status;

        assert_int_equal(child_signal(&c, SIGKILL), 0);
        status = wait_status(&c);
        assert_true(WIFSIGNALED(status));
        child_release(&c);
        assert_int_equal(child_signal(&c, 0), -ESRCH);
        child_close(&c);
}

/* Neither it nor its child heeds SIGTERM; both go by SIGKILL. */
static void test_stubborn(void **state _unused_) {
        _cleanup_(buffer_done) Buffer out = {}, after = {};
        Child c = start_act("stubborn");

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        child_release(&c);
        read_until(c.stdout_fd, MARK "ready\nready\n", &out);

        assert_int_equal(child_signal(&c, SIGTERM), 0);
        assert_int_equal(child_signal(&c, SIGUSR1), 0);
        read_until(c.stdout_fd, "here\nhere\n", &after);
        assert_int_equal(waitpid(c.pid, NULL, WNOHANG), 0);

        assert_int_equal(child_signal(&c, SIGKILL), 0);
        read_until(c.stdout_fd, NULL, &after);
        while (waitpid(-1, NULL, 0) > 0)
                ;
        assert_int_equal(child_signal(&c, SIGKILL), -ESRCH);
        assert_string_equal(after.data, "here\nhere\n");
        child_close(&c);
}

static void test_failures(void **state _unused_) {
        SpawnSpec spec = { .path = "/bin/true", .helper = "/no/such/helper" };
        char *helper = NULL;
        Child c = CHILD_NULL;

        assert_int_equal(spawn_collector(&spec, &c), -ENOENT);
        assert_int_equal(c.stdout_fd, -1);
        assert_int_equal(child_signal(&c, SIGTERM), -ESRCH);

        assert_int_equal(setenv("TCOLLECTOR_EXEC", "/no/such/helper", true), 0);
        assert_int_equal(spawn_find_helper(&helper), -ENOENT);
        assert_null(helper);
        assert_int_equal(unsetenv("TCOLLECTOR_EXEC"), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scripts),
                cmocka_unit_test(test_foreign_binary),
                cmocka_unit_test(test_no_descriptor_but_three),
                cmocka_unit_test(test_descriptors_below_four_are_free),
                cmocka_unit_test(test_signals_are_reset),
                cmocka_unit_test(test_session),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_held_until_released),
                cmocka_unit_test(test_abandoned_while_held),
                cmocka_unit_test(test_released_when_gone),
                cmocka_unit_test(test_stubborn),
                cmocka_unit_test(test_failures),
        };
        const char *name = getenv("TEST_SPAWN");

        if (name)
                return act(name);

        (void) signal(SIGPIPE, SIG_IGN);
        return run_tap(tests);
}
