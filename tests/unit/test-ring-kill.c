/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Victims are killed at random moments, and after a given number of machine instructions
 * (unit/ring-rig.h). */

#include <limits.h>

#include "unit/ring-rig.h"

#ifdef SLOW
#define STEP_KILLS 20u
#define TIMED_KILLS 150u
#else
#define STEP_KILLS 200u
#define TIMED_KILLS 400u
#endif

/* Kills after k instructions, k going evenly through ring_open() and the first turn, or through a later
 * turn. */
static void test_kill_after_steps(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_make();
        unsigned length[2] = {}, n = STEP_KILLS;
        pid_t pid;

        for (unsigned i = 0; i <= n; i++) {
                bool later = i % 4 != 0;
                unsigned k = 0, want = i < 4 ? UINT_MAX : (unsigned) ((uint64_t) length[later] * i / n);

                pid = rig_fork_traced(&rig);
                for (uint64_t turns = later ? 1 + draw(&rig.random, 40) : 0; turns > 0; turns--)
                        assert_true(rig_go(&rig, pid, PTRACE_CONT));
                while (k < want && !rig_go(&rig, pid, PTRACE_SINGLESTEP))
                        k++;
                length[later] = MAX(length[later], k); /* the first ones go all the way */

                rig_kill(&rig, pid);
                rig_look(&rig, "after the kill");
        }

        print_message("# killed within %u instructions of opening, %u of a turn; %ju lines\n", length[0],
                      length[1], (uintmax_t) rig.log->committed);
        rig_finish(&rig);
}

static void test_kill_any_time(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_make();

        for (unsigned i = 0; i < TIMED_KILLS; i++) {
                pid_t pid;

                rig.life_nsec = 1 + draw(&rig.random, i % 8 == 0 ? 200000 : 4000000);
                pid = rig_fork(&rig, 0, false);
                rig_reap(&rig, pid, true);
                rig_look(&rig, "after the kill");
        }

        rig.life_nsec = 0;
        print_message("# %ju lines over %ju victims\n", (uintmax_t) rig.log->committed,
                      (uintmax_t) rig.n_victims);
        rig_finish(&rig);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kill_after_steps),
                cmocka_unit_test(test_kill_any_time),
        };

        return run_tap(tests);
}
