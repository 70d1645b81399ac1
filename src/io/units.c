/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection is to the manager itself: no bus daemon, no subscription, all of its signals come
 * anyway.
 *
 * StartTransientUnit is answered when the job is queued. The scope stands, and the process is in it, when
 * that job has been removed with the result "done": only then the request is ready. A manager that
 * executes itself anew (an update of systemd) drops its connections: what is under way fails, the next
 * request connects again. */

#include <signal.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "basic/buffer.h"
#include "io/private-bus.h"
#include "io/units.h"

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"
#define LOCAL_OBJECT "/org/freedesktop/DBus/Local"
#define LOCAL_INTERFACE "org.freedesktop.DBus.Local"
#define OPEN_TIMEOUT (5 * USEC_PER_SEC)  /* it may be busy: rather late than without */
#define SCOPE_TIMEOUT (5 * USEC_PER_SEC) /* a collector is held meanwhile */
#define UNIT_NAME_MAX 255u

typedef struct Request {
        Units *units;
        UnitsScopeReady ready;
        void *userdata;
        pid_t pid;
        char *name;        /* of the scope */
        const sd_bus *bus; /* only to compare */
        char *job;         /* object path; NULL: not queued yet */
        bool stopping;     /* its scope is not wanted any more */
        sd_bus_slot *call;
        sd_event_source *timeout;
        TAILQ_ENTRY(Request) list;
} Request;

struct Units {
        sd_event *event;
        sd_bus *bus;
        bool user;
        TAILQ_HEAD(, Request) requests;
};

/* -- requests -- */

static Request *request_free(Request *q) {
        if (!q)
                return NULL;

        TAILQ_REMOVE(&q->units->requests, q, list);
        sd_bus_slot_unref(q->call);
        sd_event_source_disable_unref(q->timeout);
        free(q->name);
        free(q->job);
        free(q);
        return NULL;
}

DEFINE_CLEANUP(Request *, request_free);

/* Has it ended, reaped or not? Then there is nothing to put under a scope. */
static bool process_is_gone(pid_t pid) {
        siginfo_t info = {};

        if (kill(pid, 0) < 0 && errno == ESRCH)
                return true;

        return waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) >= 0 && info.si_pid == pid;
}

static void request_done(Request *q, int r, const char *why) {
        UnitsScopeReady ready = q->ready;
        void *userdata = q->userdata;

        request_free(q);
        ready(userdata, r, r < 0 ? why : NULL);
}

static int on_stopped(sd_bus_message *m _unused_, void *userdata, sd_bus_error *error _unused_) {
        request_done(userdata, 0, NULL);
        return 0;
}

/* A scope that was empty from the beginning never hears that it has become so: it is stopped. */
static int request_stop(Request *q) {
        q->stopping = true;
        q->bus = q->units->bus;
        q->call = sd_bus_slot_unref(q->call);
        return sd_bus_call_method_async(q->units->bus, &q->call, DESTINATION, OBJECT, INTERFACE, "StopUnit",
                                        on_stopped, q, "ss", q->name, "replace");
}

static void request_finish(Request *q, int r, const char *why) {
        bool gone = process_is_gone(q->pid);

        if (gone && !q->stopping && request_stop(q) >= 0)
                return; /* on_stopped() goes on */

        request_done(q, gone ? 0 : r, why);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const sd_bus_error *refused = sd_bus_message_get_error(m);
        Request *q = userdata;
        const char *job;
        int r;

        if (refused) {
                request_finish(q, -sd_bus_message_get_errno(m),
                               refused->message ? refused->message : refused->name);
                return 0;
        }

        r = sd_bus_message_read(m, "o", &job);
        if (r >= 0) {
                q->job = strdup(job);
                r = q->job ? 0 : -ENOMEM;
        }
        if (r < 0)
                request_finish(q, r, "its answer cannot be read");

        return 0;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const char *job, *unit, *result;
        Units *u = userdata;
        uint32_t id;
        Request *q;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;

        TAILQ_FOREACH(q, &u->requests, list)
                if (q->job && strcmp(q->job, job) == 0)
                        break;
        if (q)
                request_finish(q, strcmp(result, "done") == 0 ? 0 : -ECANCELED, result);

        return 0;
}

static int on_timeout(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        request_finish(userdata, -ETIMEDOUT, "it does not answer");
        return 0;
}

/* The next request that went over `bus`. What a callback asks for anew goes over another. */
static Request *request_over(Units *u, const sd_bus *bus) {
        Request *q;

        TAILQ_FOREACH(q, &u->requests, list)
                if (q->bus == bus)
                        return q;

        return NULL;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Request *q;

        while ((q = request_over(userdata, sd_bus_message_get_bus(m))))
                request_finish(q, -ECONNRESET, "the connection is lost");

        return 0;
}

/* -- the connection -- */

static int units_attach(Units *u, sd_bus *bus) {
        int r;

        r = sd_bus_match_signal(bus, NULL, NULL, OBJECT, INTERFACE, "JobRemoved", on_job_removed, u);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, NULL, LOCAL_OBJECT, LOCAL_INTERFACE, "Disconnected",
                                        on_disconnected, u);
        if (r >= 0)
                r = sd_bus_attach_event(bus, u->event, SD_EVENT_PRIORITY_NORMAL);

        return r;
}

/* Makes sure there is a connection, without waiting: what is sent goes out when the manager has let us
 * in. */
static int units_connect(Units *u) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        if (sd_bus_is_open(u->bus) > 0)
                return 0;

        r = private_bus_new(u->user, &bus);
        if (r < 0)
                return r;
        r = units_attach(u, bus);
        if (r < 0)
                return r;

        sd_bus_unref(u->bus); /* lives on until its requests have been told of its end */
        u->bus = TAKE(bus);
        return 0;
}

int units_open(Units **ret, sd_event *event) {
        _cleanup_(units_freep) Units *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;

        *u = (Units) { .event = sd_event_ref(event), .user = geteuid() != 0 };
        TAILQ_INIT(&u->requests);

        r = private_bus_new(u->user, &u->bus);
        if (r < 0)
                return r;
        r = private_bus_wait(u->bus, OPEN_TIMEOUT);
        if (r < 0)
                return r;
        r = units_attach(u, u->bus);
        if (r < 0)
                return r;

        *ret = TAKE(u);
        return 0;
}

Units *units_free(Units *u) {
        if (!u)
                return NULL;

        while (!TAILQ_EMPTY(&u->requests))
                request_free(TAILQ_FIRST(&u->requests));
        sd_bus_close_unref(u->bus);
        sd_event_unref(u->event);
        free(u);
        return NULL;
}

const char *units_manager(const Units *u) {
        return u->user ? "user" : "system";
}

/* -- scopes -- */

static int append_properties(sd_bus_message *m, const UnitsScope *scope) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r < 0)
                return r;

        r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", scope->description,
                                  "PIDs", "au", 1, (uint32_t) scope->pid, "TimeoutStopUSec", "t",
                                  scope->timeout_stop, "KillMode", "s", "control-group", "SendSIGHUP", "b",
                                  false, "CollectMode", "s", "inactive-or-failed");
        if (r >= 0 && scope->runtime_max != USEC_INFINITY)
                r = sd_bus_message_append(m, "(sv)", "RuntimeMaxUSec", "t", scope->runtime_max);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int request_send(Request *q, const UnitsScope *scope) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Units *u = q->units;
        int r;

        r = sd_bus_message_new_method_call(u->bus, &m, DESTINATION, OBJECT, INTERFACE, "StartTransientUnit");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", scope->name, "fail");
        if (r < 0)
                return r;
        r = append_properties(m, scope);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return r;

        return sd_bus_call_async(u->bus, &q->call, m, on_reply, q, SCOPE_TIMEOUT);
}

static int scope_request(Units *u, const UnitsScope *scope, UnitsScopeReady ready, void *userdata) {
        _cleanup_(request_freep) Request *q = NULL;
        int r;

        r = units_connect(u);
        if (r < 0)
                return r;

        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;

        *q = (Request) {
                .units = u,
                .ready = ready,
                .userdata = userdata,
                .pid = scope->pid,
                .bus = u->bus,
        };
        TAILQ_INSERT_TAIL(&u->requests, q, list);
        q->name = strdup(scope->name);
        if (!q->name)
                return -ENOMEM;

        r = sd_event_add_time_relative(u->event, &q->timeout, CLOCK_MONOTONIC, SCOPE_TIMEOUT, 0, on_timeout,
                                       q);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(q->timeout, "scope-timeout");

        r = request_send(q, scope);
        if (r < 0)
                return r;

        TAKE(q); /* ends by itself */
        return 0;
}

int units_scope_start(Units *u, const UnitsScope *scope, UnitsScopeReady ready, void *userdata) {
        int r = scope_request(u, scope, ready, userdata);

        /* The manager has gone since: it was executed anew, and answers again at once. */
        return r == -ECONNRESET ? scope_request(u, scope, ready, userdata) : r;
}

static int send_stop(Units *u, const char *name) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = units_connect(u);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(u->bus, &m, DESTINATION, OBJECT, INTERFACE, "StopUnit");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", name, "replace");
        if (r < 0)
                return r;
        r = sd_bus_message_set_expect_reply(m, false);
        if (r < 0)
                return r;

        r = sd_bus_send(u->bus, m, NULL);
        return r < 0 ? r : 0;
}

int units_scope_stop(Units *u, const char *name) {
        int r = send_stop(u, name);

        return r == -ECONNRESET ? send_stop(u, name) : r;
}

void units_scope_forget(Units *u, void *userdata) {
        Request *next;

        for (Request *q = TAILQ_FIRST(&u->requests); q; q = next) {
                next = TAILQ_NEXT(q, list);
                if (q->userdata == userdata)
                        request_free(q);
        }
}

/* -- names -- */

static bool is_taken_as_is(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c && strchr(":_.-", c));
}

char *units_scope_name(const char *collector, pid_t pid) {
        _cleanup_(buffer_done) Buffer b = {};
        char end[32];
        size_t max = UNIT_NAME_MAX - (size_t) snprintf(end, sizeof(end), "-%jd.scope", (intmax_t) pid);

        if (buffer_add_string(&b, "tcollector-col-") < 0)
                return NULL;

        for (const char *c = collector; *c; c++) {
                unsigned char u = (unsigned char) *c;
                char one[8];
                int n = snprintf(one, sizeof(one), is_taken_as_is(*c) ? "%c" : "\\x%02x", u);

                if (b.n + (size_t) n > max)
                        break; /* the pid keeps it apart from others */
                if (buffer_add(&b, (Slice) { one, (size_t) n }) < 0)
                        return NULL;
        }

        if (buffer_add_string(&b, end) < 0)
                return NULL;

        return TAKE(b.data);
}
