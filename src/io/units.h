/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* systemd, over D-Bus: transient scopes around the collectors of the foreground mode
 * (org.freedesktop.systemd1(5), StartTransientUnit).
 *
 * As root the system's manager is asked, else the person's own. Asynchronous; nothing blocks the loop. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "basic/base.h"

typedef struct Units Units;

/* Connects to the manager's private socket, and waits at most 1 s for it to answer. -ENOTCONN or another
 * errno: no systemd here, run without. */
int units_open(Units **ret, sd_event *event);
Units *units_free(Units *u); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Units *, units_free);

const char *units_manager(const Units *u); /* "system" or "user" */

/* The scope stands around the process (r == 0), or could not be made (r < 0, `why` says it). */
typedef void (*UnitsScopeReady)(void *userdata, int r, const char *why);

typedef struct UnitsScope {
        const char *name; /* "tcollector-col-NAME-PID.scope": escaped with units_scope_name() */
        const char *description;
        pid_t pid;           /* the one process it begins with */
        usec_t runtime_max;  /* RuntimeMaxUSec: SIGTERM to all of it after that; USEC_INFINITY: none */
        usec_t timeout_stop; /* TimeoutStopUSec: SIGKILL that much later */
} UnitsScope;

/* 0, or -errno where not even the request could be sent. */
int units_scope_start(Units *u, const UnitsScope *scope, UnitsScopeReady ready, void *userdata);
int units_scope_stop(Units *u, const char *name);  /* SIGTERM, later SIGKILL; no reply is awaited */
void units_scope_forget(Units *u, void *userdata); /* no callback with this userdata any more */

/* "tcollector-col-<name>-<pid>.scope" with what systemd does not take in a unit name escaped as
 * systemd.unit(5) has it. The caller frees it; NULL: out of memory. */
char *units_scope_name(const char *collector, pid_t pid);
