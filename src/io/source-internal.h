/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between source.c, what becomes of the bytes of one source, and source-hub.c, when a source is served.
 *
 * A source is in exactly one state, and in the hub's list of that state; it is in epoll while
 * SOURCE_ARMED, and only then. Lists are queues: what has had its turn goes to the end, so that sources
 * take turns by themselves. */

#include <sys/queue.h>

#include "io/source.h"
#include "point/point.h"

#define SOURCE_CHUNK (128u * 1024)  /* of the shared buffer: what is looked at at once */
#define SOURCE_BUDGET (256u * 1024) /* bytes of one source in one turn, more or less */
#define SOURCE_PIPE_SIZE (1024u * 1024)
#define SOURCE_TICK_MAX (10 * USEC_PER_MSEC)
#define SOURCE_TICK_MIN (1 * USEC_PER_MSEC)
#define SOURCE_TICK_ACCURACY (SOURCE_TICK_MIN / 10)

static_assert(SOURCE_CHUNK > POINT_RAW_MAX, "an over-long line must be seen to be one");

/* From look to look at armed sources with half a line. */
#define SOURCE_HALVES_MIN (250 * USEC_PER_MSEC)
#define SOURCE_HALVES_MAX (8 * USEC_PER_SEC)

typedef enum SourceState {
        SOURCE_ARMED,     /* waits for an event */
        SOURCE_GATHERING, /* has had lines lately: served at the next tick */
        SOURCE_DUE,       /* has more, or may: served at the loop's next turn */
        SOURCE_BLOCKED,   /* was refused: waits for source_hub_resume() */
        SOURCE_IN_TURN,   /* about to be served, or being served */
        SOURCE_ENDED,     /* has said end() */
        _SOURCE_STATE_MAX,
} SourceState;

typedef enum Served {
        SERVED_NOTHING, /* nothing new */
        SERVED_SOME,    /* all there was, but perhaps half a line */
        SERVED_MORE,    /* the budget is used up */
        SERVED_REFUSED,
        SERVED_ENDED,
        SERVED_GONE, /* freed by a callback */
} Served;

typedef TAILQ_HEAD(SourceList, Source) SourceList;

struct SourceHub {
        sd_event *event;
        sd_event_source *tick, *turn, *halves;
        usec_t halves_interval; /* between looks at half lines; 0: there are none */
        usec_t interval; /* between ticks: shorter than SOURCE_TICK_MAX while a pipe fills up within it */
        bool ticking;
        bool crowded; /* since the last tick a pipe was found at least half full */
        bool roomy;   /* ... and none more than an eighth */
        SourceList lists[_SOURCE_STATE_MAX];
        Source *current; /* whose callback is running */
        uint64_t resumes, wakeups;

        int pipe[2]; /* private: empty between two chunks */
        int null_fd;
        char *chunk; /* SOURCE_CHUNK bytes */
};

struct Source {
        SourceHub *hub;
        const SourceOps *ops;
        void *userdata;
        SourceType type;
        int fd;
        bool is_pipe;
        sd_event_source *io; /* NULL: cannot be waited for, a regular file */

        SourceState state;
        TAILQ_ENTRY(Source) list;
        bool fresh;      /* gathers for less than a whole tick yet */
        bool took;       /* something was taken when it was last served */
        bool dead;       /* freed by its own callback: goes when that returns */
        bool hangup;     /* SOURCE_PIPE: nobody can write any more */
        bool discarding; /* in an over-long line */
        bool unserved; /* had something new when source_hub_progresses() looked, and was not served since */

        size_t size;  /* of the pipe, bytes */
        size_t holds; /* half a line of so many bytes may fill it */
        size_t left;  /* bytes at the front of the pipe, known to be half a line */
        usec_t last_line;

        /* Taken from fd and not yet handed up. Of a pipe: a half line, where the pipe is too small to
         * keep it. Of anything else: what is left of the last chunk. */
        char *carry;
        size_t carry_n;
        bool carry_refused; /* it has whole lines */
};

/* Serves one source: at least one chunk, about `budget` bytes. */
Served source_serve(Source *s, size_t budget);
size_t source_survey(Source *s);       /* notices a hang-up; returns the bytes it holds now */
bool source_has_news(const Source *s); /* looks: something that is not known to be half a line */
void source_destroy(Source *s);
size_t pipe_grow(int fd, size_t size); /* as far as is permitted; returns the size it has then */

void source_hub_add(SourceHub *h, Source *s); /* served at the next turn */
void source_hub_remove(SourceHub *h, Source *s);
int source_hub_watch(SourceHub *h, Source *s, const char *name); /* makes s->io, off; NULL: epoll refuses */

/* What timers do, for tests that do not wait for the clock. */
void source_hub_turn(SourceHub *h, bool tick);
void source_hub_look(SourceHub *h); /* at half lines */
