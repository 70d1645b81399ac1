/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/log.h"
#include "ctl/agent-bus.h"
#include "ctl/status.h"
#include "ctl/verbs.h"

static int print_all(Slice document, FILE *f) {
        (void) fprintf(f, "%.*s\n", (int) document.n, document.p);
        return 0;
}

static int ask(int (*show)(Slice document, FILE *f)) {
        _cleanup_(buffer_done) Buffer why = {};
        _cleanup_(freep) char *json = NULL;
        int r;

        if (agent_status(&json, &why) < 0) {
                log_error("The agent does not answer: %s. To start it: systemctl start tcollector",
                          why.data ?: "out of memory");
                return EXIT_FAILURE;
        }

        r = show(slice_from_string(json), stdout);
        if (r < 0) {
                (void) log_error_errno(r, "What the agent says cannot be read: %m");
                return EXIT_FAILURE;
        }

        return EXIT_SUCCESS;
}

int verb_status(const VerbArgs *args) {
        return ask(args->flags & FLAG_JSON ? print_all : status_show);
}

int verb_collectors(const VerbArgs *args) {
        return ask(args->flags & FLAG_JSON ? status_print_collectors : status_show_collectors);
}
