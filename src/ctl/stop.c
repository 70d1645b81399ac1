/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "basic/log.h"
#include "ctl/say.h"
#include "ctl/stop.h"

#define TARGET "tcollector-collectors.target"

static int stop(Systemd *s, const char *unit) {
        int r = systemd_do(s, SYSTEMD_STOP, unit);

        if (r == -ENOENT) /* gone in the meantime */
                return 0;
        if (r < 0)
                log_warning("Failed to stop %s: %s", unit, systemd_why(s));

        return r;
}

/* Neither inactive nor failed, or something is planned for it. */
static bool is_to_be_stopped(const SystemdUnit *u) {
        return u->job_type[0] ||
               (strcmp(u->active_state, "inactive") != 0 && strcmp(u->active_state, "failed") != 0);
}

int stop_collectors(Systemd *s) {
        /* the timers first, so that none starts what has just been stopped */
        static const char *const timers[] = { COLLECTOR_PREFIX "*.timer", RETRY_PREFIX "*.timer", NULL };
        static const char *const services[] = { COLLECTOR_PREFIX "*.service", NULL };
        static const char *const *const patterns[] = { timers, services };
        int r = 0, k;

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                _cleanup_(systemd_units_done) SystemdUnits units = {};

                k = systemd_list(s, patterns[i], &units);
                if (k < 0)
                        log_warning("Failed to list the collectors' units: %s", systemd_why(s));
                for (size_t j = 0; k >= 0 && j < units.n; j++)
                        if (is_to_be_stopped(units.units + j))
                                k = stop(s, units.units[j].name);
                if (k < 0 && r == 0)
                        r = k;
        }

        k = stop(s, TARGET);
        return r < 0 ? r : k; /* the first; as much as can be is stopped */
}

void stop_wanted(Systemd *s) {
        (void) stop(s, "tcollector-wanted.service");
}
