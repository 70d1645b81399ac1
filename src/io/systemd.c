/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's signals come on the private socket unasked. A job is pending from the answer to the call
 * that made it until its JobRemoved; what arrives in between is kept by sd-bus, in order, until it is
 * processed in systemd_wait(). */

#include <string.h>

#include "basic/clock.h"
#include "io/private-bus.h"
#include "io/systemd.h"

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"
#define CALL_TIMEOUT (10 * USEC_PER_SEC)
#define RELOAD_TIMEOUT (45 * USEC_PER_SEC)

struct Systemd {
        sd_bus *bus;
        sd_bus_error error; /* of the last call that failed */
        int failed;         /* its errno, where systemd did not say anything */
        char **jobs;        /* object paths of those that are pending */
        size_t n_jobs, allocated;
};

static const struct {
        const char *method, *mode; /* a mode means that it makes a job */
} verb_table[] = {
        [SYSTEMD_START] = { "StartUnit", "fail" },
        [SYSTEMD_STOP] = { "StopUnit", "replace" },
        [SYSTEMD_RESTART] = { "RestartUnit", "fail" },
        [SYSTEMD_RESET_FAILED] = { "ResetFailedUnit", NULL },
};
static_assert(ELEMENTSOF(verb_table) == _SYSTEMD_VERB_MAX, "say what every verb does");

static const struct {
        const char *name;
        int error;
} error_table[] = {
        { "org.freedesktop.systemd1.TransactionIsDestructive", EDEADLK },
        { "org.freedesktop.systemd1.UnitMasked", ERFKILL },
        { "org.freedesktop.systemd1.NoSuchUnit", ENOENT },
        { "org.freedesktop.systemd1.LoadFailed", ENOEXEC },
        { "org.freedesktop.systemd1.ShuttingDown", EDEADLK },
};

/* -- the connection -- */

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Systemd *s = userdata;
        const char *job;
        uint32_t id;

        if (sd_bus_message_read(m, "uo", &id, &job) < 0)
                return 0;

        for (size_t i = 0; i < s->n_jobs; i++)
                if (strcmp(s->jobs[i], job) == 0) {
                        free(s->jobs[i]);
                        s->jobs[i] = s->jobs[--s->n_jobs];
                        break;
                }

        return 0;
}

int systemd_open(Systemd **ret, usec_t timeout) {
        _cleanup_(systemd_freep) Systemd *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;

        r = private_bus_new(false, &s->bus);
        if (r < 0)
                return r;
        r = private_bus_wait(s->bus, timeout);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(s->bus, CALL_TIMEOUT);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(s->bus, NULL, NULL, OBJECT, INTERFACE, "JobRemoved", on_job_removed, s);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}

Systemd *systemd_free(Systemd *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_jobs; i++)
                free(s->jobs[i]);
        free(s->jobs);
        sd_bus_error_free(&s->error);
        sd_bus_close_unref(s->bus);
        free(s);
        return NULL;
}

const char *systemd_why(const Systemd *s) {
        return s->error.message ?: strerrordesc_np(s->failed) ?: "it did not say why";
}

/* -- calls -- */

static int new_call(Systemd *s, const char *method, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(s->bus, ret, DESTINATION, OBJECT, INTERFACE, method);
}

/* `error` is of a call that returned `r`. */
static int refused(Systemd *s, int r, sd_bus_error *error) {
        sd_bus_error_free(&s->error);
        s->error = TAKE(*error);

        for (size_t i = 0; i < ELEMENTSOF(error_table); i++)
                if (sd_bus_error_has_name(&s->error, error_table[i].name))
                        r = -error_table[i].error;

        s->failed = -r;
        return r;
}

static int call(Systemd *s, sd_bus_message *m, usec_t timeout, sd_bus_message **ret) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call(s->bus, m, timeout, &error, ret);

        return r < 0 ? refused(s, r, &error) : 0;
}

static int add_job(Systemd *s, const char *path) {
        char *copy;

        if (s->n_jobs == s->allocated) {
                size_t n = MAX(s->allocated * 2, (size_t) 16);
                char **jobs = reallocarray(s->jobs, n, sizeof(*jobs));

                if (!jobs)
                        return -ENOMEM;
                s->jobs = jobs;
                s->allocated = n;
        }

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;

        s->jobs[s->n_jobs++] = copy;
        return 0;
}

int systemd_do(Systemd *s, SystemdVerb verb, const char *unit) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *mode = verb_table[verb].mode, *job;
        int r;

        r = new_call(s, verb_table[verb].method, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", unit);
        if (r >= 0 && mode)
                r = sd_bus_message_append(m, "s", mode);
        if (r < 0)
                return r;

        r = call(s, m, CALL_TIMEOUT, &reply);
        if (!mode)
                return r == -ENOENT ? 0 : r;
        if (r < 0)
                return r;

        r = sd_bus_message_read(reply, "o", &job);
        return r < 0 ? r : add_job(s, job);
}

int systemd_wait(Systemd *s, usec_t timeout) {
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + timeout;

        for (;;) {
                usec_t now;
                int r = sd_bus_process(s->bus, NULL);

                if (s->n_jobs == 0)
                        return 0;
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;

                now = clock_usec(CLOCK_MONOTONIC);
                if (now >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(s->bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

int systemd_reload(Systemd *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r = new_call(s, "Reload", &m);

        return r < 0 ? r : call(s, m, RELOAD_TIMEOUT, &reply);
}

/* -- lists -- */

void systemd_unit_done(SystemdUnit *u) {
        free(u->name);
        free(u->load_state);
        free(u->active_state);
        free(u->job_type);
        *u = (SystemdUnit) {};
}

void systemd_units_done(SystemdUnits *u) {
        for (size_t i = 0; i < u->n; i++)
                systemd_unit_done(u->units + i);
        free(u->units);
        *u = (SystemdUnits) {};
}

/* 0: no more; 1: *ret is the next. */
static int read_unit(sd_bus_message *m, SystemdUnit *ret) {
        const char *name, *load, *active, *type;
        uint32_t job;
        SystemdUnit u;
        int r;

        r = sd_bus_message_read(m, "(ssssssouso)", &name, NULL, &load, &active, NULL, NULL, NULL, &job,
                                &type, NULL);
        if (r <= 0)
                return r;

        u = (SystemdUnit) { strdup(name), strdup(load), strdup(active), strdup(job > 0 ? type : "") };
        if (!u.name || !u.load_state || !u.active_state || !u.job_type) {
                systemd_unit_done(&u);
                return -ENOMEM;
        }

        *ret = u;
        return 1;
}

static int read_units(sd_bus_message *m, SystemdUnits *ret) {
        _cleanup_(systemd_units_done) SystemdUnits list = {};
        size_t allocated = 0;
        int r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");

        if (r < 0)
                return r;

        for (;;) {
                if (list.n == allocated) {
                        size_t n = MAX(allocated * 2, (size_t) 16);
                        SystemdUnit *units = reallocarray(list.units, n, sizeof(*units));

                        if (!units)
                                return -ENOMEM;
                        list.units = units;
                        allocated = n;
                }

                r = read_unit(m, list.units + list.n);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                list.n++;
        }

        *ret = TAKE(list);
        return 0;
}

static int list_units(Systemd *s, sd_bus_message *m, SystemdUnits *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = call(s, m, CALL_TIMEOUT, &reply);

        return r < 0 ? r : read_units(reply, ret);
}

int systemd_list(Systemd *s, const char *const *patterns, SystemdUnits *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_call(s, "ListUnitsByPatterns", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "as", 0);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) (uintptr_t) patterns);

        return r < 0 ? r : list_units(s, m, ret);
}

/* The pattern that only `name` matches. The caller frees it; NULL: no memory. */
static char *pattern_from_name(const char *name) {
        char *pattern = malloc(2 * strlen(name) + 1), *p = pattern;

        if (!pattern)
                return NULL;

        for (; *name; name++) {
                if (strchr("\\*?[", *name))
                        *p++ = '\\';
                *p++ = *name;
        }

        *p = '\0';
        return pattern;
}

int systemd_find(Systemd *s, const char *unit, SystemdUnit *ret) {
        _cleanup_(freep) char *pattern = pattern_from_name(unit);
        _cleanup_(systemd_units_done) SystemdUnits list = {};
        SystemdUnit u;
        int r;

        if (!pattern)
                return -ENOMEM;

        r = systemd_list(s, (const char *const[]) { pattern, NULL }, &list);
        if (r < 0)
                return r;
        if (list.n > 0) {
                *ret = TAKE(list.units[0]);
                return 0;
        }

        u = (SystemdUnit) { strdup(unit), strdup("not-found"), strdup("inactive"), strdup("") };
        if (!u.name || !u.load_state || !u.active_state || !u.job_type) {
                systemd_unit_done(&u);
                return -ENOMEM;
        }

        *ret = u;
        return 0;
}

int systemd_number(Systemd *s, const char *unit, const char *interface, const char *property,
                   uint64_t *ret) {
        _cleanup_(freep) char *path = NULL, *full = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);

        if (r < 0)
                return r;
        if (asprintf(&full, "org.freedesktop.systemd1.%s", interface) < 0)
                return -ENOMEM;

        r = sd_bus_get_property_trivial(s->bus, DESTINATION, path, full, property, &error, 't', ret);
        return r < 0 ? refused(s, r, &error) : 0;
}
