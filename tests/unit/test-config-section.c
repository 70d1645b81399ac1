/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sections, and the types only they have: a file and what the dump of its sections must be, or the fault it
 * is refused for. */

#include "conf/config-table.h"
#include "conf/config-url.h"
#include "conf/text.h"
#include "unit/config-rows.h"

#define S(line) "        " line "\n"
#define LIMITS S("memory_max = \"256M\"") S("cpu_quota = 0") S("tasks_max = 64") "}\n"
#define ENABLED S("enabled = true")
#define UNALIGNED S("align = false") S("retry = \"1h\"")
#define HTTP S("gzip = true") S("sync = false") "}\n"

static const struct {
        const char *name, *text, *want;
} good[] = {
        { "no section", "", "" },
        { "telnet", "server m { url = \"telnet://h\" }",
          "server \"m\" {\n" S("url = \"telnet://h:4242\"") HTTP },
        { "https with a password",
          "server m { username = u password_credential = tsd url = \"https://h/x?\" }", NULL },
        { "https with a password",
          "server m { username = u password_credential = tsd url = \"https://h/x\" }",
          "server \"m\" {\n" S("url = \"https://h:443/x\"") S("username = \"u\"")
                  S("password_credential = \"tsd\"") HTTP },
        { "everything of TLS",
          "server m { url = \"telnets://h\" ca_file = /a client_cert = /b client_key = /c }",
          "server \"m\" {\n" S("url = \"telnets://h:4242\"") S("ca_file = \"/a\"") S("client_cert = \"/b\"")
                  S("client_key = \"/c\"") HTTP },
        { "token, proxy, switches",
          "server m { url = \"http://h\" token_file = \"/a b\" proxy = \"socks5h://p:1/\" gzip = no sync = "
          "yes "
          "}",
          "server \"m\" {\n" S("url = \"http://h:4242/api/put\"") S("token_file = \"/a b\"")
                  S("proxy = \"socks5h://p:1\"") S("gzip = false") S("sync = true") "}\n" },
        { "a server leaves nothing to the next",
          "server m { url = \"http://h\" sync = yes } server n { url = \"telnet://h\" }",
          "server \"m\" {\n" S("url = \"http://h:4242/api/put\"") S("gzip = true")
                  S("sync = true") "}\n"
                                   "server \"n\" {\n" S("url = \"telnet://h:4242\"") HTTP },
        { "empty collector", "collector \"df.sh\" { }", "collector \"df.sh\" {\n" ENABLED UNALIGNED LIMITS },
        { "all of a collector",
          "collector 'my col' { enabled = off interval = 60 user = \"_u-1\" retry = 90 align = yes"
          " environment = { \"A=b c\", 'B=\"' } tags = { \"a=b\" } memory_max = 64M tasks_max = 5"
          " cpu_quota = \"150%\" max_series = 7 inactivity = 0 }",
          "collector \"my col\" {\n" S("enabled = false") S("interval = 60") S("align = true") S(
                  "retry = \"1min 30s\"") S("inactivity = \"0\"") S("max_series = 7") S("tags = { \"a=b\" }")
                  S("environment = { \"A=b c\", \"B=\\\"\" }") S("user = \"_u-1\"") S("memory_max = \"64M\"")
                          S("cpu_quota = \"150%\"") S("tasks_max = 5") "}\n" },
        { "a collector leaves nothing to the next", "collector a { user = u } collector b { }",
          "collector \"a\" {\n" ENABLED UNALIGNED S("user = \"u\"") LIMITS
          "collector \"b\" {\n" ENABLED UNALIGNED LIMITS },
        { "lists add up", "collector a { environment = { \"A=1\" } environment += { \"A=2\" } }",
          "collector \"a\" {\n" ENABLED UNALIGNED S("environment = { \"A=1\", \"A=2\" }") LIMITS },
        { "a collector's tag is not the agent's", "tags = { \"a=b\" } collector a { tags = { \"a=c\" } }",
          "collector \"a\" {\n" ENABLED UNALIGNED S("tags = { \"a=c\" }") LIMITS },
        { "numeric user", "collector a { user = 1000 }",
          "collector \"a\" {\n" ENABLED UNALIGNED S("user = \"1000\"") LIMITS },
        { "as the defaults", "collector a { user = \"\" environment = {} cpu_quota = 0 }",
          "collector \"a\" {\n" ENABLED UNALIGNED LIMITS },
        { "longest interval", "collector a { interval = 604800 }",
          "collector \"a\" {\n" ENABLED S("interval = 604800") UNALIGNED LIMITS },
};

#define NO_USER ": must be the name or number of a user: [a-zA-Z_][-_a-zA-Z0-9]*"
#define NO_TITLE "a collector's title is the name of its file: collector \"df.sh\" {"
#define NO_VARIABLE ": must be NAME=VALUE, the name of [_a-zA-Z0-9]"
#define SECRETS "a secret comes from a file or is a credential, not both"
#define USERNAME "username goes with password_file or password_credential"
#define FOR_HTTP "username, token and sync are for http:// and https://"
#define U "url = \"https://h\" "

static const struct {
        const char *text, *why;
} bad[] = {
        { "collector { }", "f:1: missing title for section 'collector'" },
        { "collector \"\" { }", "f:1: " NO_TITLE },
        { "collector \".a\" { }", "f:1: " NO_TITLE },
        { "collector \"a/b\" { }", "f:1: " NO_TITLE },
        { "collector \"a\\nb\" {\n}", "f:2: " NO_TITLE },
        { "collector a { }\ncollector a { }", "f:2: found duplicate title 'a'" },
        { "collector a {\n\nfoo = 1 }", "f:3: no such option 'foo'" },
        { "collector a { url = x }", "f:1: no such option 'url'" },
        { "collector a { max_tags = 5 }", "f:1: no such option 'max_tags'" },
        { "collector a { user = u\nuser = v }", "f:2: user is set twice" },
        { "collector a { \"|\" = 5 }", "f:1: no such option '|'" },
        { "collector a { collector b { } }", "f:1: no such option 'collector'" },
        { "collector a {\nuser = u\n", "f:1: this { is not closed" },
        { "collector a { enabled = maybe }", "f:1: enabled = \"maybe\": must be true or false" },
        { "collector a { interval = 60s }", "f:1: interval = \"60s\": must be a number from 0 to 604800" },
        { "collector a { interval = 604801 }",
          "f:1: interval = \"604801\": must be a number from 0 to 604800" },
        { "collector a { interval = \"-1\" }", "f:1: interval = \"-1\": must be a number from 0 to 604800" },
        { "collector a { user = \"a b\" }", "f:1: user = \"a b\"" NO_USER },
        { "collector a { user = \"-a\" }", "f:1: user = \"-a\"" NO_USER },
        { "collector a { user = \"1a\" }", "f:1: user = \"1a\"" NO_USER },
        { "collector a { user = \"01\" }", "f:1: user = \"01\"" NO_USER },
        { "collector a { user = \"65535\" }", "f:1: user = \"65535\"" NO_USER },
        { "collector a { user = \"4294967295\" }", "f:1: user = \"4294967295\"" NO_USER },
        { "collector a { user = \"root\\nUser=x\" }", "f:1: user = \"root\\x0aUser=x\"" NO_USER },
        { "collector a { user = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }",
          "f:1: user = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"" NO_USER },
        { "collector a { environment = { A } }", "f:1: environment = \"A\"" NO_VARIABLE },
        { "collector a { environment = { \"=a\" } }", "f:1: environment = \"=a\"" NO_VARIABLE },
        { "collector a { environment = { \"1A=b\" } }", "f:1: environment = \"1A=b\"" NO_VARIABLE },
        { "collector a { environment = { \"A-B=c\" } }", "f:1: environment = \"A-B=c\"" NO_VARIABLE },
        { "collector a { environment = { \"A=b\\nUser=root\" } }",
          "f:1: environment = \"A=b\\x0aUser=root\": must be text, without control characters" },
        { "collector a { environment = { \"A=\xff\" } }",
          "f:1: environment = \"A=\\xff\": must be text, without control characters" },
        { "collector a { memory_max = 1K }", "f:1: memory_max = \"1K\": must be a size from 1M to 100T" },
        { "collector a { cpu_quota = 20 }",
          "f:1: cpu_quota = \"20\": must be a percentage from 0 to 10000%" },
        { "collector a { cpu_quota = \"10001%\" }",
          "f:1: cpu_quota = \"10001%\": must be a percentage from 0 to 10000%" },
        { "collector a { cpu_quota = \"%\" }",
          "f:1: cpu_quota = \"%\": must be a percentage from 0 to 10000%" },
        { "collector a { tasks_max = 0 }", "f:1: tasks_max = \"0\": must be a number from 1 to 100000" },
        { "collector a { retry = 0 }", "f:1: retry = \"0\": must be a time span from 1s to 365d" },
        { "collector a { tags = { \"a=b\", \"a=c\" } }",
          "f:1: tags = \"a=c\": there is a tag of this key already" },

        { "server m { " U "username = u }", "f:1: " USERNAME },
        { "server m { " U "password_file = /p }", "f:1: " USERNAME },
        { "server m {\n" U "username = \"a:b\" password_file = /p }", "f:2: a username has no colon" },
        { "server m { " U "username = u password_file = /p password_credential = p }", "f:1: " SECRETS },
        { "server m { " U "token_file = /p token_credential = p }", "f:1: " SECRETS },
        { "server m { " U "token_file = /p username = u password_file = /p }",
          "f:1: there is a user or a token, not both" },
        { "server m { url = \"telnet://h\" sync = yes }", "f:1: " FOR_HTTP },
        { "server m { url = \"telnets://h\" token_file = /p }", "f:1: " FOR_HTTP },
        { "server m { url = \"http://h\" ca_file = /p }",
          "f:1: ca_file and client_cert are for https:// and telnets://" },
        { "server m { " U "client_key = /p }", "f:1: client_key goes with client_cert" },
        { "server m { " U "ca_file = p }", "f:1: ca_file = \"p\": must be an absolute path" },
        { "server m { " U "username = \"a\\tb\" }",
          "f:1: username = \"a\\x09b\": must have no control characters" },
        { "server m { " U "token_credential = \"a/b\" }",
          "f:1: token_credential = \"a/b\": must be the name of a credential, without '/' and ':'" },
        { "server m { " U "token_credential = \".a\" }",
          "f:1: token_credential = \".a\": must be the name of a credential, not beginning with '.'" },
        { "server m { " U "proxy = \"ftp://p\" }",
          "f:1: proxy = \"ftp://p\": must be http://HOST:PORT, https://, socks5:// or socks5h://, or "
          "nothing" },
        { "server m { " U "proxy = \"http://u:secret@p:1\" }",
          "f:1: proxy: a proxy's password is not supported" },
        { "server m { url = \"http://u:secret@h\" }",
          "f:1: url: a password does not belong in a URL: use password_file or password_credential" },
        { "spool_dir = \"\"", "f:1: spool_dir = \"\": must be an absolute path" },
        { "policy = both", "f:1: policy = \"both\": must be failover, spread or mirror" },
};

/* The sections of the dump, which stand behind the settings. */
static char *dump_sections(const Config *c) {
        _cleanup_(buffer_done) Buffer b = {};
        const char *server, *collector;

        assert_int_equal(config_dump(c, &b), 0);
        server = strstr(b.data, "\nserver ");
        collector = strstr(b.data, "\ncollector ");
        return strdup(server ? server + 1 : collector ? collector + 1 : "");
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

                text = dump_sections(c);
                if (strcmp(text, good[i].want) != 0)
                        fail_msg("%s:\n%s", good[i].name, text);
                assert_int_equal(config_new(&again), 0);
                assert_int_equal(config_read_text(again, guarded(text), "f", &why), 0);
                text_again = dump_sections(again);
                assert_string_equal(text, text_again);
        }
}

static void test_bad(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_refused(bad[i].text, bad[i].text, bad[i].why);
}

static void test_collector(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {};
        const ConfigCollector *s;

        assert_int_equal(config_new(&c), 0);
        assert_int_equal(config_read_text(c, SLICE("collector a { user = u interval = 5 }"), "f", &why), 0);
        assert_int_equal(config_read_text(c, SLICE("collector b { } collector a { retry = 5 }"), "g", &why),
                         0);
        assert_int_equal(c->n_collectors, 2);

        /* what the earlier file said of it has gone */
        s = config_collector(c, "a");
        assert_string_equal(s->name, "a");
        assert_string_equal(s->user, "");
        assert_true(s->interval == UINT64_MAX && s->retry == 5 * USEC_PER_SEC);

        s = config_collector(c, "no-section");
        assert_string_equal(s->name, "");
        assert_string_equal(s->user, "");
        assert_true(s->enabled && !s->align && s->interval == UINT64_MAX && s->max_series == 0);
        assert_true(s->inactivity == USEC_INFINITY && s->retry == 3600 * USEC_PER_SEC);
        assert_true(s->memory_max == 256 << 20 && s->tasks_max == 64 && s->cpu_quota == 0);
        assert_int_equal(s->n_tags + s->n_environment, 0);
}

static void test_new_keys(void **state _unused_) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer why = {};

        assert_int_equal(config_new(&c), 0);
        assert_true(c->spool_size == 1 << 30 && c->flush_timeout == 10 * USEC_PER_SEC);
        assert_true(c->policy == CONFIG_POLICY_FAILOVER && !c->remove_inactive);
        assert_string_equal(c->spool_dir, "/var/lib/tcollector/spool");
        assert_int_equal(config_read_text(c,
                                          SLICE("spool_size = 0 policy = mirror remove_inactive = yes "
                                                "spool_dir = /s flush_timeout = 0"),
                                          "f", &why),
                         0);
        assert_true(c->spool_size == 0 && c->flush_timeout == 0);
        assert_true(c->policy == CONFIG_POLICY_MIRROR && c->remove_inactive);
        assert_string_equal(c->spool_dir, "/s");
        assert_int_equal(config_set(c, "policy", "spread", &why), 0);
        assert_int_equal(c->policy, CONFIG_POLICY_SPREAD);
}

static void test_check(void **state _unused_) {
        static const struct {
                const char *text, *why; /* NULL: good */
        } rows[] = {
                { "max_tags = 3 tags = { \"a=1\" } collector x { tags = { \"b=1\" } }", NULL },
                { "max_tags = 2 tags = { \"a=1\" } collector x { tags = { \"a=2\" } }", NULL },
                { "max_tags = 1 collector x { tags = { \"host=2\" } }", NULL },
                { "max_tags = 2 tags = { \"a=1\" } collector y { } collector x { tags = { \"b=1\" } }",
                  "collector \"x\": 3 tags, that of the host included, are more than max_tags allows (2)" },
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

/* Every row that has a default has one within its own bounds, and is documented in a sentence. */
static void test_tables(void **state _unused_) {
        static const ConfigKey *const tables[] = { config_server_keys, config_collector_keys };

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                CONFIG_FOREACH_KEY(k, tables[i]) {
                        assert_int_equal(k->doc[strlen(k->doc) - 1], '.');
                        assert_ptr_equal(config_key_find(tables[i], k->name), k);
                }
        }
}

static void test_too_many(void **state _unused_) {
        _cleanup_(buffer_done) Buffer text = {}, why = {};
        _cleanup_(config_freep) Config *c = NULL;

        for (unsigned i = 0; i <= CONFIG_COLLECTORS_MAX; i++)
                assert_int_equal(buffer_addf(&text, "collector c%u {}\n", i), 0);
        assert_int_equal(config_new(&c), 0);
        assert_int_equal(config_read_text(c, buffer_slice(&text), "f", &why), -EINVAL);
        assert_string_equal(why.data, "f:4097: there are too many of these sections");
}

static const struct {
        const char *text, *url; /* NULL: refused */
        unsigned flags;
} urls[] = {
        { "telnet://h", "telnet://h:4242", 0 },
        { "telnet://[::1]:1", "telnet://[::1]:1", 0 },
        { "telnets://h:1", "telnets://h:1", URL_TLS },
        { "http://h", "http://h:4242/api/put", URL_HTTP },
        { "http://h:8080/", "http://h:8080/api/put", URL_HTTP },
        { "https://[::1]", "https://[::1]:443/api/put", URL_HTTP | URL_TLS },
        { "https://h/a/b%20c:d,e", "https://h:443/a/b%20c:d,e", URL_HTTP | URL_TLS },
        { "https://h//", "https://h:443//", URL_HTTP | URL_TLS },
        { "telnet://h/", NULL, 0 },
        { "telnet://h?x", NULL, 0 },
        { "http://h?x", NULL, 0 },
        { "http://h/x?y", NULL, 0 },
        { "http://h/x#y", NULL, 0 },
        { "http://h#y", NULL, 0 },
        { "http://u@h", NULL, 0 },
        { "http://u:p@h/", NULL, 0 },
        { "http://u:p/x@h/", NULL, 0 },
        { "http://h/a b", NULL, 0 },
        { "http://h/\xc3\xa9", NULL, 0 },
        { "http://h/\n", NULL, 0 },
        { "http:///x", NULL, 0 },
        { "http://", NULL, 0 },
        { "http:/h", NULL, 0 },
        { "HTTP://h", NULL, 0 },
        { "httpx://h", NULL, 0 },
        { "://h", NULL, 0 },
        { "h:4242", NULL, 0 },
        { "", NULL, 0 },
};

static void test_urls(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                _cleanup_(buffer_done) Buffer why = {};
                _cleanup_(freep) char *url = NULL;

                if (config_url_parse(urls[i].text, &url, &why) != (urls[i].url ? 0 : -EINVAL))
                        fail_msg("%s: %s", urls[i].text, why.data);
                if (!urls[i].url) {
                        assert_true(why.n > 10);
                        continue;
                }
                assert_string_equal(url, urls[i].url);
                assert_int_equal(config_url_flags(url), urls[i].flags);
        }
}

static void test_proxies(void **state _unused_) {
        static const struct {
                const char *text, *url; /* NULL: refused */
        } rows[] = {
                { "http://p:3128", "http://p:3128" },
                { "http://p:3128/", "http://p:3128" },
                { "https://[::1]:1", "https://[::1]:1" },
                { "socks5://p:1", "socks5://p:1" },
                { "http://p", NULL },
                { "http://p:1/x", NULL },
                { "http://u@p:1", NULL },
                { "socks4://p:1", NULL },
                { "p:1", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer why = {};
                _cleanup_(freep) char *url = NULL;

                if (config_proxy_parse(rows[i].text, &url, &why) != (rows[i].url ? 0 : -EINVAL))
                        fail_msg("%s: %s", rows[i].text, why.data);
                if (rows[i].url)
                        assert_string_equal(url, rows[i].url);
        }
}

static void test_utf8(void **state _unused_) {
        static const struct {
                const char *text;
                bool valid;
        } rows[] = {
                { "", true },
                { "a\n\x7f", true },
                { "\xc2\x80 \xdf\xbf", true },
                { "\xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf", true },
                { "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", true },
                { "\x80", false },
                { "\xc2", false },
                { "\xc2 ", false },
                { "\xc1\xbf", false },
                { "\xe0\x9f\xbf", false },
                { "\xed\xa0\x80", false },
                { "\xe2\x82", false },
                { "\xf0\x8f\xbf\xbf", false },
                { "\xf4\x90\x80\x80", false },
                { "\xf5\x80\x80\x80", false },
                { "\xff", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (utf8_is_valid(rows[i].text) != rows[i].valid)
                        fail_msg("row %zu", i);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),      cmocka_unit_test(test_bad),
                cmocka_unit_test(test_collector), cmocka_unit_test(test_new_keys),
                cmocka_unit_test(test_check),     cmocka_unit_test(test_tables),
                cmocka_unit_test(test_too_many),  cmocka_unit_test(test_urls),
                cmocka_unit_test(test_proxies),   cmocka_unit_test(test_utf8),
        };

        return run_tap(tests);
}
