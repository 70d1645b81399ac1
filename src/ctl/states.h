/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What systemd has loaded of ours, as the planner sees it. */

#include "ctl/plan.h"
#include "io/systemd.h"

#define AGENT_UNIT "tcollector.service"

typedef struct States {
        PlanState *states; /* by instance; the instances are the list's */
        size_t n;
        bool agent_wanted; /* see plan.h */
} States;

/* Does it run, or is it about to? */
bool unit_is_up(const SystemdUnit *u);

int states_make(const SystemdUnits *units, States *ret); /* -ENOMEM */
int states_read(Systemd *s, States *ret);
void states_done(States *s);

const PlanState *states_find(const States *s, const char *instance); /* NULL: none is loaded */
