/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <string.h>

#include "agent/delivery.h"
#include "basic/log.h"

struct Delivery {
        Queue *queue;
        Ring *ring;
        ConfigPolicy policy;
        Sender *senders[RING_READERS_MAX]; /* with spread, the i-th prefers the i-th server */
        bool used[RING_READERS_MAX];       /* readers of the queue */
        size_t n;
        SenderStats *merged; /* with spread, by server; as last asked for */
        SenderEvents events;
        void *userdata;

        uint64_t acked, refused; /* over all */
        uint64_t before;         /* of these, what was so before the senders were made */
        uint64_t tidied;         /* lines that left the queue as no server wants them any more */
        uint64_t owed;           /* refused by servers, but it was not known of which lines; from before */
        uint64_t refused_here;   /* of `refused`, of these senders' (and what was owed) */
};

/* -- the sums -- */

static SenderStats sum_of(const Sender *s) {
        SenderStats sum = {};

        for (size_t i = 0; i < sender_n_servers(s); i++) {
                sum.acked += sender_server_stats(s, i)->acked;
                sum.refused += sender_server_stats(s, i)->refused;
        }

        return sum;
}

/* Lines that are lost by that, whether they have left the queue or not. */
static uint64_t refused_by_servers(const Delivery *d) {
        uint64_t sum = 0, least = UINT64_MAX;

        for (size_t i = 0; i < d->n; i++) {
                uint64_t refused = sum_of(d->senders[i]).refused;

                sum += refused;
                least = MIN(least, refused);
        }

        return d->owed + (d->policy == CONFIG_POLICY_MIRROR ? least : sum);
}

/* What has left the queue since the last time is refused as far as servers say so, else delivered. Called
 * whenever something may have left it. */
static void settle_sums(Delivery *d) {
        uint64_t left = d->before + d->tidied, gone, refused;

        for (size_t i = 0; i < d->n; i++)
                left += sender_left(d->senders[i]);

        gone = left - (d->acked + d->refused);
        refused = MIN(refused_by_servers(d) - d->refused_here, gone);
        d->refused_here += refused;
        d->refused += refused;
        d->acked += gone - refused;
}

static void on_acked(void *userdata) {
        Delivery *d = userdata;

        delivery_tidy(d);
        if (d->events.acked)
                d->events.acked(d->userdata);
}

static void on_closed(void *userdata, int error) {
        Delivery *d = userdata;

        if (d->events.closed)
                d->events.closed(d->userdata, error);
}

uint64_t delivery_acked(const Delivery *d) {
        return d->acked;
}

uint64_t delivery_refused(const Delivery *d) {
        return d->refused;
}

/* -- readers: the ring's i-th counter is the note of whom its i-th reader is for -- */

typedef struct Claim {
        uint64_t notes[RING_READERS_MAX];   /* wanted */
        uint64_t alone;                     /* the only server's with mirror, which will do, too; 0: none */
        unsigned readers[RING_READERS_MAX]; /* who gets which */
        size_t n;
        bool restart; /* where they stand says nothing of who has got what: all begin at the smallest */
} Claim;

static uint64_t note_of(ConfigPolicy policy, const SenderServer *server, size_t i, size_t n) {
        char share[64];

        switch (policy) {
        case CONFIG_POLICY_MIRROR:
                return ring_source_hash(slice_from_string(server->url));
        case CONFIG_POLICY_SPREAD:
                (void) snprintf(share, sizeof(share), "spread: %zu of %zu", i, n);
                return ring_source_hash(slice_from_string(share));
        default:
                return ring_source_hash(SLICE("failover"));
        }
}

static unsigned find_reader(const Delivery *d, const bool *used, uint64_t note) {
        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!used[i] && ring_counter(d->ring, i) == note)
                        return i;

        return RING_READERS_MAX;
}

/* The one that is furthest behind: what it has not had yet, nobody else will ask for. */
static unsigned find_free_reader(const Delivery *d, const bool *used) {
        unsigned found = RING_READERS_MAX;

        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!used[i] && (found == RING_READERS_MAX ||
                                 queue_acked_at(d->queue, i) < queue_acked_at(d->queue, found)))
                        found = i;

        return found;
}

/* Readers that are known go to whom they are for, before somebody new may take one. */
static int claim_readers(const Delivery *d, Claim *c) {
        bool used[RING_READERS_MAX] = {};
        size_t n_known = 0;

        for (size_t i = 0; i < c->n; i++) {
                c->readers[i] = find_reader(d, used, c->notes[i]);
                if (c->readers[i] == RING_READERS_MAX && c->alone != 0)
                        c->readers[i] = find_reader(d, used, c->alone);
                if (c->readers[i] == RING_READERS_MAX)
                        continue;
                used[c->readers[i]] = true;
                n_known++;
        }

        for (size_t i = 0; i < c->n; i++) {
                if (c->readers[i] == RING_READERS_MAX)
                        c->readers[i] = find_free_reader(d, used);
                if (c->readers[i] == RING_READERS_MAX) {
                        int r = queue_add_reader(d->queue);

                        if (r < 0)
                                return r;
                        c->readers[i] = (unsigned) r;
                }
                used[c->readers[i]] = true;
        }

        c->restart = d->policy == CONFIG_POLICY_MIRROR ? n_known == 0 : n_known < c->n;
        return 0;
}

/* Nothing fails from here on, so that a configuration that cannot be had moves no reader. */
static void settle_claim(Delivery *d, const Claim *c) {
        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                ring_set_counter(d->ring, i, 0);
        for (size_t i = 0; i < c->n; i++) {
                d->used[c->readers[i]] = true;
                ring_set_counter(d->ring, c->readers[i], c->notes[i]);
        }

        if (c->restart)
                queue_restart(d->queue);
        delivery_tidy(d);
}

/* -- the beginning -- */

typedef struct Making {
        Delivery *delivery;
        sd_event *event;
        SenderConfig config;
        Claim claim;
} Making;

static int add_sender(Making *m, const SenderServer *servers, size_t n) {
        static const SenderEvents events = { .acked = on_acked, .closed = on_closed };
        Delivery *d = m->delivery;
        int r;

        m->config.servers = servers;
        m->config.n_servers = n;
        r = sender_new(&d->senders[d->n], m->event, d->queue, m->claim.readers[d->n], &m->config, &events,
                       d);
        if (r < 0)
                return log_error_errno(r, "Failed to set up delivery to %s: %m", servers[0].url);

        d->n++;
        return 0;
}

static int claim(Making *m, const ServerList *list) {
        ConfigPolicy policy = m->delivery->policy;
        int r;

        m->claim.n = policy == CONFIG_POLICY_FAILOVER ? 1 : list->n;
        if (m->claim.n > RING_READERS_MAX) {
                log_error("policy = \"%s\" takes %u servers at most, there are %zu",
                          policy == CONFIG_POLICY_MIRROR ? "mirror" : "spread", RING_READERS_MAX, list->n);
                return -E2BIG;
        }

        for (size_t i = 0; i < m->claim.n; i++)
                m->claim.notes[i] = note_of(policy, &list->servers[i], i, list->n);
        if (list->n == 1)
                m->claim.alone = note_of(CONFIG_POLICY_MIRROR, &list->servers[0], 0, 1);
        r = claim_readers(m->delivery, &m->claim);
        if (r < 0)
                return log_error_errno(r, "Failed to read the queue: %m");

        return 0;
}

/* Each has all servers, its own first. */
static int add_shares(Making *m, const ServerList *list) {
        _cleanup_(freep) SenderServer *turned = calloc(list->n, sizeof(*turned));
        Delivery *d = m->delivery;
        int r = 0;

        d->merged = calloc(list->n, sizeof(*d->merged));
        if (!turned || !d->merged)
                return log_oom();

        m->config.n_shares = (unsigned) list->n;
        for (size_t i = 0; r >= 0 && i < list->n; i++) {
                for (size_t k = 0; k < list->n; k++)
                        turned[k] = list->servers[(i + k) % list->n];
                m->config.share = (unsigned) i;
                r = add_sender(m, turned, list->n);
        }

        return r;
}

static int add_senders(Making *m, const ServerList *list) {
        int r;

        r = claim(m, list);
        if (r < 0)
                return r;

        switch (m->delivery->policy) {
        case CONFIG_POLICY_MIRROR:
                for (size_t i = 0; r >= 0 && i < list->n; i++)
                        r = add_sender(m, &list->servers[i], 1);
                return r;
        case CONFIG_POLICY_SPREAD:
                return add_shares(m, list);
        default:
                return add_sender(m, list->servers, list->n);
        }
}

static int make_senders(Making *m, const DeliverySpec *spec) {
        SenderServer standard_output = { .url = "stdout:" };
        _cleanup_(server_list_done) ServerList list = {};
        _cleanup_(buffer_done) Buffer why = {};
        Delivery *d = m->delivery;
        int r;

        if (spec->dry_run)
                return add_senders(m, &(ServerList) { .servers = &standard_output, .n = 1 });

        r = server_list_make(&list, spec->config, getenv("CREDENTIALS_DIRECTORY"), spec->http_password,
                             &why);
        if (r < 0)
                return log_error_errno(r, "Failed to set up delivery: %s", why.data ?: strerrordesc_np(-r));

        d->policy = list.n > 1 ? (ConfigPolicy) spec->config->policy : CONFIG_POLICY_FAILOVER;
        return add_senders(m, &list);
}

int delivery_new(Delivery **ret, sd_event *event, const DeliverySpec *spec, const SenderEvents *events,
                 void *userdata) {
        _cleanup_(delivery_freep) Delivery *d = calloc(1, sizeof(*d));
        Making making = {
                .delivery = d,
                .event = event,
                .config = { .reconnect_interval = spec->config->reconnect_interval },
        };
        int r;

        if (!d)
                return log_oom();

        d->queue = spec->queue;
        d->ring = spec->ring;
        d->events = *events;
        d->userdata = userdata;
        r = make_senders(&making, spec);
        if (r < 0)
                return r;

        settle_claim(d, &making.claim);
        *ret = TAKE(d);
        return 0;
}

Delivery *delivery_free(Delivery *d) {
        if (!d)
                return NULL;

        for (size_t i = 0; i < d->n; i++)
                sender_free(d->senders[i]);
        free(d->merged);
        free(d);
        return NULL;
}

void delivery_inherit(Delivery *d, Delivery *old) {
        settle_sums(old);
        d->acked += old->acked;
        d->refused += old->refused;
        d->before += old->acked + old->refused;
        d->owed += refused_by_servers(old) - old->refused_here;
        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                queue_rewind(d->queue, i);
}

/* -- at work -- */

void delivery_kick(Delivery *d) {
        for (size_t i = 0; i < d->n; i++)
                sender_kick(d->senders[i]);
}

void delivery_retry(Delivery *d) {
        for (size_t i = 0; i < d->n; i++)
                sender_retry(d->senders[i]);
}

void delivery_tidy(Delivery *d) {
        uint64_t before = queue_lines(d->queue) + queue_lost(d->queue);

        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!d->used[i])
                        (void) queue_ack(d->queue, i, queue_head(d->queue));

        d->tidied += before - (queue_lines(d->queue) + queue_lost(d->queue));
        settle_sums(d);
}

bool delivery_is_drained(const Delivery *d) {
        for (size_t i = 0; i < d->n; i++)
                if (!sender_is_drained(d->senders[i]))
                        return false;

        return true;
}

bool delivery_is_away(const Delivery *d) {
        for (size_t i = 0; i < d->n; i++)
                if (!sender_is_drained(d->senders[i]) &&
                    sender_status(d->senders[i]).state != SENDER_WAITING)
                        return false;

        return !delivery_is_drained(d);
}

bool delivery_one_waits(const Delivery *d) {
        size_t drained = 0;

        for (size_t i = 0; i < d->n; i++)
                drained += sender_is_drained(d->senders[i]);

        return d->policy == CONFIG_POLICY_MIRROR && drained > 0 && drained < d->n;
}

/* -- servers -- */

ConfigPolicy delivery_policy(const Delivery *d) {
        return d->policy;
}

size_t delivery_n_servers(const Delivery *d) {
        size_t n = 0;

        if (d->policy == CONFIG_POLICY_SPREAD)
                return d->n;
        for (size_t i = 0; i < d->n; i++)
                n += sender_n_servers(d->senders[i]);

        return n;
}

/* All senders know all servers, each in an order of its own. */
static DeliveryServer shared_server(const Delivery *d, size_t i) {
        SenderStats *sum = &d->merged[i];
        DeliveryServer server = {
                .url = sender_server_url(d->senders[i], 0),
                .stats = sum,
                .status = sender_status(d->senders[i]),
        };

        *sum = (SenderStats) {};
        for (size_t k = 0; k < d->n; k++) {
                size_t place = (i + d->n - k) % d->n;
                const SenderStats *stats = sender_server_stats(d->senders[k], place);
                SenderStatus status = sender_status(d->senders[k]);

                sum->acked += stats->acked;
                sum->refused += stats->refused;
                sum->bytes += stats->bytes;
                sum->reconnects += stats->reconnects;
                sum->errors += stats->errors;
                sum->latency_usec = MAX(sum->latency_usec, stats->latency_usec);
                if (!server.in_use && strcmp(status.url, server.url) == 0) {
                        server.status = status;
                        server.in_use = true;
                }
        }

        return server;
}

DeliveryServer delivery_server(const Delivery *d, size_t i) {
        const Sender *s = d->senders[0];
        DeliveryServer server;

        if (d->policy == CONFIG_POLICY_SPREAD)
                return shared_server(d, i);

        for (size_t k = 0; i >= sender_n_servers(s); s = d->senders[++k])
                i -= sender_n_servers(s);

        server = (DeliveryServer) {
                .url = sender_server_url(s, i),
                .stats = sender_server_stats(s, i),
                .status = sender_status(s),
        };
        server.in_use = strcmp(server.url, server.status.url) == 0;
        return server;
}

size_t delivery_n_senders(const Delivery *d) {
        return d->n;
}

SenderStatus delivery_status(const Delivery *d, size_t i) {
        return sender_status(d->senders[i]);
}
