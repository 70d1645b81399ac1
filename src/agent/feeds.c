/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A feed and its FIFO are one by device and inode: a FIFO that was made anew under the same name is another
 * one, and the old one is read to its end. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/feeds-internal.h"
#include "basic/clock.h"
#include "basic/log.h"
#include "conf/instance.h"
#include "conf/names.h"
#include "io/usage.h"

#define FEEDS_MAX 4000u /* systemd keeps FileDescriptorStoreMax=4096 descriptors for us */

#define FOLDER_EVENTS \
        (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW)

#define STORE_NAME_MAX (INSTANCE_MAX + 8)

static const char *store_name(char buf[static STORE_NAME_MAX], const char *prefix, const char *instance) {
        (void) snprintf(buf, STORE_NAME_MAX, "%s%s", prefix, instance);
        return buf;
}

static int compare_feeds(const void *a, const void *b) {
        return strcmp((*(Feed *const *) a)->name, (*(Feed *const *) b)->name);
}

/* -- coming -- */

static void remember(Feeds *f, Feed *feed) {
        DedupLimits limits = feed_limits(feed);
        Dedup *dedup;
        int r;

        if (!f->recall)
                return;

        r = recall_find(f->recall, feed->name, &limits, &dedup);
        if (r >= 0)
                lane_set_dedup(feed->lane, dedup);
        else if (r != -ENOENT)
                (void) log_warning_errno(r, "%s: What was remembered of its series is lost: %m", feed->name);
}

/* Takes `fd` on success. */
static int add(Feeds *f, const char *instance, int fd) {
        _cleanup_(feed_freep) Feed *feed = NULL;
        Feed **grown;
        int r;

        if (f->n_feeds >= FEEDS_MAX) {
                if (!f->full)
                        log_error("There are more than %u collectors: the rest is not read", FEEDS_MAX);
                f->full = true;
                return -ENOSPC;
        }

        grown = realloc(f->feeds, (f->n_feeds + 1) * sizeof(Feed *));
        if (!grown)
                return -ENOMEM;
        f->feeds = grown;

        r = feed_new(&feed, &f->context, instance, fd, clock_usec(CLOCK_MONOTONIC));
        if (r < 0)
                return r;

        if (f->siblings &&
            asprintf(&feed->cgroup, "%s/tcollector-collectors.slice/" COLLECTOR_PREFIX "%s.service",
                     f->siblings, instance) < 0)
                return -ENOMEM;

        remember(f, feed);
        (void) feed_update(feed, roster_find(&f->roster, instance));
        feed->seen = true;
        f->feeds[f->n_feeds++] = TAKE(feed);
        return 0;
}

/* A new FIFO takes over the name of those that are leaving: what is left in them is kept under another. */
static void set_aside(const Feeds *f, Feed *feed) {
        char name[STORE_NAME_MAX];
        int r;

        feed->leaving = true;
        feed_forget_skip(feed);
        if (strcmp(feed->stored_as, FEED_STORE_REPLACED) == 0)
                return;

        /* in this order: systemd does not store what it has, be it under another name */
        handover_forget(f->context.handover, store_name(name, FEED_STORE_PREFIX, feed->instance));
        feed->stored_as = FEED_STORE_REPLACED;
        r = handover_store(f->context.handover, store_name(name, FEED_STORE_REPLACED, feed->instance),
                           source_fd(feed->source));
        if (r < 0)
                (void) log_debug_errno(r, "%s: The rest of its old FIFO is not kept: %m", feed->name);
}

/* Reads on, to its end, what the process before read and is not in the folder. Takes `fd`. NULL: it cannot
 * be read, which has been said. */
static Feed *adopt(Feeds *f, const char *prefix, const char *instance, int fd) {
        char name[STORE_NAME_MAX];
        int r = add(f, instance, fd);

        if (r < 0) {
                (void) close_fd(fd);
                handover_forget(f->context.handover, store_name(name, prefix, instance));
                (void) log_warning_errno(r, "%s: What is left in its FIFO is lost: %m", instance);
                return NULL;
        }

        f->feeds[f->n_feeds - 1]->leaving = true;
        f->feeds[f->n_feeds - 1]->stored_as = prefix;
        return f->feeds[f->n_feeds - 1];
}

/* The FIFO's reading end: what the process before left, if it is the same one, or opened anew and stored. */
static int open_fifo(Feeds *f, const char *instance) {
        char name[STORE_NAME_MAX];
        _cleanup_(close_fdp) int fd =
                openat(f->dir_fd, instance, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_(close_fdp) int stored = -1;
        struct stat st, old;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISFIFO(st.st_mode))
                return -EINVAL;

        stored = handover_take(f->context.handover, store_name(name, FEED_STORE_PREFIX, instance));
        if (stored >= 0 && fstat(stored, &old) >= 0 && old.st_dev == st.st_dev && old.st_ino == st.st_ino)
                return TAKE_FD(stored);
        if (stored >= 0) {
                Feed *replaced = adopt(f, FEED_STORE_PREFIX, instance, TAKE_FD(stored));

                if (replaced)
                        set_aside(f, replaced);
        }

        r = handover_store(f->context.handover, name, fd);
        if (r < 0)
                (void) log_warning_errno(r, "%s: Its FIFO will not outlive this process: %m", instance);

        return TAKE_FD(fd);
}

static void come(Feeds *f, const char *instance) {
        int fd, r;

        for (size_t i = 0; i < f->n_feeds; i++)
                if (strcmp(f->feeds[i]->instance, instance) == 0)
                        set_aside(f, f->feeds[i]);

        r = fd = open_fifo(f, instance);
        if (fd >= 0)
                r = add(f, instance, fd);
        if (r >= 0)
                log_debug("%s: reading its FIFO", instance);
        else if (fd >= 0)
                (void) close_fd(fd);

        if (r < 0 && r != -ENOENT && r != -ENOSPC)
                (void) log_warning_errno(r, "%s: Its FIFO cannot be read: %m", instance);
}

/* -- going -- */

static void go(Feeds *f, size_t i) {
        Feed *feed = f->feeds[i];
        char name[STORE_NAME_MAX];

        log_debug("%s: its FIFO is gone, and was read to its end", feed->name);
        handover_forget(f->context.handover, store_name(name, feed->stored_as, feed->instance));
        feed_forget_skip(feed);

        stats_add(&f->gone, &feed->lane->stats);
        feed_free(feed);
        f->n_feeds--;
        memmove(&f->feeds[i], &f->feeds[i + 1], (f->n_feeds - i) * sizeof(Feed *));
}

/* -- the folder -- */

static void look_at(Feeds *f, const char *instance) {
        _cleanup_(freep) char *name = NULL;
        struct stat st;
        Feed *feed;

        if (instance_to_name(slice_from_string(instance), &name) < 0 ||
            fstatat(f->dir_fd, instance, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISFIFO(st.st_mode))
                return;

        feed = feeds_find(f, slice_from_string(instance));
        if (feed && feed->dev == st.st_dev && feed->inode == st.st_ino) {
                feed->seen = true;
                return;
        }

        come(f, instance);
}

static int scan(Feeds *f) {
        int fd = fcntl(f->dir_fd, F_DUPFD_CLOEXEC, 0);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                int r = -errno;

                (void) close_fd(fd);
                return log_error_errno(r, "Failed to look for FIFOs: %m");
        }

        for (size_t i = 0; i < f->n_feeds; i++)
                f->feeds[i]->seen = false;

        rewinddir(d);
        for (const struct dirent *e = readdir(d); e; e = readdir(d))
                if (e->d_name[0] != '.')
                        look_at(f, e->d_name);
        (void) closedir(d);

        for (size_t i = 0; i < f->n_feeds; i++)
                f->feeds[i]->leaving = f->feeds[i]->leaving || !f->feeds[i]->seen;

        if (f->n_feeds > 1)
                qsort(f->feeds, f->n_feeds, sizeof(Feed *), compare_feeds);
        return 0;
}

static int on_scan(sd_event_source *s _unused_, void *userdata) {
        Feeds *f = userdata;

        /* a collector that is new may have a file that is new, too */
        feeds_configure(f, f->context.config);
        (void) scan(f);
        return 0;
}

/* Events come in bunches. */
static int on_inotify(sd_event_source *s _unused_, const struct inotify_event *e _unused_, void *userdata) {
        Feeds *f = userdata;

        (void) sd_event_source_set_enabled(f->scan, SD_EVENT_ONESHOT);
        return 0;
}

/* FIFOs that have left the folder while nobody was there to see it, and those that had been replaced. */
static void adopt_orphans(Feeds *f) {
        static const char *const prefixes[] = { FEED_STORE_PREFIX, FEED_STORE_REPLACED };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                for (;;) {
                        _cleanup_(freep) char *instance = NULL;
                        int fd = handover_take_any(f->context.handover, prefixes[i], &instance);

                        if (fd < 0)
                                break;
                        (void) adopt(f, prefixes[i], instance, fd);
                }
}

static int set_up(Feeds *f, sd_event *event, const char *dir) {
        int r;

        f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (f->dir_fd < 0)
                return log_error_errno(errno, "Failed to open %s, which `tcollectorctl prepare` makes: %m",
                                       dir);

        r = sd_event_add_inotify(event, &f->inotify, dir, FOLDER_EVENTS, on_inotify, f);
        if (r < 0)
                return log_error_errno(r, "Failed to watch %s: %m", dir);
        (void) sd_event_source_set_description(f->inotify, "fifo-folder");

        r = sd_event_add_defer(event, &f->scan, on_scan, f);
        if (r < 0)
                return log_error_errno(r, "Failed to add an event: %m");
        (void) sd_event_source_set_description(f->scan, "fifo-scan");
        (void) sd_event_source_set_priority(f->scan, SD_EVENT_PRIORITY_NORMAL + 1);
        (void) sd_event_source_set_enabled(f->scan, SD_EVENT_OFF);
        return 0;
}

int feeds_new(Feeds **ret, sd_event *event, const FeedsSpec *spec) {
        _cleanup_(feeds_freep) Feeds *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return log_oom();

        *f = (Feeds) {
                .context = *spec->context,
                .recall = spec->recall,
                .stalled_dir = strdup(spec->stalled_dir),
                .dir_fd = -1,
        };
        if (!f->stalled_dir)
                return log_oom();

        r = set_up(f, event, spec->dir);
        if (r < 0)
                return r;

        r = usage_find_siblings(&f->siblings);
        if (r < 0)
                (void) log_debug_errno(r, "Collectors' use of memory and processor is not known: %m");

        feeds_configure(f, f->context.config);
        r = scan(f);
        if (r < 0)
                return r;

        adopt_orphans(f);
        f->recall = NULL;
        *ret = TAKE(f);
        return 0;
}

Feeds *feeds_free(Feeds *f) {
        if (!f)
                return NULL;

        for (size_t i = 0; i < f->n_feeds; i++)
                feed_free(f->feeds[i]);

        free(f->feeds);
        roster_done(&f->roster);
        sd_event_source_disable_unref(f->inotify);
        sd_event_source_disable_unref(f->scan);
        (void) close_fd(f->dir_fd);
        free(f->stalled_dir);
        free(f->siblings);
        free(f);
        return NULL;
}

/* -- now and then -- */

static void hand_to_rescan(const Feeds *f, Feed *feed) {
        char path[4096];
        int fd;

        log_warning("%s: no line for %" PRIu64 " s: stalled", feed->name,
                    (uint64_t) (feed->inactivity / USEC_PER_SEC));
        (void) snprintf(path, sizeof(path), "%s/%s", f->stalled_dir, feed->instance);
        fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                (void) log_error_errno(errno, "%s: Failed to make %s: %m", feed->name, path);
        (void) close_fd(fd);
}

void feeds_look(Feeds *f, usec_t now) {
        for (size_t i = f->n_feeds; i-- > 0;) {
                if (feed_has_left(f->feeds[i], now))
                        go(f, i);
                else if (feed_is_stalled(f->feeds[i], now))
                        hand_to_rescan(f, f->feeds[i]);
        }
}
