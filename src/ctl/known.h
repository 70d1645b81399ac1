/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of the collectors as the agent starts. */

#include "ctl/entries.h"
#include "ctl/states.h"

/* Of what was generated, all that systemd has in hand (with `states` NULL: nobody can say, so all): as it is
 * now, or, where a process of it has been running, as it was known before, as it was started then. -ENOMEM.
 */
int known_make(const Entries *generated, const Entries *before, const States *states, Entries *ret);
