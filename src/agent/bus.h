/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The agent on the system bus: org.opentsdb.Tcollector1, which tcollectorctl(1) asks, and what systemd says
 * of the collectors' units, read only. Without a bus the agent works as well; it is tried again. */

#include <systemd/sd-event.h>

#include "basic/buffer.h"

typedef struct Bus Bus;

/* What the owner does; each is called from the loop. */
typedef struct BusOps {
        int (*status)(void *userdata, Buffer *out); /* adds a JSON document; < 0: the caller gets an error */
        void (*flush)(void *userdata);              /* tries to deliver at once what is queued */
        /* A run of that collector has failed. `killed`: it overstayed its interval. */
        void (*failed)(void *userdata, const char *instance, bool killed);
        /* The states of units are going to be told: who is not named is not loaded, so it is inactive. */
        void (*begin)(void *userdata);
        /* The unit is "active", "activating", "inactive", "failed", ...; or, last said, it waits for its
         * retry: "retry". */
        void (*state)(void *userdata, Slice instance, const char *state);
} BusOps;

int bus_new(Bus **ret, sd_event *event, const BusOps *ops, void *userdata); /* -ENOMEM */
Bus *bus_free(Bus *b);                                                      /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Bus *, bus_free);

/* Connects where there is no connection yet, and asks systemd for the units' states: they come later. */
void bus_look(Bus *b);
