/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "agent/feeds-internal.h"
#include "basic/log.h"

#define EVICT_STEPS 50u
#define EVICT_SLOTS 2000u

Feed *feeds_find(const Feeds *f, Slice instance) {
        for (size_t i = 0; i < f->n_feeds; i++)
                if (!f->feeds[i]->leaving && slice_equal(slice_from_string(f->feeds[i]->instance), instance))
                        return f->feeds[i];

        return NULL;
}

/* rescan says it to whoever looks at the collectors; twice would be noise. */
static void complain(void *userdata _unused_, const char *path, const char *what) {
        log_debug("%s: %s", path, what);
}

void feeds_configure(Feeds *f, const Config *config) {
        Roster roster = {};
        int r;

        f->context.config = config;
        r = roster_read(config, complain, NULL, &roster);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to look for collectors: %m");

        for (size_t i = 0; i < f->n_feeds; i++) {
                const RosterEntry *entry = r < 0 ? NULL : roster_find(&roster, f->feeds[i]->instance);

                (void) feed_update(f->feeds[i], entry); /* logs what fails */
        }

        roster_done(&f->roster);
        f->roster = TAKE(roster);
}

static void set_state(Feed *feed, const char *state) {
        if (feed->state && strcmp(feed->state, state) == 0)
                return;

        free(feed->state);
        feed->state = strdup(state);
}

void feeds_set_state(Feeds *f, Slice instance, const char *state) {
        Feed *feed = feeds_find(f, instance);

        if (feed && (strcmp(state, "retry") != 0 || !feed->state || strcmp(feed->state, "inactive") == 0))
                set_state(feed, state);
}

void feeds_reset_states(Feeds *f) {
        for (size_t i = 0; i < f->n_feeds; i++)
                set_state(f->feeds[i], "inactive");
}

void feeds_count_failure(Feeds *f, const char *instance, bool killed) {
        Feed *feed = feeds_find(f, slice_from_string(instance));

        if (!feed)
                return;

        feed->lane->stats.failures += !killed;
        feed->lane->stats.kills += killed;
}

/* At most some 100,000 slots a call, a few milliseconds. */
void feeds_evict(Feeds *f, int64_t before_ms) {
        if (f->evicting >= f->n_feeds)
                f->evicting = f->cursor = 0;

        for (unsigned i = 0; i < EVICT_STEPS && f->evicting < f->n_feeds; i++) {
                (void) dedup_evict_some(f->feeds[f->evicting]->lane->dedup, before_ms, EVICT_SLOTS,
                                        &f->cursor);
                f->evicting += f->cursor == 0;
        }
}

int feeds_save(const Feeds *f, int recall_fd) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < f->n_feeds; i++)
                if (!f->feeds[i]->leaving)
                        r = recall_save(recall_fd, f->feeds[i]->name, f->feeds[i]->lane->dedup);

        return r;
}

size_t feeds_n(const Feeds *f) {
        return f->n_feeds;
}

static CensusRow census_row(const Feed *feed) {
        return (CensusRow) {
                .name = feed->name,
                .path = feed->path,
                .cgroup = feed->cgroup,
                .state = feed->state,
                .stats = &feed->lane->stats,
                .mtime = feed->mtime,
                .last_line = feed->lane->last_line,
                .next = USEC_INFINITY,
                .kill_in = USEC_INFINITY,
                .interval_sec = feed->interval_sec,
                .n_series = dedup_n_series(feed->lane->dedup),
                .off = feed->leaving || (feed->state && strcmp(feed->state, "failed") == 0),
        };
}

int feeds_census(const Feeds *f, Census *ret) {
        int r;

        r = census_new(ret, f->n_feeds);
        if (r < 0)
                return r;

        ret->totals = f->gone;
        for (size_t i = 0; i < f->n_feeds; i++) {
                /* beside one that leaves there may be another of its name: two rows would be one series */
                if (!f->feeds[i]->leaving)
                        ret->rows[ret->n++] = census_row(f->feeds[i]);
                stats_add(&ret->totals, &f->feeds[i]->lane->stats);
        }

        return 0;
}

void feeds_log_counters(const Feeds *f, int level) {
        for (size_t i = 0; i < f->n_feeds; i++)
                lane_log_counters(f->feeds[i]->lane, level);
}
