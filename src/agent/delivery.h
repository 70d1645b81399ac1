/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where lines go from the queue, by the policy of the configuration. Failover: to one of the servers,
 * another taking its place when it fails. Mirror: to each of them; each has a sender and a reader of the
 * queue of its own, so that one that is away holds up no other. Spread: each series to one of them; as many
 * senders and readers as servers, each with a share of the series (io/sender-share.h) and all of the
 * servers, its own first, so that the share of one that is away goes to another meanwhile.
 *
 * The ring notes whom each reader is for: with mirror which server, so that a changed order of servers does
 * not mix up what each of them still has to get; with spread which share of how many. Where the notes are
 * not those wanted (another policy, another number of shares, a new ring over an old spool) the positions of
 * the readers do not tell who has delivered what. Then all begin at the smallest of them: points are
 * delivered again, and none is left out. (Where one server alone is left of a mirror, its note tells.)
 *
 * The sums (SPEC.md section 4). What has been delivered is counted when it leaves the queue, that is when
 * the last reader that was behind it has it behind itself. So with mirror a line counts when all servers
 * have it, and with spread when nothing before it is unproven, whoever sends that; until then it is queued
 * or spooled. How many lines an acknowledgement has let go is measured at the queue itself, which makes
 * acked + refused + lines of the queue + lines it has lost exact at any time, over changes of policy and
 * servers too. */

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

/* Takes over the sums of what another one has delivered, which goes with a changed configuration: to be
 * freed then. */
void delivery_inherit(Delivery *d, Delivery *old);

void delivery_kick(Delivery *d);  /* lines have been committed */
void delivery_retry(Delivery *d); /* does not wait any longer, where it is backing off */
/* Lets go of readers no server is behind any more: what they held is the others' alone. It is done whenever
 * something is acknowledged too; every few seconds will do. */
void delivery_tidy(Delivery *d);

bool delivery_is_drained(const Delivery *d); /* all that was committed is delivered */
bool delivery_is_away(const Delivery *d);    /* no server can be reached at this moment */

/* With mirror: a server has got everything, and what is new to it waits for one that is slower. */
bool delivery_one_waits(const Delivery *d);

/* Of those that have left the queue: `acked` were delivered, `refused` were lost because a server named them
 * as bad; with mirror, as many as the server has refused that has refused least. */
uint64_t delivery_acked(const Delivery *d);
uint64_t delivery_refused(const Delivery *d);

typedef struct DeliveryServer {
        const char *url;
        const SenderStats *stats; /* with spread, valid until asked for again */
        SenderStatus status;      /* of the sender it belongs to; with spread, of one that uses it, if any */
        bool in_use;              /* a sender's server at this moment */
} DeliveryServer;

ConfigPolicy delivery_policy(const Delivery *d); /* failover where there is one server */

size_t delivery_n_servers(const Delivery *d);
DeliveryServer delivery_server(const Delivery *d, size_t i); /* borrowed */

size_t delivery_n_senders(const Delivery *d); /* 1, or with mirror and spread as many as servers */
SenderStatus delivery_status(const Delivery *d, size_t i);
