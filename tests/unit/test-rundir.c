/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The run-time folder, with this user in place of root and of the agent. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/log.h"
#include "ctl/complaints.h"
#include "ctl/entries.h"
#include "ctl/rundir.h"
#include "unit/tap.h"
#include "unit/tree.h"

typedef struct Place {
        Tree tree;
        char *path;
        RunDir dir;
} Place;

static RunOwners owners(void) {
        return (RunOwners) { geteuid(), getegid(), geteuid(), getegid() };
}

static void place_make(Place *p, const char *words) {
        RunOwners o = owners();

        *p = (Place) { .dir = RUNDIR_CLOSED };
        tree_make(&p->tree, words);
        p->path = tree_path(&p->tree, "run");
        assert_int_equal(rundir_open(&p->dir, p->path, &o), 0);
}

static void place_done(Place *p) {
        rundir_close(&p->dir);
        free(p->path);
        tree_done(&p->tree);
}

static struct stat look(const Place *p, const char *path) {
        struct stat st;

        if (fstatat(p->tree.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                fail_msg("%s: %m", path);
        return st;
}

static void assert_mode(const Place *p, const char *path, mode_t want) {
        struct stat st = look(p, path);

        if (st.st_mode != want)
                fail_msg("%s has mode %o, not %o", path, st.st_mode, want);
}

static bool is_there(const Place *p, const char *path) {
        struct stat st;

        return fstatat(p->tree.fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* -- folders -- */

static void assert_folders(const Place *p) {
        assert_mode(p, "run", S_IFDIR | 0755);
        assert_mode(p, "run/col", S_IFDIR | 0750);
        assert_mode(p, "run/stalled", S_IFDIR | 0700);
}

static void test_folders(void **state _unused_) {
        static const char *const trees[] = {
                "",
                "d run",
                "d run d run/col d run/stalled",
                "d run f run/col p run/stalled",
                "d elsewhere f elsewhere/victim d run l run/col ../elsewhere l run/stalled nowhere",
        };

        for (size_t i = 0; i < ELEMENTSOF(trees); i++) {
                Place p;

                place_make(&p, trees[i]);
                assert_folders(&p);
                if (strstr(trees[i], "victim"))
                        assert_true(is_there(&p, "elsewhere/victim"));
                place_done(&p);
        }
}

static void test_folder_is_a_link(void **state _unused_) {
        RunDir d = RUNDIR_CLOSED;
        RunOwners o = owners();
        Tree tree;
        char *path;

        tree_make(&tree, "d elsewhere l run elsewhere");
        path = tree_path(&tree, "run");
        assert_true(rundir_open(&d, path, &o) < 0);
        assert_int_equal(d.fd, -1);
        free(path);
        tree_done(&tree);
}

static void test_folders_are_mended(void **state _unused_) {
        Place p;

        place_make(&p, "");
        assert_int_equal(fchmodat(p.tree.fd, "run/col", 0777, 0), 0);
        rundir_close(&p.dir);
        assert_int_equal(
                rundir_open(&p.dir, p.path, &(RunOwners) { geteuid(), getegid(), geteuid(), getegid() }), 0);
        assert_folders(&p);
        place_done(&p);
}

/* -- FIFOs -- */

#define FIFO (S_IFIFO | 0642)

static void test_fifo(void **state _unused_) {
        ino_t inode;
        Place p;

        place_make(&p, "");
        assert_int_equal(rundir_make_fifo(&p.dir, "a.py"), 1);
        assert_mode(&p, "run/col/a.py", FIFO);
        inode = look(&p, "run/col/a.py").st_ino;

        assert_int_equal(rundir_make_fifo(&p.dir, "a.py"), 0);
        assert_int_equal(look(&p, "run/col/a.py").st_ino, inode);

        /* what is wrong with one is mended, the FIFO stays the one that is held */
        assert_int_equal(fchmodat(p.tree.fd, "run/col/a.py", 0666, 0), 0);
        assert_int_equal(rundir_make_fifo(&p.dir, "a.py"), 0);
        assert_mode(&p, "run/col/a.py", FIFO);
        assert_int_equal(look(&p, "run/col/a.py").st_ino, inode);
        place_done(&p);
}

static void test_no_fifo(void **state _unused_) {
        Place p;

        place_make(&p,
                   "d run d run/col f victim f run/col/file d run/col/folder l run/col/link ../../victim "
                   "l run/col/loose nowhere d run/col/full f run/col/full/file f run/col/.new");
        assert_int_equal(fchmodat(p.tree.fd, "victim", 0600, 0), 0);

        assert_int_equal(rundir_make_fifo(&p.dir, "file"), 1);
        assert_int_equal(rundir_make_fifo(&p.dir, "folder"), 1);
        assert_int_equal(rundir_make_fifo(&p.dir, "link"), 1);
        assert_int_equal(rundir_make_fifo(&p.dir, "loose"), 1);
        assert_int_equal(rundir_make_fifo(&p.dir, "full"), -ENOTEMPTY);

        assert_mode(&p, "run/col/file", FIFO);
        assert_mode(&p, "run/col/folder", FIFO);
        assert_mode(&p, "run/col/link", FIFO);
        assert_mode(&p, "run/col/loose", FIFO);
        assert_mode(&p, "victim", S_IFREG | 0600);
        assert_false(is_there(&p, "run/col/.new"));
        place_done(&p);
}

static bool is_a(void *userdata, const char *instance) {
        assert_ptr_equal(userdata, "x");
        return strcmp(instance, "a") == 0;
}

static void test_sweep(void **state _unused_) {
        Place p;

        place_make(&p, "d run d run/col p run/col/a p run/col/b f run/col/.new d run/col/e "
                       "l run/col/l ../../victim f victim");
        assert_int_equal(rundir_sweep(&p.dir, is_a, (void *) (uintptr_t) "x"), 0);
        assert_true(is_there(&p, "run/col/a") && is_there(&p, "victim"));
        assert_false(is_there(&p, "run/col/b") || is_there(&p, "run/col/.new") ||
                     is_there(&p, "run/col/e") || is_there(&p, "run/col/l"));
        place_done(&p);
}

/* -- stalled/ -- */

static void test_stalled(void **state _unused_) {
        _cleanup_(names_done) Names names = {}, again = {};
        Place p;

        place_make(&p,
                   "d run d run/stalled f run/stalled/a.py f run/stalled/.hidden d run/stalled/folder "
                   "l run/stalled/link ../../victim f run/stalled/sp\\x20ace f run/stalled/wrong~ f victim");
        assert_int_equal(rundir_take_stalled(&p.dir, &names), 0);
        assert_true(is_there(&p, "victim"));
        for (size_t i = 0; i < names.n; i++)
                if (strcmp(names.names[i], "a.py") != 0 && strcmp(names.names[i], "sp\\x20ace") != 0 &&
                    strcmp(names.names[i], "link") != 0 && strcmp(names.names[i], "folder") != 0)
                        fail_msg("%s", names.names[i]);
        assert_int_equal(names.n, 4);

        assert_int_equal(rundir_take_stalled(&p.dir, &again), 0);
        assert_int_equal(again.n, 0);
        place_done(&p);
}

/* -- notes -- */

static void test_notes(void **state _unused_) {
        _cleanup_(buffer_done) Buffer b = {}, none = {};
        Place p;

        place_make(&p, "d run l run/.known.new ../victim f victim");
        assert_int_equal(rundir_read(&p.dir, "known", &none), 0);
        assert_int_equal(none.n, 0);

        assert_int_equal(rundir_write(&p.dir, "known", SLICE("one\n")), 0);
        assert_int_equal(rundir_write(&p.dir, "known", SLICE("two\n")), 0);
        assert_mode(&p, "run/known", S_IFREG | 0644);
        assert_int_equal(look(&p, "victim").st_size, 0);
        assert_int_equal(rundir_read(&p.dir, "known", &b), 0);
        assert_string_equal(b.data, "two\n");

        assert_int_equal(rundir_write_private(&p.dir, "secret", SLICE("three\n")), 0);
        assert_mode(&p, "run/secret", S_IFREG | 0600);

        assert_int_equal(rundir_remove(&p.dir, "known"), 0);
        assert_int_equal(rundir_remove(&p.dir, "known"), 0);
        assert_false(is_there(&p, "run/known"));
        place_done(&p);
}

static void test_lock(void **state _unused_) {
        RunDir other = RUNDIR_CLOSED;
        RunOwners o = owners();
        Place p;

        place_make(&p, "");
        assert_int_equal(rundir_open(&other, p.path, &o), 0);
        assert_int_equal(rundir_lock(&p.dir, 0), 0);
        assert_int_equal(rundir_lock(&other, 0), -ETIMEDOUT);
        rundir_close(&p.dir);
        assert_int_equal(rundir_lock(&other, 0), 0);
        rundir_close(&other);
        place_done(&p);
}

/* -- complaints -- */

static void count_line(void *userdata, int level, const char *line _unused_) {
        unsigned *n = userdata;

        assert_int_equal(level, LOG_WARNING);
        (*n)++;
}

/* One run that has these complaints, NULL at the end; returns how many were said. */
static unsigned complain_of(Place *p, const char *const *lines) {
        _cleanup_(complaints_done) Complaints c = {};
        unsigned n = 0;

        assert_int_equal(complaints_load(&c, &p->dir), 0);
        log_set_sink(count_line, &n);
        for (; *lines; lines++)
                complain(&c, "%s", *lines);
        log_set_sink(NULL, NULL);
        assert_int_equal(complaints_store(&c, &p->dir), 0);
        return n;
}

static void test_complaints(void **state _unused_) {
        static const struct {
                const char *const lines[4];
                unsigned said;
        } runs[] = {
                { { "a.conf:1: no such option" }, 1 },
                { { "a.conf:1: no such option" }, 0 },
                { { "a.conf:1: no such option", "b: gone", "b: gone" }, 1 },
                { { "b: gone" }, 0 },
                { { "a.conf:1: no such option", "b: gone" }, 1 },
                { {}, 0 },
                { { "b: gone", "two\nlines" }, 2 },
                { { "two\nlines", "b: gone" }, 0 },
        };
        Place p;

        place_make(&p, "");
        for (size_t i = 0; i < ELEMENTSOF(runs); i++) {
                unsigned said = complain_of(&p, runs[i].lines);

                if (said != runs[i].said)
                        fail_msg("run %zu said %u, not %u", i, said, runs[i].said);
        }
        place_done(&p);
}

/* -- known -- */

static void test_entries(void **state _unused_) {
        static const struct {
                const char *name, *text, *want;
        } rows[] = {
                { "empty", "", "" },
                { "two, sorted", "b 00000000000000ff timer\na 0123456789abcdef service\n",
                  "a 0123456789abcdef service\nb 00000000000000ff timer\n" },
                { "twice, the last", "a 0000000000000001 timer\na 0000000000000002 service\n",
                  "a 0000000000000002 service\n" },
                { "escaped", "a\\x20b 0000000000000001 timer\n", "a\\x20b 0000000000000001 timer\n" },
                { "no newline", "a 0000000000000001 timer", "" },
                { "short digest", "a 1 timer\nb 0000000000000001 timer\n", "b 0000000000000001 timer\n" },
                { "capital digit", "a 000000000000000A timer\n", "" },
                { "no kind", "a 0000000000000001\n", "" },
                { "other kind", "a 0000000000000001 socket\n", "" },
                { "more", "a 0000000000000001 timer x\n", "" },
                { "bad instance", ".a 0000000000000001 timer\na/b 0000000000000001 timer\n", "" },
                { "nothing in lines", "\n\n \n  \n", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(entries_done) Entries e = {};
                _cleanup_(buffer_done) Buffer b = {};

                assert_int_equal(buffer_add_string(&b, ""), 0);
                assert_int_equal(entries_parse(guarded(rows[i].text), &e), 0);
                assert_int_equal(entries_format(&e, &b), 0);
                if (strcmp(b.data, rows[i].want) != 0)
                        fail_msg("%s: \"%s\"", rows[i].name, b.data);
        }
}

static void test_entries_remove(void **state _unused_) {
        _cleanup_(entries_done) Entries e = {};
        char name[16];

        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), "c%u", i * 37 % 100);
                assert_int_equal(entries_set(&e, &(PlanEntry) { name, i, PLAN_PERIODIC }), 0);
        }
        assert_int_equal(e.n, 100);
        for (unsigned i = 0; i < 100; i += 2) {
                (void) snprintf(name, sizeof(name), "c%u", i);
                entries_remove(&e, name);
                entries_remove(&e, name);
        }

        assert_int_equal(e.n, 50);
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), "c%u", i);
                assert_int_equal(entries_find(&e, name) != NULL, i % 2);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_folders),
                cmocka_unit_test(test_folder_is_a_link),
                cmocka_unit_test(test_folders_are_mended),
                cmocka_unit_test(test_fifo),
                cmocka_unit_test(test_no_fifo),
                cmocka_unit_test(test_sweep),
                cmocka_unit_test(test_stalled),
                cmocka_unit_test(test_notes),
                cmocka_unit_test(test_lock),
                cmocka_unit_test(test_complaints),
                cmocka_unit_test(test_entries),
                cmocka_unit_test(test_entries_remove),
        };

        return run_tap(tests);
}
