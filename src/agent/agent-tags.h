/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the agent adds to every data point, from the configuration (SPEC.md section 2, "Agent tags"). */

#include "conf/config.h"
#include "point/point.h"

/* The rules for every collector's lines. `add_host`: host=<this host's name> is a tag too, unless the
 * configuration has one of that key. `own`: the settings of the one collector they are for, whose tags win
 * over the agent's; NULL: they are for any. Logs what fails; -errno. */
int agent_tags_rules(PointRules **ret, const Config *config, bool add_host, const ConfigCollector *own);
