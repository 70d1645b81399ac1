/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What sender-telnet.c (the connection), telnet-send.c (what goes out) and telnet-proof.c (what comes back,
 * and what it proves) share. The model is at the head of sender-telnet.c. */

#include "basic/clock.h"
#include "io/sender-ops.h"
#include "io/telnet-reply.h"

#define TELNET_TURN_BYTES ((size_t) 1 << 20) /* about so much is sent or received per turn of the loop */

#define TELNET_WINDOW_MIN ((uint64_t) 16 << 10)
#define TELNET_WINDOW_START ((uint64_t) 64 << 10)
#define TELNET_WINDOW_MAX ((uint64_t) 4 << 20)

#define TELNET_PAUSE_MIN (100 * USEC_PER_MSEC)
#define TELNET_PAUSE_MAX (10 * USEC_PER_SEC)

#define TELNET_HELD_MAX 5u

#define TELNET_STAGE_MAX ((size_t) 16 << 10) /* a TLS record's worth */

/* Of one server, over all its connections. */
typedef struct TelnetMemory {
        bool answers;      /* it has, once */
        bool complains;    /* it has, once, as only one does that knows `version` too */
        bool silent;       /* it does not, or never so that it could be told */
        unsigned strange;  /* connections in a row that ended with an answer not recognised */
        unsigned mute;     /* and on which nothing was heard, though it answers or complains, */
        usec_t mute_since; /* CLOCK_MONOTONIC: the first of them */
} TelnetMemory;

typedef enum TelnetDeadline {
        TELNET_SILENCE, /* look whether the answer is overdue */
        TELNET_SETTLE,  /* what came without a newline is the whole answer */
        TELNET_POLL,    /* look how much a silent server's kernel has */
        TELNET_RESUME,  /* the pause after throttling is over */
        TELNET_MORE,    /* what TLS holds back is to be received, which no event tells of */
        _TELNET_DEADLINE_MAX,
} TelnetDeadline;

/* What a silent server's kernel had by the end of a slot of time. */
typedef struct TelnetHeld {
        uint64_t position;
        usec_t begin;
} TelnetHeld;

typedef struct Telnet {
        Link link;
        TelnetMemory *memory; /* borrowed */
        const CurlApi *api;   /* borrowed */
        CurlJob *job;
        int fd; /* borrowed from libcurl */
        sd_event_source *io, *timer;
        bool lost;

        bool tls;
        char *stage; /* with TLS: what counts as written and libcurl has not taken; it wants the same again
                      */
        size_t n_staged;

        uint64_t wire;       /* bytes written, of all kinds */
        size_t version_left; /* bytes of a `version` that is on its way out */
        bool mid_line;       /* the last byte written was not a newline */
        uint64_t window;     /* bytes that may be unproven */

        bool asked;          /* a `version` is outstanding, */
        usec_t asked_at;     /* since then; */
        uint64_t mark;       /* it stands behind this position, */
        uint64_t asked_wire; /* and ends here, counted as `wire` */
        uint64_t taken;      /* so much of that the server's kernel had when last looked at; */
        usec_t progress_at;  /* then it was more than before, or something of sense was heard */

        uint64_t taken_at; /* a silent server's kernel had all before this position when last looked at */
        TelnetHeld held[TELNET_HELD_MAX]; /* the oldest first */
        size_t n_held;
        usec_t poll_interval;

        TelnetReply reply;
        bool strange;        /* since then something was heard that was neither answer nor complaint */
        unsigned n_answers;  /* of this connection */
        usec_t silent_since; /* it turned out on this connection that it does not answer; 0: it did not */
        bool throttled;      /* and not all complaints are in */
        usec_t pause;        /* the next one */

        usec_t deadlines[_TELNET_DEADLINE_MAX]; /* CLOCK_MONOTONIC; USEC_INFINITY: none */
} Telnet;

static inline usec_t telnet_now(void) {
        return clock_usec(CLOCK_MONOTONIC);
}

static inline uint64_t telnet_unproven(const Telnet *t) {
        return sender_sent_at(t->link.sender) - sender_acked_at(t->link.sender);
}

/* sender-telnet.c */
void telnet_lost(Telnet *t, int error, const char *why); /* nothing of `t` runs any more: return at once */
void telnet_set_deadline(Telnet *t, TelnetDeadline which, usec_t at);

/* telnet-send.c */
void telnet_send(Telnet *t); /* as much as may be sent and the socket takes, within a turn's bounds */

/* telnet-proof.c */
void telnet_asked(Telnet *t);              /* a `version` is on the wire */
int telnet_receive(Telnet *t);             /* 0: all that had come; 1: there may be more */
void telnet_hung(Telnet *t, bool has_all); /* no answer; without has_all: it takes nothing either */
bool telnet_memory_mute(TelnetMemory *m, usec_t now); /* nothing was heard; true: for too long, ask anew */
void telnet_pause(Telnet *t);                         /* it is throttled, and all complaints are in */
void telnet_deadline(Telnet *t, TelnetDeadline which, usec_t now); /* it has come */

/* telnet-silent.c */
void telnet_watch(Telnet *t, uint64_t from); /* lines behind `from` are on the wire, and it never answers */
void telnet_forget(Telnet *t);               /* it does: its kernel's word does not count any more */
void telnet_poll(Telnet *t, usec_t now);
/* How many of the bytes written has the other kernel not acknowledged? negative: the connection is lost. */
int telnet_queued(const Telnet *t, uint64_t *ret);
