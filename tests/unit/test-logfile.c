/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/logfile.h"
#include "basic/buffer.h"
#include "basic/file.h"
#include "basic/log.h"
#include "unit/tap.h"

#define NOON (UINT64_C(1767225600) * USEC_PER_SEC) /* 2026-01-01 00:00:00 UTC */

/* Every test begins in an empty folder of its own. */
static int setup(void **state _unused_) {
        char dir[] = "/tmp/test-logfile-XXXXXX";

        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        tzset();
        return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                        struct FTW *ftw _unused_) {
        return remove(path);
}

static int teardown(void **state _unused_) {
        char dir[64];

        assert_non_null(getcwd(dir, sizeof(dir)));
        assert_int_equal(chdir("/"), 0);
        return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* What `name` holds; "-" where it does not exist. */
static void assert_content(const char *name, const char *want) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = file_read_at(AT_FDCWD, name, 1 << 20, &b);

        if (r == -ENOENT)
                assert_int_equal(buffer_add_string(&b, "-"), 0);
        assert_string_equal(b.data, want);
}

static void test_format(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(logfile_open(&f, "log", 0, 0), 0);
        logfile_write(f, NOON + 1999, LOG_WARNING, "text");
        logfile_write(f, NOON + 86399 * USEC_PER_SEC + 999999, LOG_ERR, "a\tb\nc\x1b[2J");
        logfile_write(f, NOON, 99, "odd level");
        assert_content("log", "2026-01-01 00:00:00.001 warning: text\n"
                              "2026-01-01 23:59:59.999 error: a\tb?c?[2J\n"
                              "2026-01-01 00:00:00.000 message: odd level\n");

        f = logfile_free(f);
        assert_int_equal(logfile_open(&f, "log", 0, 0), 0);
        logfile_write(f, NOON, LOG_INFO, "appended");
        assert_content("log", "2026-01-01 00:00:00.001 warning: text\n"
                              "2026-01-01 23:59:59.999 error: a\tb?c?[2J\n"
                              "2026-01-01 00:00:00.000 message: odd level\n"
                              "2026-01-01 00:00:00.000 info: appended\n");
        assert_int_equal(logfile_open(&f, "no/log", 0, 0), -ENOENT);
}

static void test_sink(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;
        _cleanup_(buffer_done) Buffer b = {};

        assert_int_equal(logfile_open(&f, "log", 0, 0), 0);
        log_set_sink(logfile_sink, f);
        errno = EXDEV;
        log_notice("hello");
        assert_int_equal(errno, EXDEV);
        log_set_sink(NULL, NULL);

        assert_int_equal(file_read_at(AT_FDCWD, "log", 1 << 20, &b), 0);
        assert_non_null(strstr(b.data, " notice: hello\n"));
}

#define LINE(x) "2026-01-01 00:00:00.000 info: " x "\n" /* 32 bytes where x has one */

/* After each of the letters a to e is logged: what is in the file, and in its backups. */
static const struct {
        const char *name;
        uint64_t max_bytes, backup_count;
        const char *files[4];
} rotations[] = {
        { "never", 0, 3, { LINE("a") LINE("b") LINE("c") LINE("d") LINE("e"), "-", "-", "-" } },
        { "no backups", 70, 0, { LINE("a") LINE("b") LINE("c") LINE("d") LINE("e"), "-", "-", "-" } },
        { "one backup", 70, 1, { LINE("e"), LINE("c") LINE("d"), "-", "-" } },
        { "three backups", 70, 3, { LINE("e"), LINE("c") LINE("d"), LINE("a") LINE("b"), "-" } },
        { "two of many", 40, 2, { LINE("e"), LINE("d"), LINE("c"), "-" } },
        { "to the byte", 64, 3, { LINE("e"), LINE("d"), LINE("c"), LINE("b") } },
        { "one more", 65, 3, { LINE("e"), LINE("c") LINE("d"), LINE("a") LINE("b"), "-" } },
        { "lines larger than that", 5, 3, { LINE("e"), LINE("d"), LINE("c"), LINE("b") } },
};

static void test_rotation(void **state _unused_) {
        static const char *const names[] = { "log", "log.1", "log.2", "log.3" };

        for (size_t i = 0; i < ELEMENTSOF(rotations); i++) {
                _cleanup_(logfile_freep) LogFile *f = NULL;

                assert_int_equal(logfile_open(&f, "log", rotations[i].max_bytes, rotations[i].backup_count),
                                 0);
                for (const char *text = "a\0b\0c\0d\0e\0"; *text; text += 2)
                        logfile_write(f, NOON, LOG_INFO, text);
                for (size_t k = 0; k < ELEMENTSOF(names); k++) {
                        assert_content(names[k], rotations[i].files[k]);
                        (void) unlink(names[k]);
                }
        }
}

/* The size of what was there before counts. */
static void test_rotation_after_start(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(logfile_open(&f, "log", 70, 1), 0);
        logfile_write(f, NOON, LOG_INFO, "a");
        logfile_write(f, NOON, LOG_INFO, "b");
        f = logfile_free(f);
        assert_int_equal(logfile_open(&f, "log", 70, 1), 0);
        logfile_write(f, NOON, LOG_INFO, "c");
        assert_content("log", LINE("c"));
        assert_content("log.1", LINE("a") LINE("b"));
}

/* A file that cannot be moved (a folder that is not empty is in the place of its backup) grows. */
static void test_rotation_fails(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(mkdir("log.1", 0755), 0);
        assert_int_equal(mkdir("log.1/x", 0755), 0);
        assert_int_equal(logfile_open(&f, "log", 40, 1), 0);
        logfile_write(f, NOON, LOG_INFO, "a");
        logfile_write(f, NOON, LOG_INFO, "b");
        assert_content("log", LINE("a") LINE("b"));

        assert_int_equal(rmdir("log.1/x"), 0);
        assert_int_equal(rmdir("log.1"), 0);
        logfile_write(f, NOON, LOG_INFO, "c");
        assert_content("log", LINE("c"));
        assert_content("log.1", LINE("a") LINE("b"));
}

static void test_reopen(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(logfile_open(&f, "log", 0, 0), 0);
        logfile_write(f, NOON, LOG_INFO, "a");
        assert_int_equal(rename("log", "old"), 0);
        logfile_write(f, NOON, LOG_INFO, "b");
        assert_int_equal(logfile_reopen(f), 0);
        logfile_write(f, NOON, LOG_INFO, "c");
        assert_content("old", LINE("a") LINE("b"));
        assert_content("log", LINE("c"));
}

/* Where there can be no new file yet, the old one is good enough, and the new one is tried for at every
 * line. */
static void test_reopen_fails(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(mkdir("d", 0755), 0);
        assert_int_equal(logfile_open(&f, "d/log", 40, 1), 0);
        logfile_write(f, NOON, LOG_INFO, "a");
        assert_int_equal(rename("d", "e"), 0);
        assert_int_equal(logfile_reopen(f), -ENOENT);
        logfile_write(f, NOON, LOG_INFO, "b");
        assert_content("e/log", LINE("a") LINE("b"));

        assert_int_equal(mkdir("d", 0755), 0);
        logfile_write(f, NOON, LOG_INFO, "c");
        assert_content("d/log", LINE("c"));
        assert_content("d/log.1", "-");
}

/* A full disk: nothing happens but that lines are missing, and said to be. */
static void test_no_space(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;

        assert_int_equal(symlink("/dev/full", "log"), 0);
        assert_int_equal(logfile_open(&f, "log", 40, 1), 0);
        for (size_t i = 0; i < 12; i++)
                logfile_write(f, NOON, LOG_INFO, "a");
        assert_content("log.1", "-");

        assert_int_equal(unlink("log"), 0);
        assert_int_equal(logfile_reopen(f), 0);
        logfile_write(f, NOON, LOG_INFO, "b");
        assert_content("log", "2026-01-01 00:00:00.000 warning: 12 lines could not be written here: "
                              "No space left on device\n" LINE("b"));
}

/* What is no regular file is never moved out of its place, however much was written to it. */
static void test_device(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;
        struct stat st;

        assert_int_equal(symlink("/dev/null", "log"), 0);
        assert_int_equal(logfile_open(&f, "log", 40, 1), 0);
        for (size_t i = 0; i < 3; i++)
                logfile_write(f, NOON, LOG_INFO, "a");
        assert_content("log.1", "-");
        assert_int_equal(lstat("log", &st), 0);
}

/* Half a line was written when the space ran out: the next one does not go on in its middle. */
static void test_torn(void **state _unused_) {
        _cleanup_(logfile_freep) LogFile *f = NULL;
        struct rlimit before, small;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = (struct rlimit) { 40, before.rlim_max };
        (void) signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(logfile_open(&f, "log", 0, 0), 0);

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        logfile_write(f, NOON, LOG_INFO, "a");
        logfile_write(f, NOON, LOG_INFO, "b");
        logfile_write(f, NOON, LOG_INFO, "c");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        logfile_write(f, NOON, LOG_INFO, "d");

        assert_content("log", LINE("a") "2026-01-\n"
                                        "2026-01-01 00:00:00.000 warning: 2 lines could not be written "
                                        "here: File too large\n" LINE("d"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_format, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sink, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rotation_after_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rotation_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reopen_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
                cmocka_unit_test_setup_teardown(test_device, setup, teardown),
                cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
        };

        return run_tap(tests);
}
