/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the agent stands, put together from its parts. */

#include "agent/manager-internal.h"
#include "basic/clock.h"
#include "basic/log.h"

/* Of whoever runs the collectors. With -s there are none. */
static int take_census(const Manager *m, Census *ret) {
        if (m->service)
                return service_census(m, ret);

        return runner_census(m->runner, clock_usec(CLOCK_MONOTONIC), ret);
}

int manager_with_report(const Manager *m, int (*make)(const Report *r, Buffer *out), Buffer *out) {
        _cleanup_(census_done) Census census = {};
        Report report;
        int r;

        if (!m->input) {
                r = take_census(m, &census);
                if (r < 0)
                        return r;
        }

        report = (Report) {
                .census = m->input ? NULL : &census,
                .input = m->input_lane,
                .self = m->self,
                .delivery = m->delivery,
                .queue = m->queue,
                .no_spool = m->no_spool,
                .monotonic = clock_usec(CLOCK_MONOTONIC),
                .realtime = clock_usec(CLOCK_REALTIME),
                .started = m->started,
        };
        return make(&report, out);
}

static int log_sums(const Report *report, Buffer *out _unused_) {
        report_log_sum(report, LOG_DEBUG);
        return 0;
}

void manager_log_counters(const Manager *m) {
        if (m->service)
                service_log_counters(m);
        else if (m->runner)
                runner_log_counters(m->runner, LOG_DEBUG);
        else
                lane_log_counters(m->input_lane, LOG_DEBUG);

        (void) manager_with_report(m, log_sums, NULL);
}
