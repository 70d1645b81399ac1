/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each case is a tree whose folders "a" and "b" are the collector folders, a configuration, and who is to
 * run: "INSTANCE@INTERVAL=PATH" each; complaints are "PATH: what;". */

#include "conf/roster.h"
#include "unit/tap.h"
#include "unit/tree.h"

#define LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
        const char *name, *tree, *config, *roster, *complaints;
} cases[] = {
        { "nothing", "", "", "", "" },
        { "plain", "x a/15/df.sh x b/0/tail.py", "", "df.sh@15=a/15/df.sh tail.py@0=b/0/tail.py", "" },
        { "another interval", "x a/15/df.sh", "collector df.sh { interval = 60 }", "df.sh@60=a/15/df.sh",
          "" },
        { "long-running by its section", "x a/15/df.sh", "collector df.sh { interval = 0 }",
          "df.sh@0=a/15/df.sh", "" },
        { "not enabled", "x a/15/df.sh x a/15/if.sh", "collector df.sh { enabled = no }",
          "if.sh@15=a/15/if.sh", "" },
        { "a section is about the whole name", "x a/15/df.sh", "collector df { enabled = no }",
          "df.sh@15=a/15/df.sh", "" },
        { "a section without a collector", "", "collector df.sh { interval = 60 }", "", "" },
        { "masked", "l a/15/df.sh /dev/null x b/15/df.sh", "collector df.sh { interval = 60 }", "", "" },
        { "odd name", "x a/15/a:b%", "", "a\\x3ab\\x25@15=a/15/a:b%", "" },
        { "by name, not by instance", "x a/15/a~ x a/15/a:", "", "a\\x3a@15=a/15/a: a\\x7e@15=a/15/a~", "" },
        { "name too long", "x a/15/" LONG_64 LONG_64 LONG_64 "aaaaaaaaa x a/15/b", "", "b@15=a/15/b",
          "a/15/" LONG_64 LONG_64 LONG_64 "aaaaaaaaa: its name is too long for a unit;" },
        { "complaint of a folder", "x a/15s/run x a/15/df.sh", "", "df.sh@15=a/15/df.sh",
          "a/15s: an interval is a number of seconds, without a unit;" },
};

typedef struct Seen {
        size_t n_root;
        Buffer text;
} Seen;

static void note(void *userdata, const char *path, const char *what) {
        Seen *seen = userdata;

        assert_int_equal(buffer_addf(&seen->text, "%s: %s;", path + seen->n_root + 1, what), 0);
}

static Config *make_config(const Tree *t, const char *text) {
        _cleanup_(freep) char *a = tree_path(t, "a"), *b = tree_path(t, "b");
        _cleanup_(buffer_done) Buffer why = {};
        Config *c;

        assert_int_equal(config_new(&c), 0);
        config_clear_dirs(c);
        assert_int_equal(config_add_dir(c, a), 0);
        assert_int_equal(config_add_dir(c, b), 0);
        if (config_read_text(c, guarded(text), "f", &why) < 0)
                fail_msg("%s", why.data);

        return c;
}

static void check_roster(const char *name, size_t n_root, const Roster *roster, const char *want) {
        _cleanup_(buffer_done) Buffer got = {};

        assert_int_equal(buffer_add_string(&got, ""), 0);
        for (size_t i = 0; i < roster->n; i++) {
                const RosterEntry *e = roster->entries + i;

                assert_non_null(e->settings);
                assert_ptr_equal(roster_find(roster, e->instance), e);
                assert_int_equal(buffer_addf(&got, "%s%s@%ju=%s", i > 0 ? " " : "", e->instance,
                                             (uintmax_t) e->item.interval_sec, e->item.path + n_root + 1),
                                 0);
        }
        if (strcmp(got.data, want) != 0)
                fail_msg("%s: \"%s\", not \"%s\"", name, got.data, want);
        assert_null(roster_find(roster, "no"));
        assert_null(roster_find(roster, ""));
}

static void test_roster(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(roster_done) Roster roster = {}, again = {};
                _cleanup_(config_freep) Config *c = NULL;
                _cleanup_(tree_done) Tree t = {};
                Seen seen = {};

                tree_make(&t, cases[i].tree);
                c = make_config(&t, cases[i].config);
                seen.n_root = strlen(t.root);
                assert_int_equal(buffer_add_string(&seen.text, ""), 0);

                assert_int_equal(roster_read(c, note, &seen, &roster), 0);
                check_roster(cases[i].name, seen.n_root, &roster, cases[i].roster);
                if (strcmp(seen.text.data, cases[i].complaints) != 0)
                        fail_msg("%s: complains \"%s\"", cases[i].name, seen.text.data);

                /* complaints are optional */
                assert_int_equal(roster_read(c, NULL, NULL, &again), 0);
                assert_int_equal(again.n, roster.n);
                buffer_done(&seen.text);
        }
}

static void test_settings(void **state _unused_) {
        _cleanup_(roster_done) Roster roster = {};
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(tree_done) Tree t = {};

        tree_make(&t, "x a/15/df.sh x a/15/if.sh");
        c = make_config(&t, "collector df.sh { user = nobody }");
        assert_int_equal(roster_read(c, NULL, NULL, &roster), 0);
        assert_string_equal(roster.entries[0].settings->user, "nobody");
        assert_ptr_equal(roster.entries[1].settings, &c->collector_defaults);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_roster),
                cmocka_unit_test(test_settings),
        };

        return run_tap(tests);
}
