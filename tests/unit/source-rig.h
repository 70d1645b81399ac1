/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of sources share: a source with its loop and writer, and a sink that notes what it is
 * given. */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "basic/buffer.h"
#include "basic/file.h"
#include "io/source-internal.h"
#include "unit/tap.h"

typedef struct Sink {
        Source *source;
        size_t room;  /* bytes it still takes */
        Buffer lines; /* all it took */
        Buffer rest;
        unsigned n_calls, n_too_long, n_ends;
        size_t beginning_n; /* of the last over-long line */
} Sink;

static inline size_t sink_lines(void *userdata, Slice lines) {
        Sink *sink = userdata;
        size_t n = MIN(lines.n, sink->room);
        const char *newline = n > 0 ? memrchr(lines.p, '\n', n) : NULL;

        assert_int_equal(sink->n_ends, 0);
        assert_true(lines.n > 0 && lines.p[lines.n - 1] == '\n');
        n = newline ? (size_t) (newline + 1 - lines.p) : 0;
        sink->n_calls++;
        sink->room -= sink->room == SIZE_MAX ? 0 : n;
        assert_int_equal(buffer_add(&sink->lines, (Slice) { lines.p, n }), 0);
        return n;
}

static inline void sink_too_long(void *userdata, Slice beginning) {
        Sink *sink = userdata;

        sink->n_too_long++;
        sink->beginning_n = beginning.n;
        if (sink->source)
                assert_true(source_is_discarding(sink->source));
}

static inline void sink_end(void *userdata, Slice rest) {
        Sink *sink = userdata;

        sink->n_ends++;
        assert_int_equal(buffer_add(&sink->rest, rest), 0);
}

static const SourceOps sink_ops = { .lines = sink_lines, .too_long = sink_too_long, .end = sink_end };

static inline void sink_done(Sink *sink) {
        sink->source = source_free(sink->source);
        buffer_done(&sink->lines);
        buffer_done(&sink->rest);
}

typedef struct Rig {
        sd_event *event;
        SourceHub *hub;
} Rig;

static inline Rig rig_new(void) {
        Rig rig = {};

        assert_true(sd_event_new(&rig.event) >= 0);
        assert_int_equal(source_hub_new(&rig.hub, rig.event), 0);
        return rig;
}

static inline void rig_done(Rig *rig) {
        rig->hub = source_hub_free(rig->hub);
        rig->event = sd_event_unref(rig->event);
}

static inline void rig_add(Rig *rig, int fd, SourceType type, Sink *sink) {
        sink->room = SIZE_MAX;
        assert_int_equal(source_new(&sink->source, rig->hub, fd, type, "test", &sink_ops, sink), 0);
}

/* A source on the reading end of a new pipe. Returns the writing end, non-blocking. */
static inline int rig_pipe(Rig *rig, SourceType type, Sink *sink) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        rig_add(rig, fds[0], type, sink);
        return fds[1];
}

/* Dispatches what is pending, without waiting. */
static inline unsigned rig_run(Rig *rig) {
        unsigned n = 0;

        while (sd_event_run(rig->event, 0) > 0)
                n++;

        return n;
}

static inline bool rig_is_quiet(const Rig *rig) {
        return TAILQ_EMPTY(&rig->hub->lists[SOURCE_GATHERING]) && TAILQ_EMPTY(&rig->hub->lists[SOURCE_DUE]);
}

/* Runs until every source waits for an event, is refused or has ended; makes ticks itself, so that no
 * time passes. */
static inline void rig_settle(Rig *rig) {
        for (;;) {
                rig_run(rig);
                if (rig_is_quiet(rig))
                        return;
                source_hub_turn(rig->hub, true);
        }
}

/* Writes all of it, running the loop where the pipe is full. */
static inline void rig_write(Rig *rig, int fd, Slice s) {
        while (s.n > 0) {
                ssize_t n = write(fd, s.p, s.n);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        rig_settle(rig);
                        n = write(fd, s.p, s.n); /* or the writer would wait for ever */
                }
                assert_true(n > 0);
                s = (Slice) { s.p + n, s.n - (size_t) n };
        }
}

static inline size_t bytes_in(int fd) {
        int n;

        assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
        return (size_t) n;
}
