/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "conf/config-list.h"

static size_t find_tag(const ConfigTag *tags, size_t n, Slice key) {
        size_t i = 0;

        while (i < n && !slice_equal(slice_from_string(tags[i].key), key))
                i++;

        return i;
}

bool tag_list_has(const ConfigTag *tags, size_t n, Slice key) {
        return find_tag(tags, n, key) < n;
}

bool tag_list_remove(ConfigTag *tags, size_t *n, Slice key) {
        size_t i = find_tag(tags, *n, key);

        if (i == *n)
                return false;

        free(tags[i].key);
        free(tags[i].value);
        (*n)--;
        memmove(tags + i, tags + i + 1, (*n - i) * sizeof(*tags));
        return true;
}

void tag_list_clear(ConfigTag **tags, size_t *n) {
        for (size_t i = 0; i < *n; i++) {
                free((*tags)[i].key);
                free((*tags)[i].value);
        }
        free(TAKE(*tags));
        *n = 0;
}

#define TAG_KEY_SET "-_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define TAG_VALUE_SET TAG_KEY_SET "/"

int tag_list_add(ConfigTag **tags, size_t *n, const char *text) {
        size_t n_key = strspn(text, TAG_KEY_SET), n_value;
        _cleanup_(freep) char *key = NULL, *value = NULL;
        ConfigTag *grown;

        if (n_key == 0 || text[n_key] != '=')
                return -EINVAL;
        n_value = strspn(text + n_key + 1, TAG_VALUE_SET);
        if (n_value == 0 || text[n_key + 1 + n_value] != '\0')
                return -EINVAL;
        if (tag_list_has(*tags, *n, (Slice) { text, n_key }))
                return -EEXIST;
        if (*n >= CONFIG_LIST_MAX)
                return -E2BIG;

        key = strndup(text, n_key);
        value = strdup(text + n_key + 1);
        grown = reallocarray(*tags, *n + 1, sizeof(*grown));
        if (grown)
                *tags = grown;
        if (!key || !value || !grown)
                return -ENOMEM;

        grown[(*n)++] = (ConfigTag) { TAKE(key), TAKE(value) };
        return 0;
}

int string_list_add(char ***items, size_t *n, const char *text) {
        _cleanup_(freep) char *copy = NULL;
        char **grown;

        if (*n >= CONFIG_LIST_MAX)
                return -E2BIG;

        copy = strdup(text);
        grown = reallocarray(*items, *n + 1, sizeof(*grown));
        if (grown)
                *items = grown;
        if (!copy || !grown)
                return -ENOMEM;

        grown[(*n)++] = TAKE(copy);
        return 0;
}

void string_list_clear(char ***items, size_t *n) {
        for (size_t i = 0; i < *n; i++)
                free((*items)[i]);
        free(TAKE(*items));
        *n = 0;
}
