/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the sender and its protocols: what a protocol must provide, and what it may call. */

#include "io/sender.h"

/* One connection. A protocol's object begins with this. */
typedef struct Link {
        const SenderOps *ops;
        Sender *sender; /* borrowed */
        const char *url; /* borrowed */
} Link;

struct SenderOps {
        const char *scheme;    /* "telnet" of "telnet://..." */
        size_t object_size;    /* of the struct that begins with Link; zeroed before start() */
        int (*start)(Link *l); /* begins to connect; says sender_link_up() or sender_link_lost() later */
        void (*kick)(Link *l); /* there may be more in the ring */
        void (*stop)(Link *l); /* releases everything the object holds, but not the object */
};

extern const SenderOps sender_telnet_ops;
extern const SenderOps sender_stdout_ops;

/* -- what a protocol calls -- */

sd_event *sender_event(Sender *s);
const SenderConfig *sender_config(const Sender *s);
SenderStats *sender_link_stats(Link *l);

Slice sender_peek(Sender *s);                     /* what may be sent next; borrowed from the ring */
void sender_sent(Sender *s, size_t n);            /* the first `n` bytes are on the wire */
uint64_t sender_sent_at(const Sender *s);         /* position behind them, for sender_acked() */
void sender_acked(Sender *s, uint64_t upto, usec_t latency); /* proven delivered; counts the lines */
void sender_rewind(Sender *s);                    /* send again all that is not proven (throttling) */

void sender_link_up(Link *l);                     /* connected: back-off starts over at the first proof */
/* The connection is gone, or was never made; `why` goes to the log and the status. The sender rewinds, calls stop()
 * and frees the object before the loop's next turn: return at once. */
void sender_link_lost(Link *l, int error, const char *why);
/* The server refused something and said so; counted, logged a few times a minute. */
void sender_link_error_line(Link *l, Slice line);
