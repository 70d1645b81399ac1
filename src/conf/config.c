/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The life of a Config, and what is asked of it as a whole. */

#include <string.h>

#include "conf/config-list.h"
#include "conf/config-section.h"
#include "conf/config-table.h"
#include "conf/text.h"

int config_new(Config **ret) {
        _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;

        r = config_keys_set_fallbacks(config_keys, c);
        if (r >= 0)
                r = config_collector_init(&c->collector_defaults);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

Config *config_free(Config *c) {
        if (!c)
                return NULL;

        config_keys_done(config_keys, c);
        config_clear_servers(c);
        config_clear_collectors(c);
        config_collector_done(&c->collector_defaults);
        string_list_clear(&c->broken, &c->n_broken);
        free(c);
        return NULL;
}

int config_set(Config *c, const char *key, const char *text, Buffer *why) {
        const ConfigKey *k = config_key_find(config_keys, key);

        if (!k || config_key_is_list(k))
                return -ENOENT;

        return config_key_set(k, c, text, why);
}

int config_add_tag(Config *c, const char *text) {
        return tag_list_add(&c->tags, &c->n_tags, text);
}

bool config_remove_tag(Config *c, Slice key) {
        return tag_list_remove(c->tags, &c->n_tags, key);
}

int config_add_dir(Config *c, const char *path) {
        if (path[0] != '/' || has_control(path))
                return -EINVAL;

        return string_list_add(&c->collector_dirs, &c->n_collector_dirs, path);
}

void config_clear_dirs(Config *c) {
        string_list_clear(&c->collector_dirs, &c->n_collector_dirs);
}

static bool has_tag(const Config *c, const ConfigCollector *s, const char *key) {
        Slice k = slice_from_string(key);

        return tag_list_has(c->tags, c->n_tags, k) || (s && tag_list_has(s->tags, s->n_tags, k));
}

/* How many tags a data point of the collector `s` is given, NULL: of one without a section. */
static size_t count_tags(const Config *c, const ConfigCollector *s) {
        size_t n = c->n_tags + !has_tag(c, s, "host");

        for (size_t i = 0; s && i < s->n_tags; i++)
                n += !has_tag(c, NULL, s->tags[i].key);

        return n;
}

static int check_tags(const Config *c, const ConfigCollector *s, Buffer *why) {
        size_t n = count_tags(c, s);
        int r = 0;

        if (n <= c->max_tags)
                return 0;

        if (s)
                r = buffer_addf(why, "collector \"%s\": ", s->name);
        if (r >= 0)
                r = buffer_addf(why,
                                "%zu tags, that of the host included, are more than max_tags allows (%zu)",
                                n, (size_t) c->max_tags);

        return r < 0 ? r : -EINVAL;
}

int config_check(const Config *c, Buffer *why) {
        int r;

        if (c->evict_interval <= c->dedup_interval) {
                r = buffer_add_string(why, "evict_interval must be more than dedup_interval");
                return r < 0 ? r : -EINVAL;
        }

        r = check_tags(c, NULL, why);
        for (size_t i = 0; r >= 0 && i < c->n_collectors; i++)
                r = check_tags(c, c->collectors + i, why);

        return r;
}

/* -- writing -- */

/* Is there nothing to say, as the row has no default that could be written, and the value is that? */
static bool is_nothing(const ConfigKey *k, const char *value, const char *value_of_default) {
        return (!k->fallback || k->fallback[0] == '\0') && strcmp(value, value_of_default) == 0;
}

static int dump_section(const ConfigKey *keys, const void *section, const void *defaults, Buffer *out) {
        int r = 0;

        CONFIG_FOREACH_KEY(k, keys) {
                _cleanup_(buffer_done) Buffer value = {}, value_of_default = {};

                if (r >= 0)
                        r = config_key_format(k, section, &value);
                if (r >= 0)
                        r = config_key_format(k, defaults, &value_of_default);
                if (r >= 0 && !is_nothing(k, value.data, value_of_default.data))
                        r = buffer_addf(out, "        %s = %s\n", k->name, value.data);
        }

        return r < 0 ? r : buffer_add_string(out, "}\n");
}

static int dump_head(const char *kind, const char *title, Buffer *out) {
        int r = buffer_addf(out, "%s ", kind);

        if (r >= 0)
                r = config_add_quoted(out, title);

        return r < 0 ? r : buffer_add_string(out, " {\n");
}

static int dump_sections(const Config *c, Buffer *out) {
        _cleanup_(config_server_done) ConfigServer server_defaults = {};
        int r = config_server_init(&server_defaults);

        for (size_t i = 0; r >= 0 && i < c->n_servers; i++) {
                r = dump_head("server", c->servers[i].title, out);
                if (r >= 0)
                        r = dump_section(config_server_keys, c->servers + i, &server_defaults, out);
        }
        for (size_t i = 0; r >= 0 && i < c->n_collectors; i++) {
                r = dump_head("collector", c->collectors[i].name, out);
                if (r >= 0)
                        r = dump_section(config_collector_keys, c->collectors + i, &c->collector_defaults,
                                         out);
        }

        return r;
}

int config_dump(const Config *c, Buffer *out) {
        size_t before = out->n;
        int r = 0;

        CONFIG_FOREACH_KEY(k, config_keys) {
                if (r >= 0)
                        r = buffer_addf(out, "# %s\n%s = ", k->doc, k->name);
                if (r >= 0)
                        r = config_key_format(k, c, out);
                if (r >= 0)
                        r = buffer_add_string(out, "\n");
        }
        if (r >= 0)
                r = dump_sections(c, out);
        if (r < 0)
                out->n = before;

        return r;
}
