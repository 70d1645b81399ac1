/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lists are merged by instance, and each instance is decided by itself:
 *
 *   wanted, not known   new: started. It stays unknown while the agent does not run, and so is found again.
 *   both, other digest  changed: begins anew; tried at once, where it was waiting for its retry.
 *   both, same digest   nothing, or stalled.
 *   not wanted          gone: known, or something of it runs. What has only failed or waits for its retry,
 *                       and is not known, is cleaned up without a word.
 *
 * One that neither runs on its own, nor has failed, nor waits was stopped by hand: its change is noted, and
 * it is left so. A masked one too. */

#include <string.h>

#include "ctl/plan.h"

static const char *const action_table[] = {
        [PLAN_STOP_TIMER] = "stop-timer",       [PLAN_STOP_RETRY] = "stop-retry",
        [PLAN_STOP_SERVICE] = "stop-service",   [PLAN_RESET_FAILED] = "reset-failed",
        [PLAN_START_SERVICE] = "start-service", [PLAN_RESTART_SERVICE] = "restart-service",
        [PLAN_RESTART_TIMER] = "restart-timer",
};
static_assert(ELEMENTSOF(action_table) == _PLAN_ACTION_MAX, "name every action");

const char *plan_action_to_string(PlanAction a) {
        return a < _PLAN_ACTION_MAX ? action_table[a] : NULL;
}

void plan_done(Plan *p) {
        free(p->steps);
        *p = (Plan) {};
}

static void add(PlanStep *s, bool condition, PlanAction action) {
        if (!condition)
                return;

        assert(s->n_actions < PLAN_ACTIONS_MAX);
        s->actions[s->n_actions++] = action;
}

static bool is_stopped_by_hand(PlanKind kind, const PlanState *s) {
        bool starts = kind == PLAN_PERIODIC ? s->timer_active : s->service_active;

        return !starts && !s->service_failed && !s->retry_active;
}

static bool is_idle(const PlanState *s) {
        return !s->service_active && !s->service_failed && !s->timer_active && !s->retry_active;
}

static void decide_new(PlanStep *step, const PlanEntry *wanted, const PlanState *state) {
        bool runs = wanted->kind == PLAN_PERIODIC ? state->timer_active : state->service_active;

        step->then = wanted;
        if (state->masked || runs || state->retry_active)
                return;

        step->reason = PLAN_NEW;
        add(step, state->service_failed, PLAN_RESET_FAILED);
        add(step, true, wanted->kind == PLAN_PERIODIC ? PLAN_RESTART_TIMER : PLAN_START_SERVICE);
}

/* From long-running to periodic, or back. */
static void decide_other_kind(PlanStep *step, const PlanEntry *wanted, const PlanState *state) {
        bool periodic = wanted->kind == PLAN_PERIODIC;

        add(step, !periodic && state->timer_active, PLAN_STOP_TIMER);
        add(step, state->retry_active, PLAN_STOP_RETRY);
        add(step, periodic, PLAN_STOP_SERVICE);
        add(step, state->service_failed, PLAN_RESET_FAILED);
        /* what the timer has just started may still run, with the old settings */
        add(step, true, periodic ? PLAN_RESTART_TIMER : PLAN_RESTART_SERVICE);
}

static void decide_changed(PlanStep *step, const PlanEntry *known, const PlanEntry *wanted,
                           const PlanState *state) {
        step->then = wanted;
        if (state->masked || is_stopped_by_hand(known->kind, state))
                return;

        step->reason = PLAN_CHANGED;
        if (known->kind != wanted->kind) {
                decide_other_kind(step, wanted, state);
                return;
        }

        add(step, state->retry_active, PLAN_STOP_RETRY);
        add(step, state->service_failed, PLAN_RESET_FAILED);
        add(step, true, wanted->kind == PLAN_PERIODIC ? PLAN_RESTART_TIMER : PLAN_RESTART_SERVICE);
}

static void decide_gone(PlanStep *step, bool known, const PlanState *state) {
        step->reason = known || state->service_active || state->timer_active ? PLAN_GONE : PLAN_QUIET;
        add(step, state->timer_active, PLAN_STOP_TIMER);
        add(step, state->retry_active, PLAN_STOP_RETRY);
        add(step, true, PLAN_STOP_SERVICE); /* a timer may have fired meanwhile */
        /* what has just been told to stop may have failed at it since the state was read */
        add(step, known || state->service_failed, PLAN_RESET_FAILED);
}

static void decide_stalled(PlanStep *step, const PlanInput *in, const PlanEntry *wanted) {
        step->reason = in->remove_stalled ? PLAN_STALLED_FOR_GOOD : PLAN_STALLED;
        step->then = wanted;
        add(step, true, in->remove_stalled ? PLAN_STOP_SERVICE : PLAN_RESTART_SERVICE);
}

static bool is_stalled(const PlanInput *in, const PlanEntry *wanted, const PlanState *state) {
        if (wanted->kind != PLAN_LONG_RUNNING || !state->service_active || state->masked)
                return false;

        for (size_t i = 0; i < in->n_stalled; i++)
                if (strcmp(in->stalled[i], wanted->instance) == 0)
                        return true;

        return false;
}

/* false: nothing is to be done or noted. */
static bool decide(const PlanInput *in, const PlanEntry *known, const PlanEntry *wanted,
                   const PlanState *state, PlanStep *step) {
        if (!wanted) {
                if (!known && is_idle(state))
                        return false;
                decide_gone(step, known != NULL, state);
                return true;
        }

        if (!in->agent_wanted)
                return false;
        if (!known)
                decide_new(step, wanted, state);
        else if (known->digest != wanted->digest || known->kind != wanted->kind)
                decide_changed(step, known, wanted, state);
        else if (is_stalled(in, wanted, state))
                decide_stalled(step, in, wanted);
        else
                return false;

        return true;
}

static const char *first_of(const char *a, const char *b) {
        if (!a || !b)
                return a ?: b;

        return strcmp(a, b) <= 0 ? a : b;
}

static const PlanEntry *next_entry(const PlanEntry *entries, size_t n, size_t *i, const char *instance) {
        return *i < n && strcmp(entries[*i].instance, instance) == 0 ? entries + (*i)++ : NULL;
}

int plan_make(const PlanInput *in, Plan *ret) {
        size_t k = 0, w = 0, s = 0;
        Plan plan = { .steps = calloc(in->n_known + in->n_wanted + in->n_states + 1, sizeof(PlanStep)) };

        if (!plan.steps)
                return -ENOMEM;

        for (;;) {
                PlanState state = {};
                const PlanEntry *known, *wanted;
                PlanStep step = {};

                step.instance = first_of(k < in->n_known ? in->known[k].instance : NULL,
                                         w < in->n_wanted ? in->wanted[w].instance : NULL);
                step.instance = first_of(step.instance, s < in->n_states ? in->states[s].instance : NULL);
                if (!step.instance)
                        break;

                known = next_entry(in->known, in->n_known, &k, step.instance);
                wanted = next_entry(in->wanted, in->n_wanted, &w, step.instance);
                if (s < in->n_states && strcmp(in->states[s].instance, step.instance) == 0)
                        state = in->states[s++];

                if (decide(in, known, wanted, &state, &step))
                        plan.steps[plan.n++] = step;
        }

        *ret = plan;
        return 0;
}
