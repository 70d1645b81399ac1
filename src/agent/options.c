/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options are rows of one table (options-table.c), which getopt_long(3), --help and the manual page's check
 * read. The command line is gone through first and only noted; then the files are read; then every option is
 * applied in the order given, most of them through the table of settings. Lists of the command line are put
 * together apart, and take the place of the files' at the end. */

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <config.h>

#include "agent/options-internal.h"
#include "agent/options-table.h"
#include "conf/config-table.h"
#include "conf/config-url.h"
#include "conf/hostport.h"

#define LOGFILE_OF_A_DAEMON "/var/log/tcollector.log"

typedef struct Given {
        const OptionRow *row;
        const char *value; /* borrowed from argv; NULL: takes none */
} Given;

static const ConfigKey option_keys[] = {
        { "port", CONFIG_UINT, "4242", "1", "65535", offsetof(Options, port), NULL },
        { "monitoring_address", CONFIG_TEXT, NULL, NULL, NULL, offsetof(Options, monitoring_address), NULL },
        { "monitoring_port", CONFIG_UINT, "13280", "1", "65535", offsetof(Options, monitoring_port), NULL },
        { "flush_timeout", CONFIG_SPAN, "0", "0", "1d", offsetof(Options, flush_timeout), NULL },
        { "http", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, http), NULL },
        { "http_api_path", CONFIG_TEXT, "api/put", NULL, NULL, offsetof(Options, http_api_path), NULL },
        { "http_username", CONFIG_TEXT, NULL, NULL, NULL, offsetof(Options, http_username), NULL },
        { "http_password", CONFIG_TEXT, NULL, NULL, NULL, offsetof(Options, http_password), NULL },
        { "ssl", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, ssl), NULL },
        { "pidfile", CONFIG_TEXT, NULL, NULL, NULL, offsetof(Options, pidfile), NULL },
        { "logfile", CONFIG_TEXT, NULL, NULL, NULL, offsetof(Options, logfile), NULL },
        { "max_bytes", CONFIG_SIZE, "64M", "0", "1T", offsetof(Options, max_bytes), NULL },
        { "backup_count", CONFIG_UINT, "1", "0", "1000", offsetof(Options, backup_count), NULL },
        { "dry_run", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, dry_run), NULL },
        { "from_stdin", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, from_stdin), NULL },
        { "daemonize", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, daemonize), NULL },
        { "verbose", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, verbose), NULL },
        { "log_stdout", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, log_stdout), NULL },
        { "remove_inactive", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, remove_inactive), NULL },
        { "service", CONFIG_BOOL, "false", NULL, NULL, offsetof(Options, service), NULL },
        {}
};

void options_done(Options *o) {
        (void) config_free(o->config);
        free(o->pidfile);
        free(o->logfile);
        free(o->monitoring_address);
        free(o->http_api_path);
        free(o->http_username);
        free(o->http_password);
        *o = (Options) {};
}

static void parse_done(Parse *p) {
        options_done(&p->options);
        (void) config_free(p->given);
}

int options_exit_status(int r, int argc, char **argv) {
        if (r >= 0)
                return 0;
        if (r == -EINVAL)
                return 2;

        /* what lacks memory now may have it when it is started again */
        for (int i = 1; i < argc && r != -ENOMEM; i++)
                if (strcmp(argv[i], "--service") == 0)
                        return EX_CONFIG;

        return 1;
}

int options_refuse(int r, const char *format, ...) {
        char line[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);

        /* What was typed stands in it, and may have anything in it: it stays one line. */
        for (char *p = line; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        *p = '?';

        (void) fprintf(stderr, "tcollector: %s%s\n", line,
                       r == -EINVAL ? "; see 'tcollector --help'." : ".");
        return r;
}

int options_refuse_oom(void) {
        return options_refuse(-ENOMEM, "out of memory");
}

/* -- noting -- */

static size_t count_prefixed(const OptionRow *rows, const char *word) {
        size_t length = strcspn(word, "="), n = 0;

        for (; rows->name; rows++)
                n += !option_is_title(rows) && strncmp(rows->name, word, length) == 0;

        return n;
}

/* Says what getopt_long() did not take. `code` is what it returned, '?' or ':'. */
static int refuse_option(int code, char **argv) {
        const char *word = argv[optind - 1];

        if (optopt >= OPTION_BASE) {
                const char *name = option_rows[optopt - OPTION_BASE].name;

                return options_refuse(
                        -EINVAL,
                        code == ':' ? "option '--%s' needs a value" : "option '--%s' takes no value", name);
        }
        if (optopt != 0)
                return options_refuse(-EINVAL,
                                      code == ':' ? "option '-%c' needs a value" : "unknown option '-%c'",
                                      optopt);
        if (strncmp(word, "--", 2) == 0 && count_prefixed(option_rows, word + 2) > 1)
                return options_refuse(-EINVAL, "option '%s' is ambiguous", word);

        return options_refuse(-EINVAL, "unknown option '%s'", word);
}

static const OptionRow *find_row(int code) {
        if (code >= OPTION_BASE)
                return option_rows + (code - OPTION_BASE);

        for (const OptionRow *row = option_rows; row->name; row++)
                if (row->letter == code)
                        return row;

        abort(); /* getopt_long() knows the letters of the table only */
}

/* Notes what is on the command line in `given`, which has room for it all. Returns how many, or -EINVAL. */
static int note_all(int argc, char **argv, Given *given) {
        struct option longs[OPTION_ROWS_MAX + 1] = {};
        char letters[2 * OPTION_ROWS_MAX + 2] = ":";
        int n = 0;

        options_for_getopt(longs, letters);
        optind = 0; /* glibc: begin anew, whoever called it before */
        opterr = 0;
        for (;;) {
                int code = getopt_long(argc, argv, letters, longs, NULL);

                if (code == -1)
                        break;
                if (code == '?' || code == ':')
                        return refuse_option(code, argv);

                given[n++] = (Given) { find_row(code), optarg };
        }
        if (optind < argc)
                return options_refuse(-EINVAL, "unexpected argument '%s'", argv[optind]);

        return n;
}

/* -- applying -- */

static int apply_setting(Parse *p, const Given *g) {
        const ConfigKey *k = config_key_find(option_keys, g->row->key);
        const char *value = g->value ?: g->row->fixed;
        _cleanup_(buffer_done) Buffer why = {};
        void *base = &p->options;
        int r;

        if (!k) {
                k = config_key_find(config_keys, g->row->key);
                base = p->options.config;
        }
        assert(k && value);

        r = config_key_set(k, base, value, &why);
        if (r == -ENOMEM)
                return options_refuse_oom();
        if (r < 0)
                return options_refuse(-EINVAL, "--%s '%s': %s", g->row->name, value, why.data);

        p->has_port = p->has_port || strcmp(g->row->key, "port") == 0;
        return 0;
}

static int apply_tag(Parse *p, const Given *g) {
        int r = config_add_tag(p->given, g->value);

        if (r == -ENOMEM)
                return options_refuse_oom();
        if (r == -EEXIST)
                return options_refuse(-EINVAL, "--tag '%s': there is a tag of this key already", g->value);
        if (r < 0)
                return options_refuse(
                        -EINVAL,
                        "--tag '%s': must be KEY=VALUE, the key of [-_.a-zA-Z0-9], the value of "
                        "[-_./a-zA-Z0-9]",
                        g->value);

        return 0;
}

static int apply_dir(Parse *p, const Given *g) {
        _cleanup_(freep) char *path = realpath(g->value, NULL);
        struct stat st;
        int r;

        if (!path || stat(path, &st) < 0)
                return options_refuse(-ENOENT, "no folder of collectors '%s': %m", g->value);
        if (!S_ISDIR(st.st_mode))
                return options_refuse(-ENOTDIR, "no folder of collectors '%s': Not a directory", g->value);

        r = config_add_dir(p->given, path);
        if (r == -ENOMEM)
                return options_refuse_oom();
        if (r < 0)
                return options_refuse(-EINVAL, "--collector-dir '%s': cannot be taken", g->value);

        return 0;
}

static int apply_one(Parse *p, const Given *g) {
        switch (g->row->effect) {
        case OPTION_SETTING:
                return apply_setting(p, g);
        case OPTION_TAG:
                return apply_tag(p, g);
        case OPTION_DIR:
                return apply_dir(p, g);
        case OPTION_HOST:
                p->host = g->value;
                return 0;
        case OPTION_HOSTS:
                p->hosts = g->value;
                return 0;
        case OPTION_CONFIG:
        case OPTION_HELP:
        case OPTION_VERSION:
                return 0; /* taken care of before the files were read */
        }

        abort();
}

/* The lists of the command line take the place of the files'. */
static int merge(Config *c, Config *given) {
        int r = 0;

        if (given->n_servers > 0)
                config_clear_servers(c);
        for (size_t i = 0; r >= 0 && i < given->n_servers; i++)
                r = config_add_server(c, given->servers[i].title, given->servers[i].url);

        if (given->n_collector_dirs > 0)
                config_clear_dirs(c);
        for (size_t i = 0; r >= 0 && i < given->n_collector_dirs; i++)
                r = config_add_dir(c, given->collector_dirs[i]);

        for (size_t i = 0; r >= 0 && i < given->n_tags; i++) {
                _cleanup_(freep) char *text = NULL;

                (void) config_remove_tag(c, slice_from_string(given->tags[i].key));
                if (asprintf(&text, "%s=%s", given->tags[i].key, given->tags[i].value) < 0)
                        return -ENOMEM;
                r = config_add_tag(c, text);
        }

        return r;
}

/* What the files and the command line say must hold together. */
static int check(const Options *o) {
        _cleanup_(buffer_done) Buffer why = {};
        const Config *c = o->config;

        if (o->daemonize && (o->from_stdin || o->dry_run))
                return options_refuse(
                        -EINVAL, "--daemonize cannot go with %s: a daemon has no standard input or output",
                        o->from_stdin ? "--stdin" : "--dry-run");
        if (o->service && (o->from_stdin || o->dry_run || o->daemonize))
                return options_refuse(-EINVAL, "--service cannot go with %s",
                                      o->from_stdin ? "--stdin" :
                                      o->dry_run    ? "--dry-run" :
                                                      "--daemonize");
        if (o->ssl && !o->http)
                return options_refuse(-EINVAL, "--ssl goes with --http; a telnets:// server is named in a "
                                               "configuration file");
        if (o->http_password && !o->http_username)
                return options_refuse(-EINVAL, "--http-password goes with --http-username");
        if (c->evict_interval <= c->dedup_interval)
                return options_refuse(-EINVAL, "--evict-interval must be more than --dedup-interval");
        if (o->from_stdin && c->n_tags > c->max_tags)
                return options_refuse(-EINVAL, "%zu tags are more than --max-tags allows (%zu)", c->n_tags,
                                      (size_t) c->max_tags);
        /* with --stdin no host tag is added, for which config_check() wants room */
        if (!o->from_stdin && config_check(c, &why) < 0)
                return options_refuse(-EINVAL, "%s", why.data);

        return 0;
}

static int finish(Parse *p) {
        Options *o = &p->options;
        int r;

        if (merge(o->config, p->given) < 0)
                return options_refuse_oom();

        r = check(o);
        if (r >= 0 && o->http_username)
                r = options_set_user(o);
        if (r < 0)
                return r;

        if (o->log_stdout)
                free(TAKE(o->logfile));
        else if (o->daemonize && !o->logfile)
                o->logfile = strdup(LOGFILE_OF_A_DAEMON);
        if (o->daemonize && !o->log_stdout && !o->logfile)
                return options_refuse_oom();

        return 0;
}

/* -- the files -- */

static const char *last_value(const Given *given, size_t n, OptionEffect effect) {
        const char *value = NULL;

        for (size_t i = 0; i < n; i++)
                if (given[i].row->effect == effect)
                        value = given[i].value ?: "";

        return value;
}

static int read_files(Parse *p, const char *etc, const char *named) {
        _cleanup_(buffer_done) Buffer why = {};
        int r;

        r = named ? config_load(&p->options.config, named, NULL, &why) :
                    config_load_folder(&p->options.config, etc, &why);
        if (r == -ENOMEM)
                return options_refuse_oom();
        if (r < 0) /* a bad file is no wrong usage */
                return options_refuse(r == -EINVAL ? -EBADMSG : r, "%s", why.data);

        return 0;
}

static int set_defaults(Parse *p) {
        _cleanup_(buffer_done) Buffer why = {};
        int r = config_new(&p->given);

        if (r < 0)
                return options_refuse_oom();

        config_clear_dirs(p->given);
        CONFIG_FOREACH_KEY(k, option_keys)
                if (k->fallback && config_key_set(k, &p->options, k->fallback, &why) < 0)
                        return options_refuse(-ENOMEM, "%s: %s", k->name, why.data);

        return 0;
}

int options_parse_at(const char *etc, int argc, char **argv, Options *ret) {
        _cleanup_(freep) Given *given = calloc((size_t) MAX(argc, 0) + 1, sizeof(*given));
        _cleanup_(parse_done) Parse p = {};
        int n, r;

        if (!given)
                return options_refuse_oom();

        n = note_all(argc, argv, given);
        if (n < 0)
                return n;
        if (last_value(given, (size_t) n, OPTION_HELP))
                return options_print_help();
        if (last_value(given, (size_t) n, OPTION_VERSION))
                return printf("tcollector %s\n", PROJECT_VERSION) > 0;

        r = set_defaults(&p);
        if (r >= 0)
                r = read_files(&p, etc, last_value(given, (size_t) n, OPTION_CONFIG));
        for (int i = 0; r >= 0 && i < n; i++)
                r = apply_one(&p, given + i);
        if (r >= 0)
                r = options_add_servers(&p);
        if (r >= 0)
                r = finish(&p);
        if (r < 0)
                return r;

        p.options.etc = etc;
        p.options.argc = argc;
        p.options.argv = argv;
        *ret = TAKE(p.options);
        return 0;
}

int options_reread(const Options *o, Options *ret) {
        return options_parse_at(o->etc, o->argc, o->argv, ret);
}

int options_parse(int argc, char **argv, Options *ret) {
        return options_parse_at(SYSCONFDIR "/tcollector", argc, argv, ret);
}
