/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The collectors of the service mode: a feed for each FIFO in a folder, followed as FIFOs come and go, and
 * what the configuration and the collector folders say of each. */

#include <systemd/sd-event.h>

#include "agent/census.h"
#include "agent/feed.h"
#include "agent/recall.h"

typedef struct Feeds Feeds;

typedef struct FeedsSpec {
        const FeedContext *context; /* copied; what it points to is borrowed */
        const char *dir;            /* of the FIFOs */
        const char *stalled_dir;    /* a stalled collector's instance becomes an empty file in it */
        const Recall *recall; /* what lanes remember from before, while feeds_new() runs; NULL: nothing */
} FeedsSpec;

/* Takes over what the process before left in the fd store, and opens and stores the rest. Logs what fails;
 * -errno. */
int feeds_new(Feeds **ret, sd_event *event, const FeedsSpec *spec);
Feeds *feeds_free(Feeds *f); /* NULL-safe, returns NULL; what is stored stays stored */
DEFINE_CLEANUP(Feeds *, feeds_free);

/* Reads the collector folders anew, and applies `config`, which is borrowed in place of the old one. */
void feeds_configure(Feeds *f, const Config *config);

/* What has to be looked at every few seconds: stalled collectors are handed to rescan, feeds whose FIFO is
 * gone are let go. `now` is CLOCK_MONOTONIC. */
void feeds_look(Feeds *f, usec_t now);

/* Forgets a part of the series whose time is before that: call it every few seconds. */
void feeds_evict(Feeds *f, int64_t before_ms);

int feeds_save(const Feeds *f, int recall_fd); /* what all lanes remember; -errno */

size_t feeds_n(const Feeds *f);
int feeds_census(const Feeds *f, Census *ret); /* -ENOMEM */
void feeds_log_counters(const Feeds *f, int level);

/* What systemd says of a collector; an instance that is not known is ignored. "retry" is said of one that is
 * perhaps failed, perhaps at work again; it counts where it is neither. */
void feeds_set_state(Feeds *f, Slice instance, const char *state);
void feeds_reset_states(Feeds *f); /* all are inactive */
void feeds_count_failure(Feeds *f, const char *instance, bool killed);
