/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* tcollector.service: what the service mode has and the foreground mode has not. The queue outlives the
 * process (io/handover.h), collectors are systemd's and come in by FIFOs (agent/feeds.h), systemd is told
 * how it goes (sd_notify(3)), and the configuration can be read anew.
 *
 * All of these belong to the manager; its service is NULL in the foreground mode. */

#include "agent/census.h"
#include "agent/manager.h"

typedef struct Service Service;

/* The configuration is refused, in the folder `etc` or on the command line: saves what the process before
 * left. Logs what becomes of it. */
void service_rescue(const char *etc);

/* Takes over, or makes, the queue. Logs what fails; -errno. */
int service_new(Manager *m);
Service *service_free(Service *s); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Service *, service_free);

int service_start(Manager *m); /* opens the FIFOs, last of all parts. Logs; -errno */
int service_ready(Manager *m); /* all is stored: says so. Logs; -errno */

void service_reload(Manager *m);           /* a file has changed */
void service_reload_on_signal(Manager *m); /* SIGHUP: systemd is told, too */

int service_census(const Manager *m, Census *ret); /* -ENOMEM */
void service_log_counters(const Manager *m);

void service_spill(Manager *m);    /* behind every turn of the loop: a full queue goes to the disk */
int service_spool_all(Manager *m); /* all that is left does; -ENOENT: there is no spool; -errno */
/* What is in memory goes to the disk too, where that costs no line, for the case that no next process takes
 * it over. Logs what fails. */
void service_save_queue(Manager *m);

bool service_returns(Manager *m);  /* told to stop: will it be started again at once? */
void service_stopping(Manager *m); /* tells systemd */
void service_leave(Manager *m);    /* the loop has ended: leaves to the next process what is to stay */
bool service_is_quiet(Manager *m); /* nothing is left in the FIFOs, as far as the queue has room */
