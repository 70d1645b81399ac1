/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The running agent, on the system bus. Every call is bounded in time. */

#include "basic/buffer.h"

/* All: 0; -ESRCH: no agent is on the bus; another -errno: no bus, no answer, refused. `why`, which may be
 * NULL, has it in words. */
int agent_status(char **ret_json, Buffer *why); /* the caller frees *ret_json */
int agent_flush(Buffer *why);                   /* deliver at once what is queued */
int agent_collector_failed(const char *instance, const char *result, const char *status, usec_t timeout);
