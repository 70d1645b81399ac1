/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "conf/config-table.h"
#include "conf/hostport.h"
#include "unit/config-rows.h"

/* A file and the one line of the dump it must have made, or the fault it must be refused for. */
static const struct {
        const char *name, *text, *want;
} good[] = {
        { "empty", "", "max_tags = 8" },
        { "space", " \t\r\n\n", "max_tags = 8" },
        { "comments", "# a\n// b\n/* c\n d */ max_tags = 5 # e\n", "max_tags = 5" },
        { "empty comment first", "#\nmax_tags=5", "max_tags = 5" },
        { "comment of 32 bytes", "# 345678901234567890123456789012\nmax_tags=5", "max_tags = 5" },
        { "comment in a list", "tags = { # one\n \"a=b\", // two\n /* three */ }", "tags = { \"a=b\" }" },
        { "comment behind a string", "bad_chars = \"replace\"//x", "bad_chars = \"replace\"" },
        { "no comment in a URL", "server m { url = telnet://h }", "        url = \"telnet://h:4242\"" },
        { "no comment in a string", "tags = { \"a=//b\" }", "tags = { \"a=//b\" }" },
        { "boolean words", "self_stats = off\ndedup_only_zero = yes", "self_stats = false" },
        { "time span", "dedup_interval = \"1.5min\"", "dedup_interval = \"1min 30s\"" },
        { "bare seconds", "dedup_interval = 300", "dedup_interval = \"5min\"" },
        { "zero", "dedup_interval = 0", "dedup_interval = \"0\"" },
        { "size", "queue_size = \"16384K\"", "queue_size = \"16M\"" },
        { "size in bytes", "queue_size = 65537", "queue_size = \"65537\"" },
        { "choice", "bad_chars = replace", "bad_chars = \"replace\"" },
        { "prefix", "namespace_prefix = 'team.x'", "namespace_prefix = \"team.x\"" },
        { "no prefix", "namespace_prefix = \"\"", "namespace_prefix = \"\"" },
        { "tags", "tags = { \"b=2\", 'a=1' }\ntags += { c=3 }", NULL },
        { "tags", "tags = { \"b=2\", 'a=1' }\ntags += { \"c=3\" }", "tags = { \"b=2\", \"a=1\", \"c=3\" }" },
        { "folders", "collector_dirs = { /a, \"/b c\" }", "collector_dirs = { \"/a\", \"/b c\" }" },
        { "no folders", "collector_dirs = {}", "collector_dirs = { }" },
        { "odd folder", "collector_dirs = { '/a\"$\\{}' }", "collector_dirs = { \"/a\\\"\\$\\\\{}\" }" },
        { "server", "server \"main\" { url = \"telnet://tsd1:4243\" }",
          "        url = \"telnet://tsd1:4243\"" },
        { "v6 server", "server \"main\" { url = \"telnet://[::1]\" }",
          "        url = \"telnet://[::1]:4242\"" },
        { "odd title", "server 'a\"${b}' { url = \"telnet://h\" }", "server \"a\\\"\\${b}\" {" },
};

#define NO_TAG "must be KEY=VALUE, the key of [-_.a-zA-Z0-9], the value of [-_./a-zA-Z0-9]"
#define NO_SCHEME "must be telnet://HOST:PORT, telnets://, http:// or https://"
#define NOT_EXPANDED "${...} is not expanded; in a string, write \\\\${"

static const struct {
        const char *name, *text, *why;
} bad[] = {
        { "unknown key", "# x\n# y\n\nfoo = 1", "f:4: no such option 'foo'" },
        { "unknown section", "colector \"a\" {\n}", "f:1: no such option 'colector'" },
        { "unknown in server", "server \"m\" {\n  color = red\n}", "f:2: no such option 'color'" },
        { "include", "include(\"/etc/passwd\")", "f:1: no such option 'include'" },
        { "the anchor", "| = 5", "f:1: no such option '|'" },
        { "the anchor in a server", "server m { \"|\" = 5 }", "f:1: no such option '|'" },
        { "path into a section", "server m { url = \"telnet://h\" }\nserver|url = \"telnet://i\"",
          "f:2: no such option 'url'" },
        { "empty key", "\n\"\" = 3", "f:2: this is no setting" },
        { "no value", "max_tags =", "f:1: premature end of file" },
        { "no equal sign", "max_tags\n8", "f:2: missing equal sign after option 'max_tags'" },
        { "twice", "max_tags = 5\nmax_tags = 6", "f:2: max_tags is set twice" },
        { "url twice", "server m {\nurl = \"telnet://h\"\nurl = \"telnet://i\"\n}",
          "f:3: url is set twice" },
        { "no boolean", "self_stats = 2", "f:1: self_stats = \"2\": must be true or false" },
        { "no number", "max_tags = eight", "f:1: max_tags = \"eight\": must be a number from 1 to 64" },
        { "too many", "max_tags = 65", "f:1: max_tags = \"65\": must be a number from 1 to 64" },
        { "too few", "max_tags = 0", "f:1: max_tags = \"0\": must be a number from 1 to 64" },
        { "no comment in a word", "max_tags = 5//x",
          "f:1: max_tags = \"5//x\": must be a number from 1 to 64" },
        { "semicolon", "max_tags = 5;", "f:1: max_tags = \"5;\": must be a number from 1 to 64" },
        { "no span", "evict_interval = soon",
          "f:1: evict_interval = \"soon\": must be a time span from 1s to 365d" },
        { "infinite span", "inactivity = infinity",
          "f:1: inactivity = \"infinity\": must be a time span from 0 to 365d" },
        { "small size", "queue_size = 1K", "f:1: queue_size = \"1K\": must be a size from 64K to 1T" },
        { "size beyond 64 bits", "queue_size = 99999999999T",
          "f:1: queue_size = \"99999999999T\": must be a size from 64K to 1T" },
        { "no size", "queue_size = M", "f:1: queue_size = \"M\": must be a size from 64K to 1T" },
        { "no choice", "bad_chars = keep", "f:1: bad_chars = \"keep\": must be reject or replace" },
        { "bad prefix", "namespace_prefix = \"a b\"",
          "f:1: namespace_prefix = \"a b\": must have no characters but [-_./a-zA-Z0-9]" },
        { "tag without value", "tags = { \"a=\" }", "f:1: tags = \"a=\": " NO_TAG },
        { "tag without key", "tags = { \"=b\" }", "f:1: tags = \"=b\": " NO_TAG },
        { "tag that is none", "tags = { \"ab\" }", "f:1: tags = \"ab\": " NO_TAG },
        { "slash in a key", "tags = { \"a/b=c\" }", "f:1: tags = \"a/b=c\": " NO_TAG },
        { "second line of a list", "tags = { \"a=b\",\n\"b=c d\" }", "f:2: tags = \"b=c d\": " NO_TAG },
        { "tag twice", "tags = { \"a=b\", \"a=c\" }",
          "f:1: tags = \"a=c\": there is a tag of this key already" },
        { "relative folder", "collector_dirs = { here }",
          "f:1: collector_dirs = \"here\": must be an absolute path" },
        { "no url", "server m {\n}", "f:2: server \"m\" has no url" },
        { "no title", "server { url = x }", "f:1: missing title for section 'server'" },
        { "empty title", "server \"\" { url = \"telnet://h\" }",
          "f:1: a server has a title, without control characters: server \"main\" {" },
        { "title twice", "server m { url = \"telnet://h\" }\nserver m { }",
          "f:2: found duplicate title 'm'" },
        { "no scheme", "server m { url = \"tsd1:4242\" }", "f:1: url = \"tsd1:4242\": " NO_SCHEME },
        { "path in a URL", "server m { url = \"telnet://h/x\" }",
          "f:1: url = \"telnet://h/x\": a telnet URL has no path" },
        { "open string", "max_tags = 5\ntags = { \"a=b\n }\n",
          "f:2: this string is not closed in its line" },
        { "open string at the end", "tags = { 'a", "f:1: this string is not closed in its line" },
        { "backslash at the end", "tags = { 'a\\", "f:1: this string is not closed in its line" },
        { "continued line", "tags = { \"a=\\\nb\" }", "f:1: this string is not closed in its line" },
        { "open comment", "\n/* x\nmax_tags = 5", "f:2: this comment has no end" },
        { "half a comment", "/*/", "f:1: this comment has no end" },
        { "variable", "tags = { \"a=${HOME}\" }", "f:1: " NOT_EXPANDED },
        { "bare variable", "max_tags = ${HOME}", "f:1: " NOT_EXPANDED },
        { "brace too many", "}", "f:1: unexpected closing brace" },
        { "brace too few", "\nserver m {\nurl = \"telnet://h\"\n", "f:2: this { is not closed" },
        { "brace in a comment", "server m { url = \"telnet://h\" # }", "f:1: this { is not closed" },
        { "list that is not closed", "tags = { \"a=b\"\nmax_tags = 5", "f:1: this { is not closed" },
        { "bad escape", "tags = { \"\\400\" }", "f:1: invalid octal number '\\\\400'" },
        { "control character", "\"a\x1b[2J\" = 1", "f:1: no such option 'a\\x1b[2J'" },
};

static char *dump(const Config *c) {
        Buffer b = {};

        assert_int_equal(config_dump(c, &b), 0);
        return b.data;
}

static bool has_line(const char *text, const char *line) {
        size_t n = strlen(line);

        for (const char *p = text; (p = strstr(p, line)); p++)
                if ((p == text || p[-1] == '\n') && p[n] == '\n')
                        return true;

        return false;
}

static void test_good(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_(config_freep) Config *c = NULL, *again = NULL;
                _cleanup_(freep) char *text = NULL, *text_again = NULL;
                _cleanup_(buffer_done) Buffer why = {};

                assert_int_equal(config_new(&c), 0);
                if (config_read_text(c, guarded(good[i].text), "f", &why) != (good[i].want ? 0 : -EINVAL))
                        fail_msg("%s: %s", good[i].name, why.data);
                if (!good[i].want)
                        continue;

                text = dump(c);
                if (!has_line(text, good[i].want))
                        fail_msg("%s: %s", good[i].name, text);

                assert_int_equal(config_new(&again), 0);
                if (config_read_text(again, guarded(text), "f", &why) < 0)
                        fail_msg("%s: dump not read back: %s", good[i].name, why.data);
                text_again = dump(again);
                assert_string_equal(text, text_again);
        }
}

static void test_bad(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_refused(bad[i].name, bad[i].text, bad[i].why);
}

static void test_nul(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {};

        assert_int_equal(config_new(&c), 0);
        assert_int_equal(
                config_read_text(c, guarded_slice(SLICE("max_tags = 5\n\0max_tags = 6")), "f", &why),
                -EINVAL);
        assert_string_equal(why.data, "f:2: there is a NUL byte in this line");
}

/* Every default must satisfy the row's own bounds and be what the dump writes; a line of documentation ends
 * as one. */
static void test_table(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;

        assert_int_equal(config_new(&c), 0);
        CONFIG_FOREACH_KEY(k, config_keys) {
                _cleanup_(buffer_done) Buffer value = {};
                const char *end = k->doc + strlen(k->doc) - 1;

                assert_int_equal(*end, '.');
                if (config_key_is_list(k))
                        continue;

                assert_int_equal(config_key_format(k, c, &value), 0);
                if (value.data[0] == '"') {
                        value.data[value.n - 1] = '\0';
                        assert_string_equal(value.data + 1, k->fallback);
                } else
                        assert_string_equal(value.data, k->fallback);
        }
        assert_int_equal(c->n_collector_dirs, 2);
        assert_true(c->dedup_interval == 300 * USEC_PER_SEC && c->evict_interval == 6000 * USEC_PER_SEC);
        assert_true(c->inactivity == 600 * USEC_PER_SEC && c->reconnect_interval == 0);
        assert_true(c->self_stats && !c->dedup_only_zero && !c->replace_bad_chars);
        assert_int_equal(c->n_tags + c->n_servers, 0);
}

static void test_set(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {};

        assert_int_equal(config_new(&c), 0);
        assert_int_equal(config_set(c, "max_tags", "3", &why), 0);
        assert_int_equal(c->max_tags, 3);
        assert_int_equal(config_set(c, "max_tags", "many", &why), -EINVAL);
        assert_string_equal(why.data, "must be a number from 1 to 64");
        assert_int_equal(c->max_tags, 3);
        assert_int_equal(config_set(c, "no_such", "3", &why), -ENOENT);
        assert_int_equal(config_set(c, "tags", "a=b", &why), -ENOENT);
}

static void test_servers(void **state _unused_) {
        static const struct {
                const char *title, *url;
                int r;
        } rows[] = {
                { "a", "telnet://h", 0 },      { "a", "telnet://i", -EEXIST },
                { "b", "telnet://h:1", 0 },    { "c", "telnets://h:1", 0 },
                { "d", "http://h:1", 0 },      { "e", "ftp://h:1", -EINVAL },
                { "e", "telnet://", -EINVAL }, { "e", "", -EINVAL },
                { "", "telnet://h", -EINVAL }, { "e\n", "telnet://h", -EINVAL },
        };
        _cleanup_(config_freep) Config *c = NULL;

        assert_int_equal(config_new(&c), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(config_add_server(c, rows[i].title, rows[i].url), rows[i].r);
        assert_int_equal(c->n_servers, 4);
        assert_true(config_remove_server(c, "a"));
        assert_false(config_remove_server(c, "a"));
        assert_string_equal(c->servers[0].url, "telnet://h:1");
        config_clear_servers(c);
        assert_int_equal(c->n_servers, 0);
}

static void test_bounds(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        int tag = 0, server = 0, dir = 0;

        assert_int_equal(config_new(&c), 0);
        for (unsigned i = 0; i < CONFIG_LIST_MAX + 1; i++) {
                char text[64];

                (void) snprintf(text, sizeof(text), "k%u=v", i);
                tag = config_add_tag(c, text);
                server = config_add_server(c, text, "telnet://h");
                dir = config_add_dir(c, "/x");
        }
        assert_int_equal(tag, -E2BIG);
        assert_int_equal(server, -E2BIG);
        assert_int_equal(dir, -E2BIG);
        assert_true(config_remove_tag(c, SLICE("k0")));
        assert_false(config_remove_tag(c, SLICE("k0")));
        assert_int_equal(c->n_tags, CONFIG_LIST_MAX - 1);
}

static void test_check(void **state _unused_) {
        static const struct {
                const char *text, *why; /* NULL: good */
        } rows[] = {
                { "dedup_interval = 6000", "evict_interval must be more than dedup_interval" },
                { "dedup_interval = 5999", NULL },
                { "max_tags = 1 tags = { \"host=a\" }", NULL },
                { "max_tags = 1 tags = { \"a=b\" }",
                  "2 tags, that of the host included, are more than max_tags allows (1)" },
                { "max_tags = 2 tags = { \"a=b\" }", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_freep) Config *c = NULL;
                _cleanup_(buffer_done) Buffer why = {};

                assert_int_equal(config_new(&c), 0);
                assert_int_equal(config_read_text(c, guarded(rows[i].text), "f", &why), 0);
                assert_int_equal(config_check(c, &why), rows[i].why ? -EINVAL : 0);
                if (rows[i].why)
                        assert_string_equal(why.data, rows[i].why);
        }
}

static void write_file(const char *dir, const char *name, const char *text) {
        _cleanup_(close_fdp) int fd = -1;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, slice_from_string(text)), 0);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                        struct FTW *ftw _unused_) {
        return remove(path);
}

static void test_load(void **state _unused_) {
        char dir[] = "/tmp/test-config-XXXXXX", main_file[64], drop_ins[64];
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {};

        assert_non_null(mkdtemp(dir));
        (void) snprintf(main_file, sizeof(main_file), "%s/main", dir);
        (void) snprintf(drop_ins, sizeof(drop_ins), "%s/conf.d", dir);

        assert_int_equal(config_load(&c, main_file, drop_ins, &why), -ENOENT);
        assert_non_null(strstr(why.data, "/main: No such file or directory"));
        assert_int_equal(config_load(&c, NULL, drop_ins, &why), 0);
        c = config_free(c);

        write_file(dir, "main",
                   "max_tags = 5 tags = { \"a=1\", \"b=1\" } collector_dirs = { \"/a\" }"
                   " server m { url = \"telnet://h\" } server n { url = \"telnet://n\" }");
        assert_int_equal(mkdir(drop_ins, 0755), 0);
        write_file(drop_ins, "20-b.conf", "max_tags = 7 tags = { \"b=2\", \"a=3\" }");
        write_file(drop_ins, "10-a.conf",
                   "max_tags = 6 tags = { \"a=2\", \"c=1\" } collector_dirs += { \"/b\" }"
                   " server m { url = \"telnet://i\" }");
        write_file(drop_ins, "30-not", "nonsense");
        write_file(drop_ins, ".hidden.conf", "nonsense");

        assert_int_equal(config_load(&c, main_file, drop_ins, &why), 0);
        assert_int_equal(c->max_tags, 7);
        assert_int_equal(c->n_tags, 3);
        assert_string_equal(c->tags[0].key, "c");
        assert_string_equal(c->tags[1].value, "2");
        assert_string_equal(c->tags[2].key, "a");
        assert_string_equal(c->tags[2].value, "3");
        assert_int_equal(c->n_collector_dirs, 2);
        assert_string_equal(c->collector_dirs[1], "/b");
        assert_int_equal(c->n_servers, 2);
        assert_string_equal(c->servers[0].url, "telnet://n:4242");
        assert_string_equal(c->servers[1].url, "telnet://i:4242");

        assert_int_equal(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_load_refused(void **state _unused_) {
        char dir[] = "/tmp/test-config-XXXXXX", path[64];
        _cleanup_(buffer_done) Buffer why = {}, blank = {};
        Config *c = NULL;

        assert_non_null(mkdtemp(dir));
        write_file(dir, "10-a.conf", "max_tags = 5\n");
        write_file(dir, "20-b.conf", "\nmax_tag = 5\n");
        (void) snprintf(path, sizeof(path), "%s/20-b.conf:2: no such option 'max_tag'", dir);
        assert_int_equal(config_load(&c, NULL, dir, &why), -EINVAL);
        assert_string_equal(why.data, path);
        assert_null(c);

        buffer_done(&why);
        write_file(dir, "20-b.conf", "dedup_interval = \"10d\"");
        assert_int_equal(config_load(&c, NULL, dir, &why), -EINVAL);
        assert_int_equal(config_load(&c, dir, NULL, &why), -EISDIR);
        (void) snprintf(path, sizeof(path), "%s/10-a.conf", dir);
        assert_int_equal(config_load(&c, NULL, path, &why), -ENOTDIR);

        for (size_t i = 0; i <= CONFIG_FILE_MAX / 64; i++)
                assert_int_equal(buffer_addf(&blank, "%64s", "\n"), 0);
        write_file(dir, "20-b.conf", blank.data);
        assert_int_equal(config_load(&c, NULL, dir, &why), -EFBIG);
        assert_int_equal(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const struct {
        const char *text, *url; /* NULL: refused, by hostport_parse() and by host_parse() */
        const char *host_url;
} hosts[] = {
        { "h", "t://h:42", "t://h:42" },
        { "h:1", "t://h:1", NULL },
        { "h:65535", "t://h:65535", NULL },
        { "10.0.0.1", "t://10.0.0.1:42", "t://10.0.0.1:42" },
        { "my_host.x-y", "t://my_host.x-y:42", "t://my_host.x-y:42" },
        { "[::1]", "t://[::1]:42", "t://[::1]:42" },
        { "[::1]:7", "t://[::1]:7", NULL },
        { "[fe80::1%eth0]:7", "t://[fe80::1%eth0]:7", NULL },
        { "::1", NULL, "t://[::1]:42" },
        { "2001:db8::1:4242", NULL, "t://[2001:db8::1:4242]:42" },
        { "", NULL, NULL },
        { ":1", NULL, NULL },
        { "h:", NULL, NULL },
        { "h:0", NULL, NULL },
        { "h:65536", NULL, NULL },
        { "h:1:2", NULL, NULL },
        { "h:x", NULL, NULL },
        { "h/x", NULL, NULL },
        { "a b", NULL, NULL },
        { "h\xc3\xbc", NULL, NULL },
        { "[]", NULL, NULL },
        { "[", NULL, NULL },
        { "[h]:1", NULL, NULL },
        { "[::1", NULL, NULL },
        { "[::1]1", NULL, NULL },
        { "[::1]:", NULL, NULL },
        { "[fe80::1%]:7", NULL, NULL },
        { "[fe80::1%0123456789012345]", NULL, NULL },
        { "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, NULL },
};

static void check_host(const char *text, const char *want, int (*parse)(Slice, HostPort *, const char **)) {
        _cleanup_(freep) char *url = NULL;
        const char *why = NULL;
        HostPort hp;
        int r = parse(guarded(text), &hp, &why);

        if (r != (want ? 0 : -EINVAL))
                fail_msg("%s: %s", text, why);
        if (r < 0) {
                assert_true(why && strlen(why) > 10);
                return;
        }

        url = hostport_url("t", &hp, 42);
        assert_string_equal(url, want);
}

static void test_hosts(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                check_host(hosts[i].text, hosts[i].url, hostport_parse);
                check_host(hosts[i].text, hosts[i].host_url, host_parse);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
                cmocka_unit_test(test_nul),    cmocka_unit_test(test_table),
                cmocka_unit_test(test_set),    cmocka_unit_test(test_servers),
                cmocka_unit_test(test_bounds), cmocka_unit_test(test_check),
                cmocka_unit_test(test_load),   cmocka_unit_test(test_load_refused),
                cmocka_unit_test(test_hosts),
        };

        return run_tap(tests);
}
