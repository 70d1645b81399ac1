/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lists of a configuration: an array and its count, at most CONFIG_LIST_MAX elements, searched from the
 * front. */

#include "conf/config.h"

/* Adds "KEY=VALUE". -EINVAL: it is none; -EEXIST; -E2BIG; -ENOMEM. */
int tag_list_add(ConfigTag **tags, size_t *n, const char *text);
bool tag_list_has(const ConfigTag *tags, size_t n, Slice key);
bool tag_list_remove(ConfigTag *tags, size_t *n, Slice key); /* was there one? */
void tag_list_clear(ConfigTag **tags, size_t *n);

int string_list_add(char ***items, size_t *n, const char *text); /* -E2BIG, -ENOMEM */
void string_list_clear(char ***items, size_t *n);
