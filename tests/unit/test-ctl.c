/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tcollectorctl makes of what others tell it: systemd's units, a failed collector, the generator's
 * output, the agent's status. */

#include <stdio.h>

#include "conf/config.h"
#include "ctl/failure.h"
#include "ctl/generated.h"
#include "ctl/known.h"
#include "ctl/states.h"
#include "ctl/status.h"
#include "generator/generator.h"
#include "unit/tap.h"
#include "unit/tree.h"

/* -- units -- */

static void test_unit_is_up(void **state _unused_) {
        static const struct {
                const char *active, *job;
                bool want;
        } rows[] = {
                { "active", "", true },
                { "activating", "", true },
                { "reloading", "", true },
                { "inactive", "", false },
                { "failed", "", false },
                { "deactivating", "", false },
                { "active", "stop", false },
                { "inactive", "start", true },
                { "deactivating", "restart", true },
                { "active", "reload", true },
                { "active", "restart", true },
                { "failed", "start", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                SystemdUnit u = { .active_state = (char *) (uintptr_t) rows[i].active,
                                  .job_type = (char *) (uintptr_t) rows[i].job };

                if (unit_is_up(&u) != rows[i].want)
                        fail_msg("%s, job %s", rows[i].active, rows[i].job);
        }
}

#define UNIT(name, load, active, job)                                                              \
        {                                                                                          \
                (char *) (uintptr_t) name, (char *) (uintptr_t) load, (char *) (uintptr_t) active, \
                        (char *) (uintptr_t) job                                                   \
        }

static void test_states(void **state _unused_) {
        SystemdUnit list[] = {
                UNIT("tcollector-col@b.service", "loaded", "failed", ""),
                UNIT("tcollector-col@a\\x20x.service", "loaded", "active", ""),
                UNIT("tcollector-col-retry@b.timer", "loaded", "active", ""),
                UNIT("tcollector-col@b.timer", "loaded", "inactive", ""),
                UNIT("tcollector-col@c.timer", "masked", "active", ""),
                UNIT("tcollector-col@.service", "loaded", "active", ""),
                UNIT("tcollector-col@d.socket", "loaded", "active", ""),
                UNIT("tcollector-col@e/f.service", "loaded", "active", ""),
                UNIT("tcollector-col@f.service", "loaded", "inactive", "start"),
                UNIT("tcollector-col@g.service", "loaded", "active", "restart"),
                UNIT("tcollector.service", "loaded", "inactive", "start"),
                UNIT("tcollector-rescan.service", "loaded", "active", ""),
        };
        static const PlanState want[] = {
                { .instance = "a\\x20x", .service_active = true, .service_runs = true },
                { .instance = "b", .service_failed = true, .retry_active = true },
                { .instance = "c", .timer_active = true, .masked = true },
                { .instance = "f", .service_active = true },
                { .instance = "g", .service_active = true },
        };
        _cleanup_(states_done) States s = {};

        assert_int_equal(states_make(&(SystemdUnits) { list, ELEMENTSOF(list) }, &s), 0);
        assert_true(s.agent_wanted);
        assert_int_equal(s.n, ELEMENTSOF(want));
        for (size_t i = 0; i < s.n; i++) {
                const PlanState *a = s.states + i, *b = want + i;

                assert_string_equal(a->instance, b->instance);
                if (a->service_active != b->service_active || a->service_runs != b->service_runs ||
                    a->service_failed != b->service_failed || a->timer_active != b->timer_active ||
                    a->retry_active != b->retry_active || a->masked != b->masked)
                        fail_msg("%s", a->instance);
        }
        assert_ptr_equal(states_find(&s, "b"), s.states + 1);
        assert_null(states_find(&s, "d"));
}

static void test_no_states(void **state _unused_) {
        _cleanup_(states_done) States s = {};

        assert_int_equal(states_make(&(SystemdUnits) {}, &s), 0);
        assert_int_equal(s.n, 0);
        assert_false(s.agent_wanted);
        assert_null(states_find(&s, "a"));
}

/* Of a collector "a", in the words of /run/tcollector/known. */
static void test_known(void **state _unused_) {
#define OLD "a 0000000000000001 "
#define NEW "a 0000000000000002 "
        static const struct {
                const char *name, *before, *generated;
                PlanState state;
                const char *want;
        } rows[] = {
                { "runs",
                  OLD "service\n",
                  NEW "service\n",
                  { .service_active = true, .service_runs = true },
                  OLD "service\n" },
                { "is about to",
                  OLD "service\n",
                  NEW "service\n",
                  { .service_active = true },
                  NEW "service\n" },
                { "does not", OLD "service\n", NEW "service\n", {}, "" },
                { "runs, and was not known",
                  "",
                  NEW "service\n",
                  { .service_active = true, .service_runs = true },
                  NEW "service\n" },
                { "runs, and was on a schedule",
                  OLD "timer\n",
                  NEW "service\n",
                  { .service_active = true, .service_runs = true },
                  NEW "service\n" },
                { "is on its schedule",
                  OLD "timer\n",
                  NEW "timer\n",
                  { .timer_active = true, .service_active = true, .service_runs = true },
                  NEW "timer\n" },
                { "its schedule is stopped",
                  OLD "timer\n",
                  NEW "timer\n",
                  { .service_active = true, .service_runs = true },
                  "" },
                { "is gone", OLD "service\n", "", { .service_active = true, .service_runs = true }, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(entries_done) Entries before = {}, generated = {}, known = {}, all = {};
                PlanState s = rows[i].state;
                States states = { .states = &s, .n = 1 };
                _cleanup_(buffer_done) Buffer b = {};

                s.instance = "a";
                assert_int_equal(buffer_add_string(&b, ""), 0);
                assert_int_equal(entries_parse(guarded(rows[i].before), &before), 0);
                assert_int_equal(entries_parse(guarded(rows[i].generated), &generated), 0);
                assert_int_equal(known_make(&generated, &before, &states, &known), 0);
                assert_int_equal(entries_format(&known, &b), 0);
                if (strcmp(b.data, rows[i].want) != 0)
                        fail_msg("%s: %s", rows[i].name, b.data);
                assert_int_equal(known_make(&generated, &before, NULL, &all), 0);
                assert_int_equal(all.n, generated.n);
        }
}

/* -- failures -- */

#define EXIT(status) \
        { "exit-code", "exited", status }
#define KILL(signal) \
        { "signal", "killed", signal }
#define LATE \
        { "timeout", "killed", "TERM" }

/* A run that was up from 10 to 20 and may have been so for longer, its process gone at `exited`. */
#define RAN(exited, max)                                                                      \
        .inactive_exit = 10, .active_enter = 10, .active_exit = 20, .process_exit = (exited), \
        .runtime_max = (max)
#define BY_ITSELF .is_failed = true, RAN(20, 11)
#define TOLD_TO .is_failed = true, RAN(21, 11)
#define FOR_EVER .is_failed = true, RAN(21, UINT64_MAX)
#define TIME_UP .is_failed = true, RAN(21, 10)
/* One that never came up; what it says of being active is of the run before. */
#define NEVER_UP                                                                                           \
        .is_failed = true, .inactive_exit = 30, .active_enter = 10, .active_exit = 20, .process_exit = 31, \
        .runtime_max = UINT64_MAX
#define FIRST .is_failed = true, .inactive_exit = 5, .process_exit = 6, .runtime_max = UINT64_MAX
#define TIMER .has_timer = true
#define AGENT .agent_wanted = true
#define GONE .is_gone = true

static const struct {
        const char *name;
        FailureReport report;
        FailureUnit unit;
        FailureVerdict want;
        bool retry;
} judge_rows[] = {
        { "not for this host", EXIT("13"), { BY_ITSELF, TIMER, AGENT }, FAILURE_EXCUSED, true },
        { "the same, long-running", EXIT("13"), { BY_ITSELF, AGENT }, FAILURE_EXCUSED, true },
        { "the same, the agent stops", EXIT("13"), { BY_ITSELF, TIMER }, FAILURE_EXCUSED, false },
        { "signal 13", KILL("13"), { BY_ITSELF, TIMER, AGENT }, FAILURE_FAILED, true },
        { "failed", EXIT("1"), { BY_ITSELF, TIMER, AGENT }, FAILURE_FAILED, true },
        { "failed, the agent stops", EXIT("1"), { BY_ITSELF, TIMER }, FAILURE_FAILED, false },
        { "killed", KILL("KILL"), { BY_ITSELF, TIMER, AGENT }, FAILURE_FAILED, true },
        { "cannot be started", EXIT("203"), { NEVER_UP, TIMER, AGENT }, FAILURE_FAILED, true },
        { "first start of all", EXIT("203"), { FIRST, TIMER, AGENT }, FAILURE_FAILED, true },
        { "told to, and failed at it", EXIT("1"), { TOLD_TO, TIMER, AGENT }, FAILURE_ASKED, false },
        { "told to, 13", EXIT("13"), { TOLD_TO, TIMER, AGENT }, FAILURE_ASKED, false },
        { "told to, and did not", LATE, { TOLD_TO, TIMER, AGENT }, FAILURE_ASKED, false },
        { "told to, long-running, and did not", LATE, { FOR_EVER }, FAILURE_ASKED, false },
        { "runs again", EXIT("1"), { TIMER, AGENT }, FAILURE_NONE, false },
        { "overstayed", LATE, { TIME_UP, TIMER, AGENT }, FAILURE_OVERSTAY, false },
        { "overstayed, started again", LATE, { TIMER, AGENT }, FAILURE_OVERSTAY, false },
        { "overstayed, no timer", LATE, { TIME_UP, AGENT }, FAILURE_OVERSTAY, false },
        { "nobody read", LATE, { NEVER_UP, AGENT }, FAILURE_OVERSTAY, true },
        { "nobody read, the agent is stopped", LATE, { NEVER_UP }, FAILURE_OVERSTAY, false },
        { "nobody read, but it has a schedule", LATE, { NEVER_UP, TIMER, AGENT }, FAILURE_OVERSTAY, false },
        { "failed, as it is gone", EXIT("127"), { BY_ITSELF, GONE, TIMER, AGENT }, FAILURE_ASKED, false },
        { "nobody read, as it is gone", LATE, { NEVER_UP, GONE, AGENT }, FAILURE_ASKED, false },
        { "nothing is known", {}, { BY_ITSELF, AGENT }, FAILURE_FAILED, true },
};

static void test_judge(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(judge_rows); i++) {
                Failure got = failure_judge(&judge_rows[i].report, &judge_rows[i].unit);

                if (got.verdict != judge_rows[i].want || got.retry != judge_rows[i].retry)
                        fail_msg("%s: %d, retry %d", judge_rows[i].name, got.verdict, got.retry);
        }
}

static void test_describe(void **state _unused_) {
        static const struct {
                FailureReport report;
                const char *want;
        } rows[] = {
                { { "exit-code", "exited", "1" }, "exit status 1" },
                { { "exit-code", "exited", "217" }, "exit status 217: its user does not exist" },
                { { "signal", "killed", "SEGV" }, "killed by SIGSEGV" },
                { { "core-dump", "dumped", "ABRT" }, "killed by SIGABRT" },
                { { "oom-kill", "killed", "KILL" }, "out of memory" },
                { { "timeout", "killed", "TERM" }, "did not end in time" },
                { { "resources", NULL, NULL }, "resources" },
                { {}, "for an unknown reason" },
        };
        char buf[FAILURE_TEXT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_string_equal(failure_describe(&rows[i].report, buf), rows[i].want);
}

/* -- the generator's output -- */

static void make(const Tree *t, UnitFiles *ret, Config **ret_config, Roster *roster) {
        _cleanup_(freep) char *file = tree_path(t, "etc/tcollector.conf");
        _cleanup_(buffer_done) Buffer why = {};
        char host[65] = {};

        assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
        assert_int_equal(config_load(ret_config, file, NULL, &why), 0);
        assert_int_equal(roster_read(*ret_config, NULL, NULL, roster), 0);
        assert_int_equal(unit_files_make(roster, *ret_config, host, ret), 0);
}

static void test_generated(void **state _unused_) {
        _cleanup_(unit_files_done) UnitFiles made = {}, read = {};
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(entries_done) Entries entries = {};
        _cleanup_(freep) char *etc = NULL, *out = NULL, *text = NULL;
        _cleanup_(roster_done) Roster roster = {};
        Tree t;

        tree_make(&t, "d etc d out d c d c/0 d c/60 x c/0/loop x c/60/a.py x c/60/sp@ce");
        etc = tree_path(&t, "etc");
        out = tree_path(&t, "out");
        assert_true(asprintf(&text, "collector_dirs = { \"%s/c\" }\n", t.root) > 0);
        tree_write(&t, "etc/tcollector.conf", text);
        assert_int_equal(generator_run(etc, "/nonexistent", out), 0);

        make(&t, &made, &config, &roster);
        assert_int_equal(generated_read(out, &read), 0);
        assert_true(read.n > 0 && generated_equal(&read, &made));

        assert_int_equal(generated_entries(&read, &entries), 0);
        assert_int_equal(entries.n, 3);
        for (size_t i = 0; i < entries.n; i++) {
                const PlanEntry *e = entries.entries + i;

                assert_int_equal(e->kind,
                                 strcmp(e->instance, "loop") == 0 ? PLAN_LONG_RUNNING : PLAN_PERIODIC);
                assert_true(e->digest == unit_files_digest(&made, e->instance));
        }
        assert_non_null(entries_find(&entries, "sp\\x40ce"));

        /* another generator's file is none of ours, a change in ours is seen */
        tree_write(&t, "out/tcollector-col@loop.service.d/90-other.conf", "[Unit]\n");
        unit_files_done(&read);
        assert_int_equal(generated_read(out, &read), 0);
        assert_true(generated_equal(&read, &made));
        tree_write(&t, "out/tcollector-col@loop.service.d/50-tcollector.conf", "[Unit]\n");
        unit_files_done(&read);
        assert_int_equal(generated_read(out, &read), 0);
        assert_false(generated_equal(&read, &made));
        assert_string_equal(generated_content(&read, "tcollector-col@loop.service.d/50-tcollector.conf"),
                            "[Unit]\n");
        assert_null(generated_content(&read, "nothing"));
        tree_done(&t);
}

static void test_nothing_generated(void **state _unused_) {
        _cleanup_(unit_files_done) UnitFiles read = {};
        _cleanup_(entries_done) Entries entries = {};

        assert_int_equal(generated_read("/nonexistent", &read), 0);
        assert_int_equal(read.n, 0);
        assert_int_equal(generated_entries(&read, &entries), 0);
        assert_int_equal(entries.n, 0);
}

/* -- the agent's status -- */

#define SAMPLE                                                                                            \
        "{\"version\":\"1\",\"uptime_sec\":65,\"state\":\"Connected to telnet://a:1\","                   \
        "\"queue\":{\"bytes\":1536,\"lines\":7,\"size\":16777216},"                                       \
        "\"spool\":{\"bytes\":0,\"segments\":0,\"lines_lost\":0},"                                        \
        "\"sums\":{\"received\":12,\"sent\":9,\"acked\":2},"                                              \
        "\"servers\":[{\"url\":\"telnet://a:1\",\"state\":\"connected\",\"confirmed\":false,"             \
        "\"last_error\":null,\"acked\":2,\"refused\":1},{\"url\":\"telnet://b:1\",\"state\":\"standby\"," \
        "\"last_error\":\"no\\u001b[31m\",\"acked\":0,\"refused\":0}],"                                   \
        "\"collectors\":[{\"name\":\"a.py\",\"state\":\"failed\",\"interval\":60,\"received\":12,"        \
        "\"sent\":9,\"suppressed\":3,\"invalid\":0,\"series\":4,\"runs\":5,\"failures\":1,"               \
        "\"last_line_sec_ago\":90},{\"name\":\"new\",\"interval\":0,\"last_line_sec_ago\":null}]}"

#define SCREEN                                                                               \
        "tcollector 1, up 1min 5s\n"                                                         \
        "      State: Connected to telnet://a:1\n"                                           \
        "    Servers: telnet://a:1: connected, unconfirmed; 2 points delivered, 1 refused\n" \
        "             telnet://b:1: standby; 0 points delivered, 0 refused\n"                \
        "               last error: no\\x1b[31m\n"                                           \
        "      Queue: 7 points, 1.5 KiB of 16.0 MiB\n"                                       \
        "      Spool: 0 B in 0 files, 0 points lost\n"                                       \
        "     Points: 12 received, 9 sent, 2 acked\n"                                        \
        " Collectors: 2, 1 failed\n"                                                         \
        "               failed: a.py\n"

#define TABLE                                                                                               \
        "NAME  STATE   INTERVAL  RUNS  FAILED  RECEIVED  SENT  SUPPRESSED  INVALID  SERIES     LAST LINE\n" \
        "a.py  failed        60     5       1        12     9           3        0       4  1min 30s ago\n" \
        "new   -              -     -       -         -     -           -        -       -             -\n"

static char *shown(int (*show)(Slice document, FILE *f), const char *document, int *ret) {
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        *ret = show(guarded(document), f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void test_status(void **state _unused_) {
        static const struct {
                int (*show)(Slice document, FILE *f);
                const char *document, *want; /* NULL: refused */
        } rows[] = {
                { status_show, SAMPLE, SCREEN },
                { status_show, "{}", "tcollector ?, up 0\n" },
                { status_show, "{\"spool\":{\"error\":\"No \\u001b[31mspace\"}}",
                  "tcollector ?, up 0\n      Spool: 0 B in 0 files, 0 points lost\n"
                  "               cannot be written: No \\x1b[31mspace\n" },
                { status_show, "{\"spool\":{\"error\":5}}",
                  "tcollector ?, up 0\n      Spool: 0 B in 0 files, 0 points lost\n" },
                { status_show, "[]", NULL },
                { status_show, "", NULL },
                { status_show, "{\"version\":", NULL },
                { status_show, "{\"version\":1,\"uptime_sec\":-5,\"servers\":{},\"queue\":[],\"sums\":3}",
                  "tcollector ?, up 0\n" },
                { status_show_collectors, SAMPLE, TABLE },
                { status_show_collectors, "{}", NULL },
                { status_show_collectors, "{\"collectors\":3}", NULL },
                { status_print_collectors, "{\"a\":1,\"collectors\":[{\"name\":\"x\",\"runs\":1}]}",
                  "[{\"name\":\"x\",\"runs\":1}]\n" },
                { status_print_collectors, "[]", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *text = NULL;
                int r;

                text = shown(rows[i].show, rows[i].document, &r);
                assert_int_equal(r, rows[i].want ? 0 : -EBADMSG);
                if (rows[i].want && strcmp(text, rows[i].want) != 0)
                        fail_msg("row %zu:\n%s", i, text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unit_is_up), cmocka_unit_test(test_states),
                cmocka_unit_test(test_no_states),  cmocka_unit_test(test_known),
                cmocka_unit_test(test_judge),      cmocka_unit_test(test_describe),
                cmocka_unit_test(test_generated),  cmocka_unit_test(test_nothing_generated),
                cmocka_unit_test(test_status),
        };

        return run_tap(tests);
}
