/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The configuration: one table of settings feeds the parser, the dump and the manual page
 * (tcollector.conf(5), DESIGN.md section 5). Parsed with libconfuse into a fresh Config, which takes the
 * place of the old one only when all of it is good. */

#include <stdio.h>

#include "basic/buffer.h"

typedef struct ConfigTag {
        char *key, *value;
} ConfigTag;

/* What is not given is "". */
typedef struct ConfigServer {
        char *title;    /* of the section: "main" */
        char *url;      /* port and path always included: "telnet://[::1]:4242", "https://h:443/api/put" */
        char *username; /* without a colon; with it goes one of the passwords, without it none */
        char *password_file, *password_credential; /* one at most; the file's path is absolute */
        char *token_file, *token_credential;       /* the same; no user then */
        char *ca_file, *client_cert, *client_key;
        char *proxy; /* port always included: "http://proxy:3128" */
        bool gzip;
        bool sync;
} ConfigServer;

/* What a collector's section says of it; where there is none, the defaults. */
typedef struct ConfigCollector {
        char *name;      /* of the collector's file, extension included: the section's title */
        ConfigTag *tags; /* added to its data points, over the agent's */
        size_t n_tags;
        char **environment; /* "NAME=value" */
        size_t n_environment;
        char *user;          /* "": the unprivileged tcollector-col */
        uint64_t interval;   /* seconds, 0 = long-running; UINT64_MAX: as its folder says */
        uint64_t cpu_quota;  /* percent of one processor; 0: none */
        uint64_t memory_max; /* bytes */
        uint64_t tasks_max;  /* processes and threads */
        uint64_t max_series; /* 0: the agent's */
        usec_t inactivity;   /* USEC_INFINITY: the agent's; 0: never stalled */
        usec_t retry;        /* after a failure or exit status 13 */
        bool enabled;
        bool align; /* run at multiples of the interval, where it divides a day */
} ConfigCollector;

typedef enum ConfigPolicy {
        CONFIG_POLICY_FAILOVER, /* one server at a time */
        CONFIG_POLICY_SPREAD,   /* each series to one of them */
        CONFIG_POLICY_MIRROR,   /* everything to each of them */
} ConfigPolicy;

typedef struct Config {
        ConfigTag *tags; /* as given, "host" not added */
        size_t n_tags;
        ConfigServer *servers;
        size_t n_servers;
        ConfigCollector *collectors;
        size_t n_collectors;
        ConfigCollector collector_defaults;
        char **broken; /* what a file that could not be used was about, or "NAME.conf" it is called */
        size_t n_broken;
        char **collector_dirs;
        size_t n_collector_dirs;
        char *namespace_prefix; /* "": none */
        usec_t dedup_interval;  /* 0: off */
        usec_t evict_interval;
        usec_t inactivity; /* a long-running collector without a line for so long is stalled; 0: never */
        usec_t reconnect_interval;
        usec_t flush_timeout; /* at the end, how long delivery may stand still */
        uint64_t queue_size;  /* bytes */
        uint64_t spool_size;  /* bytes; 0: no spool */
        uint64_t max_series;  /* per collector */
        uint64_t max_tags;
        char *spool_dir;            /* an absolute path */
        unsigned policy;            /* a ConfigPolicy */
        unsigned replace_bad_chars; /* bad_chars: 0 reject, 1 replace */
        bool dedup_only_zero;
        bool self_stats;
        bool remove_inactive; /* a stalled collector is stopped for good */
} Config;

#define CONFIG_FILE_MAX (1024u * 1024) /* bytes; a longer configuration file is refused */
#define CONFIG_LIST_MAX 256u           /* tags, servers, folders, variables: at most so many of each */
#define CONFIG_COLLECTORS_MAX 4096u    /* sections about collectors */

int config_new(Config **ret);   /* every setting at its default; -ENOMEM */
Config *config_free(Config *c); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Config *, config_free);

/* Reads one file over what `c` holds: scalars are replaced, tags, servers and collectors are added to; one
 * with the key or title of an earlier file's takes its place whole.
 * 0; -ENOENT and the like: it cannot be read; -EINVAL: `why` has "FILE:LINE: cause". On failure `c` may be
 * half changed: throw it away. */
int config_read_file(Config *c, const char *path, Buffer *why);

/* The same with the file's text at hand; `path` is only named. */
int config_read_text(Config *c, Slice text, const char *path, Buffer *why);

/* Adds the text of a configuration file to `text`, and never waits for it: what is neither a file nor
 * /dev/null is -EINVAL. Failures as of config_read_file(). */
int config_read_plain(const char *path, Buffer *text, Buffer *why);

/* Can this file be used, by itself? Its text, into an empty buffer, and failures as of config_read_plain()
 * and config_read_text(). */
int config_try(const char *path, Buffer *text, Buffer *why);

/* Reads `file`, then every *.conf in `dropin_dir` in the order of their names, and checks the whole. Either
 * may be NULL; the folder need not exist, the file must. Without a folder the file may be a pipe, too.
 * Failures as of config_read_file() and config_check(), with the cause in `why`. */
int config_load(Config **ret, const char *file, const char *dropin_dir, Buffer *why);

/* The same of a folder such as /etc/tcollector: tcollector.conf, which need not exist here, and conf.d. */
int config_load_folder(Config **ret, const char *etc, Buffer *why);

/* The same for a program that goes on without what is broken, and `file` need not exist: a file that cannot
 * be used is told to `complain` ("FILE:LINE: cause") and leaves nothing behind, but the collectors it is
 * about (it names them in a section's title, or is called as one of them) are not enabled, as nobody knows
 * what it meant to say of them. 0, -ENOMEM. */
typedef void (*ConfigComplaint)(void *userdata, const char *what);
int config_load_what_is_good(Config **ret, const char *file, const char *dropin_dir,
                             ConfigComplaint complain, void *userdata);
int config_load_what_is_good_in(Config **ret, const char *etc, ConfigComplaint complain, void *userdata);

/* The section about the collector of that name, or the defaults; borrowed. */
const ConfigCollector *config_collector(const Config *c, const char *name);

/* Sets one scalar as a configuration file would. -ENOENT: no such key; -EINVAL: `why` says what is right. */
int config_set(Config *c, const char *key, const char *text, Buffer *why);

/* Adds a tag. -EINVAL: no K=V, or a character outside the set; -EEXIST: that key is there already;
 * -E2BIG. */
int config_add_tag(Config *c, const char *text);
/* -EINVAL: no title, or no URL that can be used; -EEXIST: that title is there already; -E2BIG:
 * CONFIG_LIST_MAX. */
int config_add_server(Config *c, const char *title, const char *url);
int config_add_dir(Config *c, const char *path); /* -EINVAL: no absolute path; -E2BIG */

bool config_remove_tag(Config *c, Slice key);            /* was there one? */
bool config_remove_server(Config *c, const char *title); /* was there one? */
void config_clear_servers(Config *c);
void config_clear_dirs(Config *c);

/* What no single setting can tell: evict_interval beyond dedup_interval, the number of tags, each
 * collector's included. 0, or -EINVAL with the cause in `why`. */
int config_check(const Config *c, Buffer *why);

/* Writes it as a configuration file that config_read_file() reads back. */
int config_dump(const Config *c, Buffer *out);
