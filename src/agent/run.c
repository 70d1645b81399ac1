/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/run.h"
#include "agent/schedule.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "basic/printable.h"
#include "io/spawn.h"

#define LINGER_POLL_USEC (250 * USEC_PER_MSEC) /* how often the rest of a process group is looked for */
#define LAST_READ_USEC (1 * USEC_PER_SEC) /* how long the output may stay open behind the last process */

struct Run {
        const RunContext *context;
        Lane *lane;
        void (*over)(void *userdata, int wait_status);
        void *userdata;

        Child child;
        Source *out, *err;
        sd_event_source *exit_event, *timer;
        RateLimit stderr_limit;
        char *scope;      /* NULL: none, or none any more */
        usec_t killed_at; /* SIGKILL was sent; 0: not yet */
        usec_t stop_at;   /* SIGTERM was sent; 0: not yet */
        int wait_status;
        bool exited;
};

static void check_over(Run *r);

/* -- output -- */

static size_t on_lines(void *userdata, Slice lines) {
        Run *r = userdata;

        return lane_lines(r->lane, lines);
}

static void on_too_long(void *userdata, Slice beginning) {
        Run *r = userdata;

        lane_fault(r->lane, VERDICT_TOO_LONG, beginning);
}

static void on_end(void *userdata, Slice rest) {
        Run *r = userdata;

        if (rest.n > 0)
                lane_fault(r->lane, VERDICT_UNFINISHED, rest);

        r->out = source_free(r->out);
        check_over(r);
}

static const SourceOps stdout_ops = { .lines = on_lines, .too_long = on_too_long, .end = on_end };

static void log_stderr(Run *r, Slice line) {
        char buf[PRINTABLE_MAX];
        uint64_t held_back;

        line = slice_strip(line);
        if (line.n == 0 || !ratelimit_allow(&r->stderr_limit, clock_usec(CLOCK_MONOTONIC), &held_back))
                return;
        if (held_back > 0)
                log_warning("%s: %" PRIu64 " more lines of its stderr were not logged", r->lane->name,
                            held_back);

        log_warning("%s: %s", r->lane->name, printable(buf, line));
}

static void on_stderr_too_long(void *userdata, Slice beginning) {
        log_stderr(userdata, beginning);
}

static size_t on_stderr_lines(void *userdata, Slice lines) {
        Slice rest = lines, line;

        while (slice_cut(&rest, '\n', &line))
                log_stderr(userdata, line);

        return lines.n;
}

static void on_stderr_end(void *userdata, Slice rest) {
        Run *r = userdata;

        log_stderr(r, rest);
        r->err = source_free(r->err);
        check_over(r);
}

static const SourceOps stderr_ops = {
        .lines = on_stderr_lines,
        .too_long = on_stderr_too_long,
        .end = on_stderr_end,
};

/* -- the end -- */

static bool group_is_empty(const Run *r) {
        return child_signal(&r->child, 0) == -ESRCH;
}

/* What has been killed may stay a zombie of init's for a while: that holds nobody up. */
static bool nobody_is_left(const Run *r) {
        return group_is_empty(r) ||
               (r->killed_at > 0 && clock_usec(CLOCK_MONOTONIC) - r->killed_at >= LAST_READ_USEC);
}

static int arm(Run *r, usec_t usec) {
        int e;

        e = sd_event_source_set_time_relative(r->timer, usec);
        if (e >= 0)
                e = sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
        if (e < 0)
                return log_error_errno(e, "%s: Failed to arm its timer: %m", r->lane->name);

        return 0;
}

/* Over: gone, alone, and read to the end. May free `r`. */
static void check_over(Run *r) {
        if (r->exited && !r->out && !r->err && nobody_is_left(r))
                r->over(r->userdata, r->wait_status);
}

/* The output stays open although all of the group has been killed: somebody fled to another session. What
 * they wrote so far is taken, the rest is theirs. */
static void give_up_output(Run *r) {
        log_warning("%s: a process it left behind keeps its output open; no longer reading it",
                    r->lane->name);
        r->out = source_free(r->out);
        r->err = source_free(r->err);
}

static void kill_rest(Run *r, usec_t now) {
        r->killed_at = now;
        if (group_is_empty(r))
                return;

        log_warning("%s: still there %" PRIu64 " s after SIGTERM, sending SIGKILL", r->lane->name,
                    (uint64_t) (SCHEDULE_KILL_USEC / USEC_PER_SEC));
        (void) child_signal(&r->child, SIGKILL);
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Run *r = userdata;
        usec_t now = clock_usec(CLOCK_MONOTONIC);

        if (r->stop_at == 0)
                run_stop(r); /* its process has ended, and something it started holds on */
        else if (r->killed_at == 0 && now - r->stop_at >= SCHEDULE_KILL_USEC)
                kill_rest(r, now);
        else if ((r->out || r->err) && r->exited && r->killed_at > 0 &&
                 now - r->killed_at >= LAST_READ_USEC && !(r->out && source_is_blocked(r->out)))
                give_up_output(r);

        (void) arm(r, LINGER_POLL_USEC);
        check_over(r);
        return 0;
}

void run_stop(Run *r) {
        if (r->stop_at > 0)
                return;

        r->stop_at = clock_usec(CLOCK_MONOTONIC);
        if (r->scope)
                (void) units_scope_stop(r->context->units, r->scope);
        (void) child_signal(&r->child, SIGTERM);
        (void) arm(r, LINGER_POLL_USEC);
}

static usec_t timeval_usec(struct timeval t) {
        return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_usec;
}

static int on_exit_event(sd_event_source *s, int fd _unused_, uint32_t revents _unused_, void *userdata) {
        struct rusage usage = {};
        Run *r = userdata;
        pid_t pid;

        pid = wait4(r->child.pid, &r->wait_status, WNOHANG, &usage);
        if (pid == 0)
                return 0;
        if (pid < 0)
                (void) log_error_errno(errno, "%s: Failed to learn how it ended: %m", r->lane->name);

        r->exited = true;
        r->lane->cpu_usec += timeval_usec(usage.ru_utime) + timeval_usec(usage.ru_stime);
        (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
        if (r->stop_at == 0)
                (void) arm(r, LAST_READ_USEC);
        check_over(r);
        return 0;
}

/* -- the beginning -- */

static void on_scope_ready(void *userdata, int error, const char *why) {
        Run *r = userdata;

        if (error < 0) {
                log_warning("%s: systemd gave it no scope (%s); its processes are looked after without",
                            r->lane->name, why);
                free(TAKE(r->scope));
        }

        child_release(&r->child);
}

static void enter_scope(Run *r, const RunSpec *spec) {
        int e;

        if (!r->context->units) {
                child_release(&r->child);
                return;
        }

        r->scope = units_scope_name(r->lane->name, r->child.pid);
        if (!r->scope) {
                on_scope_ready(r, -ENOMEM, "out of memory");
                return;
        }

        e = units_scope_start(r->context->units,
                              &(UnitsScope) {
                                      .name = r->scope,
                                      .description = r->lane->name,
                                      .pid = r->child.pid,
                                      .runtime_max = spec->runtime_max,
                                      .timeout_stop = SCHEDULE_KILL_USEC,
                              },
                              on_scope_ready, r);
        if (e < 0)
                on_scope_ready(r, e, strerror(-e));
}

static int add_events(Run *r) {
        sd_event *event = r->context->event;
        int e;

        e = source_new(&r->out, r->context->hub, r->child.stdout_fd, SOURCE_PIPE, r->lane->name, &stdout_ops,
                       r);
        if (e < 0)
                return e;
        r->child.stdout_fd = -1;

        e = source_new(&r->err, r->context->hub, r->child.stderr_fd, SOURCE_PIPE, r->lane->name, &stderr_ops,
                       r);
        if (e < 0)
                return e;
        r->child.stderr_fd = -1;

        e = sd_event_add_io(event, &r->exit_event, r->child.pidfd, EPOLLIN, on_exit_event, r);
        if (e < 0)
                return e;
        (void) sd_event_source_set_description(r->exit_event, "run-exit");

        e = sd_event_add_time_relative(event, &r->timer, CLOCK_MONOTONIC, 0, 0, on_timer, r);
        if (e < 0)
                return e;
        (void) sd_event_source_set_description(r->timer, "run-stop");

        return sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
}

int run_start(Run **ret, const RunContext *context, const RunSpec *spec) {
        _cleanup_(run_freep) Run *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;

        *r = (Run) {
                .context = context,
                .lane = spec->lane,
                .over = spec->over,
                .userdata = spec->userdata,
                .child = CHILD_NULL,
                .stderr_limit = { .interval = 30 * USEC_PER_SEC, .burst = 60 },
        };

        e = spawn_collector(
                &(SpawnSpec) { .path = spec->path, .helper = context->helper, .environ = spec->environ },
                &r->child);
        if (e < 0)
                return e;
        e = add_events(r);
        if (e < 0)
                return e;

        enter_scope(r, spec);
        *ret = TAKE(r);
        return 0;
}

Run *run_free(Run *r) {
        if (!r)
                return NULL;

        if (r->child.pid > 0 && !(r->exited && group_is_empty(r))) {
                (void) child_signal(&r->child, SIGKILL);
                if (!r->exited)
                        (void) waitpid(r->child.pid, NULL, 0);
        }
        if (r->context->units)
                units_scope_forget(r->context->units, r);

        source_free(r->out);
        source_free(r->err);
        sd_event_source_disable_unref(r->exit_event);
        sd_event_source_disable_unref(r->timer);
        child_close(&r->child);
        free(r->scope);
        free(r);
        return NULL;
}

pid_t run_pid(const Run *r) {
        return r->child.pid;
}

bool run_is_stopping(const Run *r) {
        return r->stop_at > 0;
}

bool run_has_exited(const Run *r) {
        return r->exited;
}

usec_t run_last_active(const Run *r) {
        if (!r->out)
                return 0;
        if (source_is_blocked(r->out))
                return clock_usec(CLOCK_MONOTONIC);

        return source_last_line(r->out);
}
