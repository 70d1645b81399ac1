/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A schedule is driven by a script: each row says what happens when, and what must then be due and when
 * next. */

#include <signal.h>
#include <stdio.h>

#include "agent/schedule.h"
#include "unit/tap.h"

#define EXIT(code) ((code) << 8) /* as waitpid(2) encodes it */
#define SIGNAL(sig) (sig)
#define S(sec) ((usec_t) ((sec) *USEC_PER_SEC))
#define NEVER USEC_INFINITY
#define T0 S(1000)

typedef enum Event { NOTHING, STARTED, NOT_STARTED, ENDED, ACTIVE, STOPPING, CHANGED, REMOVED } Event;

typedef struct Step {
        double at; /* seconds after the beginning */
        Event event;
        int status;  /* ENDED: wait status; CHANGED, REMOVED: what is returned */
        int want;    /* ENDED: the ScheduleEnd; else what is due now */
        double wake; /* when it is due next, seconds after the beginning; -1: never */
} Step;

typedef struct Case {
        const char *name;
        unsigned interval, inactivity;
        bool remove_inactive;
        Step steps[12];
        size_t n;
} Case;

static usec_t at(double sec) {
        return sec < 0 ? NEVER : T0 + (usec_t) (sec * 1e6 + 0.5);
}

static int apply(Schedule *s, const Step *step) {
        usec_t now = at(step->at);

        switch (step->event) {
        case NOTHING:
                break;
        case STARTED:
                schedule_started(s, now);
                break;
        case NOT_STARTED:
                schedule_failed_to_start(s, now);
                break;
        case ENDED:
                return (int) schedule_ended(s, step->status, now);
        case ACTIVE:
                schedule_active(s, now);
                break;
        case STOPPING:
                schedule_stopping(s);
                break;
        case CHANGED:
                assert_int_equal(schedule_changed(s, now), step->status);
                break;
        case REMOVED:
                assert_int_equal(schedule_removed(s), step->status);
                break;
        }

        return (int) schedule_due(s, now);
}

#define START SCHEDULE_DO_START
#define QUIET SCHEDULE_DO_NOTHING
#define OVER SCHEDULE_DO_STOP_OVERSTAYER
#define STALLED SCHEDULE_DO_STOP_STALLED
#define OK SCHEDULE_ENDED_OK
#define FAILED SCHEDULE_ENDED_FAILED
#define NOT_HERE SCHEDULE_ENDED_NOT_HERE
#define STOPPED SCHEDULE_ENDED_STOPPED
#define STEPS(...) { __VA_ARGS__ }, sizeof((Step[]) { __VA_ARGS__ }) / sizeof(Step)

static const Case cases[] = {
        { "periodic, keeps its grid though started late", 15, 600, false,
          STEPS({ 0, NOTHING, 0, START, 0 }, { 0, STARTED, 0, QUIET, 15 }, { 2, ENDED, EXIT(0), OK, 15 },
                { 14.9, NOTHING, 0, QUIET, 15 }, { 15.1, NOTHING, 0, START, 15 },
                { 15.1, STARTED, 0, QUIET, 30 }, { 16, ENDED, EXIT(0), OK, 30 }) },
        { "periodic, overstays: at its next interval again", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 15, NOTHING, 0, OVER, 15 }, { 15, STOPPING, 0, QUIET, -1 },
                { 20, NOTHING, 0, QUIET, -1 }, { 20.2, ENDED, SIGNAL(SIGKILL), STOPPED, 30 }) },
        { "periodic, its output came late: the missed run is not made up for", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 37, ENDED, EXIT(0), OK, 45 }) },
        { "periodic, exit 1: an hour off", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 3, ENDED, EXIT(1), FAILED, 3603 },
                { 3603, NOTHING, 0, START, 3603 }, { 3603, STARTED, 0, QUIET, 3618 }) },
        { "exit 13: not here", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 3, ENDED, EXIT(13), NOT_HERE, 3603 }) },
        { "exit 13, then the file changes: at once", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 3, ENDED, EXIT(13), NOT_HERE, 3603 },
                { 50, CHANGED, 0, START, 50 }, { 50, STARTED, 0, QUIET, 65 }) },
        { "cannot be started: an hour off", 15, 600, false, STEPS({ 0, NOT_STARTED, 0, QUIET, 3600 }) },
        { "periodic, changes while it runs or waits: the next run is the new one", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 1, CHANGED, false, QUIET, 15 },
                { 2, ENDED, EXIT(0), OK, 15 }, { 3, CHANGED, false, QUIET, 15 }) },
        { "periodic, changes during a run that fails: the new file is tried at once", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 1, CHANGED, false, QUIET, 15 },
                { 4, ENDED, EXIT(1), FAILED, 4 }, { 4, STARTED, 0, QUIET, 19 },
                { 5, ENDED, EXIT(1), FAILED, 3605 }) },
        { "long-running, exit 0: again after 15 s", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 100, ENDED, EXIT(0), OK, 115 },
                { 115, NOTHING, 0, START, 115 }) },
        { "long-running, SIGTERM by somebody: a success too", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 100, ENDED, SIGNAL(SIGTERM), OK, 115 }) },
        { "long-running, SIGSEGV: failed", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 100, ENDED, SIGNAL(SIGSEGV), FAILED, 3700 }) },
        { "long-running, stalled: restarted at once", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 500, ACTIVE, 0, QUIET, 1100 },
                { 600, NOTHING, 0, QUIET, 1100 }, { 1100, NOTHING, 0, STALLED, 1100 },
                { 1100, STOPPING, 0, QUIET, -1 }, { 1101, ENDED, SIGNAL(SIGTERM), STOPPED, 1101 },
                { 1101, NOTHING, 0, START, 1101 }) },
        { "long-running, stalled, --remove-inactive-collectors: never again until it changes", 0, 600, true,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 600, NOTHING, 0, STALLED, 600 },
                { 600, STOPPING, 0, QUIET, -1 }, { 601, ENDED, SIGNAL(SIGTERM), STOPPED, -1 },
                { 700, CHANGED, false, START, 700 }) },
        { "long-running, no inactivity", 0, 0, false, STEPS({ 0, STARTED, 0, QUIET, -1 }) },
        { "long-running, changes: told to stop, then at once", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 50, CHANGED, true, QUIET, -1 },
                { 51, ENDED, SIGNAL(SIGTERM), STOPPED, 51 }) },
        { "long-running, changes while it is being removed: at once", 0, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 600 }, { 50, REMOVED, true, QUIET, -1 },
                { 50, CHANGED, false, QUIET, -1 }, { 51, ENDED, SIGNAL(SIGTERM), STOPPED, 51 }) },
        { "removed while it runs", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 1, REMOVED, true, QUIET, -1 },
                { 2, ENDED, EXIT(0), STOPPED, -1 }) },
        { "removed while it waits", 15, 600, false, STEPS({ 0, REMOVED, false, QUIET, -1 }) },
        { "a pause longer than an interval begins a new grid", 15, 600, false,
          STEPS({ 0, STARTED, 0, QUIET, 15 }, { 1, ENDED, EXIT(0), OK, 15 }, { 100, NOTHING, 0, START, 15 },
                { 100, STARTED, 0, QUIET, 115 }) },
};

static void test_schedule(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = &cases[i];
                Schedule s;

                schedule_init(&s, S(c->interval), S(c->inactivity), c->remove_inactive, T0);
                for (size_t k = 0; k < c->n; k++) {
                        int got = apply(&s, &c->steps[k]);

                        if (got != c->steps[k].want)
                                fail_msg("%s, step %zu: %d, not %d", c->name, k, got, c->steps[k].want);
                        if (schedule_wake(&s) != at(c->steps[k].wake))
                                fail_msg("%s, step %zu: due at %.1f, not %.1f", c->name, k,
                                         ((double) schedule_wake(&s) - (double) T0) / 1e6, c->steps[k].wake);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(test_schedule) };

        return run_tap(tests);
}
