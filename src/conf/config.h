/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The configuration: one table of settings feeds the parser, the dump and the manual page
 * (tcollector.conf(5), DESIGN.md section 5). Parsed with libconfuse into a fresh Config, which takes the place
 * of the old one only when all of it is good. */

#include <stdio.h>

#include "basic/buffer.h"

typedef struct ConfigTag {
        char *key, *value;
} ConfigTag;

typedef struct ConfigServer {
        char *title; /* of the section: "main" */
        char *url;
} ConfigServer;

typedef struct Config {
        ConfigTag *tags;        /* as given, "host" not added */
        size_t n_tags;
        ConfigServer *servers;
        size_t n_servers;
        char **collector_dirs;
        size_t n_collector_dirs;
        char *namespace_prefix; /* "": none */
        usec_t dedup_interval;  /* 0: off */
        usec_t evict_interval;
        usec_t inactivity;      /* a long-running collector without a line for so long is stalled; 0: never */
        usec_t reconnect_interval;
        uint64_t queue_size;    /* bytes */
        uint64_t max_series;    /* per collector */
        uint64_t max_tags;
        bool dedup_only_zero;
        bool self_stats;
        bool replace_bad_chars; /* bad_chars = "replace" */
} Config;

int config_new(Config **ret);       /* every setting at its default; -ENOMEM */
Config *config_free(Config *c);     /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Config *, config_free);

/* Reads one file over what `c` holds: scalars are replaced, tags and servers are added to.
 * 0; -ENOENT and the like: it cannot be read; -EINVAL: *ret_why (the caller's Buffer) has "FILE:LINE: cause".
 * On failure `c` may be half changed: throw it away. */
int config_read_file(Config *c, const char *path, Buffer *why);

/* Adds a tag. -EINVAL: no K=V, or a character outside the set; -EEXIST: that key is there already. */
int config_add_tag(Config *c, const char *text);
int config_add_server(Config *c, const char *title, const char *url); /* -EINVAL: no URL of a known scheme */

/* What no single setting can tell: evict_interval beyond dedup_interval, the number of tags. 0, or -EINVAL with the
 * cause in `why`. */
int config_check(const Config *c, Buffer *why);

/* Writes it as a configuration file that config_read_file() reads back. */
int config_dump(const Config *c, Buffer *out);
