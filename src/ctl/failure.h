/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a collector's unit has failed, and what is to become of it. Pure. */

#include "basic/base.h"

/* As systemd puts it into the environment of an OnFailure= unit (systemd.exec(5)); none is NULL. */
typedef struct FailureReport {
        const char *result; /* "exit-code", "signal", "timeout" ... */
        const char *code;   /* "exited", "killed", "dumped" */
        const char *status; /* a number, or a signal's name without SIG */
} FailureReport;

/* What systemd says of the unit when it is looked after, which may be later. Times are monotonic; 0: never.
 */
typedef struct FailureUnit {
        bool is_failed; /* still; it has not been started again or reset */
        bool is_gone;   /* removed, or not enabled any more */
        bool has_timer; /* its schedule's timer is active */
        bool agent_wanted;
        uint64_t inactive_exit, active_enter, active_exit, process_exit;
        uint64_t runtime_max; /* how long it may run; UINT64_MAX: for ever */
} FailureUnit;

typedef enum FailureVerdict {
        FAILURE_NONE,     /* it runs again, or is about to: nothing is done */
        FAILURE_ASKED,    /* it ended because it was told to, or is gone; how does not matter: forgotten */
        FAILURE_EXCUSED,  /* exit status 13, not for this host: forgotten, retried later */
        FAILURE_OVERSTAY, /* forgotten, its schedule goes on */
        FAILURE_FAILED,   /* left failed, retried later */
} FailureVerdict;

typedef struct Failure {
        FailureVerdict verdict;
        bool retry; /* start the retry timer */
} Failure;

Failure failure_judge(const FailureReport *report, const FailureUnit *unit);

#define FAILURE_TEXT_MAX 128

/* "exit status 1", "killed by SIGSEGV", "its user does not exist" ... Returns `buf`. */
const char *failure_describe(const FailureReport *report, char buf[static FAILURE_TEXT_MAX]);
