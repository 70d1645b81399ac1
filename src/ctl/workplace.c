/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <pwd.h>
#include <string.h>

#include <config.h>

#include "basic/log.h"
#include "conf/names.h"
#include "ctl/workplace.h"

#define AGENT_USER "tcollector"
#define LOCK_TIMEOUT (50 * USEC_PER_SEC) /* whoever has it may be waiting for systemd to reload */

int workplace_open(RunDir *ret) {
        _cleanup_(rundir_close) RunDir d = RUNDIR_CLOSED;
        const struct passwd *agent;
        RunOwners owners = {};
        int r;

        errno = 0;
        agent = getpwnam(AGENT_USER);
        if (!agent)
                return log_error_errno(errno ?: ESRCH,
                                       "There is no user " AGENT_USER "; systemd-sysusers(8) makes it: %m");

        owners.agent = agent->pw_uid;
        owners.agent_group = agent->pw_gid;
        r = rundir_open(&d, RUNDIR, &owners);
        if (r < 0)
                return log_error_errno(r, "Failed to make " RUNDIR " what it should be: %m");
        r = rundir_lock(&d, LOCK_TIMEOUT);
        if (r < 0)
                return log_error_errno(r, "Failed to lock " RUNDIR ": %m");

        *ret = d;
        d = RUNDIR_CLOSED;
        return 0;
}

/* It may be for root alone, as far as anybody knows: so is the copy. */
static int keep_config(RunDir *d, const Scan *scan) {
        _cleanup_(buffer_done) Buffer old = {};
        int r;

        if (!scan->main_file.data)
                return rundir_remove(d, RUN_GOOD_CONFIG);

        r = rundir_read(d, RUN_GOOD_CONFIG, &old);
        if (r < 0 || (old.data && slice_equal(buffer_slice(&old), buffer_slice(&scan->main_file))))
                return r;

        return rundir_write_private(d, RUN_GOOD_CONFIG, buffer_slice(&scan->main_file));
}

void workplace_keep_config(RunDir *d, const Scan *scan, Complaints *complaints) {
        int r = scan->is_blind ? 0 : keep_config(d, scan);

        if (r < 0)
                complain(complaints, RUNDIR "/" RUN_GOOD_CONFIG ": %s", strerrordesc_np(-r));
}

static bool is_wanted(void *userdata, const char *instance) {
        return roster_find(userdata, instance) != NULL;
}

void workplace_make_fifos(RunDir *d, const Scan *scan, Complaints *complaints) {
        int r;

        for (size_t i = 0; i < scan->roster.n; i++) {
                const char *instance = scan->roster.entries[i].instance;

                r = rundir_make_fifo(d, instance);
                if (r < 0)
                        complain(complaints, RUNDIR "/" RUN_FIFOS "/%s: %s", instance, strerrordesc_np(-r));
        }

        r = scan->is_blind ? 0 : rundir_sweep(d, is_wanted, (void *) (uintptr_t) &scan->roster);
        if (r < 0)
                complain(complaints,
                         RUNDIR "/" RUN_FIFOS ": what does not belong there cannot be removed: %s",
                         strerrordesc_np(-r));
}
