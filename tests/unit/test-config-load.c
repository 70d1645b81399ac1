/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* config_load_what_is_good(): each case is a main file and two drop-ins, "b.conf" and "db.conf"; a NULL is
 * not written. The value of max_tags, which of the collectors a, b, db and db.py are enabled, and what was
 * said. */

#include <sys/stat.h>
#include <unistd.h>

#include "conf/config-list.h"
#include "conf/config-prepare.h"
#include "unit/tap.h"
#include "unit/tree.h"

static const struct {
        const char *name, *main_file, *b, *db;
        unsigned max_tags;
        const char *enabled, *said;
} cases[] = {
        { "nothing", NULL, NULL, NULL, 8, "a b db db.py ", "" },
        { "all good", "max_tags = 5", "collector b { enabled = no }", "max_tags = 6", 6, "a db db.py ", "" },
        { "the main file is broken", "max_tags = 5\nx", "max_tags = 6", NULL, 6, "a b db db.py ",
          "tcollector.conf:2: no such option 'x';" },
        { "it leaves nothing behind", "max_tags = 5 server m { url = \"telnet://h\" } x", NULL, NULL, 8,
          "a b db db.py ", "tcollector.conf:1: no such option 'x';" },
        { "what it was about", "collector a { } x", NULL, NULL, 8, "b db db.py ",
          "tcollector.conf:1: no such option 'x';" },
        { "called as one", NULL, "x", NULL, 8, "a db db.py ", "b.conf:1: no such option 'x';" },
        { "called as one without its extension", NULL, NULL, "x", 8, "a b ",
          "db.conf:1: no such option 'x';" },
        { "called as one, about another", NULL, NULL, "collector 'a' { user = \"\xff }", 8, "b ",
          "db.conf:1: this string is not closed in its line;" },
        { "two are broken", "max_tags = 5", "x", "y", 5, "a ",
          "b.conf:1: no such option 'x';db.conf:1: no such option 'y';" },
        { "a later file does not mend it", "collector a { } x", "collector a { user = u }", NULL, 8,
          "b db db.py ", "tcollector.conf:1: no such option 'x';" },
        { "good files, but not together", "max_tags = 1 tags = { \"a=b\" }", NULL, NULL, 1, "a b db db.py ",
          "2 tags, that of the host included, are more than max_tags allows (1);" },
};

typedef struct Seen {
        size_t n_root;
        const char *root;
        Buffer text;
} Seen;

static void note(void *userdata, const char *what) {
        Seen *seen = userdata;

        if (strncmp(what, seen->root, seen->n_root) == 0) {
                what += seen->n_root + 1;
                what += strncmp(what, "conf.d/", 7) == 0 ? 7 : 0;
        }
        assert_int_equal(buffer_addf(&seen->text, "%s;", what), 0);
}

static void write_if(const Tree *t, const char *path, const char *text) {
        if (text)
                tree_write(t, path, text);
}

static void test_cases(void **state _unused_) {
        static const char *const names[] = { "a", "b", "db", "db.py" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *file = NULL, *drop_ins = NULL;
                _cleanup_(buffer_done) Buffer enabled = {};
                _cleanup_(config_freep) Config *c = NULL;
                _cleanup_(tree_done) Tree t = {};
                Seen seen = {};

                tree_make(&t, "");
                write_if(&t, "tcollector.conf", cases[i].main_file);
                write_if(&t, "conf.d/b.conf", cases[i].b);
                write_if(&t, "conf.d/db.conf", cases[i].db);
                file = tree_path(&t, "tcollector.conf");
                drop_ins = tree_path(&t, "conf.d");
                seen = (Seen) { .root = t.root, .n_root = strlen(t.root) };
                assert_int_equal(buffer_add_string(&seen.text, ""), 0);

                assert_int_equal(config_load_what_is_good(&c, file, drop_ins, note, &seen), 0);
                assert_int_equal(c->max_tags, cases[i].max_tags);
                assert_int_equal(buffer_add_string(&enabled, ""), 0);
                for (size_t k = 0; k < ELEMENTSOF(names); k++)
                        if (config_collector(c, names[k])->enabled)
                                assert_int_equal(buffer_addf(&enabled, "%s ", names[k]), 0);
                if (strcmp(enabled.data, cases[i].enabled) != 0)
                        fail_msg("%s: enabled \"%s\"", cases[i].name, enabled.data);
                if (strcmp(seen.text.data, cases[i].said) != 0)
                        fail_msg("%s: \"%s\"", cases[i].name, seen.text.data);
                assert_int_equal(c->n_servers, 0);
                buffer_done(&seen.text);
        }
}

/* Neither that the folder is none, nor a file that cannot be read, is more than a complaint. */
static void test_unreadable(void **state _unused_) {
        _cleanup_(freep) char *dir = NULL, *file = NULL;
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(tree_done) Tree t = {};
        Seen seen;

        tree_make(&t, "f file d conf.d/db.conf");
        dir = tree_path(&t, "conf.d");
        file = tree_path(&t, "file");
        seen = (Seen) { .root = t.root, .n_root = strlen(t.root) };

        assert_int_equal(config_load_what_is_good(&c, NULL, dir, note, &seen), 0);
        assert_string_equal(seen.text.data, "db.conf: Is a directory;");
        assert_false(config_collector(c, "db.py")->enabled);
        assert_true(config_collector(c, "a")->enabled);
        c = config_free(c);
        buffer_done(&seen.text);

        assert_int_equal(config_load_what_is_good(&c, NULL, file, note, &seen), 0);
        assert_string_equal(seen.text.data, "file: Not a directory;");
        assert_true(config_collector(c, "db")->enabled);
        buffer_done(&seen.text);
}

/* Nobody writes to these FIFOs: whoever opened one would wait. A link to /dev/null is an empty file. */
static void test_no_plain_file(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {}, text = {};
        _cleanup_(freep) char *fifo = NULL;
        _cleanup_(tree_done) Tree t = {};
        Seen seen;

        tree_make(
                &t,
                "p conf.d/a.conf l conf.d/b.conf a.conf l conf.d/c.conf /dev/null l conf.d/d.conf /dev/full "
                "p tcollector.conf");
        fifo = tree_path(&t, "tcollector.conf");
        seen = (Seen) { .root = t.root, .n_root = strlen(t.root) };

        assert_int_equal(config_load_what_is_good_in(&c, t.root, note, &seen), 0);
        assert_string_equal(seen.text.data,
                            "tcollector.conf: this is no plain file;a.conf: this is no plain file;"
                            "b.conf: this is no plain file;d.conf: this is no plain file;");
        assert_false(config_collector(c, "a")->enabled);
        assert_true(config_collector(c, "c")->enabled);
        c = config_free(c);
        assert_int_equal(config_load_folder(&c, t.root, &why), -EINVAL);
        assert_non_null(strstr(why.data, "/tcollector.conf: this is no plain file"));
        assert_int_equal(config_read_plain(fifo, &text, &why), -EINVAL);
        buffer_done(&seen.text);
}

/* A list that only all the files together make too long: the one that does is left out, whole. */
static void test_too_much_together(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(freep) char *dir = NULL;
        _cleanup_(tree_done) Tree t = {};
        Seen seen;

        tree_make(&t, "");
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(buffer_done) Buffer text = {}, path = {};

                assert_int_equal(buffer_addf(&path, "conf.d/%u.conf", i), 0);
                assert_int_equal(buffer_addf(&text, "max_tags = %u\ntags = {", 60 + i), 0);
                for (unsigned k = 0; k < 100; k++)
                        assert_int_equal(buffer_addf(&text, "\"k%u-%u=v\",", i, k), 0);
                assert_int_equal(buffer_add_string(&text, "\"last=v\" }"), 0);
                tree_write(&t, path.data, text.data);
        }
        dir = tree_path(&t, "conf.d");
        seen = (Seen) { .root = t.root, .n_root = strlen(t.root) };

        assert_int_equal(config_load_what_is_good(&c, NULL, dir, note, &seen), 0);
        assert_int_equal(c->n_tags, 201);
        assert_int_equal(c->max_tags, 61);
        assert_non_null(strstr(seen.text.data, "2.conf:2: tags = \"k2-55=v\": these are too many;"));
        buffer_done(&seen.text);
}

/* What is taken for a section about a collector in a text that could not be read. */
static void test_find(void **state _unused_) {
        static const struct {
                const char *text, *found;
        } rows[] = {
                { "", "" },
                { "collector", "" },
                { "collector ", "" },
                { "collector a", "a;" },
                { "collector a{", "a;" },
                { "collector \"a b\" {", "a b;" },
                { "collector'a'{}collector \"b\" {}", "a;b;" },
                { "x }\n\tcollector\n\"a\"\n{", "a;" },
                { "collector \"a", "a;" },
                { "collector \"a\nb\"", "a;" },
                { "# collector a {", "a;" },
                { "collectors a", "" },
                { "mycollector a", "" },
                { "collector_dirs = { }", "" },
                { "collector \"\" {", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer got = {};
                char **titles = NULL;
                size_t n = 0;

                assert_int_equal(config_find_collectors(guarded(rows[i].text), &titles, &n), 0);
                assert_int_equal(buffer_add_string(&got, ""), 0);
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(buffer_addf(&got, "%s;", titles[k]), 0);
                if (strcmp(got.data, rows[i].found) != 0)
                        fail_msg("%s: \"%s\"", rows[i].text, got.data);
                string_list_clear(&titles, &n);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),         cmocka_unit_test(test_unreadable),
                cmocka_unit_test(test_no_plain_file), cmocka_unit_test(test_too_much_together),
                cmocka_unit_test(test_find),
        };

        return run_tap(tests);
}
