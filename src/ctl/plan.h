/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What rescan is to do, decided from what is, what should be, and what was. Pure. Every list is sorted by
 * instance (strcmp), each instance once; strings are borrowed by the plan. */

#include "basic/base.h"

typedef enum PlanKind {
        PLAN_LONG_RUNNING, /* its service is started with the agent */
        PLAN_PERIODIC,     /* its timer is */
} PlanKind;

/* One collector whose units are started with the agent, or have been. */
typedef struct PlanEntry {
        const char *instance;
        uint64_t digest; /* of what is written for its units, and of its program */
        PlanKind kind;
} PlanEntry;

/* What systemd has loaded for one instance. */
typedef struct PlanState {
        const char *instance;
        bool service_active, service_failed;
        bool service_runs; /* and no job is about to change that: with what it was once started with */
        bool timer_active;
        bool retry_active; /* tcollector-col-retry@: it failed, or is not for this host, and waits */
        bool masked;       /* by the administrator, the service or the timer */
} PlanState;

typedef struct PlanInput {
        const PlanEntry *known;
        size_t n_known;
        const PlanEntry *wanted;
        size_t n_wanted;
        const PlanState *states;
        size_t n_states;
        const char *const *stalled; /* in any order */
        size_t n_stalled;
        bool agent_wanted;   /* tcollector.service runs, or is to run: something may be started */
        bool remove_stalled; /* stop a stalled one for good */
} PlanInput;

typedef enum PlanAction {
        PLAN_STOP_TIMER,
        PLAN_STOP_RETRY,
        PLAN_STOP_SERVICE,
        PLAN_RESET_FAILED, /* the service */
        PLAN_START_SERVICE,
        PLAN_RESTART_SERVICE,
        PLAN_RESTART_TIMER, /* it begins anew, started or not */
        _PLAN_ACTION_MAX
} PlanAction;

typedef enum PlanReason {
        PLAN_QUIET, /* nothing is said: it becomes known, or is cleaned up */
        PLAN_NEW,
        PLAN_CHANGED,
        PLAN_GONE,
        PLAN_STALLED,
        PLAN_STALLED_FOR_GOOD,
        _PLAN_REASON_MAX
} PlanReason;

#define PLAN_ACTIONS_MAX 5

typedef struct PlanStep {
        const char *instance;
        PlanReason reason;
        PlanAction actions[PLAN_ACTIONS_MAX]; /* in this order */
        size_t n_actions;
        const PlanEntry *then; /* what is known of it once this is done; NULL: nothing */
} PlanStep;

typedef struct Plan {
        PlanStep *steps;
        size_t n;
} Plan;

int plan_make(const PlanInput *in, Plan *ret); /* 0, -ENOMEM */
void plan_done(Plan *p);

/* "stop-timer", "restart-service" ... */
const char *plan_action_to_string(PlanAction a);
