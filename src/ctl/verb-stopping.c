/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ExecStop= and ExecStopPost= of tcollector.service. Whether the agent is to come back is told by its unit's
 * own job: "stop", "restart", or none where it ended by itself. The collectors are stopped before the agent,
 * which then reads what they left. A restart into a configuration that will be refused is a stop: nobody
 * would read what waits in the FIFOs. Neither ever fails the stop.
 *
 * systemd leaves ExecStop= out where the agent has not come up yet, is being reloaded, or waits to be
 * started again after a crash, and a stop may take the place of a restart that is past it. So `stopping` is
 * called by tcollector-stop.service, too, which is stopped before the agent whatever state that is in, but
 * is itself not up yet while the agent starts; then ExecStopPost= finds collectors that run still. To wait
 * for them is no deadlock, in any of these: a collector is started after the agent, so its stop goes before
 * the agent's.
 */

#include <stdio.h>
#include <string.h>

#include "basic/log.h"
#include "conf/names.h"
#include "ctl/rundir.h"
#include "ctl/scan.h"
#include "ctl/states.h"
#include "ctl/stop.h"
#include "ctl/verbs.h"

#define SYSTEMD_TIMEOUT (5 * USEC_PER_SEC)
#define STOP_TIMEOUT (20 * USEC_PER_SEC) /* TimeoutStopSec=5 of the collectors, and some */

static int open_systemd(Systemd **ret) {
        int r = systemd_open(ret, SYSTEMD_TIMEOUT);

        return r < 0 ? log_warning_errno(r, "systemd does not answer, the collectors are left alone: %m") :
                       0;
}

/* Told to the agent by a file, as it has no connection to systemd to ask on. */
static void note_restart(void) {
        FILE *f = fopen(RUNDIR "/" RUN_RESTARTING, "we");

        if (!f || fclose(f) != 0)
                (void) log_warning_errno(errno, "Failed to make " RUNDIR "/" RUN_RESTARTING ": %m");
}

static void stop_and_wait(Systemd *systemd) {
        int r;

        (void) unlink(RUNDIR "/" RUN_RESTARTING); /* this takes the place of a restart, perhaps */
        (void) stop_collectors(systemd);          /* logs what fails */
        r = systemd_wait(systemd, STOP_TIMEOUT);
        if (r < 0)
                (void) log_warning_errno(r, "Some collectors have not stopped in time: %m");
        stop_wanted(systemd); /* now that no collector starts any more */
}

static bool will_be_refused(void) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(buffer_done) Buffer why = {};
        int r = config_load_folder(&config, CONFIG_FOLDER, &why);

        if (r >= 0 || r == -ENOMEM)
                return false;

        log_error("tcollector would refuse its configuration, and does not come back; its collectors are "
                  "stopped: %s",
                  why.data ?: strerrordesc_np(-r));
        return true;
}

int verb_stopping(const VerbArgs *args _unused_) {
        _cleanup_(systemd_unit_done) SystemdUnit agent = {};
        _cleanup_(systemd_freep) Systemd *systemd = NULL;
        int r;

        if (open_systemd(&systemd) < 0)
                return EXIT_SUCCESS;

        r = systemd_find(systemd, AGENT_UNIT, &agent);
        if (r < 0) {
                log_warning("systemd does not say why " AGENT_UNIT
                            " is stopped, the collectors are left alone: %s",
                            systemd_why(systemd));
                return EXIT_SUCCESS;
        }
        if (!agent.job_type[0])
                return EXIT_SUCCESS;
        if (strcmp(agent.job_type, "restart") == 0 && !will_be_refused()) {
                note_restart();
                return EXIT_SUCCESS;
        }

        stop_and_wait(systemd);
        return EXIT_SUCCESS;
}

/* Did the agent refuse what it was given? Then it is not started again, and nobody would read. */
static bool is_refusal(void) {
        const char *code = getenv("EXIT_CODE"), *status = getenv("EXIT_STATUS");

        return code && status && strcmp(code, "exited") == 0 &&
               (strcmp(status, "78") == 0 || strcmp(status, "2") == 0);
}

int verb_stopped(const VerbArgs *args _unused_) {
        _cleanup_(systemd_unit_done) SystemdUnit agent = {};
        _cleanup_(systemd_freep) Systemd *systemd = NULL;

        if (open_systemd(&systemd) < 0)
                return EXIT_SUCCESS;
        if (systemd_find(systemd, AGENT_UNIT, &agent) >= 0 && strcmp(agent.job_type, "stop") == 0) {
                stop_and_wait(systemd);
                return EXIT_SUCCESS;
        }
        if (!is_refusal())
                return EXIT_SUCCESS;

        (void) stop_collectors(systemd);
        stop_wanted(systemd);
        log_error(
                "tcollector refused its configuration and is not started again; its collectors are stopped. "
                "'tcollectorctl check' says what is wrong, 'systemctl start tcollector' starts it.");
        return EXIT_SUCCESS;
}
