/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the sender and its protocols: what a protocol must provide, and what it may call. */

#include "io/curl.h"
#include "io/sender.h"

/* One connection. A protocol's object begins with this. */
typedef struct Link {
        const SenderOps *ops;
        Sender *sender;             /* borrowed */
        const char *url;            /* as people read it; borrowed */
        const SenderServer *server; /* borrowed */
        bool retrying;              /* every server has failed since something was last proven */
        bool confirmed;             /* set by the protocol: its proof is the server's own answer */
        usec_t retry_after;         /* the same: the server wants to be left alone for so long */
} Link;

struct SenderOps {
        const char *scheme;    /* "telnet" of "telnet://..." */
        const char *name;      /* of what is no server, in place of its url; that it works is not logged */
        size_t object_size;    /* of the struct that begins with Link; zeroed before start() */
        size_t memory_size;    /* of what is remembered per server between connections; zeroed once */
        int (*start)(Link *l); /* begins to connect; says sender_link_up() or sender_link_lost() later */
        void (*kick)(Link *l); /* there may be more in the ring */
        void (*stop)(Link *l); /* releases what the object holds, not itself; also after a failed start() */
};

extern const SenderOps sender_telnet_ops;
extern const SenderOps sender_telnets_ops;
extern const SenderOps sender_http_ops;
extern const SenderOps sender_https_ops;
extern const SenderOps sender_stdout_ops;

/* -- what a protocol calls -- */

sd_event *sender_event(Sender *s);
const SenderConfig *sender_config(const Sender *s); /* no zeros in it; without the servers */
SenderStats *sender_link_stats(Link *l);
void *sender_link_memory(Link *l); /* memory_size bytes, the server's */

/* libcurl, loaded at the first call; borrowed. On failure it is logged. */
int sender_curl(Sender *s, CurlGlue **ret);

/* What may be sent next; borrowed from the queue. When the connection is to end, only the rest of a line
 * that was begun, then nothing. */
Slice sender_peek(Sender *s);
void sender_sent(Sender *s, size_t n);     /* the first `n` bytes are on the wire */
uint64_t sender_sent_at(const Sender *s);  /* position behind them, for sender_acked() */
uint64_t sender_acked_at(const Sender *s); /* all before it is proven */
size_t sender_queue_size(const Sender *s); /* bytes the ring can hold */
/* All whole lines before `until` are proven delivered; counts them. `latency` 0: not measured. */
void sender_acked(Sender *s, uint64_t until, usec_t latency);
void sender_rewind(Sender *s); /* send again all that is not proven (throttling) */

void sender_link_up(Link *l); /* connected: back-off starts over at the first proof */
/* The connection is gone, or was never made; `why` goes to the log and the status. The sender rewinds, calls
 * stop() and frees the object before the loop's next turn: return at once. */
void sender_link_lost(Link *l, int error, const char *why);
/* The same, for good: there is nothing to be made anew. */
void sender_link_closed(Link *l, int error);
/* The server complained and said so in `line`; counted, logged a few times a minute. `refused`: it named a
 * point that is lost by that, when what it came behind is proven. */
void sender_link_error_line(Link *l, Slice line, bool refused);
