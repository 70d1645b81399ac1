/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "io/systemd.h"

/* Has everything stopped that the agent reads: timers, collectors, then the target. Does not wait. What
 * cannot be stopped is logged. 0, or the first -errno. */
int stop_collectors(Systemd *s);
