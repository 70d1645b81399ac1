/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <string.h>

#include "ctl/failure.h"

#define NOT_FOR_THIS_HOST "13"

static bool is(const char *s, const char *word) {
        return s && strcmp(s, word) == 0;
}

/* Was it up, and told to stop before its process ended? By somebody: not as its time was up. */
static bool was_asked(const FailureUnit *u) {
        return u->active_enter > 0 && u->active_enter >= u->inactive_exit &&
               u->active_exit >= u->active_enter && u->process_exit > u->active_exit &&
               u->active_exit - u->active_enter < u->runtime_max;
}

/* It took too long before it even ran: there was nobody to read what it prints. */
static bool never_ran(const FailureUnit *u) {
        return u->active_enter < u->inactive_exit;
}

Failure failure_judge(const FailureReport *report, const FailureUnit *u) {
        bool timeout = is(report->result, "timeout");

        if (u->is_gone)
                return (Failure) { FAILURE_ASKED, false };
        /* its timer was due when its time was up, and may have started it again already */
        if (!u->is_failed)
                return (Failure) { timeout ? FAILURE_OVERSTAY : FAILURE_NONE, false };
        if (was_asked(u))
                return (Failure) { FAILURE_ASKED, false };
        if (timeout)
                return (Failure) { FAILURE_OVERSTAY, u->agent_wanted && never_ran(u) && !u->has_timer };
        if (is(report->code, "exited") && is(report->status, NOT_FOR_THIS_HOST))
                return (Failure) { FAILURE_EXCUSED, u->agent_wanted };

        return (Failure) { FAILURE_FAILED, u->agent_wanted };
}

/* What tcollector-exec and systemd exit with before the collector itself runs: systemd.exec(5). */
static const struct {
        const char *status, *text;
} status_table[] = {
        { "126", "its program cannot be run" },     { "127", "its program does not exist" },
        { "203", "tcollector-exec cannot be run" }, { "209", "the agent's pipe cannot be opened" },
        { "216", "its group does not exist" },      { "217", "its user does not exist" },
};

static const char *status_text(const char *status) {
        for (size_t i = 0; i < ELEMENTSOF(status_table); i++)
                if (is(status, status_table[i].status))
                        return status_table[i].text;

        return NULL;
}

const char *failure_describe(const FailureReport *report, char buf[static FAILURE_TEXT_MAX]) {
        const char *text = status_text(report->status), *status = report->status ?: "?";

        if (is(report->result, "oom-kill"))
                (void) snprintf(buf, FAILURE_TEXT_MAX, "out of memory");
        else if (is(report->result, "timeout"))
                (void) snprintf(buf, FAILURE_TEXT_MAX, "did not end in time");
        else if (is(report->code, "exited"))
                (void) snprintf(buf, FAILURE_TEXT_MAX, "exit status %s%s%s", status, text ? ": " : "",
                                text ?: "");
        else if (is(report->code, "killed") || is(report->code, "dumped"))
                (void) snprintf(buf, FAILURE_TEXT_MAX, "killed by SIG%s", status);
        else
                (void) snprintf(buf, FAILURE_TEXT_MAX, "%s", report->result ?: "for an unknown reason");

        return buf;
}
