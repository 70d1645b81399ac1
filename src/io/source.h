/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole lines from pipes and FIFOs: peek, commit, consume.
 *
 * tee(2) copies what a pipe holds into a private pipe without taking it; that is read, the whole lines of
 * it are handed up, and only what was taken is spliced out of the pipe, into /dev/null. Until then it
 * stays where it is, so kill -9 at any instruction loses nothing, and half a line simply waits for its
 * rest.
 *
 * A pipe too small to hold the longest line (without privileges the kernel's quota may leave it two
 * pages) cannot keep half of it either: that half then moves into memory, and dies with the process. So
 * does what comes from a file, a terminal or a socket, which can only be read.
 *
 * Sources wake the loop once (edge-triggered), then are left alone and served together, every 10 ms, as
 * long as lines keep coming: at most about 100 wake-ups a second however small the writes. Each has a
 * budget of bytes a turn, so that one that floods does not starve the others. */

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

        /* Optional: what the last lines() took has now left the pipe. A kill in between makes the next
         * process see it again, unless it is told with source_finish(). Also called at the end of an
         * over-long line: all of it but its newline, which goes next, has left the pipe, and the source is
         * not discarding any more. So a kill there leaves an empty line behind, and takes none away. Where
         * lines() or too_long() has freed the source it is not called. */
        void (*taken)(void *userdata);

        /* SOURCE_PIPE only: no writer is left and every line has been taken. `rest` is the half line behind
         * them (n == 0: none). The callee may free the source. */
        void (*end)(void *userdata, Slice rest);
} SourceOps;

int source_hub_new(SourceHub **ret, sd_event *event); /* references event; -errno of pipe2(2), open(2) */
SourceHub *source_hub_free(SourceHub *h);             /* after its sources; NULL-safe, returns NULL */
DEFINE_CLEANUP(SourceHub *, source_hub_free);

/* There is room again: sources that were refused are served at the loop's next turn. */
void source_hub_resume(SourceHub *h);

/* Serves every source until what it holds now has been taken or the queue is full, without regard to
 * budget: for a clean stop. Also says the end() that is due. true: nothing is left but half lines; false:
 * the queue is full, or somebody still writes. Not from within a callback. */
bool source_hub_drain(SourceHub *h);

/* For a watchdog: was every source that had something new at the last call, and was not refused for a full
 * queue, served since? Looks at each pipe; call it every few seconds. */
bool source_hub_progresses(SourceHub *h);

uint64_t source_hub_wakeups(const SourceHub *h); /* how often the loop was woken for sources */

/* `fd` is the reading end of a pipe or FIFO, grown to 1 MiB or as far as is permitted; for SOURCE_PIPE it
 * may also be a file, a terminal or a socket. Whether it blocks does not matter. Taken on success only.
 * `name` is copied. The first turn serves it without waiting for an event: what it holds already is found.
 * -EINVAL: SOURCE_FIFO for what is none; -errno of fstat(2), epoll_ctl(2). */
int source_new(Source **ret, SourceHub *h, int fd, SourceType type, const char *name, const SourceOps *ops,
               void *userdata);
/* NULL-safe, returns NULL; closes the fd, leaves what was not taken. Any callback may free any source,
 * its own too: the bytes that callback returns are still consumed. */
Source *source_free(Source *s);
DEFINE_CLEANUP(Source *, source_free);

/* Takes `n` bytes out of a pipe if it begins with bytes of that checksum (XXH3_64bits): what a process that
 * was killed had taken in but not yet consumed. false: it does not, nothing was taken; nor can it where half
 * a line had moved into memory. Before the source's first turn. */
bool source_finish(Source *s, size_t n, uint64_t checksum);

int source_fd(const Source *s);           /* borrowed */
usec_t source_last_line(const Source *s); /* CLOCK_MONOTONIC of the last line taken; 0: none yet */
bool source_is_blocked(const Source *s);  /* refused, not offered again yet: its silence is not its own */
bool source_is_idle(const Source *s);     /* looks: nothing is left in its pipe but half a line */
size_t source_pipe_size(const Source *s); /* bytes; 0: no pipe */

/* Is it in the middle of an over-long line? Already true in too_long(), when nothing of that line is
 * consumed: whoever notes it then can set it again after a crash, and the rest of the line is not taken
 * for a fresh one. */
bool source_is_discarding(const Source *s);
void source_set_discarding(Source *s, bool discarding);
