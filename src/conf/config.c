/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The life of a Config, its lists, and what is asked of it as a whole. Lists are short (bounded), so they
 * are searched from the front and grow by one. */

#include <string.h>

#include "conf/config-table.h"

static int set_fallback(Config *c, const ConfigKey *k) {
        _cleanup_(buffer_done) Buffer why = {};
        Slice rest = slice_from_string(k->fallback), element;

        if (!config_key_is_list(k))
                return config_key_set(k, c, k->fallback, &why);

        while (rest.n > 0) {
                _cleanup_(freep) char *text = NULL;
                int r;

                if (!slice_cut(&rest, ':', &element))
                        element = TAKE(rest);
                text = strndup(element.p, element.n);
                if (!text)
                        return -ENOMEM;

                r = config_key_set(k, c, text, &why);
                if (r < 0)
                        return r;
        }

        return 0;
}

int config_new(Config **ret) {
        _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;

        CONFIG_FOREACH_KEY(k, config_keys) {
                int r = set_fallback(c, k);

                if (r < 0)
                        return r;
        }

        *ret = TAKE(c);
        return 0;
}

Config *config_free(Config *c) {
        if (!c)
                return NULL;

        for (size_t i = 0; i < c->n_tags; i++) {
                free(c->tags[i].key);
                free(c->tags[i].value);
        }
        free(c->tags);
        config_clear_servers(c);
        config_clear_dirs(c);
        free(c->namespace_prefix);
        free(c);
        return NULL;
}

void config_clear_servers(Config *c) {
        for (size_t i = 0; i < c->n_servers; i++) {
                free(c->servers[i].title);
                free(c->servers[i].url);
        }
        free(TAKE(c->servers));
        c->n_servers = 0;
}

void config_clear_dirs(Config *c) {
        for (size_t i = 0; i < c->n_collector_dirs; i++)
                free(c->collector_dirs[i]);
        free(TAKE(c->collector_dirs));
        c->n_collector_dirs = 0;
}

int config_set(Config *c, const char *key, const char *text, Buffer *why) {
        const ConfigKey *k = config_key_find(config_keys, key);

        if (!k || config_key_is_list(k))
                return -ENOENT;

        return config_key_set(k, c, text, why);
}

static size_t find_tag(const Config *c, Slice key) {
        size_t i = 0;

        while (i < c->n_tags && !slice_equal(slice_from_string(c->tags[i].key), key))
                i++;

        return i;
}

bool config_remove_tag(Config *c, Slice key) {
        size_t i = find_tag(c, key);

        if (i == c->n_tags)
                return false;

        free(c->tags[i].key);
        free(c->tags[i].value);
        c->n_tags--;
        memmove(c->tags + i, c->tags + i + 1, (c->n_tags - i) * sizeof(*c->tags));
        return true;
}

static size_t find_server(const Config *c, const char *title) {
        size_t i = 0;

        while (i < c->n_servers && strcmp(c->servers[i].title, title) != 0)
                i++;

        return i;
}

bool config_remove_server(Config *c, const char *title) {
        size_t i = find_server(c, title);

        if (i == c->n_servers)
                return false;

        free(c->servers[i].title);
        free(c->servers[i].url);
        c->n_servers--;
        memmove(c->servers + i, c->servers + i + 1, (c->n_servers - i) * sizeof(*c->servers));
        return true;
}

#define TAG_KEY_SET "-_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define TAG_VALUE_SET TAG_KEY_SET "/"

int config_add_tag(Config *c, const char *text) {
        size_t n_key = strspn(text, TAG_KEY_SET), n_value;
        _cleanup_(freep) char *key = NULL, *value = NULL;
        ConfigTag *tags;

        if (n_key == 0 || text[n_key] != '=')
                return -EINVAL;
        n_value = strspn(text + n_key + 1, TAG_VALUE_SET);
        if (n_value == 0 || text[n_key + 1 + n_value] != '\0')
                return -EINVAL;
        if (find_tag(c, (Slice) { text, n_key }) < c->n_tags)
                return -EEXIST;
        if (c->n_tags >= CONFIG_LIST_MAX)
                return -E2BIG;

        key = strndup(text, n_key);
        value = strdup(text + n_key + 1);
        tags = reallocarray(c->tags, c->n_tags + 1, sizeof(*tags));
        if (tags)
                c->tags = tags;
        if (!key || !value || !tags)
                return -ENOMEM;

        c->tags[c->n_tags++] = (ConfigTag) { TAKE(key), TAKE(value) };
        return 0;
}

static bool has_control(const char *s) {
        while (*s && (unsigned char) *s >= 0x20 && *s != 0x7f)
                s++;

        return *s != '\0';
}

int config_add_server(Config *c, const char *title, const char *url) {
        _cleanup_(freep) char *parsed = NULL, *copy = NULL;
        _cleanup_(buffer_done) Buffer why = {};
        ConfigServer *servers;
        int r;

        if (title[0] == '\0' || has_control(title))
                return -EINVAL;
        if (find_server(c, title) < c->n_servers)
                return -EEXIST;
        if (c->n_servers >= CONFIG_LIST_MAX)
                return -E2BIG;

        r = config_url_parse(url, &parsed, &why);
        if (r < 0)
                return r;
        copy = strdup(title);
        servers = reallocarray(c->servers, c->n_servers + 1, sizeof(*servers));
        if (servers)
                c->servers = servers;
        if (!copy || !servers)
                return -ENOMEM;

        c->servers[c->n_servers++] = (ConfigServer) { TAKE(copy), TAKE(parsed) };
        return 0;
}

int config_add_dir(Config *c, const char *path) {
        _cleanup_(freep) char *copy = NULL;
        char **dirs;

        if (path[0] != '/' || has_control(path))
                return -EINVAL;
        if (c->n_collector_dirs >= CONFIG_LIST_MAX)
                return -E2BIG;

        copy = strdup(path);
        dirs = reallocarray(c->collector_dirs, c->n_collector_dirs + 1, sizeof(*dirs));
        if (dirs)
                c->collector_dirs = dirs;
        if (!copy || !dirs)
                return -ENOMEM;

        c->collector_dirs[c->n_collector_dirs++] = TAKE(copy);
        return 0;
}

int config_check(const Config *c, Buffer *why) {
        size_t n_tags = c->n_tags + (find_tag(c, SLICE("host")) == c->n_tags);
        int r;

        if (c->evict_interval <= c->dedup_interval) {
                r = buffer_add_string(why, "evict_interval must be more than dedup_interval");
                return r < 0 ? r : -EINVAL;
        }
        if (n_tags > c->max_tags) {
                r = buffer_addf(why,
                                "%zu tags, that of the host included, are more than max_tags allows (%zu)",
                                n_tags, (size_t) c->max_tags);
                return r < 0 ? r : -EINVAL;
        }

        return 0;
}

static int dump_list(const Config *c, const ConfigKey *k, Buffer *out) {
        int r = buffer_add_string(out, "{");

        if (k->type == CONFIG_DIRS)
                for (size_t i = 0; r >= 0 && i < c->n_collector_dirs; i++) {
                        r = buffer_add_string(out, i > 0 ? ", " : " ");
                        if (r >= 0)
                                r = config_add_quoted(out, c->collector_dirs[i]);
                }
        if (k->type == CONFIG_TAGS)
                for (size_t i = 0; r >= 0 && i < c->n_tags; i++)
                        r = buffer_addf(out, "%s\"%s=%s\"", i > 0 ? ", " : " ", c->tags[i].key,
                                        c->tags[i].value);
        if (r < 0)
                return r;

        return buffer_add_string(out, " }");
}

static int dump_server(const ConfigServer *server, Buffer *out) {
        int r = buffer_add_string(out, "server ");

        if (r >= 0)
                r = config_add_quoted(out, server->title);
        if (r >= 0)
                r = buffer_add_string(out, " {\n");
        CONFIG_FOREACH_KEY(k, config_server_keys) {
                if (r >= 0)
                        r = buffer_addf(out, "        %s = ", k->name);
                if (r >= 0)
                        r = config_key_format(k, server, out);
                if (r >= 0)
                        r = buffer_add_string(out, "\n");
        }
        if (r >= 0)
                r = buffer_add_string(out, "}\n");

        return r;
}

int config_dump(const Config *c, Buffer *out) {
        size_t before = out->n;
        int r = 0;

        CONFIG_FOREACH_KEY(k, config_keys) {
                r = buffer_addf(out, "# %s\n%s = ", k->doc, k->name);
                if (r >= 0)
                        r = config_key_is_list(k) ? dump_list(c, k, out) : config_key_format(k, c, out);
                if (r >= 0)
                        r = buffer_add_string(out, "\n");
                if (r < 0)
                        break;
        }
        for (size_t i = 0; r >= 0 && i < c->n_servers; i++)
                r = dump_server(c->servers + i, out);
        if (r < 0)
                out->n = before;

        return r;
}
