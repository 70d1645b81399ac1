/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configuration files, read with libconfuse.
 *
 * Its syntax is kept, its habits are not: every value arrives here as text, once, through on_value(), at the
 * line it stands in, and goes through the table of settings at once; nothing is left to be read out of the
 * cfg_t afterwards. What libconfuse does without a word is an error here: a key set twice, variables of the
 * environment, a string over several lines, a section that is not closed, a NUL byte. Comments are blanked
 * before it sees them, as it counts each for three lines and does not take them inside a list. The text is
 * handed to it from memory, as its scanner ends the process when reading fails. */

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include <confuse.h>

#include "basic/file.h"
#include "basic/printable.h"
#include "conf/config-table.h"

/* One reading of one file. libconfuse's callbacks have no userdata: they find it through an option that no
 * file can set (on_value() refuses it), whose variable is `anchor`. */
typedef struct Reading {
        long anchor;
        Config *config;
        const char *path;
        Buffer *why;
        ConfigServer server; /* the section at hand */
        uint64_t seen;       /* bit i: row i of config_keys was set by this file */
        size_t n_old_tags;   /* those at the front are of earlier files, and may be replaced */
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

static bool set_before(Reading *rd, const ConfigKey *k, bool in_server) {
        uint64_t bit;

        if (in_server)
                return rd->server.url != NULL;
        if (config_key_is_list(k))
                return false;

        bit = UINT64_C(1) << (k - config_keys);
        if (rd->seen & bit)
                return true;

        rd->seen |= bit;
        return false;
}

/* Every value of every key comes through here, before libconfuse stores it. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result) {
        bool in_server = strcmp(cfg_name(cfg), "server") == 0;
        const ConfigKey *k = config_key_find(in_server ? config_server_keys : config_keys, opt->name);
        _cleanup_(buffer_done) Buffer why = {};
        Reading *rd = reading_of(cfg);
        int r;

        if (!k) {
                cfg_error(cfg, "no such option '%s'", opt->name);
                return -1;
        }
        if (set_before(rd, k, in_server)) {
                cfg_error(cfg, "%s is set twice", k->name);
                return -1;
        }

        /* "=" begins the list anew, "+=" finds the element that make_parser() put there */
        if (k->type == CONFIG_DIRS && opt->nvalues == 1)
                config_clear_dirs(rd->config);
        if (k->type == CONFIG_TAGS)
                replace_old_tag(rd, value);

        r = config_key_set(k, in_server ? (void *) &rd->server : rd->config, value, &why);
        if (r < 0) {
                cfg_error(cfg, "%s = \"%s\": %s", k->name, value, r == -ENOMEM ? "out of memory" : why.data);
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

static int on_server(cfg_t *cfg, cfg_opt_t *opt) {
        const char *title = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
        Reading *rd = reading_of(cfg);
        int r;

        if (!rd->server.url) {
                cfg_error(cfg, "server \"%s\" has no url", title);
                return -1;
        }

        replace_old_server(rd, title);
        r = config_add_server(rd->config, title, rd->server.url);
        free(TAKE(rd->server.url));
        if (r >= 0)
                return 0;

        cfg_error(cfg, r == -ENOMEM ? "out of memory" :
                       r == -E2BIG  ? "there are too many servers" :
                                      "a server has a title, without control characters: server \"main\" {");
        return -1;
}

#define OPTIONS_MAX 66u /* rows that `seen` has bits for, the section of servers, the end */

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
        assert(n < OPTIONS_MAX - 1);
        return n;
}

static cfg_t *make_parser(Reading *rd) {
        cfg_opt_t options[OPTIONS_MAX] = {}, server[OPTIONS_MAX] = {};
        size_t n = fill_options(options, config_keys, rd);
        cfg_t *cfg;

        (void) fill_options(server, config_server_keys, rd);
        options[n] = (cfg_opt_t) CFG_SEC("server", server, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
        options[n].validcb = on_server;

        cfg = cfg_init(options, CFGF_NONE);
        if (!cfg)
                return NULL;

        (void) cfg_set_error_function(cfg, on_error);
        CONFIG_FOREACH_KEY(k, config_keys)
                if (k->type == CONFIG_DIRS)
                        (void) cfg_addlist(cfg, k->name, 1, "");
        return cfg;
}

/* -- what is done to the text before libconfuse sees it; it ends in a NUL that n does not count -- */

#define NOT_EXPANDED "${...} is not expanded; in a string, write \\${"

static bool begins_comment(const char *text, size_t i) {
        if (text[i] == '#')
                return true;
        if (text[i] != '/')
                return false;

        /* "//" in the middle of a word is that of a URL */
        return text[i + 1] == '*' ||
               (text[i + 1] == '/' && (i == 0 || strchr(" \t\r\n={}(),+*\"'", text[i - 1])));
}

/* Blanks the comment at *i, keeping its newlines, and goes behind it. Returns what is wrong with it, or
 * NULL. */
static const char *skip_comment(char *text, size_t *i, size_t n) {
        bool is_block = text[*i] == '/' && text[*i + 1] == '*';
        const char *end = is_block ? strstr(text + *i + 2, "*/") : strchr(text + *i, '\n');
        size_t stop = end ? (size_t) (end - text) + (is_block ? 2 : 0) : n;

        if (is_block && !end)
                return "this comment has no end";

        for (; *i < stop; (*i)++)
                if (text[*i] != '\n')
                        text[*i] = ' ';
        return NULL;
}

static const char *skip_string(const char *text, size_t *i, size_t n) {
        char quote = text[(*i)++];

        for (; *i < n && text[*i] != '\n'; (*i)++) {
                if (text[*i] == quote) {
                        (*i)++;
                        return NULL;
                }
                if (text[*i] == '\\' && text[*i + 1] != '\n')
                        (*i)++;
                else if (quote == '"' && text[*i] == '$' && text[*i + 1] == '{')
                        return NOT_EXPANDED;
        }

        return "this string is not closed in its line";
}

static int refuse_at(Reading *rd, const char *text, size_t i, const char *cause) {
        size_t line = 1;

        for (size_t k = 0; k < i; k++)
                line += text[k] == '\n';

        return complain(rd, line, cause);
}

/* Makes the text such that libconfuse reads it as tcollector.conf(5) says, or refuses it. */
static int prepare(Reading *rd, char *text, size_t n) {
        const char *nul = memchr(text, '\0', n);
        size_t opened = 0, depth = 0;

        if (nul)
                return refuse_at(rd, text, (size_t) (nul - text), "there is a NUL byte in this line");

        for (size_t i = 0; i < n;) {
                const char *fault = NULL;
                size_t begin = i;

                if (begins_comment(text, i))
                        fault = skip_comment(text, &i, n);
                else if (text[i] == '"' || text[i] == '\'')
                        fault = skip_string(text, &i, n);
                else if (text[i] == '$' && text[i + 1] == '{')
                        fault = NOT_EXPANDED;
                else
                        i++;
                if (fault)
                        return refuse_at(rd, text, begin, fault);

                if (text[begin] == '{' && depth++ == 0)
                        opened = begin;
                if (text[begin] == '}' && depth > 0)
                        depth--;
        }

        return depth > 0 ? refuse_at(rd, text, opened, "this { is not closed") : 0;
}

static int parse(Reading *rd, const char *text) {
        cfg_t *cfg = make_parser(rd);
        int r;

        if (!cfg)
                return -ENOMEM;

        r = cfg_parse_buf(cfg, text);
        if (r != CFG_SUCCESS)
                (void) complain(rd, (size_t) MAX(cfg->line, 1), "this is no setting");
        CONFIG_FOREACH_KEY(k, config_keys)
                if (k->type == CONFIG_DIRS && cfg_size(cfg, k->name) == 0)
                        config_clear_dirs(rd->config);

        (void) cfg_free(cfg); /* also puts the scanner back to its start, wherever an error left it */
        free(rd->server.url);
        return rd->failed ? -EINVAL : 0;
}

int config_read_text(Config *c, Slice text, const char *path, Buffer *why) {
        Reading rd = {
                .config = c, .path = path, .why = why, .n_old_tags = c->n_tags, .n_old_servers = c->n_servers
        };
        _cleanup_(buffer_done) Buffer copy = {};
        int r;

        r = buffer_add(&copy, text);
        if (r >= 0)
                r = prepare(&rd, copy.data, copy.n);
        if (r >= 0)
                r = parse(&rd, copy.data);

        return r;
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

static int is_drop_in(const struct dirent *e) {
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(Config *c, const char *dir, Buffer *why) {
        struct dirent **entries;
        int n = scandir(dir, &entries, is_drop_in, compare_names), r = 0;

        if (n < 0 && errno == ENOENT)
                return 0;
        if (n < 0) {
                r = -errno;
                (void) buffer_addf(why, "%s: %m", dir);
                return r;
        }

        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *path = NULL;

                if (r >= 0 && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0)
                        r = -ENOMEM;
                if (r >= 0)
                        r = config_read_file(c, path, why);
                free(entries[i]);
        }
        free(entries);
        return r;
}

int config_load(Config **ret, const char *file, const char *dropin_dir, Buffer *why) {
        _cleanup_(config_freep) Config *c = NULL;
        int r = config_new(&c);

        if (r >= 0 && file)
                r = config_read_file(c, file, why);
        if (r >= 0 && dropin_dir)
                r = read_drop_ins(c, dropin_dir, why);
        if (r >= 0)
                r = config_check(c, why);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}
