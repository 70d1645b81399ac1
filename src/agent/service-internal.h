/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between service.c, the life of the service, and service-queue.c, its queue. */

#include "agent/bus.h"
#include "agent/feeds.h"
#include "agent/manager-internal.h"
#include "agent/status.h"
#include "basic/ratelimit.h"
#include "io/watch.h"

struct Service {
        Handover *handover;
        Skips *skips;
        Feeds *feeds;
        Bus *bus;
        Watch *watch;
        const char **watched; /* its folders */
        char *conf_d;
        sd_event_source *look, *watchdog, *sync;
        char said[STATUS_LINE_MAX]; /* the last STATUS= */
        Options options;            /* from the last reload; zero: none yet */
        Buffer refused;             /* why the files as they are now are; empty: they are not */
        RateLimit complaints;       /* of the disk */
        bool spilling;              /* points go to the disk, which has been said */
        bool stuck;                 /* which has been said */
};

int service_open_queue(Manager *m); /* ring, spool and skips. Logs what fails; -errno */

/* What the loop calls; `userdata` is the Manager. */
int service_on_sync(sd_event_source *s, uint64_t usec, void *userdata);
