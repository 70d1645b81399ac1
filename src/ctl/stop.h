/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "io/systemd.h"

/* Has everything stopped that the agent reads: timers, collectors, then the target. Does not wait. What
 * cannot be stopped is logged. 0, or the first -errno. */
int stop_collectors(Systemd *s);

/* Has the unit stopped that starts the agent for a collector. Not to be waited for: it stops the collectors
 * itself when it is stopped, and may be the one that calls this. */
void stop_wanted(Systemd *s);
