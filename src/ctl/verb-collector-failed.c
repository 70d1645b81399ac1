/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Called for a collector's unit that has failed, by OnFailure=. The retry timer conflicts with the
 * schedule's: to start it takes the collector off its schedule. The agent is told at the end, as it may be
 * slow to answer. */

#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "conf/instance.h"
#include "conf/names.h"
#include "ctl/agent-bus.h"
#include "ctl/failure.h"
#include "ctl/say.h"
#include "ctl/scan.h"
#include "ctl/states.h"
#include "ctl/verbs.h"

#define SYSTEMD_TIMEOUT (5 * USEC_PER_SEC)
#define AGENT_TIMEOUT (1 * USEC_PER_SEC)
#define UNIT_MAX 256

typedef struct Units {
        char service[UNIT_MAX], timer[UNIT_MAX], retry[UNIT_MAX];
} Units;

static void name_units(const char *instance, Units *ret) {
        (void) snprintf(ret->service, UNIT_MAX, COLLECTOR_PREFIX "%s.service", instance);
        (void) snprintf(ret->timer, UNIT_MAX, COLLECTOR_PREFIX "%s.timer", instance);
        (void) snprintf(ret->retry, UNIT_MAX, RETRY_PREFIX "%s.timer", instance);
}

static int read_times(Systemd *s, const char *unit, FailureUnit *u) {
        const struct {
                const char *interface, *property;
                uint64_t *ret;
        } times[] = {
                { "Unit", "InactiveExitTimestampMonotonic", &u->inactive_exit },
                { "Unit", "ActiveEnterTimestampMonotonic", &u->active_enter },
                { "Unit", "ActiveExitTimestampMonotonic", &u->active_exit },
                { "Service", "ExecMainExitTimestampMonotonic", &u->process_exit },
                { "Service", "RuntimeMaxUSec", &u->runtime_max },
        };

        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                int r = systemd_number(s, unit, times[i].interface, times[i].property, times[i].ret);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* Only root removes a FIFO, of a collector that there is no more. */
static bool is_gone(const char *instance) {
        _cleanup_(freep) char *path = NULL;

        return asprintf(&path, RUNDIR "/" RUN_FIFOS "/%s", instance) >= 0 && access(path, F_OK) < 0 &&
               errno == ENOENT;
}

static int look(Systemd *s, const char *instance, const Units *units, FailureUnit *ret) {
        _cleanup_(systemd_unit_done) SystemdUnit agent = {}, service = {}, timer = {};
        FailureUnit u;
        int r;

        r = systemd_find(s, units->service, &service);
        if (r >= 0)
                r = systemd_find(s, units->timer, &timer);
        if (r >= 0)
                r = systemd_find(s, AGENT_UNIT, &agent);
        if (r < 0)
                return r;

        u = (FailureUnit) {
                /* with a job that starts it, it is about to run again */
                .is_failed = !unit_is_up(&service) && strcmp(service.active_state, "failed") == 0,
                .is_gone = is_gone(instance),
                .has_timer = unit_is_up(&timer),
                .agent_wanted = unit_is_up(&agent),
        };
        r = u.is_failed ? read_times(s, units->service, &u) : 0;
        if (r < 0)
                return r;

        *ret = u;
        return 0;
}

/* How long its retry timer waits, as it is configured; only to be said. */
static const char *retry_span(const char *instance, char buf[static SPAN_MAX]) {
        _cleanup_(complaints_done) Complaints complaints = { .quiet = true };
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(freep) char *name = NULL;

        if (instance_to_name(slice_from_string(instance), &name) < 0 ||
            config_load_what_is_good_in(&config, CONFIG_FOLDER, complain_of_config, &complaints) < 0)
                return "some time";

        return span_format(buf, config_collector(config, name)->retry);
}

static void say(const char *instance, const FailureReport *report, Failure failure) {
        char text[FAILURE_TEXT_MAX], span[SPAN_MAX];
        bool excused = failure.verdict == FAILURE_EXCUSED;

        (void) failure_describe(report, text);
        if (failure.verdict == FAILURE_OVERSTAY && !failure.retry)
                say_collector(LOG_WARNING, instance,
                              "did not end in time and was stopped; its schedule goes on");
        else
                say_collector(excused ? LOG_NOTICE : LOG_WARNING, instance, "%s (%s)%s%s",
                              excused ? "not for this host" : "failed", text,
                              failure.retry ? ", tried again in " : "",
                              failure.retry ? retry_span(instance, span) : "");
}

/* Off its schedule, for a while. Where the agent has begun to stop meanwhile, it may have looked for timers
 * to stop before there was this one. */
static int start_retry(Systemd *s, const Units *units, const FailureUnit *unit, Failure *failure) {
        _cleanup_(systemd_unit_done) SystemdUnit agent = {};
        int r;

        /* one that is not active is not touched: of a collector without a schedule it would have no time */
        r = unit->has_timer ? systemd_do(s, SYSTEMD_STOP, units->timer) : 0;
        if (r >= 0)
                r = systemd_do(s, SYSTEMD_RESTART, units->retry);
        if (r >= 0)
                r = systemd_find(s, AGENT_UNIT, &agent);
        if (r < 0 && r != -EDEADLK)
                return r;
        if (r >= 0 && unit_is_up(&agent))
                return 0;

        failure->retry = false;
        return systemd_do(s, SYSTEMD_STOP, units->retry);
}

static int look_after(Systemd *s, const char *instance, const FailureReport *report, Failure *ret) {
        FailureUnit unit = {};
        Failure failure;
        Units units;
        int r, k = 0;

        name_units(instance, &units);
        r = look(s, instance, &units, &unit);
        if (r < 0)
                return r;

        failure = failure_judge(report, &unit);
        if (unit.is_failed && failure.verdict != FAILURE_FAILED)
                k = systemd_do(s, SYSTEMD_RESET_FAILED, units.service);
        if (failure.retry)
                r = start_retry(s, &units, &unit, &failure);

        *ret = failure;
        return r < 0 ? r : k;
}

int verb_collector_failed(const VerbArgs *args) {
        const FailureReport report = { getenv("MONITOR_SERVICE_RESULT"), getenv("MONITOR_EXIT_CODE"),
                                       getenv("MONITOR_EXIT_STATUS") };
        _cleanup_(systemd_freep) Systemd *systemd = NULL;
        const char *instance = args->operands[0];
        _cleanup_(freep) char *name = NULL;
        Failure failure = {};
        int r;

        if (instance_to_name(slice_from_string(instance), &name) < 0) {
                log_error("This is not the name of a collector's unit, between '@' and '.service'.");
                return EXIT_WRONG_USAGE;
        }

        r = systemd_open(&systemd, SYSTEMD_TIMEOUT);
        if (r < 0) {
                (void) log_error_errno(r, "systemd does not answer: %m");
                return EXIT_FAILURE;
        }

        r = look_after(systemd, instance, &report, &failure);
        if (r < 0) {
                say_collector(LOG_ERR, instance, "failed, and cannot be looked after: %s",
                              systemd_why(systemd));
                return EXIT_FAILURE;
        }
        if (failure.verdict == FAILURE_NONE || failure.verdict == FAILURE_ASKED)
                return EXIT_SUCCESS;

        say(instance, &report, failure);
        (void) agent_collector_failed(instance, report.result ?: "", report.status ?: "", AGENT_TIMEOUT);
        return EXIT_SUCCESS;
}
