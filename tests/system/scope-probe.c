/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Does with io/spawn.h and io/units.h what test-scopes.py asks for, and prints what comes of it:
 *
 *   open              connect to systemd only
 *   run SECONDS       a collector in a scope with RuntimeMaxUSec=SECONDS; it and its children ignore SIGTERM
 *   stop              the same without a limit; the scope is stopped when they are up
 *   zombie, reaped    a collector that has ended before its scope is asked for
 *   reexec            systemd executes itself anew between two scopes
 *
 * Lines: "open ERRNO [MANAGER]", "scope NAME", "ready R [WHY]", "end WAITSTATUS" when none of them is
 * left. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "basic/log.h"
#include "basic/slice.h"
#include "io/spawn.h"
#include "io/units.h"

#define N_CHILDREN 2

typedef struct Probe {
        sd_event *event;
        Units *units;
        const char *self;
        char *helper;
        Child child;
        char *scope;
        bool ready; /* the scope is */
        bool up;    /* the collector and all its children are */
        bool over;
        unsigned n_up;
} Probe;

/* -- the collector -- */

static _Noreturn void be_stubborn(void) {
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        for (int i = 0; i < N_CHILDREN; i++)
                if (fork() == 0)
                        break;
        (void) !write(STDOUT_FILENO, "!", 1);
        for (;;)
                (void) pause();
}

/* -- the probe -- */

static void on_ready(void *userdata, int r, const char *why) {
        Probe *p = userdata;

        printf("ready %d %s\n", r, why ? why : "");
        (void) fflush(stdout);
        child_release(&p->child);
        p->ready = true;
}

static int run_until(Probe *p, const bool *condition) {
        int r = 0;

        while (r >= 0 && !*condition)
                r = sd_event_run(p->event, UINT64_MAX);

        return r;
}

static int start_child(Probe *p) {
        const char *environment[] = { "SCOPE_PROBE=stubborn", NULL };
        SpawnSpec spec = { .path = p->self, .helper = p->helper, .environ = environment };

        return spawn_collector(&spec, &p->child);
}

/* Asks for the scope and waits for the answer. */
static int enter_scope(Probe *p, usec_t runtime_max) {
        int r;

        p->ready = false;
        free(p->scope);
        p->scope = units_scope_name("probe@1", p->child.pid);
        if (!p->scope)
                return -ENOMEM;

        r = units_scope_start(p->units,
                              &(UnitsScope) {
                                      .name = p->scope,
                                      .description = "A probe",
                                      .pid = p->child.pid,
                                      .runtime_max = runtime_max,
                                      .timeout_stop = 1 * USEC_PER_SEC,
                              },
                              on_ready, p);
        if (r < 0)
                return r;

        printf("scope %s\n", p->scope);
        (void) fflush(stdout);
        return run_until(p, &p->ready);
}

/* Each of them says that it is up; the output ends when the last of them has gone. */
static int on_output(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata) {
        Probe *p = userdata;
        char c;

        if (read(fd, &c, 1) == 0) {
                p->over = true;
                return sd_event_source_set_enabled(s, SD_EVENT_OFF);
        }

        if (c == '!')
                p->up = ++p->n_up == 1 + N_CHILDREN;
        return 0;
}

static int run_to_end(Probe *p, bool stop) {
        int status, r;

        r = run_until(p, &p->up);
        if (r >= 0 && stop)
                r = units_scope_stop(p->units, p->scope);
        if (r >= 0)
                r = run_until(p, &p->over);
        if (r < 0)
                return r;
        if (waitpid(p->child.pid, &status, 0) < 0)
                return -errno;

        printf("end %d\n", status);
        (void) fflush(stdout);
        return 0;
}

static int run(Probe *p, usec_t runtime_max, bool stop) {
        sd_event_source *s = NULL;
        int r;

        p->up = p->over = false;
        p->n_up = 0;
        r = start_child(p);
        if (r < 0)
                return r;
        r = enter_scope(p, runtime_max);
        if (r < 0)
                return r;
        r = sd_event_add_io(p->event, &s, p->child.stdout_fd, EPOLLIN, on_output, p);
        if (r < 0)
                return r;

        r = run_to_end(p, stop);
        sd_event_source_disable_unref(s);
        child_close(&p->child);
        return r;
}

static int run_gone(Probe *p, bool reap) {
        siginfo_t info;
        int r;

        r = start_child(p);
        if (r < 0)
                return r;

        (void) child_signal(&p->child, SIGKILL);
        if (waitid(P_PID, (id_t) p->child.pid, &info, WEXITED | (reap ? 0 : WNOWAIT)) < 0)
                return -errno;

        return enter_scope(p, USEC_INFINITY);
}

/* systemd hangs up on everybody; the next scope finds it again. */
static int run_reexec(Probe *p) {
        int r;

        r = run(p, 1 * USEC_PER_SEC, true);
        if (r < 0)
                return r;
        if (system("systemctl daemon-reexec") != 0)
                return -EIO;

        return run(p, 1 * USEC_PER_SEC, true);
}

static int act(Probe *p, const char *verb, const char *argument) {
        if (strcmp(verb, "open") == 0)
                return 0;
        if (strcmp(verb, "run") == 0 && argument)
                return run(p, strtoull(argument, NULL, 10) * USEC_PER_SEC, false);
        if (strcmp(verb, "stop") == 0)
                return run(p, USEC_INFINITY, true);
        if (strcmp(verb, "zombie") == 0 || strcmp(verb, "reaped") == 0)
                return run_gone(p, strcmp(verb, "reaped") == 0);
        if (strcmp(verb, "reexec") == 0)
                return run_reexec(p);

        return -EINVAL;
}

static int probe_open(Probe *p) {
        int r;

        r = sd_event_new(&p->event);
        if (r < 0)
                return r;
        r = spawn_find_helper(&p->helper);
        if (r < 0)
                return r;

        r = units_open(&p->units, p->event);
        printf("open %d %s\n", r, r < 0 ? "" : units_manager(p->units));
        (void) fflush(stdout);
        return r;
}

static void probe_done(Probe *p) {
        units_free(p->units);
        sd_event_unref(p->event);
        free(p->helper);
        free(p->scope);
        child_close(&p->child);
}

int main(int argc, char *argv[]) {
        _cleanup_(probe_done) Probe p = { .child = CHILD_NULL };
        char self[4096] = "";
        int r;

        if (getenv("SCOPE_PROBE"))
                be_stubborn();
        if (argc < 2 || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
                return 2;

        (void) signal(SIGPIPE, SIG_IGN);
        p.self = self;
        r = probe_open(&p);
        if (r < 0)
                return EXIT_SUCCESS; /* said already */

        r = act(&p, argv[1], argv[2]);
        if (r < 0)
                return log_error_errno(r, "Failed to %s: %m", argv[1]) < 0;

        return EXIT_SUCCESS;
}
