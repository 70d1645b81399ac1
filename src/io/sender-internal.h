/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What sender.c (servers, back-off, the loop) and sender-link.c (what a protocol calls) share. */

#include "basic/ratelimit.h"
#include "io/sender-ops.h"
#include "io/sender-server.h"
#include "io/sender-share.h"

#define SENDER_WHY_MAX 256

typedef struct SenderTarget {
        const SenderOps *ops;
        SenderServer server;
        char *url; /* as people read it */
        void *memory;
        SenderStats stats;
        bool failed;              /* since the marks were last wiped off */
        usec_t not_before;        /* CLOCK_MONOTONIC: it wants to be left alone until then */
        bool known;               /* has been connected to */
        bool greeted;             /* has been delivered to, which was logged */
        char why[SENDER_WHY_MAX]; /* it failed last; logged once until something has been proven */
} SenderTarget;

struct Sender {
        sd_event *event;
        Queue *queue; /* borrowed */
        unsigned reader;
        SenderShare *share; /* NULL: everything */
        uint64_t left;      /* lines: sender_left() */
        SenderConfig config;
        SenderEvents events;
        void *userdata;

        SenderTarget *servers;
        size_t n_servers;
        size_t current; /* in use, or tried last */

        SenderState state;
        uint64_t seen; /* the queue's head at the last turn */
        Link *link;
        int lost;                 /* why the link is to go: a negative errno; 0: it is not */
        int closed;               /* the same, for good */
        bool expired, ended;      /* the link is to end for its age; and now may */
        bool proven;              /* the link has proven something */
        char why[SENDER_WHY_MAX]; /* "": nothing has failed since the last proof */

        Backoff backoff;
        usec_t retry_at;
        sd_event_source *turn, *timer;
        CurlGlue *curl;
        RateLimit complaints, changes; /* log lines: of what servers say, of connections made and lost */
        uint64_t refused;              /* lines named as bad, not yet proven */
};

static inline SenderTarget *sender_current(const Sender *s) {
        return &s->servers[s->current];
}

bool sender_has_more(const Sender *s); /* something that has not been sent */
/* Acknowledges what is not of its share, where nothing of its own is unproven before it. */
void sender_pass_others(Sender *s);
void sender_back(Sender *s); /* sent goes back to acked */

void sender_turn(Sender *s);                /* on_turn() runs in the loop's next turn, ahead of all else */
void sender_timer(Sender *s, usec_t at);    /* CLOCK_MONOTONIC; USEC_INFINITY: off */
void sender_end_if_proven(Sender *s);       /* ends an expired link, as soon as nothing is left unproven */
int sender_log_level(Sender *s, int level); /* `level` a few times a minute, else LOG_DEBUG */
