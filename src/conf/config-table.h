/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings, a row each. Whoever parses, dumps or documents one reads it here. The types serve for other
 * tables of the kind too, such as the command line's. */

#include "conf/config.h"

typedef enum ConfigType {
        CONFIG_BOOL,
        CONFIG_UINT,
        CONFIG_SIZE,        /* bytes: "16M" */
        CONFIG_SPAN,        /* of time: "5min" */
        CONFIG_PERCENT,     /* "20%", or 0 */
        CONFIG_TEXT,        /* without control characters */
        CONFIG_NAME,        /* characters a metric may have, or nothing */
        CONFIG_USER,        /* of this host, or nothing */
        CONFIG_PATH,        /* absolute */
        CONFIG_CREDENTIAL,  /* the name of one of systemd's, or nothing */
        CONFIG_CHOICE,      /* one of the words in `min`, "no|yes"; the field is an unsigned, 0 the first */
        CONFIG_URL,         /* of a server */
        CONFIG_PROXY,       /* its URL, or nothing */
        CONFIG_TAGS,        /* list; elements add up over files */
        CONFIG_DIRS,        /* list; "=" replaces what was there, "+=" adds */
        CONFIG_ENVIRONMENT, /* list of NAME=value */
        _CONFIG_TYPE_MAX
} ConfigType;

typedef struct ConfigKey {
        const char *name;
        ConfigType type;
        /* As it would be written; of a list, the elements with ':' between. NULL: the field is left as it
         * is. Where it is "", a text or path may be nothing. */
        const char *fallback;
        const char *min, *max;
        size_t offset; /* of its field; of a list, the array's */
        const char *doc;
        size_t n_offset; /* of a list, where it is counted */
} ConfigKey;

/* End at a row without a name. */
extern const ConfigKey config_keys[];           /* of a Config */
extern const ConfigKey config_server_keys[];    /* of a ConfigServer */
extern const ConfigKey config_collector_keys[]; /* of a ConfigCollector */

#define CONFIG_FOREACH_KEY(k, keys) for (const ConfigKey *k = (keys); k->name; k++)

const ConfigKey *config_key_find(const ConfigKey *keys, const char *name); /* NULL: none */
const char *config_type_to_string(ConfigType t);
bool config_key_is_list(const ConfigKey *k);

/* Reads `text` into the field at `k->offset` of `base`; to a list it adds one element. -EINVAL, -EEXIST,
 * -E2BIG: `why` says what is right. */
int config_key_set(const ConfigKey *k, void *base, const char *text, Buffer *why);
int config_keys_set_fallbacks(const ConfigKey *keys, void *base); /* 0, -ENOMEM */

/* Frees what the rows' fields hold. */
void config_keys_done(const ConfigKey *keys, void *base);

/* Adds the value as it is written in a file, quotes and braces included. */
int config_key_format(const ConfigKey *k, const void *base, Buffer *out);

int config_add_quoted(Buffer *out, const char *s); /* as a string of a configuration file */
