/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where lines go from the queue, by the policy of the configuration: to one of the servers, another taking
 * its place when it fails (failover), or to each of them (mirror), which has a sender and a reader of the
 * queue of its own, so that one that is away holds up no other.
 *
 * The queue notes which server each of its readers is for, so that a changed order of servers does not mix
 * up what each of them still has to get. */

#include "agent/server-secrets.h"
#include "conf/config.h"
#include "io/sender.h"

typedef struct Delivery Delivery;

typedef struct DeliverySpec {
        Queue *queue;              /* borrowed, for the delivery's life */
        Ring *ring;                /* the queue's, where readers are noted */
        const Config *config;      /* borrowed for the call */
        const char *http_password; /* of servers whose user has none; borrowed for the call; NULL: none */
        bool dry_run;              /* to standard output */
} DeliverySpec;

/* `events` as of sender_new(). Logs what fails; -errno. */
int delivery_new(Delivery **ret, sd_event *event, const DeliverySpec *spec, const SenderEvents *events,
                 void *userdata);
Delivery *delivery_free(Delivery *d); /* NULL-safe, returns NULL; what was not proven stays in the queue */
DEFINE_CLEANUP(Delivery *, delivery_free);

/* Takes over the sums of what another one has delivered, which goes with a changed configuration. */
void delivery_inherit(Delivery *d, const Delivery *old);

void delivery_kick(Delivery *d);  /* lines have been committed */
void delivery_retry(Delivery *d); /* does not wait any longer, where it is backing off */
/* Lets go of readers no server is behind any more: what they held is the others' alone. Every few seconds.
 */
void delivery_tidy(Delivery *d);

bool delivery_is_drained(const Delivery *d); /* all that was committed is delivered */
bool delivery_is_away(const Delivery *d);    /* no server can be reached at this moment */

/* Of those that have left the queue: `acked` were delivered, `refused` were lost because a server named them
 * as bad. With mirror, those of the server that has got least: so acked + refused + what is in the queue are
 * all there were. */
uint64_t delivery_acked(const Delivery *d);
uint64_t delivery_refused(const Delivery *d);

typedef struct DeliveryServer {
        const char *url;
        const SenderStats *stats;
        SenderStatus status; /* of the sender it belongs to */
        bool in_use;         /* the sender's server at this moment */
} DeliveryServer;

size_t delivery_n_servers(const Delivery *d);
DeliveryServer delivery_server(const Delivery *d, size_t i); /* borrowed */

size_t delivery_n_senders(const Delivery *d); /* 1, or with mirror as many as servers */
SenderStatus delivery_status(const Delivery *d, size_t i);
