/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* After a change. What should be is scanned; where the generator's output says something else, systemd is
 * made to reload, which runs the generator; then the planner's steps are taken. What changes meanwhile is
 * found by one more scan at the end, as tcollector-rescan.path does not look while this runs.
 *
 * A collector is acted on only where what should be and what the generator wrote agree about it: else its
 * unit would start with other settings than it is noted with. */

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <config.h>

#include "basic/log.h"
#include "conf/names.h"
#include "ctl/rescan.h"
#include "ctl/verbs.h"

#define SETTLE_FIRST_MSEC 1000
#define SETTLE_MSEC 500
#define SETTLE_MAX 10
#define PASSES_MAX 10
#define RELOADS_MAX 3

/* Waits until two scans agree. */
static int settle(void) {
        _cleanup_(complaints_done) Complaints complaints = { .quiet = true };
        _cleanup_(scan_done) Scan last = {};
        int r;

        (void) poll(NULL, 0, SETTLE_FIRST_MSEC);
        r = scan_make(&complaints, &last);

        for (int i = 1; r >= 0 && i < SETTLE_MAX; i++) {
                _cleanup_(scan_done) Scan scan = {};
                bool agree;

                (void) poll(NULL, 0, SETTLE_MSEC);
                r = scan_make(&complaints, &scan);
                if (r < 0)
                        break;

                agree = generated_equal(&last.units, &scan.units);
                scan_done(&last);
                last = TAKE(scan);
                if (agree)
                        break;
        }

        return r;
}

static uint64_t digest_of_all(const UnitFiles *u) {
        uint64_t digest = 0;

        for (size_t i = 0; i < u->n; i++)
                digest = digest * 31 + unit_files_digest(u, u->files[i].instance);

        return digest;
}

/* Makes systemd read the units anew until what was generated is what should be; both are made anew in
 * between, as they may change. */
static int reload(Rescan *rs) {
        int r;

        for (int i = 0;; i++) {
                char line[128];

                unit_files_done(&rs->generated);
                r = generated_read(GENERATOR_DIR, &rs->generated);
                if (r < 0 || generated_equal(&rs->generated, &rs->scan.units))
                        return r;

                /* once told is enough: it is not tried again by every run */
                (void) snprintf(line, sizeof(line),
                                GENERATOR_DIR " is not what it should be (%016" PRIx64 ")",
                                digest_of_all(&rs->scan.units));
                if (i >= RELOADS_MAX || complaints_had(&rs->complaints, line)) {
                        complain(&rs->complaints, "%s", line);
                        return 0;
                }

                r = systemd_reload(rs->systemd);
                if (r < 0) {
                        log_error("systemd does not reload its units: %s", systemd_why(rs->systemd));
                        return r;
                }
                scan_done(&rs->scan);
                r = scan_make(&rs->complaints, &rs->scan);
                if (r < 0 || rs->scan.is_blind)
                        return r;
        }
}

/* 0: nothing has changed since it was scanned; 1: something has. */
static int scan_again(Rescan *rs) {
        _cleanup_(complaints_done) Complaints complaints = { .quiet = true };
        _cleanup_(scan_done) Scan scan = {};
        int r = scan_make(&complaints, &scan);

        if (r < 0)
                return r;

        return scan.is_blind != rs->scan.is_blind || !generated_equal(&scan.units, &rs->scan.units);
}

/* Before systemd reads the units anew: what is just being started again would be so without its settings.
 * They stay known, so that the plan tells of them. */
static void stop_the_gone(Rescan *rs) {
        for (size_t i = 0; i < rs->known.n; i++) {
                const char *instance = rs->known.entries[i].instance;
                _cleanup_(freep) char *unit = NULL;

                if (!roster_find(&rs->scan.roster, instance) &&
                    asprintf(&unit, COLLECTOR_PREFIX "%s.service", instance) >= 0)
                        (void) systemd_do(rs->systemd, SYSTEMD_STOP, unit); /* the plan does it again */
        }
}

static int pass(Rescan *rs) {
        int r;

        scan_done(&rs->scan);
        r = scan_make(&rs->complaints, &rs->scan);
        if (r < 0 || rs->scan.is_blind)
                return r;

        workplace_keep_config(&rs->dir, &rs->scan, &rs->complaints);
        stop_the_gone(rs);
        r = reload(rs);
        if (r < 0 || rs->scan.is_blind)
                return r;

        workplace_make_fifos(&rs->dir, &rs->scan, &rs->complaints);
        r = rescan_act(rs);
        if (r >= 0)
                r = rescan_watch(rs);
        return r;
}

/* Whatever comes of the rest: what is left there is taken up by some later run. */
static void take_stalled(Rescan *rs) {
        int r = rundir_take_stalled(&rs->dir, &rs->stalled);

        if (r < 0)
                complain(&rs->complaints, "Failed to empty the folder of stalled collectors: %s",
                         strerrordesc_np(-r));
}

static int rescan(Rescan *rs) {
        _cleanup_(buffer_done) Buffer text = {};
        int r;

        r = complaints_load(&rs->complaints, &rs->dir);
        take_stalled(rs);
        if (r >= 0)
                r = rundir_read(&rs->dir, "known", &text);
        if (r >= 0)
                r = entries_parse(buffer_slice(&text), &rs->known);
        for (int i = 0; r >= 0 && i < PASSES_MAX; i++) {
                r = pass(rs);
                if (r >= 0)
                        r = scan_again(rs);
                if (r <= 0)
                        break;
        }
        if (r >= 0)
                r = complaints_store(&rs->complaints, &rs->dir);

        return r;
}

static void rescan_done(Rescan *rs) {
        scan_done(&rs->scan);
        unit_files_done(&rs->generated);
        entries_done(&rs->known);
        names_done(&rs->stalled);
        complaints_done(&rs->complaints);
        rundir_close(&rs->dir);
        rs->systemd = systemd_free(rs->systemd);
}

int verb_rescan(const VerbArgs *args) {
        _cleanup_(rescan_done) Rescan rs = { .dir = RUNDIR_CLOSED };
        int r = args->flags & FLAG_SETTLE ? settle() : 0;

        if (r < 0) {
                (void) log_error_errno(r, "Failed to look for collectors: %m");
                return EXIT_FAILURE;
        }
        if (workplace_open(&rs.dir) < 0)
                return EXIT_FAILURE;

        r = systemd_open(&rs.systemd, SYSTEMD_TIMEOUT);
        if (r < 0) {
                (void) log_error_errno(r, "systemd does not answer: %m");
                return EXIT_FAILURE;
        }

        r = rescan(&rs);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to look after the collectors: %m");
                return EXIT_FAILURE;
        }

        if (!rs.did_something && isatty(STDOUT_FILENO))
                log_notice("Nothing has changed.");
        return EXIT_SUCCESS;
}
