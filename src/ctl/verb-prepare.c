/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Before the agent starts. What systemd starts with it is known from now on: what the generator wrote, as
 * far as systemd has it in hand. A collector the generator wrote of only after the agent's own start had
 * been planned is not among it; rescan finds that it is not known, and starts it. */

#include "basic/log.h"
#include "conf/names.h"
#include "ctl/generated.h"
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

static bool is_in_hand(const States *states, const PlanEntry *e) {
        const PlanState *s = states_find(states, e->instance);

        return s && (e->kind == PLAN_PERIODIC ? s->timer_active : s->service_active);
}

static int make_known(Entries *ret) {
        _cleanup_(entries_done) Entries all = {}, known = {};
        _cleanup_(unit_files_done) UnitFiles units = {};
        _cleanup_(states_done) States states = {};
        bool has_states = read_states(&states);
        int r;

        r = generated_read(GENERATOR_DIR, &units);
        if (r >= 0)
                r = generated_entries(&units, &all);
        for (size_t i = 0; r >= 0 && i < all.n; i++)
                if (!has_states || is_in_hand(&states, all.entries + i))
                        r = entries_set(&known, all.entries + i);
        if (r < 0)
                return r;

        *ret = TAKE(known);
        return 0;
}

static int write_known(RunDir *d) {
        _cleanup_(entries_done) Entries known = {};
        _cleanup_(buffer_done) Buffer text = {};
        int r;

        r = make_known(&known);
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
