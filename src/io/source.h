/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole lines from pipes and FIFOs: peek, commit, consume.
 *
 * tee(2) copies what a pipe holds into a private pipe without taking it; that is read, the whole lines of it
 * are handed up, and only what was taken is spliced out of the pipe, into /dev/null. Until then it stays
 * where it is, so kill -9 at any instruction loses nothing, and half a line simply waits for its rest.
 *
 * Sources wake the loop once (edge-triggered), then are left alone and served together, every 10 ms, as long as
 * lines keep coming: at most about 100 wake-ups a second however small the writes. Each has a budget of bytes a
 * turn, so that one that floods does not starve the others. */

#include <systemd/sd-event.h>

#include "basic/slice.h"

typedef struct SourceHub SourceHub; /* what all sources share: private pipe, buffer, timer */
typedef struct Source Source;

typedef enum SourceType {
        SOURCE_PIPE, /* one writer's life: closed by its last writer, it ends */
        SOURCE_FIFO, /* writers come and go: without one it is idle, never at its end */
} SourceType;

typedef struct SourceOps {
        /* `lines` is one or more whole lines, each with its newline. Returns the bytes taken, which end
         * behind a newline; fewer than lines.n: the queue is full, offer the rest again after
         * source_hub_resume(). What is taken is already committed when this returns. */
        size_t (*lines)(void *userdata, Slice lines);

        /* A line over POINT_RAW_MAX: its beginning. The rest, to its newline, is skipped. */
        void (*too_long)(void *userdata, Slice beginning);

        /* SOURCE_PIPE only: no writer is left and every line has been taken. `rest` is the half line behind
         * them (n == 0: none). The callee may free the source. */
        void (*end)(void *userdata, Slice rest);
} SourceOps;

int source_hub_new(SourceHub **ret, sd_event *event); /* references event; -errno of pipe2(2), open(2) */
SourceHub *source_hub_free(SourceHub *h);             /* after its sources; NULL-safe, returns NULL */
DEFINE_CLEANUP(SourceHub *, source_hub_free);

/* There is room again: sources that were refused are served at the loop's next turn. */
void source_hub_resume(SourceHub *h);

/* Serves every source until none has a whole line left or the queue is full, without regard to budget: for a
 * clean stop. true: nothing is left. */
bool source_hub_drain(SourceHub *h);

/* `fd` is the reading end of a pipe or FIFO, set non-blocking; taken on success only. `name` is copied. The first
 * turn serves it without waiting for an event: what it holds already is found. */
int source_new(Source **ret, SourceHub *h, int fd, SourceType type, const char *name, const SourceOps *ops,
               void *userdata);
Source *source_free(Source *s); /* NULL-safe, returns NULL; closes the fd, leaves what was not taken */
DEFINE_CLEANUP(Source *, source_free);

int source_fd(const Source *s);           /* borrowed */
usec_t source_last_line(const Source *s); /* CLOCK_MONOTONIC of the last line taken; 0: none yet */
