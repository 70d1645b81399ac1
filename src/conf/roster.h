/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The collectors that are to run on this host: what is found in the collector folders, less what is not
 * enabled, each with its settings. The generator, rescan and the agent all read it here. */

#include "conf/config.h"
#include "conf/discover.h"

typedef struct RosterEntry {
        char *instance;    /* conf/instance.h */
        DiscoverItem item; /* interval_sec is the one that counts, a section's over the folder's */
        const ConfigCollector *settings; /* never NULL; borrowed from the configuration */
} RosterEntry;

typedef struct Roster {
        RosterEntry *entries; /* by item.name */
        size_t n;
} Roster;

/* `config` must outlive the roster. Complaints as of discover(), and of names that make no unit. 0,
 * -ENOMEM. */
int roster_read(const Config *config, DiscoverComplaint complain, void *userdata, Roster *ret);
void roster_done(Roster *r);

/* NULL: none of that instance. */
const RosterEntry *roster_find(const Roster *r, const char *instance);
