/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A collector's name as the instance of its units and the name of its FIFO. What is in [A-Za-z0-9_.-] stays
 * as it is, so that `systemctl status tcollector-col@my-col.py` finds it; every other byte becomes \xNN, as
 * systemd.unit(5) has it. Used as %i, never as %I: there a "-" would become a "/". */

#include "basic/slice.h"

#define INSTANCE_MAX \
        200u /* bytes: a unit's name has 255, the longest is "tcollector-col-failed@NAME.service" */

/* 0; -ENAMETOOLONG: beyond INSTANCE_MAX when escaped; -EINVAL: empty, begins with "." or has a "/"; -ENOMEM.
 * The caller frees *ret. */
int instance_from_name(const char *name, char **ret);

/* The name behind an instance, for the caller to free. -EINVAL: instance_from_name() does not make such;
 * -ENOMEM. */
int instance_to_name(Slice instance, char **ret);

/* "tcollector-col@INSTANCE.service" -> INSTANCE: what stands between `prefix` and `suffix`. false: `unit` is
 * no such, or its instance is not valid. */
bool instance_from_unit(const char *unit, const char *prefix, const char *suffix, Slice *ret);
