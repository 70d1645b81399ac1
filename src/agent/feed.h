/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One collector of the service mode, as the agent sees it: the FIFO its unit writes to, and its lane. The
 * process behind it is systemd's business. */

#include <sys/stat.h>

#include "agent/pipeline.h"
#include "conf/roster.h"
#include "io/handover.h"
#include "io/source.h"
#include "store/skips.h"

typedef struct FeedContext {
        SourceHub *hub; /* all borrowed, for the feeds' life */
        Ring *ring;
        Skips *skips;
        Handover *handover;
        const Config *config; /* changes with a reload */
} FeedContext;

typedef struct Feed {
        const FeedContext *context;
        char *instance, *name;
        char *cgroup;  /* the folder of its unit's control group; NULL: not known */
        uint64_t hash; /* of the instance: what the queue and the skips know it by */
        dev_t dev;     /* of the FIFO */
        ino_t inode;
        Lane *lane;
        PointRules *rules;
        Source *source;
        const char *stored_as; /* what its FIFO's name in the fd store begins with */
        bool skipping;         /* is noted in the skips */
        bool leaving;          /* its FIFO is gone: it goes when it is read to the end */
        int left;              /* bytes in it when it was last looked at, leaving; -1: not looked at yet */
        usec_t left_since;     /* CLOCK_MONOTONIC: that many */
        bool seen;             /* by the scan at hand */

        /* from the roster, as it was last read; path NULL: not in it */
        char *path;
        usec_t mtime; /* CLOCK_REALTIME */
        uint64_t interval_sec;
        usec_t inactivity; /* 0: never stalled */

        usec_t since; /* CLOCK_MONOTONIC: it has been silent at most since then */
        char *state;  /* of its unit, as systemd calls it; NULL: not known */
} Feed;

/* `fd` is the reading end of its FIFO, taken on success; `name` is copied. What the roster says of it comes
 * with feed_update(). -ENOMEM, or what source_new() said. */
int feed_new(Feed **ret, const FeedContext *context, const char *instance, int fd, usec_t now);
Feed *feed_free(Feed *f); /* NULL-safe, returns NULL; leaves what was not read */
DEFINE_CLEANUP(Feed *, feed_free);

/* New rules, limits and settings, from the context's configuration and `entry` (NULL: no such collector is
 * known). -errno, and it goes on as before. */
int feed_update(Feed *f, const RosterEntry *entry);

/* As the configuration has them now. */
DedupLimits feed_limits(const Feed *f);

/* It is leaving, nothing is left in its FIFO but half a line that has not grown since the last call, and
 * nobody has it open to write, or whoever has it was silent for a minute. */
bool feed_has_left(Feed *f, usec_t now);

/* Another FIFO is read under its name: an over-long line in this one is no business of that. */
void feed_forget_skip(Feed *f);

/* Long-running, being written to by somebody, not held up by a full queue, and silent for too long? Then
 * the time begins anew, so that it is said once. */
bool feed_is_stalled(Feed *f, usec_t now);

/* What a FIFO's name in the fd store begins with: one that is in the folder, or was there last; and one that
 * was replaced, while there is something in it. */
#define FEED_STORE_PREFIX "col-"
#define FEED_STORE_REPLACED "old-"
