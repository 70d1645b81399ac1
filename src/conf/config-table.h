/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings, a row each. Whoever parses, dumps or documents one reads it here. The types serve for other
 * tables of the kind too, such as the command line's. */

#include "conf/config.h"

typedef enum ConfigType {
        CONFIG_BOOL,
        CONFIG_UINT,
        CONFIG_SIZE,   /* bytes: "16M" */
        CONFIG_SPAN,   /* of time: "5min" */
        CONFIG_TEXT,   /* anything but nothing */
        CONFIG_NAME,   /* characters a metric may have, or nothing */
        CONFIG_CHOICE, /* one of two words, "no|yes" in `min`; the bool is true for the second */
        CONFIG_URL,
        CONFIG_TAGS, /* list; elements add up over files */
        CONFIG_DIRS, /* list; "=" replaces what was there, "+=" adds */
        _CONFIG_TYPE_MAX
} ConfigType;

typedef struct ConfigKey {
        const char *name;
        ConfigType type;
        const char *fallback; /* as it would be written; of a list, the elements with ':' between */
        const char *min, *max;
        size_t offset; /* into Config, of a server's key into ConfigServer; lists have none */
        const char *doc;
} ConfigKey;

/* End at a row without a name. */
extern const ConfigKey config_keys[];
extern const ConfigKey config_server_keys[];

#define CONFIG_FOREACH_KEY(k, keys) for (const ConfigKey *k = (keys); k->name; k++)

const ConfigKey *config_key_find(const ConfigKey *keys, const char *name); /* NULL: none */
const char *config_type_to_string(ConfigType t);
bool config_key_is_list(const ConfigKey *k);

/* Reads `text` into the field at `k->offset` of `base` (a Config, for the rows of config_keys); to a list it
 * adds one element, and `base` is a Config. -EINVAL, -EEXIST, -E2BIG, -EPROTONOSUPPORT: `why` says what is
 * right. */
int config_key_set(const ConfigKey *k, void *base, const char *text, Buffer *why);

/* Adds the value of a scalar as it is written in a file, quotes included. */
int config_key_format(const ConfigKey *k, const void *base, Buffer *out);

int config_add_quoted(Buffer *out, const char *s); /* as a string of a configuration file */

/* The URL as it is kept, for the caller to free; failures as of config_add_server(). */
int config_url_parse(const char *text, char **ret, Buffer *why);
