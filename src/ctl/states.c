/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A unit with a job is what the job will make of it: one that is being restarted runs, one that is being
 * stopped does not, whatever its state is at the moment. */

#include <string.h>

#include "conf/instance.h"
#include "ctl/say.h"
#include "ctl/states.h"

bool unit_is_up(const SystemdUnit *u) {
        static const char *const up[] = { "active", "activating", "reloading" };

        if (strcmp(u->job_type, "start") == 0 || strcmp(u->job_type, "restart") == 0)
                return true;
        if (strcmp(u->job_type, "stop") == 0)
                return false;

        for (size_t i = 0; i < ELEMENTSOF(up); i++)
                if (strcmp(u->active_state, up[i]) == 0)
                        return true;

        return false;
}

void states_done(States *s) {
        for (size_t i = 0; i < s->n; i++)
                free((char *) (uintptr_t) s->states[i].instance);
        free(s->states);
        *s = (States) {};
}

/* The state of an instance, made where there is none; there is room for it. */
static PlanState *state_of(States *s, Slice instance) {
        char *copy;

        for (size_t i = s->n; i-- > 0;)
                if (slice_equal(slice_from_string(s->states[i].instance), instance))
                        return s->states + i;

        copy = strndup(instance.p, instance.n);
        if (!copy)
                return NULL;

        s->states[s->n] = (PlanState) { .instance = copy };
        return s->states + s->n++;
}

static void note(const SystemdUnit *u, PlanState *state, bool is_timer, bool is_retry) {
        bool up = unit_is_up(u);

        if (is_retry) {
                state->retry_active = up;
                return;
        }

        state->masked = state->masked || strcmp(u->load_state, "masked") == 0;
        if (is_timer)
                state->timer_active = up;
        else {
                state->service_active = up;
                state->service_runs = strcmp(u->active_state, "active") == 0 && !u->job_type[0];
                state->service_failed = !up && strcmp(u->active_state, "failed") == 0;
        }
}

static int compare_states(const void *a, const void *b) {
        const PlanState *x = a, *y = b;

        return strcmp(x->instance, y->instance);
}

int states_make(const SystemdUnits *units, States *ret) {
        _cleanup_(states_done) States s = { .states = calloc(units->n + 1, sizeof(*s.states)) };

        if (!s.states)
                return -ENOMEM;

        for (size_t i = 0; i < units->n; i++) {
                const SystemdUnit *u = units->units + i;
                bool is_timer = false, is_retry = false;
                PlanState *state;
                Slice instance;

                if (strcmp(u->name, AGENT_UNIT) == 0)
                        s.agent_wanted = unit_is_up(u);
                if (instance_from_unit(u->name, COLLECTOR_PREFIX, ".timer", &instance))
                        is_timer = true;
                else if (instance_from_unit(u->name, RETRY_PREFIX, ".timer", &instance))
                        is_retry = true;
                else if (!instance_from_unit(u->name, COLLECTOR_PREFIX, ".service", &instance))
                        continue;

                state = state_of(&s, instance);
                if (!state)
                        return -ENOMEM;
                note(u, state, is_timer, is_retry);
        }

        qsort(s.states, s.n, sizeof(*s.states), compare_states);
        *ret = TAKE(s);
        return 0;
}

int states_read(Systemd *s, States *ret) {
        static const char *const patterns[] = { AGENT_UNIT, COLLECTOR_PREFIX "*", RETRY_PREFIX "*", NULL };
        _cleanup_(systemd_units_done) SystemdUnits units = {};
        int r = systemd_list(s, patterns, &units);

        return r < 0 ? r : states_make(&units, ret);
}

const PlanState *states_find(const States *s, const char *instance) {
        PlanState key = { .instance = instance };

        return bsearch(&key, s->states, s->n, sizeof(*s->states), compare_states);
}
