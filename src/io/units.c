/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The private socket is a direct connection to the manager: no bus daemon, no names, and every signal of the manager
 * comes without a subscription. A scope stands when its start job is done, so each request waits for the reply that
 * names the job, then for that job's JobRemoved, and for neither longer than a few seconds. */

#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "basic/buffer.h"
#include "io/units.h"

#define CONNECT_USEC (1 * USEC_PER_SEC)
#define SCOPE_USEC (5 * USEC_PER_SEC)
#define DESTINATION "org.freedesktop.systemd1"
#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

typedef struct Request {
        Units *units;
        struct Request *next;
        UnitsScopeReady ready;
        void *userdata;
        sd_bus_slot *slot;
        sd_event_source *timer;
        char *job; /* NULL: not yet named */
} Request;

struct Units {
        sd_event *event;
        sd_bus *bus;
        Request *requests;
};

/* -- requests -- */

static Request *request_free(Request *q) {
        if (!q)
                return NULL;

        for (Request **p = &q->units->requests; *p; p = &(*p)->next)
                if (*p == q) {
                        *p = q->next;
                        break;
                }

        sd_bus_slot_unref(q->slot);
        sd_event_source_disable_unref(q->timer);
        free(q->job);
        free(q);
        return NULL;
}
DEFINE_CLEANUP(Request *, request_free);

static void finish(Request *q, int r, const char *why) {
        UnitsScopeReady ready = q->ready;
        void *userdata = q->userdata;

        request_free(q);
        ready(userdata, r, why);
}

static int on_timeout(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        finish(userdata, -ETIMEDOUT, "systemd did not answer in time");
        return 0;
}

/* The process was there when it was asked for; that it has ended since is its own affair. */
static bool is_gone(const sd_bus_error *e) {
        return sd_bus_error_has_name(e, "org.freedesktop.DBus.Error.UnixProcessIdUnknown") ||
               sd_bus_error_get_errno(e) == ESRCH;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *e _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(m);
        Request *q = userdata;
        const char *job;
        int r;

        if (error && is_gone(error)) {
                finish(q, 0, NULL);
                return 0;
        }
        if (error) {
                finish(q, -sd_bus_error_get_errno(error), error->message ?: error->name);
                return 0;
        }

        r = sd_bus_message_read(m, "o", &job);
        q->job = r >= 0 ? strdup(job) : NULL;
        if (!q->job)
                finish(q, r < 0 ? r : -ENOMEM, "its reply cannot be read");

        return 0;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *e _unused_) {
        const char *job, *unit, *result;
        Units *u = userdata;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;

        for (Request *q = u->requests; q; q = q->next)
                if (q->job && strcmp(q->job, job) == 0) {
                        if (strcmp(result, "done") == 0)
                                finish(q, 0, NULL);
                        else
                                finish(q, -EIO, result);
                        break;
                }

        return 0;
}

/* -- the connection -- */

static const char *manager_address(char buf[static 256]) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (geteuid() == 0)
                return "unix:path=/run/systemd/private";
        if (!runtime || snprintf(buf, 256, "unix:path=%s/systemd/private", runtime) >= 256)
                return NULL;

        return buf;
}

/* Asks for something small, so that a socket nobody listens at, or a manager that hangs, is found out now. */
static int probe(sd_bus *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, DESTINATION, PATH, "org.freedesktop.DBus.Peer", "Ping");
        if (r < 0)
                return r;

        return sd_bus_call(bus, m, CONNECT_USEC, NULL, NULL);
}

static int units_connect(Units *u) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        const char *address;
        char buf[256];
        int r;

        address = manager_address(buf);
        if (!address)
                return -ENOTCONN;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                r = probe(bus);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, NULL, PATH, MANAGER, "JobRemoved", on_job_removed, u);
        if (r >= 0)
                r = sd_bus_attach_event(bus, u->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;

        u->bus = sd_bus_close_unref(u->bus);
        u->bus = TAKE(bus);
        return 0;
}

int units_open(Units **ret, sd_event *event) {
        _cleanup_(units_freep) Units *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;

        u->event = sd_event_ref(event);
        r = units_connect(u);
        if (r < 0)
                return r;

        *ret = TAKE(u);
        return 0;
}

Units *units_free(Units *u) {
        if (!u)
                return NULL;

        while (u->requests)
                request_free(u->requests);

        sd_bus_flush_close_unref(u->bus);
        sd_event_unref(u->event);
        free(u);
        return NULL;
}

const char *units_manager(const Units *u _unused_) {
        return geteuid() == 0 ? "system" : "user";
}

/* A manager that has been executed anew (systemctl daemon-reexec) hangs up; it answers again at once. */
static int ensure_open(Units *u) {
        return sd_bus_is_open(u->bus) > 0 ? 0 : units_connect(u);
}

/* -- scopes -- */

static int append_properties(sd_bus_message *m, const UnitsScope *scope) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t) scope->pid);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)(sv)", "Description", "s", scope->description,
                                          "TimeoutStopUSec", "t", (uint64_t) scope->timeout_stop, "CollectMode", "s",
                                          "inactive-or-failed");
        if (r >= 0 && scope->runtime_max != USEC_INFINITY)
                r = sd_bus_message_append(m, "(sv)", "RuntimeMaxUSec", "t", (uint64_t) scope->runtime_max);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0); /* no other unit comes with it */

        return r;
}

static int new_start_message(Units *u, const UnitsScope *scope, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(u->bus, &m, DESTINATION, PATH, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", scope->name, "fail");
        if (r >= 0)
                r = append_properties(m, scope);
        if (r < 0)
                return r;

        *ret = TAKE(m);
        return 0;
}

int units_scope_start(Units *u, const UnitsScope *scope, UnitsScopeReady ready, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(request_freep) Request *q = NULL;
        int r;

        r = ensure_open(u);
        if (r < 0)
                return r;

        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        *q = (Request) { .units = u, .ready = ready, .userdata = userdata };

        r = new_start_message(u, scope, &m);
        if (r >= 0)
                r = sd_event_add_time_relative(u->event, &q->timer, CLOCK_MONOTONIC, SCOPE_USEC, 0, on_timeout, q);
        if (r >= 0)
                r = sd_event_source_set_description(q->timer, "scope-timeout");
        if (r >= 0)
                r = sd_bus_call_async(u->bus, &q->slot, m, on_reply, q, SCOPE_USEC);
        if (r < 0)
                return r;

        q->next = u->requests;
        u->requests = q;
        TAKE(q);
        return 0;
}

int units_scope_stop(Units *u, const char *name) {
        int r;

        r = ensure_open(u);
        if (r < 0)
                return r;

        return sd_bus_call_method_async(u->bus, NULL, DESTINATION, PATH, MANAGER, "StopUnit", NULL, NULL, "ss", name,
                                        "replace");
}

void units_scope_forget(Units *u, void *userdata) {
        for (Request *q = u->requests, *next; q; q = next) {
                next = q->next;
                if (q->userdata == userdata)
                        request_free(q);
        }
}

char *units_scope_name(const char *collector, pid_t pid) {
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.-";
        _cleanup_(buffer_done) Buffer b = {};
        int r;

        r = buffer_add_string(&b, "tcollector-col-");
        for (const char *p = collector; r >= 0 && *p; p++)
                r = strchr(plain, *p) ? buffer_add(&b, (Slice) { p, 1 }) :
                                        buffer_addf(&b, "\\x%02x", (unsigned) (unsigned char) *p);
        if (r >= 0)
                r = buffer_addf(&b, "-%d.scope", (int) pid);
        if (r < 0)
                return NULL;

        return TAKE(b.data);
}
