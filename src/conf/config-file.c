/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configuration files, read with libconfuse.
 *
 * Its syntax is kept, its habits are not: every value arrives here as text, once, through on_value(), at the
 * line it stands in, and goes through the table of settings at once; nothing is left to be read out of the
 * cfg_t afterwards. What libconfuse does without a word is an error here: a key set twice, variables of the
 * environment, a string over several lines, a section that is not closed, a NUL byte. Comments are blanked
 * before it sees them, as it counts each for three lines and does not take them inside a list. The text is
 * handed to it from memory, as its scanner ends the process when reading fails. */

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include <confuse.h>

#include "basic/file.h"
#include "basic/printable.h"
#include "conf/config-prepare.h"
#include "conf/config-section.h"
#include "conf/config-table.h"

/* One reading of one file. libconfuse's callbacks have no userdata: they find it through an option that no
 * file can set (on_value() refuses it), whose variable is `anchor`. */
typedef struct Reading {
        long anchor;
        Config *config;
        const char *path;
        Buffer *why;
        ConfigServer server; /* the section at hand is one of these two */
        ConfigCollector collector;
        uint64_t seen, seen_in_section; /* bit i: row i of its table was set by this file */
        size_t n_old_tags;              /* those at the front are of earlier files, and may be replaced */
        size_t n_old_servers;
        bool failed;
} Reading;

static_assert(offsetof(Reading, anchor) == 0, "the anchor's address is the reading's");

#define ANCHOR "|"

static Reading *reading_of(cfg_t *cfg) {
        for (cfg_opt_t *o = cfg->opts; o->name; o++)
                if (strcmp(o->name, ANCHOR) == 0)
                        return (Reading *) (void *) o->simple_value.number;

        abort(); /* every array of options made here has one */
}

/* Says "FILE:LINE: cause", of the first fault only. */
static int complain(Reading *rd, size_t line, const char *cause) {
        char buf[PRINTABLE_MAX];

        if (!rd->failed)
                (void) buffer_addf(rd->why, "%s:%zu: %s", rd->path, line,
                                   printable(buf, slice_from_string(cause)));
        rd->failed = true;
        return -EINVAL;
}

_printf_(2, 0) static void on_error(cfg_t *cfg, const char *format, va_list ap) {
        char cause[PRINTABLE_MAX];

        (void) vsnprintf(cause, sizeof(cause), format, ap);
        (void) complain(reading_of(cfg), (size_t) cfg->line, cause);
}

/* A tag or server of an earlier file gives way to this file's. */
static void replace_old_tag(Reading *rd, const char *text) {
        Slice rest = slice_from_string(text), key;
        size_t i = 0;

        if (!slice_cut(&rest, '=', &key))
                return;
        while (i < rd->n_old_tags && !slice_equal(slice_from_string(rd->config->tags[i].key), key))
                i++;
        if (i < rd->n_old_tags && config_remove_tag(rd->config, key))
                rd->n_old_tags--;
}

static void replace_old_server(Reading *rd, const char *title) {
        size_t i = 0;

        while (i < rd->n_old_servers && strcmp(rd->config->servers[i].title, title) != 0)
                i++;
        if (i < rd->n_old_servers && config_remove_server(rd->config, title))
                rd->n_old_servers--;
}

/* A table of settings and where they go: the file's own, or those of the section at hand. */
typedef struct Target {
        const ConfigKey *keys;
        void *base;
        uint64_t *seen;
} Target;

static Target target_of(cfg_t *cfg) {
        Reading *rd = reading_of(cfg);

        if (strcmp(cfg_name(cfg), "server") == 0)
                return (Target) { config_server_keys, &rd->server, &rd->seen_in_section };
        if (strcmp(cfg_name(cfg), "collector") == 0)
                return (Target) { config_collector_keys, &rd->collector, &rd->seen_in_section };

        return (Target) { config_keys, rd->config, &rd->seen };
}

static bool set_before(const Target *t, const ConfigKey *k) {
        uint64_t bit = UINT64_C(1) << (k - t->keys);

        if (config_key_is_list(k))
                return false;
        if (*t->seen & bit)
                return true;

        *t->seen |= bit;
        return false;
}

/* "=" begins a list of folders anew, "+=" finds the element that make_parser() put there. A tag of an
 * earlier file gives way. */
static void make_way(Reading *rd, const ConfigKey *k, const cfg_opt_t *opt, const char *value) {
        if (k->type == CONFIG_DIRS && opt->nvalues == 1)
                config_clear_dirs(rd->config);
        if (k->type == CONFIG_TAGS)
                replace_old_tag(rd, value);
}

static void refuse_value(cfg_t *cfg, const ConfigKey *k, const char *value, const char *why) {
        bool is_secret = (k->type == CONFIG_URL || k->type == CONFIG_PROXY) && strchr(value, '@');

        if (is_secret) /* there may be a password in it */
                cfg_error(cfg, "%s: %s", k->name, why);
        else
                cfg_error(cfg, "%s = \"%s\": %s", k->name, value, why);
}

/* Every value of every key comes through here, before libconfuse stores it. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result) {
        _cleanup_(buffer_done) Buffer why = {};
        Target t = target_of(cfg);
        const ConfigKey *k = config_key_find(t.keys, opt->name);
        int r;

        if (!k) {
                cfg_error(cfg, "no such option '%s'", opt->name);
                return -1;
        }
        if (set_before(&t, k)) {
                cfg_error(cfg, "%s is set twice", k->name);
                return -1;
        }
        if (t.keys == config_keys)
                make_way(reading_of(cfg), k, opt, value);

        r = config_key_set(k, t.base, value, &why);
        if (r < 0) {
                refuse_value(cfg, k, value, r == -ENOMEM ? "out of memory" : why.data);
                return -1;
        }

        *(const char **) result = value;
        return 0;
}

/* The anchor is not for files. */
static int on_anchor(cfg_t *cfg, cfg_opt_t *opt _unused_, const char *value _unused_,
                     void *result _unused_) {
        cfg_error(cfg, "no such option '%s'", ANCHOR);
        return -1;
}

/* Sections begin without a word, so what one is put together in is made ready before the first and behind
 * each. */
static int begin_section(Reading *rd) {
        config_server_done(&rd->server);
        config_collector_done(&rd->collector);
        rd->seen_in_section = 0;
        return config_server_init(&rd->server) < 0 ? -ENOMEM : config_collector_init(&rd->collector);
}

/* Says what has become of a section, and makes ready for the next. */
static int end_section(cfg_t *cfg, int r, const Buffer *why) {
        if (r >= 0)
                r = begin_section(reading_of(cfg));
        if (r >= 0)
                return 0;

        cfg_error(cfg, "%s",
                  r == -ENOMEM ? "out of memory" :
                  r == -E2BIG  ? "there are too many of these sections" :
                                 why->data);
        return -1;
}

static int on_server(cfg_t *cfg, cfg_opt_t *opt) {
        const char *title = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
        _cleanup_(buffer_done) Buffer why = {};
        Reading *rd = reading_of(cfg);
        int r = -ENOMEM;

        rd->server.title = strdup(title);
        if (rd->server.title) {
                replace_old_server(rd, title);
                r = config_take_server(rd->config, &rd->server, &why);
        }
        return end_section(cfg, r, &why);
}

static int on_collector(cfg_t *cfg, cfg_opt_t *opt) {
        const char *title = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
        _cleanup_(buffer_done) Buffer why = {};
        Reading *rd = reading_of(cfg);
        int r = -ENOMEM;

        free(rd->collector.name);
        rd->collector.name = strdup(title);
        if (rd->collector.name)
                r = config_take_collector(rd->config, &rd->collector, &why);

        return end_section(cfg, r, &why);
}

#define OPTIONS_MAX 67u /* rows that `seen` has bits for, the anchor, two sections, the end */

static cfg_opt_t anchor_option(Reading *rd) {
        return (cfg_opt_t) CFG_SIMPLE_INT(ANCHOR, &rd->anchor);
}

static size_t fill_options(cfg_opt_t *options, const ConfigKey *keys, Reading *rd) {
        size_t n = 0;

        CONFIG_FOREACH_KEY(k, keys) {
                options[n] = (cfg_opt_t) CFG_STR_CB(k->name, NULL, CFGF_NODEFAULT, on_value);
                if (config_key_is_list(k))
                        options[n].flags |= CFGF_LIST;
                n++;
        }
        options[n] = anchor_option(rd);
        options[n++].parsecb = on_anchor;
        assert(n < OPTIONS_MAX - 2);
        return n;
}

static cfg_opt_t section_option(const char *name, cfg_opt_t *options, cfg_validate_callback_t end) {
        cfg_opt_t o = CFG_SEC(name, options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);

        o.validcb = end;
        return o;
}

static cfg_t *make_parser(Reading *rd) {
        cfg_opt_t options[OPTIONS_MAX] = {}, server[OPTIONS_MAX] = {}, collector[OPTIONS_MAX] = {};
        size_t n = fill_options(options, config_keys, rd);
        cfg_t *cfg;

        (void) fill_options(server, config_server_keys, rd);
        (void) fill_options(collector, config_collector_keys, rd);
        options[n++] = section_option("server", server, on_server);
        options[n] = section_option("collector", collector, on_collector);

        cfg = cfg_init(options, CFGF_NONE);
        if (!cfg)
                return NULL;

        (void) cfg_set_error_function(cfg, on_error);
        CONFIG_FOREACH_KEY(k, config_keys)
                if (k->type == CONFIG_DIRS)
                        (void) cfg_addlist(cfg, k->name, 1, "");
        return cfg;
}

static int refuse_at(Reading *rd, const char *text, size_t i, const char *cause) {
        size_t line = 1;

        for (size_t k = 0; k < i; k++)
                line += text[k] == '\n';

        return complain(rd, line, cause);
}

static int parse(Reading *rd, const char *text) {
        cfg_t *cfg = NULL;
        int r = begin_section(rd);

        if (r >= 0)
                cfg = make_parser(rd);
        if (!cfg) {
                config_server_done(&rd->server);
                config_collector_done(&rd->collector);
                return -ENOMEM;
        }

        r = cfg_parse_buf(cfg, text);
        if (r != CFG_SUCCESS)
                (void) complain(rd, (size_t) MAX(cfg->line, 1), "this is no setting");
        CONFIG_FOREACH_KEY(k, config_keys)
                if (k->type == CONFIG_DIRS && cfg_size(cfg, k->name) == 0)
                        config_clear_dirs(rd->config);

        (void) cfg_free(cfg); /* also puts the scanner back to its start, wherever an error left it */
        config_server_done(&rd->server);
        config_collector_done(&rd->collector);
        return rd->failed ? -EINVAL : 0;
}

int config_read_text(Config *c, Slice text, const char *path, Buffer *why) {
        Reading rd = {
                .config = c, .path = path, .why = why, .n_old_tags = c->n_tags, .n_old_servers = c->n_servers
        };
        _cleanup_(buffer_done) Buffer copy = {};
        const char *fault;
        size_t at;
        int r;

        r = buffer_add(&copy, text);
        if (r < 0)
                return r;

        fault = config_prepare(copy.data, copy.n, &at);
        return fault ? refuse_at(&rd, copy.data, at, fault) : parse(&rd, copy.data);
}

int config_read_file(Config *c, const char *path, Buffer *why) {
        _cleanup_(buffer_done) Buffer text = {};
        int r = file_read_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text);

        if (r < 0) {
                errno = -r;
                (void) buffer_addf(why, "%s: %m", path);
                return r;
        }

        return config_read_text(c, buffer_slice(&text), path, why);
}
