/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of text. An entry is NAME:DIGEST and "s" (service, long-running) or "t" (timer, periodic); a state is
 * NAME: and what there is of it: S service active, F failed, T timer active, R retry timer active, M masked.
 * A plan is its steps: NAME reason actions. */

#include <stdio.h>

#include "basic/buffer.h"
#include "ctl/plan.h"
#include "unit/tap.h"

#define LIST_MAX 8

static const char *const reason_table[] = {
        [PLAN_QUIET] = "quiet", [PLAN_NEW] = "new",         [PLAN_CHANGED] = "changed",
        [PLAN_GONE] = "gone",   [PLAN_STALLED] = "stalled", [PLAN_STALLED_FOR_GOOD] = "for-good",
};
static_assert(ELEMENTSOF(reason_table) == _PLAN_REASON_MAX, "name every reason");

typedef struct Row {
        const char *name, *known, *wanted, *states, *stalled;
        const char *want;
        bool agent_down, remove_stalled;
} Row;

static const Row rows[] = {
        { "nothing at all", "", "", "", "", "" },
        { "nothing new", "a:1s b:1t", "a:1s b:1t", "a:S b:T", "", "" },
        { "a new long-running one", "", "a:1s", "", "", "a new start-service;" },
        { "a new periodic one", "", "a:1t", "", "", "a new restart-timer;" },
        { "between two that are known", "a:1s c:1s", "a:1s b:1s c:1s", "a:S c:S", "",
          "b new start-service;" },
        { "new, failed in an earlier life", "", "a:1s", "a:F", "", "a new reset-failed start-service;" },
        { "new, runs already", "", "a:1s b:1t", "a:S b:T", "", "a quiet; b quiet;" },
        { "new, but waits for its retry", "", "a:1s", "a:FR", "", "a quiet;" },
        { "new and masked", "", "a:1s", "a:M", "", "a quiet;" },
        { "new, the agent is down", "", "a:1s b:1t", "", "", "", .agent_down = true },

        { "changed, long-running", "a:1s", "a:2s", "a:S", "", "a changed restart-service;" },
        { "changed, failed and waiting", "a:1s", "a:2s", "a:FR", "",
          "a changed stop-retry reset-failed restart-service;" },
        { "changed, not for this host", "a:1s", "a:2s", "a:R", "", "a changed stop-retry restart-service;" },
        { "changed, stopped by hand", "a:1s", "a:2s", "", "", "a quiet;" },
        { "changed, masked", "a:1s", "a:2s", "a:SM", "", "a quiet;" },
        { "changed, periodic", "a:1t", "a:2t", "a:T", "", "a changed restart-timer;" },
        { "changed while it runs", "a:1t", "a:2t", "a:TS", "", "a changed restart-timer;" },
        { "changed, periodic, failed", "a:1t", "a:2t", "a:FR", "",
          "a changed stop-retry reset-failed restart-timer;" },
        { "changed, periodic, not for this host", "a:1t", "a:2t", "a:R", "",
          "a changed stop-retry restart-timer;" },
        { "changed, periodic, retried right now", "a:1t", "a:2t", "a:SR", "",
          "a changed stop-retry restart-timer;" },
        { "changed, its timer stopped by hand, run by hand", "a:1t", "a:2t", "a:S", "", "a quiet;" },
        { "changed, the agent is down", "a:1s", "a:2s", "a:S", "", "", .agent_down = true },

        { "now periodic", "a:1s", "a:2t", "a:S", "", "a changed stop-service restart-timer;" },
        { "now periodic, failed", "a:1s", "a:2t", "a:FR", "",
          "a changed stop-retry stop-service reset-failed restart-timer;" },
        { "now periodic, stopped by hand", "a:1s", "a:2t", "", "", "a quiet;" },
        { "now long-running", "a:1t", "a:2s", "a:T", "", "a changed stop-timer restart-service;" },
        { "now long-running, failed", "a:1t", "a:2s", "a:FR", "",
          "a changed stop-retry reset-failed restart-service;" },
        { "another kind, digest alike", "a:1s", "a:1t", "a:S", "", "a changed stop-service restart-timer;" },

        { "gone", "a:1s", "", "a:S", "", "a gone stop-service reset-failed;" },
        { "gone, periodic", "a:1t", "", "a:T", "", "a gone stop-timer stop-service reset-failed;" },
        { "gone, failed", "a:1t", "", "a:FR", "", "a gone stop-retry stop-service reset-failed;" },
        { "gone, stopped by hand", "a:1s", "", "", "", "a gone stop-service reset-failed;" },
        { "gone, the agent is down", "a:1s", "", "", "", "a gone stop-service reset-failed;",
          .agent_down = true },
        { "never known, yet it runs", "", "", "a:S b:T", "",
          "a gone stop-service; b gone stop-timer stop-service;" },
        { "never known, it has failed, or waits", "", "", "a:F b:R c:FR", "",
          "a quiet stop-service reset-failed; b quiet stop-retry stop-service; "
          "c quiet stop-retry stop-service reset-failed;" },
        { "never known, failed, and on its schedule", "", "", "a:FT", "",
          "a gone stop-timer stop-service reset-failed;" },
        { "never known, loaded", "", "", "a:", "", "" },

        { "stalled", "a:1s b:1s", "a:1s b:1s", "a:S b:S", "b", "b stalled restart-service;" },
        { "stalled for good", "a:1s", "a:1s", "a:S", "a", "a for-good stop-service;",
          .remove_stalled = true },
        { "stalled, but stopped", "a:1s", "a:1s", "", "a", "" },
        { "stalled, but periodic", "a:1t", "a:1t", "a:ST", "a", "" },
        { "stalled, of an unknown name", "a:1s", "a:1s", "a:S", "x", "" },
        { "stalled and masked", "a:1s", "a:1s", "a:SM", "a", "" },
        { "stalled and changed", "a:1s", "a:2s", "a:S", "a", "a changed restart-service;" },
        { "stalled and gone", "a:1s", "", "a:S", "a", "a gone stop-service reset-failed;" },
        { "stalled, the agent is down", "a:1s", "a:1s", "a:S", "a", "", .agent_down = true },

        { "all at once", "b:1s c:1t d:1s", "a:1t b:2s d:1s", "b:S c:T d:S", "d",
          "a new restart-timer; b changed restart-service; c gone stop-timer stop-service reset-failed; "
          "d stalled restart-service;" },
};

/* Cuts the next word off; its name is copied to `name`. Returns what stands behind the colon, or NULL. */
static const char *next_word(const char **text, char name[static 8]) {
        const char *colon = strchr(*text, ':'), *space;

        if (!colon)
                return NULL;

        (void) snprintf(name, 8, "%.*s", (int) (colon - *text), *text);
        space = strchr(colon, ' ');
        *text = space ? space + 1 : colon + strlen(colon);
        return colon + 1;
}

static size_t read_entries(const char *text, char names[][8], PlanEntry *ret) {
        const char *word;
        size_t n = 0;

        for (; (word = next_word(&text, names[n])); n++) {
                assert_true(n < LIST_MAX);
                ret[n] = (PlanEntry) { names[n], (uint64_t) (word[0] - '0'),
                                       word[1] == 't' ? PLAN_PERIODIC : PLAN_LONG_RUNNING };
        }

        return n;
}

static size_t read_states(const char *text, char names[][8], PlanState *ret) {
        const char *word;
        size_t n = 0;

        for (; (word = next_word(&text, names[n])); n++) {
                size_t length = strcspn(word, " ");

                assert_true(n < LIST_MAX);
                ret[n] = (PlanState) {
                        .instance = names[n],
                        .service_active = memchr(word, 'S', length),
                        .service_failed = memchr(word, 'F', length),
                        .timer_active = memchr(word, 'T', length),
                        .retry_active = memchr(word, 'R', length),
                        .masked = memchr(word, 'M', length),
                };
        }

        return n;
}

static void format_plan(const Plan *plan, Buffer *b) {
        assert_int_equal(buffer_add_string(b, ""), 0);
        for (size_t i = 0; i < plan->n; i++) {
                const PlanStep *s = plan->steps + i;

                assert_int_equal(
                        buffer_addf(b, "%s%s %s", i > 0 ? " " : "", s->instance, reason_table[s->reason]),
                        0);
                for (size_t k = 0; k < s->n_actions; k++)
                        assert_int_equal(buffer_addf(b, " %s", plan_action_to_string(s->actions[k])), 0);
                assert_int_equal(buffer_add_string(b, ";"), 0);
        }
}

/* What is known afterwards is what is wanted, but for what is gone. */
static void check_then(const Row *row, const PlanInput *in, const Plan *plan) {
        for (size_t i = 0; i < plan->n; i++) {
                const PlanStep *s = plan->steps + i;

                if (s->then ? s->reason == PLAN_GONE : s->reason != PLAN_GONE && s->reason != PLAN_QUIET)
                        fail_msg("%s: %s", row->name, s->instance);
                if (s->then && (s->then < in->wanted || s->then >= in->wanted + in->n_wanted ||
                                strcmp(s->then->instance, s->instance) != 0))
                        fail_msg("%s: %s becomes another", row->name, s->instance);
        }
}

static void test_plan(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char known_names[LIST_MAX + 1][8], wanted_names[LIST_MAX + 1][8], names[LIST_MAX + 1][8];
                PlanEntry known[LIST_MAX], wanted[LIST_MAX];
                _cleanup_(buffer_done) Buffer b = {};
                _cleanup_(plan_done) Plan plan = {};
                PlanState states[LIST_MAX];
                const Row *row = rows + i;
                PlanInput in = {
                        .known = known,
                        .n_known = read_entries(row->known, known_names, known),
                        .wanted = wanted,
                        .n_wanted = read_entries(row->wanted, wanted_names, wanted),
                        .states = states,
                        .n_states = read_states(row->states, names, states),
                        .stalled = &row->stalled,
                        .n_stalled = row->stalled[0] ? 1 : 0,
                        .agent_wanted = !row->agent_down,
                        .remove_stalled = row->remove_stalled,
                };

                assert_int_equal(plan_make(&in, &plan), 0);
                format_plan(&plan, &b);
                if (strcmp(b.data, row->want) != 0)
                        fail_msg("%s: \"%s\", not \"%s\"", row->name, b.data, row->want);
                check_then(row, &in, &plan);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plan),
        };

        return run_tap(tests);
}
