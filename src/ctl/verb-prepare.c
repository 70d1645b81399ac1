/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Before the agent starts. What systemd starts with it is known from now on: what the generator wrote, as
 * far as systemd has it in hand; one that has been running all the time is known as it was. A collector the
 * generator wrote of only after the agent's own start had been planned is not among it; rescan finds that it
 * is not known, and starts it. */

#include "basic/log.h"
#include "conf/names.h"
#include "ctl/generated.h"
#include "ctl/known.h"
#include "ctl/say.h"
#include "ctl/states.h"
#include "ctl/verbs.h"
#include "ctl/workplace.h"

#define SYSTEMD_TIMEOUT (3 * USEC_PER_SEC)

/* false: systemd does not say. */
static bool read_states(States *ret) {
        _cleanup_(systemd_freep) Systemd *systemd = NULL;
        int r = systemd_open(&systemd, SYSTEMD_TIMEOUT);

        if (r >= 0)
                r = states_read(systemd, ret);
        if (r < 0)
                (void) log_warning_errno(r, "systemd does not say which collectors it starts: %m");

        return r >= 0;
}

/* `before` is what was known when an agent last started. */
static int make_known(const Entries *before, Entries *ret) {
        _cleanup_(entries_done) Entries generated = {};
        _cleanup_(unit_files_done) UnitFiles units = {};
        _cleanup_(states_done) States states = {};
        bool has_states = read_states(&states);
        int r;

        r = generated_read(GENERATOR_DIR, &units);
        if (r >= 0)
                r = generated_entries(&units, &generated);

        return r < 0 ? r : known_make(&generated, before, has_states ? &states : NULL, ret);
}

static int write_known(RunDir *d) {
        _cleanup_(buffer_done) Buffer old = {}, text = {};
        _cleanup_(entries_done) Entries before = {}, known = {};
        int r;

        r = rundir_read(d, "known", &old);
        if (r >= 0)
                r = entries_parse(buffer_slice(&old), &before);
        if (r >= 0)
                r = make_known(&before, &known);
        if (r >= 0)
                r = entries_format(&known, &text);

        return r < 0 ? r : rundir_write(d, "known", buffer_slice(&text));
}

int verb_prepare(const VerbArgs *args _unused_) {
        _cleanup_(complaints_done) Complaints complaints = {};
        _cleanup_(rundir_close) RunDir d = RUNDIR_CLOSED;
        _cleanup_(scan_done) Scan scan = {};
        int r;

        if (workplace_open(&d) < 0)
                return EXIT_FAILURE;

        r = rundir_remove(&d, RUN_RESTARTING);
        if (r >= 0)
                r = scan_make(&complaints, &scan);
        if (r >= 0) {
                workplace_keep_config(&d, &scan, &complaints);
                workplace_make_fifos(&d, &scan, &complaints);
                r = complaints_store(&complaints, &d);
        }
        if (r >= 0)
                r = write_known(&d);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to prepare the agent's start: %m");
                return EXIT_FAILURE;
        }

        return EXIT_SUCCESS;
}
