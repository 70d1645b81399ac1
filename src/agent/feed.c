/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/agent-tags.h"
#include "agent/feed.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "conf/instance.h"

/* How long a writer of a FIFO that is gone may be silent: one that is told to stop has a few seconds for its
 * last words, and one that runs on is better off with a signal than without a reader. */
#define LEAVE_USEC (60 * USEC_PER_SEC)

/* -- the data's way -- */

static size_t on_lines(void *userdata, Slice lines) {
        Feed *f = userdata;

        return lane_lines(f->lane, lines);
}

static void on_too_long(void *userdata, Slice beginning) {
        Feed *f = userdata;

        /* before a byte of it is consumed: see skips.h */
        skips_set(f->context->skips, f->hash, true);
        f->skipping = true;
        lane_fault(f->lane, VERDICT_TOO_LONG, beginning);
}

static void on_taken(void *userdata) {
        Feed *f = userdata;

        ring_pending_done(f->context->ring);
        if (f->skipping && !source_is_discarding(f->source)) {
                skips_set(f->context->skips, f->hash, false);
                f->skipping = false;
        }
}

static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long, .taken = on_taken };

/* -- what it is made of -- */

DedupLimits feed_limits(const Feed *f) {
        const Config *c = f->context->config;

        return lane_limits(c, config_collector(c, f->name));
}

int feed_update(Feed *f, const RosterEntry *entry) {
        const Config *c = f->context->config;
        const ConfigCollector *own = entry ? entry->settings : config_collector(c, f->name);
        DedupLimits limits = lane_limits(c, own);
        PointRules *rules;
        int r;

        r = agent_tags_rules(&rules, c, true, own);
        if (r < 0)
                return r;

        lane_set_rules(f->lane, rules, &limits);
        point_rules_free(f->rules);
        f->rules = rules;

        free(TAKE(f->path));
        f->path = entry ? strdup(entry->item.path) : NULL;
        f->mtime = entry ? (usec_t) entry->item.mtime.tv_sec * USEC_PER_SEC : 0;
        f->interval_sec = entry ? entry->item.interval_sec : 0;
        f->inactivity = !entry || entry->item.interval_sec > 0 ? 0 :
                        own->inactivity == USEC_INFINITY       ? c->inactivity :
                                                                 own->inactivity;
        return 0;
}

/* What the process before had taken in and not yet consumed, and a long line it was in the middle of. */
static void resume(Feed *f) {
        RingPending pending = ring_pending(f->context->ring);

        if (pending.n > 0 && pending.source == f->hash) {
                if (source_finish(f->source, pending.n, pending.checksum))
                        log_debug("%s: %" PRIu64 " bytes had been taken in already", f->name, pending.n);
                ring_pending_done(f->context->ring);
        }
        if (skips_has(f->context->skips, f->hash)) {
                source_set_discarding(f->source, true);
                f->skipping = true;
        }
}

int feed_new(Feed **ret, const FeedContext *context, const char *instance, int fd, usec_t now) {
        _cleanup_(feed_freep) Feed *f = calloc(1, sizeof(*f));
        DedupLimits limits = lane_limits(context->config, NULL);
        struct stat st;
        int r;

        if (!f)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;

        *f = (Feed) {
                .context = context,
                .instance = strdup(instance),
                .hash = ring_source_hash(slice_from_string(instance)),
                .stored_as = FEED_STORE_PREFIX,
                .left = -1,
                .dev = st.st_dev,
                .inode = st.st_ino,
                .since = now,
        };
        r = instance_to_name(slice_from_string(instance), &f->name);
        if (r < 0)
                return r;
        if (!f->instance)
                return -ENOMEM;

        r = agent_tags_rules(&f->rules, context->config, true, NULL);
        if (r >= 0)
                r = lane_new(&f->lane, f->name, context->ring, f->rules, &limits);
        if (r < 0)
                return r;

        f->lane->source = f->hash;
        r = source_new(&f->source, context->hub, fd, SOURCE_FIFO, f->name, &ops, f);
        if (r < 0)
                return r;

        resume(f);
        *ret = TAKE(f);
        return 0;
}

Feed *feed_free(Feed *f) {
        if (!f)
                return NULL;

        source_free(f->source);
        lane_free(f->lane);
        point_rules_free(f->rules);
        free(f->instance);
        free(f->name);
        free(f->cgroup);
        free(f->path);
        free(f->state);
        free(f);
        return NULL;
}

/* Where nobody has written since it was opened, the kernel does not tell: true then, too. */
static bool has_writer(const Feed *f) {
        struct pollfd p = { .fd = source_fd(f->source), .events = POLLIN };

        return poll(&p, 1, 0) < 0 || !(p.revents & POLLHUP);
}

void feed_forget_skip(Feed *f) {
        if (f->skipping)
                skips_set(f->context->skips, f->hash, false);
        f->skipping = false;
}

bool feed_has_left(Feed *f, usec_t now) {
        usec_t silent_since;
        int n = 0;

        if (!f->leaving || source_is_blocked(f->source) || ioctl(source_fd(f->source), FIONREAD, &n) < 0)
                return false;

        if (n != f->left) {
                f->left = n;
                f->left_since = now;
                if (n > 0)
                        return false;
        }

        silent_since = MAX(f->left_since, source_last_line(f->source));
        return !has_writer(f) || now - MIN(silent_since, now) >= LEAVE_USEC;
}

bool feed_is_stalled(Feed *f, usec_t now) {
        usec_t last = MAX(f->since, source_last_line(f->source));

        if (!has_writer(f) || source_is_blocked(f->source) ||
            (f->state && strcmp(f->state, "active") != 0)) {
                f->since = now; /* not running, or waiting for us: its silence is not its own */
                return false;
        }
        if (f->inactivity == 0 || now - MIN(last, now) < f->inactivity)
                return false;

        f->since = now;
        return true;
}
