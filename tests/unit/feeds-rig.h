/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of feeds share. A Life is what one process has, and its World (ring, skips, FIFOs) goes on
 * into the next. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/feeds.h"
#include "unit/tap.h"

typedef struct World {
        char dir[64], fifos[96], stalled[96], collectors[96];
        Config *config;
        Ring *ring;
        Skips *skips;
} World;

typedef struct Life {
        sd_event *event;
        SourceHub *hub;
        Handover *handover;
        Feeds *feeds;
} Life;

static inline void no_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static inline void world_new(World *w) {
        *w = (World) {};
        assert_true(snprintf(w->dir, sizeof(w->dir), "/tmp/test-feeds-XXXXXX") > 0);
        assert_non_null(mkdtemp(w->dir));
        (void) snprintf(w->fifos, sizeof(w->fifos), "%s/col", w->dir);
        (void) snprintf(w->stalled, sizeof(w->stalled), "%s/stalled", w->dir);
        (void) snprintf(w->collectors, sizeof(w->collectors), "%s/collectors", w->dir);
        assert_int_equal(mkdir(w->fifos, 0755), 0);
        assert_int_equal(mkdir(w->stalled, 0755), 0);
        assert_int_equal(mkdir(w->collectors, 0755), 0);
        assert_int_equal(config_new(&w->config), 0);
        config_clear_dirs(w->config);
        assert_int_equal(config_add_dir(w->config, w->collectors), 0);
        assert_int_equal(config_add_tag(w->config, "host=h"), 0);
        w->config->inactivity = 600 * USEC_PER_SEC;
        assert_int_equal(ring_new(&w->ring, 1 << 20), 0);
        assert_int_equal(skips_new(&w->skips), 0);
}

static inline void world_done(World *w) {
        char command[256];

        config_free(w->config);
        ring_free(w->ring);
        skips_free(w->skips);
        (void) snprintf(command, sizeof(command), "rm -r '%s'", w->dir);
        assert_int_equal(system(command), 0); /* NOLINT */
}

static inline void life_begin(Life *l, World *w, const Recall *recall) {
        *l = (Life) {};
        assert_true(sd_event_new(&l->event) >= 0);
        assert_int_equal(source_hub_new(&l->hub, l->event), 0);
        assert_int_equal(handover_new(&l->handover), 0);
        assert_int_equal(feeds_new(&l->feeds, l->event,
                                   &(FeedsSpec) {
                                           .context =
                                                   &(FeedContext) {
                                                           .hub = l->hub,
                                                           .ring = w->ring,
                                                           .skips = w->skips,
                                                           .handover = l->handover,
                                                           .config = w->config,
                                                   },
                                           .dir = w->fifos,
                                           .stalled_dir = w->stalled,
                                           .recall = recall,
                                   }),
                         0);
}

static inline void life_end(Life *l) {
        feeds_free(l->feeds);
        source_hub_free(l->hub);
        handover_free(l->handover);
        sd_event_unref(l->event);
}

/* Lets the loop do what is due, and takes in what stands in the FIFOs. */
static inline void live(Life *l) {
        while (sd_event_run(l->event, 0) > 0)
                ;
        (void) source_hub_drain(l->hub);
}

static inline void make_fifo(const World *w, const char *name) {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        assert_int_equal(mkfifo(path, 0600), 0);
}

static inline void remove_fifo(const World *w, const char *name) {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        assert_int_equal(unlink(path), 0);
}

static inline int open_to_write(const World *w, const char *name) {
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", w->fifos, name);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static inline void say(int fd, const char *text) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What the ring holds; then it is empty. */
static inline void assert_queued(World *w, const char *want) {
        Slice got = ring_unacked(w->ring, 0);

        if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
                fail_msg("queued: %.*s\nnot: %s", (int) got.n, got.p, want);
        ring_ack(w->ring, 0, ring_head(w->ring));
}
