/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "agent/delivery.h"
#include "basic/log.h"

struct Delivery {
        Queue *queue;
        Ring *ring;
        Sender *senders[RING_READERS_MAX];
        bool used[RING_READERS_MAX]; /* readers of the queue */
        size_t n;
        uint64_t acked_before, refused_before;
};

/* -- readers: the ring's i-th counter is the hash of the server its i-th reader is for -- */

static unsigned find_reader(const Delivery *d, uint64_t hash) {
        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!d->used[i] && ring_counter(d->ring, i) == hash)
                        return i;

        return RING_READERS_MAX;
}

/* The one that is furthest behind: what it has not had yet, nobody else will ask for. */
static unsigned find_free_reader(const Delivery *d) {
        unsigned found = RING_READERS_MAX;

        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!d->used[i] && (found == RING_READERS_MAX ||
                                    queue_acked_at(d->queue, i) < queue_acked_at(d->queue, found)))
                        found = i;

        return found;
}

/* The reader for that server; `hash` 0: for whichever of them. */
static int claim_reader(Delivery *d, uint64_t hash) {
        unsigned i = hash == 0 ? RING_READERS_MAX : find_reader(d, hash);

        if (i == RING_READERS_MAX)
                i = find_free_reader(d);
        if (i == RING_READERS_MAX) {
                int r = queue_add_reader(d->queue);

                if (r < 0)
                        return r;
                i = (unsigned) r;
        }

        d->used[i] = true;
        ring_set_counter(d->ring, i, hash);
        return (int) i;
}

/* Readers that are known go to their servers before a new server may take one. */
static int claim_readers(Delivery *d, const ServerList *list, unsigned readers[static RING_READERS_MAX]) {
        bool known[RING_READERS_MAX] = {};

        for (int pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < list->n; i++) {
                        uint64_t hash = ring_source_hash(slice_from_string(list->servers[i].url));
                        int r;

                        if (known[i] || (pass == 0 && find_reader(d, hash) == RING_READERS_MAX))
                                continue;

                        r = claim_reader(d, hash);
                        if (r < 0)
                                return r;
                        readers[i] = (unsigned) r;
                        known[i] = true;
                }

        return 0;
}

/* -- the beginning -- */

typedef struct Making {
        Delivery *delivery;
        sd_event *event;
        SenderConfig config;
        const SenderEvents *events;
        void *userdata;
} Making;

static int add_sender(Making *m, unsigned reader, const SenderServer *servers, size_t n) {
        Delivery *d = m->delivery;
        int r;

        m->config.servers = servers;
        m->config.n_servers = n;
        r = sender_new(&d->senders[d->n], m->event, d->queue, reader, &m->config, m->events, m->userdata);
        if (r < 0)
                return log_error_errno(r, "Failed to set up delivery to %s: %m", servers[0].url);

        d->n++;
        return 0;
}

static int add_one_of_all(Making *m, const SenderServer *servers, size_t n) {
        int r = claim_reader(m->delivery, 0);

        if (r < 0)
                return log_error_errno(r, "Failed to read the queue: %m");

        return add_sender(m, (unsigned) r, servers, n);
}

static int add_one_for_each(Making *m, const ServerList *list) {
        unsigned readers[RING_READERS_MAX];
        int r;

        if (list->n > RING_READERS_MAX) {
                log_error("policy = \"mirror\" takes %u servers at most, there are %zu", RING_READERS_MAX,
                          list->n);
                return -E2BIG;
        }

        r = claim_readers(m->delivery, list, readers);
        if (r < 0)
                return log_error_errno(r, "Failed to read the queue: %m");

        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = add_sender(m, readers[i], &list->servers[i], 1);
        return r;
}

static int add_senders(Making *m, const DeliverySpec *spec) {
        static const SenderServer standard_output = { .url = "stdout:" };
        _cleanup_(server_list_done) ServerList list = {};
        _cleanup_(buffer_done) Buffer why = {};
        int r;

        if (spec->dry_run)
                return add_one_of_all(m, &standard_output, 1);

        r = server_list_make(&list, spec->config, getenv("CREDENTIALS_DIRECTORY"), spec->http_password,
                             &why);
        if (r < 0)
                return log_error_errno(r, "Failed to set up delivery: %s", why.data ?: strerrordesc_np(-r));
        if (spec->config->policy == CONFIG_POLICY_MIRROR)
                return add_one_for_each(m, &list);

        return add_one_of_all(m, list.servers, list.n);
}

int delivery_new(Delivery **ret, sd_event *event, const DeliverySpec *spec, const SenderEvents *events,
                 void *userdata) {
        _cleanup_(delivery_freep) Delivery *d = calloc(1, sizeof(*d));
        Making making = {
                .delivery = d,
                .event = event,
                .config = { .reconnect_interval = spec->config->reconnect_interval },
                .events = events,
                .userdata = userdata,
        };
        int r;

        if (!d)
                return log_oom();

        d->queue = spec->queue;
        d->ring = spec->ring;
        r = add_senders(&making, spec);
        if (r < 0)
                return r;

        delivery_tidy(d);
        *ret = TAKE(d);
        return 0;
}

Delivery *delivery_free(Delivery *d) {
        if (!d)
                return NULL;

        for (size_t i = 0; i < d->n; i++)
                sender_free(d->senders[i]);
        free(d);
        return NULL;
}

void delivery_inherit(Delivery *d, const Delivery *old) {
        d->acked_before = delivery_acked(old);
        d->refused_before = delivery_refused(old);
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
        for (unsigned i = 0; i < queue_n_readers(d->queue); i++)
                if (!d->used[i])
                        (void) queue_ack(d->queue, i, queue_head(d->queue));
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

/* -- the sums -- */

static SenderStats sum_of(const Sender *s) {
        SenderStats sum = {};

        for (size_t i = 0; i < sender_n_servers(s); i++) {
                sum.acked += sender_server_stats(s, i)->acked;
                sum.refused += sender_server_stats(s, i)->refused;
        }

        return sum;
}

/* Of the sender that has got least. */
static SenderStats slowest(const Delivery *d) {
        SenderStats least = sum_of(d->senders[0]);

        for (size_t i = 1; i < d->n; i++) {
                SenderStats sum = sum_of(d->senders[i]);

                if (sum.acked + sum.refused < least.acked + least.refused)
                        least = sum;
        }

        return least;
}

uint64_t delivery_acked(const Delivery *d) {
        return d->acked_before + slowest(d).acked;
}

uint64_t delivery_refused(const Delivery *d) {
        return d->refused_before + slowest(d).refused;
}

/* -- servers -- */

size_t delivery_n_servers(const Delivery *d) {
        size_t n = 0;

        for (size_t i = 0; i < d->n; i++)
                n += sender_n_servers(d->senders[i]);

        return n;
}

DeliveryServer delivery_server(const Delivery *d, size_t i) {
        const Sender *s = d->senders[0];
        DeliveryServer server;

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
