/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is done to the text of a configuration file before libconfuse sees it. */

#include "conf/config.h"

/* Makes the text such that libconfuse reads it as tcollector.conf(5) says: comments become blanks. A NUL
 * that `n` does not count is behind it. NULL; otherwise what is wrong with it, and *ret_at is where. */
const char *config_prepare(char *text, size_t n, size_t *ret_at);

/* Adds the titles of what look like sections about collectors in a text that could not be read, to a list of
 * strings. More rather than less is found. 0, -ENOMEM. */
int config_find_collectors(Slice text, char ***titles, size_t *n_titles);
