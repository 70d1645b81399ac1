/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scopes, asked of a manager that does what a test wants: a process of its own that speaks D-Bus on a
 * private socket, as a person's systemd does. (What the real one does is tests/system's to say.) */

#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "basic/buffer.h"
#include "io/units.h"
#include "unit/tap.h"

#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"
#define JOB OBJECT "/job/7"

/* -- the manager: what it does is the scope's description -- */

static int read_description(sd_bus_message *m, const char **ret) {
        const char *key, *name, *mode;
        int r;

        r = sd_bus_message_read(m, "ss", &name, &mode);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(sv)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &key);

        return r < 0 ? r : sd_bus_message_read(m, "v", "s", ret);
}

static int emit_removed(sd_bus *bus, const char *job, const char *result) {
        return sd_bus_emit_signal(bus, OBJECT, INTERFACE, "JobRemoved", "uoss", (uint32_t) 7, job, "x.scope",
                                  result);
}

static int on_start(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error) {
        sd_bus *bus = sd_bus_message_get_bus(m);
        const char *description;
        int r;

        r = read_description(m, &description);
        if (r < 0)
                return r;
        if (strcmp(description, "refuse") == 0)
                return sd_bus_error_set(error, "org.freedesktop.systemd1.UnitExists", "It stands already.");
        if (strcmp(description, "leave") == 0)
                _exit(0);
        if (strcmp(description, "ignore") == 0)
                return 1;

        r = sd_bus_reply_method_return(m, "o", JOB);
        if (r < 0)
                return r;

        (void) emit_removed(bus, OBJECT "/job/8", "failed"); /* somebody else's */
        return emit_removed(bus, JOB, description);
}

static int on_stop(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        return sd_bus_reply_method_return(m, "o", JOB);
}

static const sd_bus_vtable manager[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", on_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("StopUnit", "ss", "o", on_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
        SD_BUS_VTABLE_END,
};

static _Noreturn void serve(int fd) {
        sd_bus *bus = NULL;
        sd_id128_t id;

        if (sd_id128_randomize(&id) < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
            sd_bus_set_server(bus, true, id) < 0 ||
            sd_bus_add_object_vtable(bus, NULL, OBJECT, INTERFACE, manager, NULL) < 0 ||
            sd_bus_start(bus) < 0)
                _exit(2);

        while (sd_bus_process(bus, NULL) >= 0)
                if (sd_bus_wait(bus, UINT64_MAX) < 0)
                        break;

        _exit(0);
}

/* A process for each connection. */
static _Noreturn void serve_all(int listener) {
        (void) signal(SIGCHLD, SIG_IGN);
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0)
                        _exit(2);
                if (fork() == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        serve(fd);
                }
                (void) close(fd);
        }
}

/* -- what the tests share -- */

typedef struct Rig {
        char dir[64];
        char path[sizeof("/systemd/private") + 64];
        pid_t manager;
        sd_event *event;
        Units *units;
} Rig;

static int rig_listen(Rig *rig) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-units-XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        (void) snprintf(rig->path, sizeof(rig->path), "%s/systemd", rig->dir);
        assert_int_equal(mkdir(rig->path, 0700), 0);
        (void) snprintf(rig->path, sizeof(rig->path), "%s/systemd/private", rig->dir);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->path);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 10), 0);
        assert_int_equal(setenv("XDG_RUNTIME_DIR", rig->dir, true), 0);
        assert_true(sd_event_new(&rig->event) >= 0);
        return fd;
}

static Rig rig_new(void) {
        Rig rig = {};
        int fd = rig_listen(&rig);

        rig.manager = fork();
        assert_true(rig.manager >= 0);
        if (rig.manager == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                serve_all(fd);
        }

        close_fdp(&fd);
        assert_int_equal(units_open(&rig.units, rig.event), 0);
        assert_string_equal(units_manager(rig.units), "user");
        return rig;
}

static void rig_done(Rig *rig) {
        rig->units = units_free(rig->units);
        rig->event = sd_event_unref(rig->event);
        if (rig->manager > 0) {
                assert_int_equal(kill(rig->manager, SIGKILL), 0);
                assert_int_equal(waitpid(rig->manager, NULL, 0), rig->manager);
        }

        assert_int_equal(unlink(rig->path), 0);
        *strrchr(rig->path, '/') = '\0';
        assert_int_equal(rmdir(rig->path), 0);
        assert_int_equal(rmdir(rig->dir), 0);
}

typedef struct Answer {
        unsigned n;
        int r;
        char why[64];
} Answer;

static void on_ready(void *userdata, int r, const char *why) {
        Answer *a = userdata;

        a->n++;
        a->r = r;
        (void) snprintf(a->why, sizeof(a->why), "%s", why ? why : "");
}

static int ask_for(Rig *rig, const char *description, pid_t pid, Answer *a) {
        return units_scope_start(rig->units,
                                 &(UnitsScope) {
                                         .name = "x.scope",
                                         .description = description,
                                         .pid = pid,
                                         .runtime_max = USEC_INFINITY,
                                         .timeout_stop = USEC_PER_SEC,
                                 },
                                 on_ready, a);
}

static void wait_for(Rig *rig, const Answer *a) {
        while (a->n == 0)
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
        assert_int_equal(a->n, 1);
}

/* -- tests -- */

#define SOME_FAILURE INT_MIN /* libsystemd chooses which */

static const struct {
        const char *description;
        int r, r_gone; /* for a process that is there, for one that is gone */
        const char *why;
} answers[] = {
        { "done", 0, 0, "" },
        { "failed", -ECANCELED, 0, "failed" },
        { "timeout", -ECANCELED, 0, "timeout" },
        { "refuse", -EEXIST, 0, "It stands already." },
        { "leave", SOME_FAILURE, 0, NULL },
};

static pid_t make_zombie(void) {
        pid_t pid = fork();
        siginfo_t info;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
        return pid;
}

static void test_answers(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();

        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                Answer there = {}, gone = {};
                pid_t zombie = make_zombie();

                /* After "leave", the second of them shows that the connection is made again. */
                assert_int_equal(ask_for(&rig, answers[i].description, getpid(), &there), 0);
                wait_for(&rig, &there);
                assert_int_equal(ask_for(&rig, answers[i].description, zombie, &gone), 0);
                wait_for(&rig, &gone);

                if ((answers[i].r == SOME_FAILURE ? there.r >= 0 : there.r != answers[i].r) ||
                    gone.r != answers[i].r_gone)
                        fail_msg("%s: %d %s; gone: %d", answers[i].description, there.r, there.why, gone.r);
                if (answers[i].why)
                        assert_string_equal(there.why, answers[i].why);
                assert_string_equal(gone.why, "");
                assert_int_equal(waitpid(zombie, NULL, 0), zombie);
        }
}

static void test_forgotten(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        Answer forgotten = {}, pending = {}, other = {};

        assert_int_equal(ask_for(&rig, "done", getpid(), &forgotten), 0);
        assert_int_equal(ask_for(&rig, "ignore", getpid(), &pending), 0);
        assert_int_equal(ask_for(&rig, "done", getpid(), &other), 0);
        units_scope_forget(rig.units, &forgotten);
        wait_for(&rig, &other);
        assert_int_equal(other.r, 0);
        assert_int_equal(units_scope_stop(rig.units, "x.scope"), 0);

        rig.units = units_free(rig.units);
        assert_int_equal(forgotten.n + pending.n, 0);
}

static void test_manager_that_goes(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        Answer a[] = { {}, {}, {} };

        assert_int_equal(ask_for(&rig, "ignore", getpid(), &a[0]), 0);
        assert_int_equal(ask_for(&rig, "leave", getpid(), &a[1]), 0);
        wait_for(&rig, &a[0]);
        wait_for(&rig, &a[1]);
        assert_true(a[0].r < 0 && a[1].r < 0);

        assert_int_equal(ask_for(&rig, "done", getpid(), &a[2]), 0);
        wait_for(&rig, &a[2]);
        assert_int_equal(a[2].r, 0);
}

/* Somebody listens and says nothing: given up after the seconds that units_open() has for it. */
static void test_manager_that_is_silent(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = {};
        _cleanup_(close_fdp) _unused_ int fd = rig_listen(&rig);

        assert_int_equal(units_open(&rig.units, rig.event), -ETIMEDOUT);
        assert_null(rig.units);
}

static void test_no_manager(void **state _unused_) {
        char too_long[200];
        Units *u = NULL;
        sd_event *event;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nowhere", true), 0);
        assert_int_equal(units_open(&u, event), -ENOENT);
        memset(too_long, 'x', sizeof(too_long) - 1);
        too_long[sizeof(too_long) - 1] = '\0';
        assert_int_equal(setenv("XDG_RUNTIME_DIR", too_long, true), 0);
        assert_int_equal(units_open(&u, event), -ENAMETOOLONG);
        assert_null(u);
        sd_event_unref(event);
}

static const struct {
        const char *collector, *want;
} names[] = {
        { "ifstat.py", "tcollector-col-ifstat.py-42.scope" },
        { "a_b:c-d", "tcollector-col-a_b:c-d-42.scope" },
        { "a b@c/d\\", "tcollector-col-a\\x20b\\x40c\\x2fd\\x5c-42.scope" },
        { "gr\xc3\xbc\xc3\x9f", "tcollector-col-gr\\xc3\\xbc\\xc3\\x9f-42.scope" },
        { "", "tcollector-col--42.scope" },
};

static void test_names(void **state _unused_) {
        char longest[256];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *name = units_scope_name(names[i].collector, 42);

                assert_string_equal(name, names[i].want);
        }

        /* A unit's name has at most 255 bytes; no escape is cut in two. */
        for (size_t n = 200; n < sizeof(longest); n++) {
                _cleanup_(freep) char *plain = NULL, *escaped = NULL;

                memset(longest, 'a', n);
                longest[n] = '\0';
                plain = units_scope_name(longest, 4194304);
                longest[0] = '+';
                memset(longest + 1, '@', n - 1);
                escaped = units_scope_name(longest, 4194304);
                assert_in_range(strlen(plain), 200, 255);
                assert_in_range(strlen(escaped), 240, 255);
                assert_string_equal(strrchr(escaped, '-'), "-4194304.scope");
                assert_memory_equal(strrchr(escaped, '-') - 4, "\\x40", 4);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_no_manager),
                cmocka_unit_test(test_manager_that_is_silent),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_forgotten),
                cmocka_unit_test(test_manager_that_goes),
        };

        /* Root would ask the system's manager. */
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
                               setresuid(65534, 65534, 65534) < 0))
                return EXIT_FAILURE;

        (void) signal(SIGPIPE, SIG_IGN);
        return run_tap(tests);
}
