/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "conf/config-section.h"
#include "conf/config-table.h"
#include "conf/config-url.h"
#include "conf/text.h"

static int refuse(Buffer *why, const char *what_is_right) {
        int r = buffer_add_string(why, what_is_right);

        return r < 0 ? r : -EINVAL;
}

/* -- servers -- */

int config_server_init(ConfigServer *ret) {
        ConfigServer s = {};
        int r = config_keys_set_fallbacks(config_server_keys, &s);

        if (r < 0) {
                config_server_done(&s);
                return r;
        }

        *ret = s;
        return 0;
}

void config_server_done(ConfigServer *s) {
        config_keys_done(config_server_keys, s);
        free(s->title);
        *s = (ConfigServer) {};
}

static bool is_set(const char *s) {
        return s[0] != '\0';
}

/* NULL: all of it goes together. */
static const char *server_fault(const ConfigServer *s) {
        UrlFlags flags = config_url_flags(s->url);
        bool has_password = is_set(s->password_file) || is_set(s->password_credential);
        bool has_token = is_set(s->token_file) || is_set(s->token_credential);

        if ((is_set(s->password_file) && is_set(s->password_credential)) ||
            (is_set(s->token_file) && is_set(s->token_credential)))
                return "a secret comes from a file or is a credential, not both";
        if (is_set(s->username) != has_password)
                return "username goes with password_file or password_credential";
        if (strchr(s->username, ':'))
                return "a username has no colon";
        if (has_password && has_token)
                return "there is a user or a token, not both";
        if ((has_password || has_token || s->sync) && !(flags & URL_HTTP))
                return "username, token and sync are for http:// and https://";
        if ((is_set(s->ca_file) || is_set(s->client_cert)) && !(flags & URL_TLS))
                return "ca_file and client_cert are for https:// and telnets://";
        if (is_set(s->client_key) && !is_set(s->client_cert))
                return "client_key goes with client_cert";

        return NULL;
}

static bool has_server(const Config *c, const char *title) {
        for (size_t i = 0; i < c->n_servers; i++)
                if (strcmp(c->servers[i].title, title) == 0)
                        return true;

        return false;
}

int config_take_server(Config *c, ConfigServer *s, Buffer *why) {
        const char *fault;
        ConfigServer *grown;
        int r;

        if (!is_set(s->title) || has_control(s->title))
                return refuse(why, "a server has a title, without control characters: server \"main\" {");
        if (!s->url) {
                r = buffer_addf(why, "server \"%s\" has no url", s->title);
                return r < 0 ? r : -EINVAL;
        }
        fault = server_fault(s);
        if (fault)
                return refuse(why, fault);
        if (has_server(c, s->title))
                return -EEXIST;
        if (c->n_servers >= CONFIG_LIST_MAX)
                return -E2BIG;

        grown = reallocarray(c->servers, c->n_servers + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;

        c->servers = grown;
        c->servers[c->n_servers++] = TAKE(*s);
        return 0;
}

int config_add_server(Config *c, const char *title, const char *url) {
        _cleanup_(config_server_done) ConfigServer s = {};
        _cleanup_(buffer_done) Buffer why = {};
        int r = config_server_init(&s);

        if (r >= 0)
                r = config_url_parse(url, &s.url, &why);
        if (r < 0)
                return r;

        s.title = strdup(title);
        return s.title ? config_take_server(c, &s, &why) : -ENOMEM;
}

bool config_remove_server(Config *c, const char *title) {
        size_t i = 0;

        while (i < c->n_servers && strcmp(c->servers[i].title, title) != 0)
                i++;
        if (i == c->n_servers)
                return false;

        config_server_done(c->servers + i);
        c->n_servers--;
        memmove(c->servers + i, c->servers + i + 1, (c->n_servers - i) * sizeof(*c->servers));
        return true;
}

void config_clear_servers(Config *c) {
        for (size_t i = 0; i < c->n_servers; i++)
                config_server_done(c->servers + i);
        free(TAKE(c->servers));
        c->n_servers = 0;
}

/* -- collectors -- */

int config_collector_init(ConfigCollector *ret) {
        ConfigCollector s = { .interval = UINT64_MAX, .inactivity = USEC_INFINITY };
        int r = config_keys_set_fallbacks(config_collector_keys, &s);

        s.name = strdup("");
        if (r < 0 || !s.name) {
                config_collector_done(&s);
                return r < 0 ? r : -ENOMEM;
        }

        *ret = s;
        return 0;
}

void config_collector_done(ConfigCollector *s) {
        config_keys_done(config_collector_keys, s);
        free(s->name);
        *s = (ConfigCollector) {};
}

static ConfigCollector *find_collector(const Config *c, const char *name) {
        for (size_t i = 0; i < c->n_collectors; i++)
                if (strcmp(c->collectors[i].name, name) == 0)
                        return c->collectors + i;

        return NULL;
}

int config_take_collector(Config *c, ConfigCollector *s, Buffer *why) {
        ConfigCollector *old = find_collector(c, s->name), *grown;

        if (!collector_name_is_valid(s->name))
                return refuse(why, "a collector's title is the name of its file: collector \"df.sh\" {");
        if (old) {
                config_collector_done(old);
                *old = TAKE(*s);
                return 0;
        }
        if (c->n_collectors >= CONFIG_COLLECTORS_MAX)
                return -E2BIG;

        grown = reallocarray(c->collectors, c->n_collectors + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;

        c->collectors = grown;
        c->collectors[c->n_collectors++] = TAKE(*s);
        return 0;
}

void config_clear_collectors(Config *c) {
        for (size_t i = 0; i < c->n_collectors; i++)
                config_collector_done(c->collectors + i);
        free(TAKE(c->collectors));
        c->n_collectors = 0;
}

/* Does what is written in c->broken, a section's title or a file's name, mean the collector of that name? */
static bool is_meant(const char *broken, const char *name) {
        Slice s = slice_from_string(broken), full = slice_from_string(name), stem = full;
        const char *dot = strrchr(name, '.');

        if (slice_equal(s, full))
                return true;
        if (s.n < 5 || memcmp(s.p + s.n - 5, ".conf", 5) != 0)
                return false;

        s.n -= 5;
        stem.n = dot ? (size_t) (dot - name) : full.n;
        return slice_equal(s, full) || slice_equal(s, stem);
}

const ConfigCollector *config_collector(const Config *c, const char *name) {
        static const ConfigCollector not_enabled = {
                .name = (char *) "", .user = (char *) "", .interval = UINT64_MAX, .inactivity = USEC_INFINITY
        };

        for (size_t i = 0; i < c->n_broken; i++)
                if (is_meant(c->broken[i], name))
                        return &not_enabled;

        return find_collector(c, name) ?: &c->collector_defaults;
}
