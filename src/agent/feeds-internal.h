/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between feeds.c, how feeds come and go, and feeds-known.c, what is known of them. */

#include "agent/feeds.h"

struct Feeds {
        FeedContext context;
        Roster roster;
        Feed **feeds; /* by name */
        size_t n_feeds;
        CollectorStats gone; /* of feeds that are no more */
        size_t evicting;     /* whose turn it is */
        size_t cursor;       /* in its slots */
        const Recall *recall;
        char *stalled_dir;
        char *siblings; /* the folder of our own control group's siblings; NULL: not known */
        int dir_fd;
        sd_event_source *inotify, *scan;
        bool full; /* which has been said */
};

/* The one that is not leaving; NULL: none. */
Feed *feeds_find(const Feeds *f, Slice instance);
