/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The set of inotify watches is made anew after every change: an interval folder may have come or gone. A
 * folder has a few dozen entries and changes a few times a year, so nothing cleverer pays. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "basic/log.h"
#include "basic/slice.h"
#include "io/watch.h"

#define GATHER_USEC (500 * USEC_PER_MSEC)
#define BACKUP_USEC (60 * USEC_PER_SEC)
#define WATCHES_MAX 1024u
#define WATCH_MASK                                                                          \
        (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | \
         IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct Watch {
        sd_event *event;
        const char *const *dirs;
        size_t n_dirs;
        void (*changed)(void *userdata);
        void *userdata;
        sd_event_source *timer;
        sd_event_source **sources;
        size_t n_sources;
        bool gathering;
};

static int arm(Watch *w, usec_t usec) {
        int r;

        r = sd_event_source_set_time_relative(w->timer, usec);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int on_inotify(sd_event_source *s _unused_, const struct inotify_event *e _unused_, void *userdata) {
        Watch *w = userdata;

        if (w->gathering)
                return 0;

        w->gathering = true;
        (void) arm(w, GATHER_USEC);
        return 0;
}

static int add_path(Watch *w, const char *path) {
        int r;

        if (w->n_sources >= WATCHES_MAX)
                return -ENOSPC;

        r = sd_event_add_inotify(w->event, &w->sources[w->n_sources], path, WATCH_MASK, on_inotify, w);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(w->sources[w->n_sources++], "watch-folder");
        return 0;
}

static void clear(Watch *w) {
        for (size_t i = 0; i < w->n_sources; i++)
                w->sources[i] = sd_event_source_disable_unref(w->sources[i]);

        w->n_sources = 0;
}

static int add_dir(Watch *w, const char *dir) {
        char path[4096];
        DIR *d;
        int r;

        r = add_path(w, dir);
        if (r < 0)
                return r;

        d = opendir(dir);
        if (!d)
                return -errno;

        for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
                uint64_t interval;

                if (!slice_to_uint64(slice_from_string(e->d_name), &interval))
                        continue;
                if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int) sizeof(path))
                        (void) add_path(w, path); /* a file of that name: not ours */
        }

        (void) closedir(d);
        return 0;
}

static void add_all(Watch *w) {
        clear(w);
        for (size_t i = 0; i < w->n_dirs; i++) {
                int r = add_dir(w, w->dirs[i]);

                if (r < 0 && r != -ENOENT)
                        log_warning_errno(r, "Failed to watch %s, will look every minute: %m", w->dirs[i]);
        }
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Watch *w = userdata;

        /* First the watches, then the look: what changes in between is seen by one of them. */
        w->gathering = false;
        add_all(w);
        (void) arm(w, BACKUP_USEC);
        w->changed(w->userdata);
        return 0;
}

int watch_new(Watch **ret, sd_event *event, const char *const *dirs, size_t n_dirs,
              void (*changed)(void *userdata), void *userdata) {
        _cleanup_(watch_freep) Watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;

        *w = (Watch) {
                .event = sd_event_ref(event),
                .dirs = dirs,
                .n_dirs = n_dirs,
                .changed = changed,
                .userdata = userdata,
                .sources = calloc(WATCHES_MAX, sizeof(sd_event_source *)),
        };
        if (!w->sources)
                return -ENOMEM;

        r = sd_event_add_time_relative(event, &w->timer, CLOCK_MONOTONIC, BACKUP_USEC, USEC_PER_SEC,
                                       on_timer, w);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(w->timer, "watch-timer");
        add_all(w);
        *ret = TAKE(w);
        return 0;
}

Watch *watch_free(Watch *w) {
        if (!w)
                return NULL;

        clear(w);
        free(w->sources);
        sd_event_source_disable_unref(w->timer);
        sd_event_unref(w->event);
        free(w);
        return NULL;
}
