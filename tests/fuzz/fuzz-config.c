/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configuration files. Whatever the text is:
 * - a refusal is one printable line, "FILE:LINE: cause", whose line the text has, and what the text is about
 *   can be looked for all the same;
 * - what was taken is within the bounds of the table, is written and read back, and then is the same. */

#include "conf/config-list.h"
#include "conf/config-prepare.h"
#include "conf/config-table.h"
#include "conf/config-url.h"
#include "fuzz/fuzz.h"

static size_t count_lines(Slice text) {
        size_t n = 1;

        for (size_t i = 0; i < text.n; i++)
                n += text.p[i] == '\n';

        return n;
}

static void check_refusal(Slice text, Slice why) {
        Slice file, line;
        uint64_t number;

        for (size_t i = 0; i < why.n; i++)
                check(why.p[i] >= 0x20 && why.p[i] < 0x7f);

        check(slice_cut(&why, ':', &file) && slice_equal(file, SLICE("f")));
        check(slice_cut(&why, ':', &line) && slice_to_uint64(line, &number));
        check(number >= 1 && number <= count_lines(text));
        check(why.n > 1);
}

/* What a refused file is about: no empty title, none over a line's end, and not without bound. */
static void check_titles(Slice text) {
        char **titles = NULL;
        size_t n = 0;

        check(config_find_collectors(text, &titles, &n) == 0);
        check(n <= CONFIG_LIST_MAX);
        for (size_t i = 0; i < n; i++)
                check(titles[i][0] && !strchr(titles[i], '\n'));
        string_list_clear(&titles, &n);
}

static void check_server(const ConfigServer *s) {
        const char *host = strstr(s->url, "://") + 3;

        check(config_url_flags(s->url) != 0 || strncmp(s->url, "telnet://", 9) == 0);
        check(strchr(host, ':') && !strpbrk(s->url, "@?# "));
        check(!strchr(host, '/') == !(config_url_flags(s->url) & URL_HTTP));
        check(!s->username[0] || s->password_file[0] || s->password_credential[0]);
        check(s->password_file[0] == '/' || !s->password_file[0]);
        check(!strchr(s->token_credential, '/') && !strchr(s->proxy, '@'));
}

static void check_collector(const Config *c, const ConfigCollector *s) {
        check(config_collector(c, s->name) == s);
        check(s->name[0] && s->name[0] != '.' && !strchr(s->name, '/'));
        check(s->interval <= 604800 || s->interval == UINT64_MAX);
        check(s->cpu_quota <= 10000 && s->tasks_max >= 1 && s->memory_max >= 1 << 20);
        check(s->inactivity <= 365 * 86400 * USEC_PER_SEC || s->inactivity == USEC_INFINITY);
        check(s->retry >= USEC_PER_SEC && strlen(s->user) <= 31);
        check(s->n_tags <= CONFIG_LIST_MAX && s->n_environment <= CONFIG_LIST_MAX);
        for (size_t i = 0; i < s->n_environment; i++)
                check(strchr(s->environment[i], '=') && !strchr(s->environment[i], '\n'));
}

static void check_bounds(const Config *c) {
        check(c->n_tags <= CONFIG_LIST_MAX && c->n_servers <= CONFIG_LIST_MAX);
        check(c->n_collector_dirs <= CONFIG_LIST_MAX);
        check(c->max_tags >= 1 && c->max_tags <= 64);
        check(c->queue_size >= 65536);
        check(c->dedup_interval <= 365 * 86400 * USEC_PER_SEC);
        check(c->policy <= CONFIG_POLICY_MIRROR && c->replace_bad_chars <= 1);
        check(c->spool_dir[0] == '/' && c->flush_timeout <= 86400 * USEC_PER_SEC);
        for (size_t i = 0; i < c->n_servers; i++)
                check_server(c->servers + i);
        check(c->n_collectors <= CONFIG_COLLECTORS_MAX);
        for (size_t i = 0; i < c->n_collectors; i++)
                check_collector(c, c->collectors + i);
        for (size_t i = 0; i < c->n_collector_dirs; i++)
                check(c->collector_dirs[i][0] == '/');
}

static void check_round_trip(const Config *c) {
        _cleanup_(buffer_done) Buffer first = {}, second = {}, why = {};
        _cleanup_(config_freep) Config *again = NULL;

        check(config_dump(c, &first) == 0);
        check(config_new(&again) == 0);
        check(config_read_text(again, buffer_slice(&first), "dump", &why) == 0);
        check(config_dump(again, &second) == 0);
        check(slice_equal(buffer_slice(&first), buffer_slice(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(buffer_done) Buffer why = {}, inconsistent = {};
        _cleanup_(config_freep) Config *c = NULL;
        Slice text = { (const char *) data, n };
        int r;

        check(config_new(&c) == 0);
        r = config_read_text(c, text, "f", &why);
        if (r < 0) {
                check(r == -EINVAL);
                check_refusal(text, buffer_slice(&why));
                check_titles(text);
                return 0;
        }

        check(why.n == 0);
        check_bounds(c);
        check_round_trip(c);
        r = config_check(c, &inconsistent);
        check((r == 0 && inconsistent.n == 0) || (r == -EINVAL && inconsistent.n > 0));
        return 0;
}
