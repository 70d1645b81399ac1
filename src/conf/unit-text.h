/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text as unit files have it: systemd.syntax(7), systemd.unit(5) "Specifiers", systemd.time(7). */

#include "basic/buffer.h"

/* Adds `s` in quotes, such that it comes out as it is where specifiers are resolved: Environment=. Bytes
 * that are no plain ASCII become \xNN. 0, -ENOMEM, as all of these. */
int unit_add_quoted(Buffer *out, const char *s);
int unit_add_argument(Buffer *out, const char *s); /* the same for ExecStart=, which resolves "$" too */
int unit_add_bare(Buffer *out, const char *s);     /* without quotes, where only specifiers are resolved */

bool unit_can_align(uint64_t interval); /* seconds that divide a day */

/* Adds OnCalendar= lines that elapse at all multiples of such an interval, counted from the epoch. */
int unit_add_calendar(Buffer *out, uint64_t interval);
