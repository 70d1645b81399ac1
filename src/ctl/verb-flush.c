/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/log.h"
#include "ctl/agent-bus.h"
#include "ctl/verbs.h"

int verb_flush(const VerbArgs *args _unused_) {
        _cleanup_(buffer_done) Buffer why = {};

        if (agent_flush(&why) < 0) {
                log_error("The agent does not answer: %s. To start it: systemctl start tcollector",
                          why.data ?: "out of memory");
                return EXIT_FAILURE;
        }

        log_notice("The agent delivers what is queued now; 'tcollectorctl status' shows how it gets on.");
        return EXIT_SUCCESS;
}
