/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/server-secrets.h"
#include "basic/file.h"
#include "unit/tap.h"

/* In place of a file's text: there is none. */
#define MISSING ((Slice) {})

#define LONG_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_1024                                                                                       \
        LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 \
                LONG_64 LONG_64 LONG_64 LONG_64

static const struct {
        const char *name;
        Slice text;
        int r;
        const char *want; /* the secret, or what is said behind the path */
} cases[] = {
        { "plain", SLICE("secret"), 0, "secret" },
        { "with a newline", SLICE("secret\n"), 0, "secret" },
        { "as an editor elsewhere ends a line", SLICE("secret\r\n"), 0, "secret" },
        { "white space belongs to it", SLICE(" a b \n"), 0, " a b " },
        { "what is special elsewhere", SLICE("\"a\\n:@#%\xc3\xa4"), 0, "\"a\\n:@#%\xc3\xa4" },
        { "long", SLICE(LONG_1024 LONG_1024 LONG_1024 LONG_1024), 0,
          LONG_1024 LONG_1024 LONG_1024 LONG_1024 },
        { "too long", SLICE(LONG_1024 LONG_1024 LONG_1024 LONG_1024 "x"), -EFBIG,
          ": too long for a password or token" },
        { "empty", SLICE(""), -EBADMSG, ": must be one line of text" },
        { "only a newline", SLICE("\n"), -EBADMSG, ": must be one line of text" },
        { "two lines", SLICE("a\nb\n"), -EBADMSG, ": must be one line of text" },
        { "a NUL", SLICE("a\0b"), -EBADMSG, ": must be one line of text" },
        { "missing", MISSING, -ENOENT, ": No such file or directory" },
};

static void write_file(const char *path, Slice text) {
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text), 0);
}

/* Each case as a file and as a credential, as a password and as a token. */
static void check_case(size_t i, const char *folder, bool is_credential, bool is_token) {
        _cleanup_(server_secrets_done) ServerSecrets secrets = {};
        _cleanup_(buffer_done) Buffer why = {};
        char path[256], empty[] = "", name[] = "tsd2";
        ConfigServer c = { .url = (char *) "http://h:1/",
                           .username = empty,
                           .password_file = empty,
                           .password_credential = empty,
                           .token_file = empty,
                           .token_credential = empty };
        char **where = is_token ? (is_credential ? &c.token_credential : &c.token_file) :
                                  (is_credential ? &c.password_credential : &c.password_file);
        SenderServer server;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        *where = is_credential ? name : path;
        (void) unlink(path);
        if (cases[i].text.p)
                write_file(path, cases[i].text);

        r = server_secrets_read(&c, folder, &secrets, &why);
        assert_int_equal(r, cases[i].r);
        server = server_secrets_apply(&c, &secrets);
        if (r < 0) {
                assert_null(secrets.password);
                assert_null(secrets.token);
                assert_memory_equal(why.data, path, strlen(path));
                assert_string_equal(why.data + strlen(path), cases[i].want);
                return;
        }

        assert_string_equal(is_token ? server.token : server.password, cases[i].want);
        assert_null(is_token ? server.password : server.token);
        assert_int_equal(why.n, 0);
}

static void test_cases(void **state _unused_) {
        char folder[] = "/tmp/test-secrets-XXXXXX", path[256];

        assert_non_null(mkdtemp(folder));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned how = 0; how < 4; how++) {
                        print_message("# %s, %u\n", cases[i].name, how);
                        check_case(i, folder, how & 1, how & 2);
                }

        (void) snprintf(path, sizeof(path), "%s/tsd2", folder);
        (void) unlink(path);
        assert_int_equal(rmdir(folder), 0);
}

static void test_no_credentials(void **state _unused_) {
        _cleanup_(server_secrets_done) ServerSecrets secrets = {};
        _cleanup_(buffer_done) Buffer why = {};
        char empty[] = "", name[] = "tsd2";
        ConfigServer c = { .password_file = empty,
                           .password_credential = name,
                           .token_file = empty,
                           .token_credential = empty };

        assert_int_equal(server_secrets_read(&c, NULL, &secrets, &why), -ENOENT);
        assert_string_equal(why.data, "credential 'tsd2': systemd has passed none (see LoadCredential= in "
                                      "systemd.exec(5))");
        c.password_credential = empty;
        assert_int_equal(server_secrets_read(&c, NULL, &secrets, &why), 0);
        assert_null(secrets.password);
        assert_null(secrets.token);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_no_credentials),
        };

        return run_tap(tests);
}
