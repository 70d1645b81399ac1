/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Makes units of the collectors of this host: systemd.generator(7), conf/unit-files.h. */

/* Reads the configuration in `etc` ("/etc/tcollector") and writes below `normal_dir`, which must exist. What
 * is broken is logged and costs that one file or collector; where it is tcollector.conf itself, `good` is
 * read instead, a copy that could be used once, if there is one. 0; < 0: nothing could be written at all
 * (logged). */
int generator_run(const char *etc, const char *good, const char *normal_dir);
