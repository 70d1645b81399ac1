/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sections of a configuration: servers and collectors. They are put together apart, and handed over
 * whole. */

#include "conf/config.h"

int config_server_init(ConfigServer *ret); /* every setting at its default, no title, no url; -ENOMEM */
void config_server_done(ConfigServer *s);  /* empties it */

/* Takes `s` over and empties it. -EINVAL: its title, no URL, or settings that do not go together: `why` says
 * what is right; -EEXIST: that title is there already; -E2BIG; -ENOMEM. On failure `s` is as it was. */
int config_take_server(Config *c, ConfigServer *s, Buffer *why);

int config_collector_init(ConfigCollector *ret);
void config_collector_done(ConfigCollector *s);

/* The same for a collector, whose name is the title; it takes the place of one of that name. -EINVAL,
 * -E2BIG, -ENOMEM. */
int config_take_collector(Config *c, ConfigCollector *s, Buffer *why);
void config_clear_collectors(Config *c);
