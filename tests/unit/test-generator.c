/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The generator on a made-up /etc: "etc" is read, "out" is written, "c" is the collector folder; "units" are
 * the paths that stand in "out" then, and "log" what was said, a "; " behind each. */

#include <unistd.h>

#include "basic/log.h"
#include "generator/generator.h"
#include "unit/tap.h"
#include "unit/tree.h"

#define COL "tcollector-col@"
#define SERVICE ".service.d/50-tcollector.conf "
#define TIMER ".timer.d/50-tcollector.conf "
#define RESCAN "tcollector-rescan.path.d/50-tcollector.conf "
#define WANTS "tcollector.service.wants/tcollector-col@"

/* `conf` goes to conf.d/x.conf; the folder itself is set in conf.d/0.conf. */
static const struct {
        const char *name, *tree, *conf, *units, *log;
} cases[] = {
        { "nothing", "", "", RESCAN, "" },
        { "two", "x c/15/df x c/0/tail", "",
          COL "df" SERVICE COL "df" TIMER COL "tail" SERVICE RESCAN WANTS "df.timer " WANTS "tail.service ",
          "" },
        { "not enabled", "x c/15/df", "collector df { enabled = no }", RESCAN, "" },
        { "a bad file costs its own", "x c/15/df x c/0/tail", "collector df { memory_max = much }",
          COL "tail" SERVICE RESCAN WANTS "tail.service ",
          "ROOT/etc/conf.d/x.conf:1: memory_max = \"much\": must be a size from 1M to 100T; " },
        { "a file called as one", "x c/15/x.sh x c/0/tail", "max_tags = }",
          COL "tail" SERVICE RESCAN WANTS "tail.service ",
          "ROOT/etc/conf.d/x.conf:1: unexpected token '}'; " },
        { "settings that do not go together", "x c/0/tail", "dedup_interval = \"10d\"",
          COL "tail" SERVICE RESCAN WANTS "tail.service ",
          "evict_interval must be more than dedup_interval; " },
        { "an unknown user", "x c/0/tail", "collector tail { user = no-such-user }",
          COL "tail" SERVICE RESCAN WANTS "tail.service ", "" },
        { "a complaint", "x c/0/tail l c/0/x nowhere", "", COL "tail" SERVICE RESCAN WANTS "tail.service ",
          "ROOT/c/0/x: a link that leads nowhere; " },
        { "a drop-in that cannot be written", "x c/0/tail x c/0/x f out/tcollector-col@x.service.d", "",
          COL "tail" SERVICE COL "x.service.d " RESCAN WANTS "tail.service ",
          "Failed to write tcollector-col@x.service.d/50-tcollector.conf: Not a directory; " },
        { "what stands there gives way",
          "x c/0/tail f out/tcollector-col@tail.service.d/50-tcollector.conf l out/" WANTS
          "tail.service nowhere",
          "", COL "tail" SERVICE RESCAN WANTS "tail.service ", "" },
};

static void note(void *userdata, int level _unused_, const char *line) {
        assert_int_equal(buffer_addf(userdata, "%s; ", line), 0);
}

/* The paths of what tree_read() says, and that what had stood there is gone. */
static void list_units(const Tree *t, Buffer *out) {
        _cleanup_(buffer_done) Buffer all = {};
        Slice rest, line;

        tree_read(t, "out", &all);
        assert_int_equal(buffer_add_string(out, ""), 0);
        for (rest = buffer_slice(&all); slice_cut(&rest, '\n', &line);) {
                assert_false(slice_equal(line, SLICE("-> nowhere")));
                if (slice_starts_with(line, SLICE("== out/")))
                        assert_int_equal(buffer_addf(out, "%.*s ", (int) line.n - 7, line.p + 7), 0);
        }
}

static void run(const Tree *t, Buffer *said, int want) {
        _cleanup_(freep) char *etc = tree_path(t, "etc"), *good = tree_path(t, "good"),
                              *out = tree_path(t, "out");

        assert_int_equal(buffer_add_string(said, ""), 0);
        log_set_sink(note, said);
        assert_int_equal(generator_run(etc, good, out), want);
        log_set_sink(NULL, NULL);
        buffer_replace(said, t->root, "ROOT");
}

static void set_up(Tree *t, const char *tree, const char *conf) {
        _cleanup_(buffer_done) Buffer dirs = {};

        tree_make(t, tree);
        assert_int_equal(buffer_addf(&dirs, "collector_dirs = { \"%s/c\" }", t->root), 0);
        tree_write(t, "etc/conf.d/0.conf", dirs.data);
        tree_write(t, "etc/conf.d/x.conf", conf);
        tree_write(t, "out/.keep", "");
}

static void test_cases(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buffer_done) Buffer said = {}, units = {};
                _cleanup_(tree_done) Tree t = {};

                set_up(&t, cases[i].tree, cases[i].conf);
                assert_int_equal(unlinkat(t.fd, "out/.keep", 0), 0);
                run(&t, &said, 0);
                list_units(&t, &units);
                if (strcmp(units.data, cases[i].units) != 0)
                        fail_msg("%s: made \"%s\"", cases[i].name, units.data);
                if (strcmp(said.data, cases[i].log) != 0)
                        fail_msg("%s: said \"%s\"", cases[i].name, said.data);
        }
}

/* Then it is the built-in folders, and what the other files say. */
static void test_broken_main_file(void **state _unused_) {
        _cleanup_(buffer_done) Buffer said = {}, units = {};
        _cleanup_(tree_done) Tree t = {};

        set_up(&t, "x c/0/tail x c/15/df", "");
        tree_write(&t, "etc/tcollector.conf", "# x\ncollector df { }\nqueue_size = lots\n");
        run(&t, &said, 0);
        list_units(&t, &units);
        assert_string_equal(units.data, ".keep " COL "tail" SERVICE RESCAN WANTS "tail.service ");
        assert_string_equal(said.data, "ROOT/etc/tcollector.conf:3: queue_size = \"lots\": must be a size "
                                       "from 64K to 1T; ");
}

/* What it said before is used, and the other files as they are now; a good one, or none, is itself used. */
static void test_main_file_as_it_was(void **state _unused_) {
        static const struct {
                const char *main_file, *units, *log;
        } rows[] = {
                { "queue_size = lots", COL "tail" SERVICE RESCAN WANTS "tail.service ",
                  "ROOT/etc/tcollector.conf:1: queue_size = \"lots\": must be a size from 64K to 1T; "
                  "ROOT/etc/tcollector.conf: what it said when it last could be used is used; " },
                { "# nothing",
                  COL "df" SERVICE COL "df" TIMER COL "tail" SERVICE RESCAN WANTS "df.timer " WANTS
                      "tail.service ",
                  "" },
                { NULL,
                  COL "df" SERVICE COL "df" TIMER COL "tail" SERVICE RESCAN WANTS "df.timer " WANTS
                      "tail.service ",
                  "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer said = {}, units = {};
                _cleanup_(tree_done) Tree t = {};

                set_up(&t, "x c/0/tail x c/15/df", "");
                tree_write(&t, "good", "collector df { enabled = no }\n");
                if (rows[i].main_file)
                        tree_write(&t, "etc/tcollector.conf", rows[i].main_file);
                assert_int_equal(unlinkat(t.fd, "out/.keep", 0), 0);
                run(&t, &said, 0);
                list_units(&t, &units);
                assert_string_equal(units.data, rows[i].units);
                assert_string_equal(said.data, rows[i].log);
        }
}

static void test_no_folder(void **state _unused_) {
        _cleanup_(buffer_done) Buffer said = {};
        _cleanup_(tree_done) Tree t = {};

        tree_make(&t, "");
        run(&t, &said, -ENOENT);
        assert_string_equal(said.data, "Failed to open ROOT/out: No such file or directory; ");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_broken_main_file),
                cmocka_unit_test(test_main_file_as_it_was),
                cmocka_unit_test(test_no_folder),
        };

        return run_tap(tests);
}
