/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How it goes, for people: one line for `systemctl status`, one JSON document for tcollectorctl(1). */

#include "agent/report.h"

#define STATUS_LINE_MAX 512

/* "Connected to telnet://tsd1:4242; 12345 points delivered, 7 queued; 5 collectors, 1 failed". Returns
 * `buf`. */
const char *status_line(const Report *r, char buf[static STATUS_LINE_MAX]);

/* Adds an object, without a newline. 0, -ENOMEM. */
int status_json(const Report *r, Buffer *out);
