/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The status as HTTP (--monitoring-interface): a GET or HEAD of any path is answered with what the owner
 * reports at that moment, as JSON; anything else with 405.
 *
 * libmicrohttpd, loaded when the first monitor is made, does the talking on the owner's loop, without a
 * thread. 64 connections at most; one that is silent for 10 s is closed. */

#include <systemd/sd-event.h>

#include "basic/buffer.h"

typedef struct Monitor Monitor;

/* Adds the whole answer to `out`. < 0: the client gets 500. */
typedef int (*MonitorReport)(void *userdata, Buffer *out);

/* `address` is a name or address of this host, an IPv6 address with or without brackets; port 0: any that is
 * free. References event. Logs what fails; -errno. */
int monitor_new(Monitor **ret, sd_event *event, const char *address, uint16_t port, MonitorReport report,
                void *userdata);
Monitor *monitor_free(Monitor *m); /* closes every connection; NULL-safe, returns NULL */
DEFINE_CLEANUP(Monitor *, monitor_free);

uint16_t monitor_port(const Monitor *m);
