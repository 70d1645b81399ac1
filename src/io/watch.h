/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells when something changes in collector folders: inotify(7) on each and on the interval folders in it,
 * gathered for half a second, and every minute whatever happened (what a link leads to changes without an
 * event here). */

#include <systemd/sd-event.h>

#include "basic/base.h"

typedef struct Watch Watch;

/* `dirs` is borrowed for the watch's life; one that does not exist yet is found within a minute. -errno. */
int watch_new(Watch **ret, sd_event *event, const char *const *dirs, size_t n_dirs,
              void (*changed)(void *userdata), void *userdata);
Watch *watch_free(Watch *w); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Watch *, watch_free);
