/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/known.h"

static bool is_in_hand(const PlanState *s, const PlanEntry *e) {
        return s && (e->kind == PLAN_PERIODIC ? s->timer_active : s->service_active);
}

/* A schedule is read anew, and its next run is of the new program; what runs for ever goes on as it began.
 */
static const PlanEntry *as_it_runs(const PlanState *s, const PlanEntry *e, const Entries *before) {
        const PlanEntry *old = entries_find(before, e->instance);

        return s && s->service_runs && old && e->kind == PLAN_LONG_RUNNING && old->kind == e->kind ? old : e;
}

int known_make(const Entries *generated, const Entries *before, const States *states, Entries *ret) {
        _cleanup_(entries_done) Entries known = {};

        for (size_t i = 0; i < generated->n; i++) {
                const PlanEntry *e = generated->entries + i;
                const PlanState *s = states ? states_find(states, e->instance) : NULL;
                int r;

                if (states && !is_in_hand(s, e))
                        continue;
                r = entries_set(&known, as_it_runs(s, e, before));
                if (r < 0)
                        return r;
        }

        *ret = TAKE(known);
        return 0;
}
