/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Delivery: takes finished lines from one reader of the queue, puts them on the wire, and acknowledges them
 * to the queue only on proof. Of the stats, `acked` are the lines delivered, those the server named as bad
 * (`refused`) aside: both together have left the queue.
 *
 * The sender chooses a server, backs off, and moves the cursors; what is said on the wire is the business of
 * a SenderOps (telnet, standard output). A lost connection rewinds to what was last proven, so delivery is
 * at least once. Servers are tried in random order, with shares the first one first; one that has failed is
 * avoided until the others have failed too. */

#include <systemd/sd-event.h>

#include "basic/backoff.h"
#include "basic/slice.h"
#include "store/queue.h"
#include "store/stats.h"

typedef struct Sender Sender;
typedef struct SenderOps SenderOps; /* io/sender-ops.h */

/* Of the strings, NULL or "" is none. */
typedef struct SenderServer {
        const char *url; /* "telnet://[::1]:4242", "https://host/api/put"; shown in logs and the status */
        const char *username, *password; /* http, https */
        const char *token;               /* the same: a bearer token, in place of them */
        const char *ca_file;             /* telnets, https: in place of the system's */
        const char *client_cert, *client_key;
        const char *proxy; /* "http://proxy:3128"; what $http_proxy says does not count */
        bool gzip;         /* http, https: compress, where there is libdeflate */
        bool sync;         /* the same: the answer is to wait until the points are stored */
} SenderServer;

typedef struct SenderConfig {
        const SenderServer *servers; /* copied, strings too */
        size_t n_servers;            /* at least 1 */
        /* n_shares above 1: this one of so many shares of the lines (io/sender-share.h), those of the others
         * are passed over; and the first server is the one preferred, to which delivery comes back. */
        unsigned share, n_shares;
        usec_t reconnect_interval; /* microseconds: a healthy connection is made anew after it; 0: never,
                                    * or with shares after 5 min where it is not to the first server */
        usec_t probe_timeout;      /* silent for this long after `version`: it never answers; 0: 2 s */
        usec_t hung_timeout;       /* so long without an answer, from one that has answered or complained
                                    * before, or without taking anything: it is given up; 0: 30 s */
        usec_t hold_time;          /* what the kernel of one that never answers took counts as delivered
                                    * when the connection has stood for so long after it; 0: 3 s */
        usec_t connect_timeout;    /* name resolution included; 0: 10 s */
        Backoff backoff;           /* zero: 1 s to 5 min */
} SenderConfig;

typedef struct SenderEvents {
        void (*acked)(void *userdata); /* the queue has room again */
        /* Standard output only: -EPIPE, nobody reads it any more; -ENOSPC and the like. Nothing is tried
         * again. */
        void (*closed)(void *userdata, int error);
} SenderEvents;

typedef enum SenderState {
        SENDER_IDLE, /* no connection: nothing to send yet */
        SENDER_CONNECTING,
        SENDER_CONNECTED,
        SENDER_WAITING, /* backing off */
        SENDER_CLOSED,  /* standard output is gone */
} SenderState;

typedef struct SenderStatus {
        SenderState state;
        const char *url;        /* of the server in use or last tried, or "standard output"; borrowed */
        const char *last_error; /* NULL: none since the last success; borrowed */
        usec_t retry_at;        /* SENDER_WAITING: CLOCK_MONOTONIC */
        bool confirmed;         /* its proof is the server's answer; false: the kernel's empty send queue */
} SenderStatus;

/* Every url must begin with the scheme of a known SenderOps: "telnet://host:4242", "stdout:".
 * -EPROTONOSUPPORT: one does not; -EINVAL: one names a user. The events come from the loop, never from a
 * function called here; they must not free the sender. The process is to ignore SIGPIPE. */
int sender_new(Sender **ret, sd_event *event, Queue *queue, unsigned reader, const SenderConfig *config,
               const SenderEvents *events, void *userdata);
Sender *sender_free(Sender *s); /* NULL-safe, returns NULL; what was not proven stays in the queue */
DEFINE_CLEANUP(Sender *, sender_free);

void sender_kick(Sender *s);             /* lines have been committed to the queue */
void sender_retry(Sender *s);            /* does not wait any longer, where it is backing off */
bool sender_is_drained(const Sender *s); /* all that was committed is acknowledged */
/* Lines that have left the queue by what was acknowledged here, no other reader being behind it. Summed up
 * over all of a queue's senders they are what was delivered or refused, lost lines aside. */
uint64_t sender_left(const Sender *s);
SenderStatus sender_status(const Sender *s);

size_t sender_n_servers(const Sender *s);
const char *sender_server_url(const Sender *s, size_t i); /* as in SenderStatus */
const SenderStats *sender_server_stats(const Sender *s, size_t i);
