/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "conf/instance.h"
#include "unit/tap.h"

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A200 A50 A50 A50 A50

static const struct {
        const char *name, *instance; /* NULL: refused */
        int r;
} names[] = {
        { "df.sh", "df.sh", 0 },
        { "my-col_2.PY", "my-col_2.PY", 0 },
        { "-", "-", 0 },
        { "a.", "a.", 0 },
        { "a b", "a\\x20b", 0 },
        { "a:b@c", "a\\x3ab\\x40c", 0 },
        { "a\\x20b", "a\\x5cx20b", 0 },
        { "100%", "100\\x25", 0 },
        { "~", "\\x7e", 0 },
        { "caf\xc3\xa9", "caf\\xc3\\xa9", 0 },
        { "\x01\xff", "\\x01\\xff", 0 },
        { A200, A200, 0 },
        { A50 A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
          A50 A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\x20", 0 },
        { A50 A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ", NULL, -ENAMETOOLONG },
        { A200 "a", NULL, -ENAMETOOLONG },
        { A200 A200, NULL, -ENAMETOOLONG },
        { "", NULL, -EINVAL },
        { ".hidden", NULL, -EINVAL },
        { "..", NULL, -EINVAL },
        { "a/b", NULL, -EINVAL },
        { "/", NULL, -EINVAL },
};

static void test_names(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *instance = NULL, *name = NULL;

                if (instance_from_name(names[i].name, &instance) != names[i].r)
                        fail_msg("%s: not %d", names[i].name, names[i].r);
                if (names[i].r < 0) {
                        assert_null(instance);
                        continue;
                }

                assert_string_equal(instance, names[i].instance);
                assert_int_equal(instance_to_name(guarded(instance), &name), 0);
                assert_string_equal(name, names[i].name);
        }
}

/* No two instances are of one name, and none is a path or the name of a hidden file. */
static void test_not_made_here(void **state _unused_) {
        static const char *const rows[] = {
                "",       ".",           ".a",    "a b",  "a/b", "a\\x2fb", "a\\x00b", "a\\x61",
                "a\\x2d", "\\x2e\a",     "\\xC3", "\\x3", "\\x", "\\",      "a\\y20",  "\\x2g",
                "a\n",    "caf\xc3\xa9", "a@b",   "a:b",  "%i",  "\\x5f",
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *name = NULL;

                if (instance_to_name(guarded(rows[i]), &name) != -EINVAL)
                        fail_msg("%s: taken", rows[i]);
                assert_null(name);
        }
        assert_int_equal(instance_to_name(guarded(A200 "a"), &(char *) { NULL }), -EINVAL);
}

static void test_every_byte(void **state _unused_) {
        for (unsigned c = 1; c < 256; c++) {
                _cleanup_(freep) char *instance = NULL, *name = NULL;
                char text[] = { 'a', (char) c, 'z', '\0' };

                if (instance_from_name(text, &instance) < 0) {
                        assert_int_equal(c, '/');
                        continue;
                }
                assert_int_equal(strspn(instance, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                  "0123456789_.-\\"),
                                 strlen(instance));
                assert_int_equal(instance_to_name(guarded(instance), &name), 0);
                assert_string_equal(name, text);
        }
}

static void test_units(void **state _unused_) {
        static const struct {
                const char *unit, *want;
        } rows[] = {
                { "tcollector-col@df.sh.service", "df.sh" },
                { "tcollector-col@a\\x20b.service", "a\\x20b" },
                { "tcollector-col@.service.service", NULL },
                { "tcollector-col@.service", NULL },
                { "tcollector-col@a@b.service", NULL },
                { "tcollector-col@a b.service", NULL },
                { "tcollector-col@a.timer", NULL },
                { "tcollector-col-retry@a.service", NULL },
                { "tcollector-col@", NULL },
                { "tcollector-col@service", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Slice got = {};

                if (instance_from_unit(rows[i].unit, "tcollector-col@", ".service", &got) != !!rows[i].want)
                        fail_msg("%s: %s", rows[i].unit, rows[i].want ? "not taken" : "taken");
                assert_true(slice_equal(got, slice_from_string(rows[i].want)));
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_not_made_here),
                cmocka_unit_test(test_every_byte),
                cmocka_unit_test(test_units),
        };

        return run_tap(tests);
}
