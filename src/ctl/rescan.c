/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A step that could not be taken leaves what is known of its collector as it was, so that the next run finds
 * it again. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rescan.h"
#include "ctl/say.h"
#include "ctl/stop.h"

#define UNIT_MAX 256
#define WATCHED "watched" /* the folders the path unit was started with */
#define PATH_UNIT "tcollector-rescan.path"
#define PATH_DROP_IN PATH_UNIT ".d/50-tcollector.conf"

static const struct {
        SystemdVerb verb;
        const char *prefix, *suffix;
} action_table[] = {
        [PLAN_STOP_TIMER] = { SYSTEMD_STOP, COLLECTOR_PREFIX, ".timer" },
        [PLAN_STOP_RETRY] = { SYSTEMD_STOP, RETRY_PREFIX, ".timer" },
        [PLAN_STOP_SERVICE] = { SYSTEMD_STOP, COLLECTOR_PREFIX, ".service" },
        [PLAN_RESET_FAILED] = { SYSTEMD_RESET_FAILED, COLLECTOR_PREFIX, ".service" },
        [PLAN_START_SERVICE] = { SYSTEMD_START, COLLECTOR_PREFIX, ".service" },
        [PLAN_RESTART_SERVICE] = { SYSTEMD_RESTART, COLLECTOR_PREFIX, ".service" },
        [PLAN_RESTART_TIMER] = { SYSTEMD_RESTART, COLLECTOR_PREFIX, ".timer" },
};
static_assert(ELEMENTSOF(action_table) == _PLAN_ACTION_MAX, "say what every action does");

/* -- carrying out -- */

static void say_step(const Rescan *rs, const PlanStep *step) {
        const RosterEntry *e = roster_find(&rs->scan.roster, step->instance);
        usec_t inactivity = rs->scan.config->inactivity;

        if (e && e->settings->inactivity != USEC_INFINITY)
                inactivity = e->settings->inactivity;

        switch (step->reason) {
        case PLAN_NEW:
                say_collector(LOG_NOTICE, step->instance, "found in %s, started", e ? e->item.path : "?");
                break;
        case PLAN_CHANGED:
                say_collector(LOG_NOTICE, step->instance, "its file or settings have changed, restarted");
                break;
        case PLAN_GONE:
                say_collector(LOG_NOTICE, step->instance, "removed, or not enabled any more; stopped");
                break;
        case PLAN_STALLED:
                say_collector(LOG_NOTICE, step->instance, "no data for %" PRIu64 " s, restarted",
                              inactivity / USEC_PER_SEC);
                break;
        case PLAN_STALLED_FOR_GOOD:
                say_collector(LOG_NOTICE, step->instance, "no data for %" PRIu64 " s, stopped for good",
                              inactivity / USEC_PER_SEC);
                break;
        case PLAN_QUIET:
        case _PLAN_REASON_MAX:
                break;
        }
}

/* 0: done; 1: it is masked, and left so; < 0: not done. */
static int take_action(Rescan *rs, const PlanStep *step, PlanAction action) {
        char unit[UNIT_MAX];
        int r;

        (void) snprintf(unit, sizeof(unit), "%s%s%s", action_table[action].prefix, step->instance,
                        action_table[action].suffix);
        r = systemd_do(rs->systemd, action_table[action].verb, unit);
        if (r == -ERFKILL)
                return 1;
        if (r == -ENOENT && action_table[action].verb == SYSTEMD_STOP)
                return 0;
        if (r == -EDEADLK) /* it, or the agent, is being stopped: not now */
                (void) log_debug_errno(r, "%s: %s", unit, systemd_why(rs->systemd));
        else if (r < 0)
                complain(&rs->complaints, "%s: %s: %s", unit, plan_action_to_string(action),
                         systemd_why(rs->systemd));

        return r;
}

static int take_step(Rescan *rs, const PlanStep *step) {
        bool masked = false;

        for (size_t i = 0; i < step->n_actions; i++) {
                int r = take_action(rs, step, step->actions[i]);

                if (r < 0)
                        return r;
                masked = masked || r > 0;
        }

        if (!masked)
                say_step(rs, step);
        rs->did_something = rs->did_something || (step->n_actions > 0 && !masked);
        return 0;
}

/* What is known comes from the plan; it is told apart from what could not be done. */
static int carry_out(Rescan *rs, const Plan *plan) {
        for (size_t i = 0; i < plan->n; i++) {
                const PlanStep *step = plan->steps + i;
                int r = take_step(rs, step);

                if (r == -ENOMEM || r == -ECONNRESET || r == -ETIMEDOUT)
                        return r; /* the others would fare no better */
                if (r < 0)
                        continue;
                if (!step->then)
                        entries_remove(&rs->known, step->instance);
                else {
                        r = entries_set(&rs->known, step->then);
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}

static int write_known(Rescan *rs) {
        _cleanup_(buffer_done) Buffer old = {}, text = {};
        int r;

        r = rundir_read(&rs->dir, "known", &old);
        if (r >= 0)
                r = entries_format(&rs->known, &text);
        if (r < 0 || slice_equal(buffer_slice(&old), buffer_slice(&text)))
                return r;

        return rundir_write(&rs->dir, "known", buffer_slice(&text));
}

/* -- planning -- */

/* What systemd has of a collector may not be what should be, where it could not be made so: then it stays as
 * it is known. */
static int make_wanted(const Rescan *rs, Entries *ret) {
        _cleanup_(entries_done) Entries wanted = {}, made = {}, generated = {};
        int r;

        r = generated_entries(&rs->scan.units, &made);
        if (r >= 0)
                r = generated_entries(&rs->generated, &generated);

        for (size_t i = 0; r >= 0 && i < made.n; i++) {
                const PlanEntry *e = made.entries + i;
                const PlanEntry *has = entries_find(&generated, e->instance);
                const PlanEntry *known = entries_find(&rs->known, e->instance);

                if (!has || has->digest != e->digest || has->kind != e->kind)
                        e = known ?: has;
                if (e)
                        r = entries_set(&wanted, e);
        }
        if (r < 0)
                return r;

        *ret = TAKE(wanted);
        return 0;
}

/* The plan borrows names of `known`: it is made from a copy, as carrying it out changes that. */
static int copy_known(const Rescan *rs, Entries *ret) {
        _cleanup_(entries_done) Entries copy = {};

        for (size_t i = 0; i < rs->known.n; i++) {
                int r = entries_set(&copy, rs->known.entries + i);

                if (r < 0)
                        return r;
        }

        *ret = TAKE(copy);
        return 0;
}

/* An agent that has begun to stop meanwhile may have looked for units to stop before there were those
 * started here; a timer among them would bring it back. One that has crashed comes back by itself. */
static int stop_with_agent(Rescan *rs) {
        _cleanup_(systemd_unit_done) SystemdUnit agent = {};
        int r = systemd_find(rs->systemd, AGENT_UNIT, &agent);
        bool is_down;

        if (r < 0)
                return r;
        is_down = strcmp(agent.active_state, "inactive") == 0 || strcmp(agent.active_state, "failed") == 0;
        if (strcmp(agent.job_type, "stop") != 0 && (agent.job_type[0] || !is_down))
                return 0;

        r = stop_collectors(rs->systemd);
        stop_wanted(rs->systemd);
        return r;
}

int rescan_act(Rescan *rs) {
        _cleanup_(entries_done) Entries known = {}, wanted = {};
        _cleanup_(states_done) States states = {};
        _cleanup_(plan_done) Plan plan = {};
        PlanInput in;
        int r, k;

        r = states_read(rs->systemd, &states);
        if (r >= 0)
                r = copy_known(rs, &known);
        if (r >= 0)
                r = make_wanted(rs, &wanted);
        if (r < 0)
                return r;

        in = (PlanInput) {
                .known = known.entries,
                .n_known = known.n,
                .wanted = wanted.entries,
                .n_wanted = wanted.n,
                .states = states.states,
                .n_states = states.n,
                .stalled = (const char *const *) rs->stalled.names,
                .n_stalled = rs->stalled.n,
                .agent_wanted = states.agent_wanted,
                .remove_stalled = rs->scan.config->remove_inactive,
        };
        r = plan_make(&in, &plan);
        if (r < 0)
                return r;

        r = carry_out(rs, &plan);
        names_done(&rs->stalled);
        k = write_known(rs); /* what has been done is done */
        if (r >= 0)
                r = k;

        return r < 0 || plan.n == 0 ? r : stop_with_agent(rs);
}

/* -- watching -- */

int rescan_watch(Rescan *rs) {
        Slice wanted = slice_from_string(generated_content(&rs->generated, PATH_DROP_IN) ?: "");
        _cleanup_(systemd_unit_done) SystemdUnit unit = {};
        _cleanup_(buffer_done) Buffer watched = {};
        int r;

        r = rundir_read(&rs->dir, WATCHED, &watched);
        if (r < 0 || slice_equal(buffer_slice(&watched), wanted))
                return r;

        r = systemd_find(rs->systemd, PATH_UNIT, &unit);
        if (r < 0 || !unit_is_up(&unit))
                return r;

        r = systemd_do(rs->systemd, SYSTEMD_RESTART, PATH_UNIT);
        if (r == -EDEADLK)
                return 0; /* the agent is being stopped, and it with it */
        if (r < 0) {
                complain(&rs->complaints, PATH_UNIT ": restart: %s", systemd_why(rs->systemd));
                return 0;
        }

        return rundir_write(&rs->dir, WATCHED, wanted);
}
