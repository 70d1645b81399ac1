/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* systemd, for a program that does a few things and ends: every call waits for its answer, for a bounded
 * time. Over the private socket (io/private-bus.h), so that it works without a bus daemon, early and at
 * shutdown.
 *
 * A unit is told what to do by a job; none of these waits for one but systemd_wait(). Jobs that start
 * something are of mode "fail": where the unit, or one it would pull in, is about to be stopped, it is
 * left so (-EDEADLK). Jobs that stop something are of mode "replace". */

#include "basic/base.h"

typedef struct Systemd Systemd;

int systemd_open(Systemd **ret, usec_t timeout); /* the system's manager; errors of private_bus_new() */
Systemd *systemd_free(Systemd *s);               /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Systemd *, systemd_free);

typedef enum SystemdVerb {
        SYSTEMD_START,
        SYSTEMD_STOP,
        SYSTEMD_RESTART, /* starts what is not running */
        SYSTEMD_RESET_FAILED,
        _SYSTEMD_VERB_MAX
} SystemdVerb;

/* 0; -EDEADLK: see above; -ERFKILL: the unit is masked; -ENOENT: systemd knows no such unit (resetting one
 * that is not loaded is no error); -ETIMEDOUT. systemd_why() says more. */
int systemd_do(Systemd *s, SystemdVerb verb, const char *unit);
const char *systemd_why(const Systemd *s); /* of the last call that failed, in words; never NULL */

/* Waits until the jobs of all systemd_do() so far are done. -ETIMEDOUT: some are not. */
int systemd_wait(Systemd *s, usec_t timeout);

/* Reads all unit files anew, running generators first; returns when that is done. */
int systemd_reload(Systemd *s);

typedef struct SystemdUnit {
        char *name;
        char *load_state;   /* "loaded", "not-found", "masked" ... */
        char *active_state; /* "active", "inactive", "failed" ... */
        char *job_type;     /* "start", "stop", "restart" ...; "": no job */
} SystemdUnit;

typedef struct SystemdUnits {
        SystemdUnit *units;
        size_t n;
} SystemdUnits;

/* The loaded units whose names match one of the patterns (a NULL-terminated list of them). */
int systemd_list(Systemd *s, const char *const *patterns, SystemdUnits *ret);
/* One unit. Nothing is loaded for it: one that is not is "not-found" and "inactive" here. */
int systemd_find(Systemd *s, const char *unit, SystemdUnit *ret);
void systemd_unit_done(SystemdUnit *u);
void systemd_units_done(SystemdUnits *u);

/* A number of a unit that is loaded or can be: `interface` as in "Service", the property of type t.
 * -ENOENT: no such. */
int systemd_number(Systemd *s, const char *unit, const char *interface, const char *property, uint64_t *ret);
