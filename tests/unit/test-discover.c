/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each case is a tree, made in a fresh folder, and what discover() says of its folders "a" and "b". */

#include <sys/stat.h>

#include "conf/config-list.h"
#include "conf/discover.h"
#include "unit/tap.h"
#include "unit/tree.h"

/* What was found is "NAME@INTERVAL=PATH" each, of folders "PATH;"; complaints are "PATH: what;". */
static const struct {
        const char *name, *tree, *items, *complaints;
} cases[] = {
        { "nothing", "", "", "" },
        { "empty folders", "d a d a/15", "", "" },
        { "plain", "x a/15/df.sh x a/0/tail.py", "df.sh@15=a/15/df.sh tail.py@0=a/0/tail.py", "" },
        { "sorted by name", "x a/60/b x a/15/c x a/0/a", "a@0=a/0/a b@60=a/60/b c@15=a/15/c", "" },
        { "not executable", "f a/15/README x a/15/run", "run@15=a/15/run", "" },
        { "hidden", "x a/15/.run x a/.15/run d a/15/.git", "", "" },
        { "folder, FIFO", "d a/15/dir p a/15/fifo", "", "" },
        { "other folders", "x a/lib/util x a/etc/conf x a/x15/run x a/__pycache__/run x a/README", "", "" },
        { "leading zeros", "x a/015/run", "run@15=a/015/run", "" },
        { "a unit", "x a/15s/run x a/1.5/run", "",
          "a/1.5: an interval is a number of seconds, without a unit;"
          "a/15s: an interval is a number of seconds, without a unit;" },
        { "a file named as an interval with a unit", "x a/15s x a/15", "", "" },
        { "a year and more", "x a/31536000/run x a/31536001/late x a/18446744073709551616/never",
          "run@31536000=a/31536000/run",
          "a/18446744073709551616: an interval of more than 365 days;"
          "a/31536001: an interval of more than 365 days;" },
        { "link to a file", "f c/real x c/run l a/15/run ../../c/run l a/15/real ../../c/real",
          "run@15=a/15/run", "" },
        { "link to a folder", "x c/run l a/15 ../c", "run@15=a/15/run", "" },
        { "broken link", "l a/15/run nowhere x a/15/ok", "ok@15=a/15/ok",
          "a/15/run: a link that leads nowhere;" },
        { "link in a circle", "l a/15/run run", "", "a/15/run: Too many levels of symbolic links;" },
        { "interval that cannot be read", "l a/15 15 x a/60/ok", "ok@60=a/60/ok",
          "a/15: Too many levels of symbolic links;" },
        { "folder that is a file", "x a x b/15/ok", "ok@15=b/15/ok", "a: Not a directory;" },
        { "first folder wins", "x a/60/run x b/15/run x b/15/own", "own@15=b/15/own run@60=a/60/run", "" },
        { "not executable overrides nothing", "f a/15/run x b/15/run", "run@15=b/15/run", "" },
        { "mask", "l a/15/run /dev/null x b/15/run x b/60/own", "own@60=b/60/own", "" },
        { "mask in the second folder", "x a/15/run l b/15/run /dev/null", "run@15=a/15/run", "" },
        { "mask through a link", "l c/none /dev/null l a/0/run ../../c/none x b/15/run", "", "" },
        { "another device is no mask", "l a/15/run /dev/zero x b/15/run", "run@15=b/15/run", "" },
        { "two intervals", "x a/300/run x a/60/run x a/9/run", "run@9=a/9/run",
          "a/60/run: there is one of this name under another interval;"
          "a/300/run: there is one of this name under another interval;" },
        { "two spellings of an interval", "x a/15/run x a/015/run", "run@15=a/015/run",
          "a/15/run: there is one of this name under another interval;" },
        { "mask and file in one folder", "l a/15/run /dev/null x a/60/run", "",
          "a/60/run: there is one of this name under another interval;" },
        { "control character", "x a/15/r\x1bn", "", "a/15/r\x1bn: a control character in its name;" },
};

typedef struct Seen {
        const char *root;
        Buffer text;
} Seen;

static void note(void *userdata, const char *path, const char *what) {
        Seen *seen = userdata;

        assert_int_equal(buffer_addf(&seen->text, "%s: %s;", path + strlen(seen->root) + 1, what), 0);
}

static void check_items(const char *name, const char *root, const Discovered *d, const char *want) {
        _cleanup_(buffer_done) Buffer got = {};

        assert_int_equal(buffer_add_string(&got, ""), 0);
        for (size_t i = 0; i < d->n; i++)
                assert_int_equal(buffer_addf(&got, "%s%s@%ju=%s", i > 0 ? " " : "", d->items[i].name,
                                             (uintmax_t) d->items[i].interval_sec,
                                             d->items[i].path + strlen(root) + 1),
                                 0);
        if (strcmp(got.data, want) != 0)
                fail_msg("%s: found \"%s\", not \"%s\"", name, got.data, want);
}

static void test_trees(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(discovered_done) Discovered d = {};
                _cleanup_(freep) char *a = NULL, *b = NULL;
                _cleanup_(tree_done) Tree t = {};
                Seen seen = { .root = t.root };

                tree_make(&t, cases[i].tree);
                a = tree_path(&t, "a");
                b = tree_path(&t, "b");

                assert_int_equal(buffer_add_string(&seen.text, ""), 0);
                assert_int_equal(discover((const char *const[]) { a, b }, 2, note, &seen, &d), 0);
                check_items(cases[i].name, t.root, &d, cases[i].items);
                if (strcmp(seen.text.data, cases[i].complaints) != 0)
                        fail_msg("%s: complains \"%s\"", cases[i].name, seen.text.data);
                buffer_done(&seen.text);
        }
}

static void test_folders(void **state _unused_) {
        static const struct {
                const char *tree, *folders;
        } rows[] = {
                { "", "" },
                { "x a", "" },
                { "d a/300 d a/15 x a/9 x b/015/run d b/lib d b/15s d b/.15", "a/15;a/300;b/015;" },
                { "d c l a/60 ../c l a/61 nowhere l a/62 62", "a/60;" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *a = NULL, *b = NULL;
                _cleanup_(buffer_done) Buffer got = {};
                _cleanup_(tree_done) Tree t = {};
                char **folders = NULL;
                size_t n = 0;

                tree_make(&t, rows[i].tree);
                a = tree_path(&t, "a");
                b = tree_path(&t, "b");
                assert_int_equal(discover_folders((const char *const[]) { a, b }, 2, &folders, &n), 0);
                assert_int_equal(buffer_add_string(&got, ""), 0);
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(buffer_addf(&got, "%s;", folders[k] + strlen(t.root) + 1), 0);
                assert_string_equal(got.data, rows[i].folders);
                string_list_clear(&folders, &n);
        }
}

static void test_same_file(void **state _unused_) {
        static const DiscoverItem a = { .dev = 1, .inode = 2, .size = 3, .mtime = { 4, 5 } };
        static const DiscoverItem others[] = {
                { .dev = 9, .inode = 2, .size = 3, .mtime = { 4, 5 } },
                { .dev = 1, .inode = 9, .size = 3, .mtime = { 4, 5 } },
                { .dev = 1, .inode = 2, .size = 9, .mtime = { 4, 5 } },
                { .dev = 1, .inode = 2, .size = 3, .mtime = { 9, 5 } },
                { .dev = 1, .inode = 2, .size = 3, .mtime = { 4, 9 } },
        };

        assert_true(discover_same_file(&a, &a));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_false(discover_same_file(&a, others + i));
}

static void count_complaint(void *userdata, const char *path _unused_, const char *what) {
        assert_string_equal(what, "these are too many collectors");
        (*(unsigned *) userdata)++;
}

/* 4096 collectors are enough; those beyond are complained of, and it is always the same that stay. */
static void test_too_many(void **state _unused_) {
        _cleanup_(discovered_done) Discovered d = {};
        _cleanup_(buffer_done) Buffer words = {};
        _cleanup_(tree_done) Tree t = {};
        unsigned n_complaints = 0;

        for (unsigned i = 0; i < 4099; i++)
                assert_int_equal(buffer_addf(&words, "x 0/c%04u ", i), 0);
        tree_make(&t, words.data);

        assert_int_equal(discover((const char *const[]) { t.root }, 1, count_complaint, &n_complaints, &d),
                         0);
        assert_int_equal(d.n, 4096);
        assert_int_equal(n_complaints, 3);
        assert_string_equal(d.items[4095].name, "c4095");
}

/* What tells a changed file is that of the file a link leads to, and complaints are optional. */
static void test_target(void **state _unused_) {
        _cleanup_(discovered_done) Discovered d = {};
        _cleanup_(tree_done) Tree t = {};
        struct stat st;

        tree_make(&t, "x real l 0/run ../real l 0/broken nowhere");
        assert_int_equal(fstatat(t.fd, "real", &st, 0), 0);

        assert_int_equal(discover((const char *const[]) { t.root }, 1, NULL, NULL, &d), 0);
        assert_int_equal(d.n, 1);
        assert_true(d.items[0].inode == st.st_ino && d.items[0].dev == st.st_dev);
        assert_true(d.items[0].size == st.st_size && d.items[0].mtime.tv_nsec == st.st_mtim.tv_nsec);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trees),     cmocka_unit_test(test_folders),
                cmocka_unit_test(test_same_file), cmocka_unit_test(test_target),
                cmocka_unit_test(test_too_many),
        };

        return run_tap(tests);
}
