/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tcollectorctl says. To a person: what was done on standard output, faults on standard error. To the
 * journal, where that is standard error: with its level, and what is about one collector so that
 * `journalctl -u tcollector-col@NAME` shows it. */

#include "basic/log.h"
#include "conf/names.h"

void say_init(void); /* from now on log lines are ours */

/* What has its own "FILE:LINE: ..." in front: a fault of that level. */
void say_fault(int level, const char *line);

/* "NAME: ..." */
void say_collector(int level, const char *instance, const char *format, ...) _printf_(3, 4);
