/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sender: which server, when, and the queue's cursors.
 *
 * There is at most one Link. Whatever may make or end one happens in on_turn(), a one-shot source that runs
 * ahead of all others in the loop's next turn: a protocol in the midst of its work, or a caller of
 * sender_kick(), never sees a Link come or go under its hands.
 *
 * A server that fails is marked; one that names a time before which it is not to be asked again counts as
 * marked until then. While there is one without a mark it is tried at once; when all have one,
 * the marks are wiped off and a wait follows, so that each wait is followed by a round through all servers,
 * which begins with another than the one that failed last. The wait grows until something has been proven.
 *
 * A connection that is to end for its age (`expired`) is cut off from the queue by sender_peek(), so that
 * the protocol proves what it has sent, and is closed when nothing is left unproven. */

#include <stdio.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"
#include "io/sender-internal.h"

static const SenderOps *const sender_ops[] = {
        &sender_telnet_ops, &sender_telnets_ops, &sender_http_ops, &sender_https_ops, &sender_stdout_ops,
};

static const SenderOps *find_ops(const char *url) {
        for (size_t i = 0; i < ELEMENTSOF(sender_ops); i++) {
                size_t n = strlen(sender_ops[i]->scheme);

                if (strncmp(url, sender_ops[i]->scheme, n) == 0 && url[n] == ':')
                        return sender_ops[i];
        }

        return NULL;
}

void sender_turn(Sender *s) {
        int r = sd_event_source_set_enabled(s->turn, SD_EVENT_ONESHOT);

        if (r < 0)
                (void) log_error_errno(r, "Failed to wake the sender: %m");
}

void sender_timer(Sender *s, usec_t at) {
        int r, enabled = at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT;

        r = sd_event_source_set_time(s->timer, at);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, enabled);
        if (r < 0)
                (void) log_error_errno(r, "Failed to set the sender's timer: %m");
}

/* -- servers -- */

static bool is_marked(const SenderTarget *t, usec_t now) {
        return t->failed || t->not_before > now;
}

static bool can_be_chosen(const Sender *s, size_t i, usec_t now) {
        return !is_marked(&s->servers[i], now) && !(i == s->current && s->why[0]);
}

/* One of those without a mark, each as likely as the others, but not the last one while there is another. */
static size_t choose_server(const Sender *s) {
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        size_t choice = s->current, n = 0;

        if (s->share && can_be_chosen(s, 0, now))
                return 0;

        for (size_t i = 0; i < s->n_servers; i++)
                if (can_be_chosen(s, i, now) && random_u64() % ++n == 0)
                        choice = i;

        return choice;
}

static bool all_are_marked(const Sender *s, usec_t now) {
        for (size_t i = 0; i < s->n_servers; i++)
                if (!is_marked(&s->servers[i], now))
                        return false;

        return true;
}

/* Wipes the marks off. The first of them may be asked then; CLOCK_MONOTONIC. */
static usec_t wipe_marks(Sender *s) {
        usec_t first = USEC_INFINITY;

        for (size_t i = 0; i < s->n_servers; i++) {
                s->servers[i].failed = false;
                first = MIN(first, s->servers[i].not_before);
        }

        return first;
}

static void sender_connect(Sender *s) {
        SenderTarget *server;
        int r;

        s->current = choose_server(s);
        server = sender_current(s);

        s->link = calloc(1, server->ops->object_size);
        if (!s->link) {
                s->lost = log_oom();
                (void) snprintf(s->why, sizeof(s->why), "out of memory");
                sender_turn(s);
                return;
        }

        *s->link = (Link) { .ops = server->ops,
                            .sender = s,
                            .url = server->url,
                            .server = &server->server,
                            .retrying = s->backoff.failures > 0 };
        s->state = SENDER_CONNECTING;
        r = server->ops->start(s->link);
        if (r < 0)
                sender_link_lost(s->link, r, strerror(-r));
}

/* Back to where nothing is on the wire. */
static void sender_unlink(Sender *s) {
        if (s->link) {
                s->link->ops->stop(s->link);
                free(TAKE(s->link));
        }

        sender_back(s);
        s->lost = 0;
        s->expired = s->ended = s->proven = false;
        sender_timer(s, USEC_INFINITY);
}

int sender_log_level(Sender *s, int level) {
        uint64_t held_back;

        return ratelimit_allow(&s->changes, clock_usec(CLOCK_MONOTONIC), &held_back) ? level : LOG_DEBUG;
}

static void log_loss(Sender *s, SenderTarget *server, usec_t wait) {
        bool same = strcmp(server->why, s->why) == 0;
        int level = same ? LOG_DEBUG : sender_log_level(s, LOG_WARNING);
        char span[SPAN_MAX];

        (void) snprintf(server->why, sizeof(server->why), "%s", s->why);
        if (wait == 0)
                (void) log_full(level, 0, "%s: %s; trying the next server", server->url, s->why);
        else
                (void) log_full(level, 0, "%s: %s; trying again in %s", server->url, s->why,
                                span_format(span, wait - wait % USEC_PER_MSEC));
}

static void sender_lose(Sender *s) {
        SenderTarget *server = sender_current(s);
        usec_t now = clock_usec(CLOCK_MONOTONIC), wait = 0, first;

        server->not_before = s->link && s->link->retry_after > 0 ? now + s->link->retry_after : 0;
        sender_unlink(s);
        server->stats.errors++;
        server->failed = true;
        s->state = SENDER_IDLE;

        if (all_are_marked(s, now)) {
                first = wipe_marks(s);
                wait = MAX(backoff_next(&s->backoff, random_u64()), first > now ? first - now : 0);
                s->retry_at = now + wait;
                s->state = SENDER_WAITING;
                sender_timer(s, s->retry_at);
        }

        log_loss(s, server, wait);
}

static void sender_close(Sender *s) {
        int error = TAKE(s->closed);

        sender_unlink(s);
        sender_current(s)->stats.errors++;
        s->state = SENDER_CLOSED;
        if (s->events.closed)
                s->events.closed(s->userdata, error);
}

/* -- the loop -- */

static int on_turn(sd_event_source *source _unused_, void *userdata) {
        Sender *s = userdata;

        s->seen = queue_head(s->queue);
        if (s->closed < 0) {
                sender_close(s);
                return 0;
        }
        if (s->lost < 0)
                sender_lose(s);
        if (s->ended) {
                sender_unlink(s);
                s->state = SENDER_IDLE;
                if (s->share) /* back to the preferred one, whatever it was that failed there */
                        s->servers[0].failed = false;
        }

        sender_pass_others(s);
        if (s->state == SENDER_CONNECTED)
                s->link->ops->kick(s->link);
        else if (s->state == SENDER_IDLE && sender_has_more(s))
                sender_connect(s);

        return 0;
}

void sender_end_if_proven(Sender *s) {
        if (!s->expired || sender_sent_at(s) > sender_acked_at(s))
                return;

        log_debug("%s: the connection is old enough, making another", sender_current(s)->url);
        s->ended = true;
        sender_turn(s);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Sender *s = userdata;

        if (s->state == SENDER_WAITING)
                s->state = SENDER_IDLE;
        if (s->state == SENDER_CONNECTED) {
                s->expired = true;
                sender_end_if_proven(s);
        }

        sender_turn(s);
        return 0;
}

static int add_sources(Sender *s) {
        int r;

        r = sd_event_add_defer(s->event, &s->turn, on_turn, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->turn, "sender-turn");
        r = sd_event_source_set_priority(s->turn, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;

        /* On: what a former process left in the queue wants sending without anybody's kick. */
        r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, USEC_INFINITY, 10 * USEC_PER_MSEC,
                              on_timer, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->timer, "sender-timer");
        return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

/* -- life -- */

static int add_servers(Sender *s, const SenderConfig *config) {
        s->servers = calloc(config->n_servers, sizeof(*s->servers));
        if (!s->servers)
                return -ENOMEM;

        for (size_t i = 0; i < config->n_servers; i++) {
                SenderTarget *server = &s->servers[s->n_servers++];
                int r = sender_server_copy(&server->server, &config->servers[i]);

                if (r < 0)
                        return r;

                server->ops = find_ops(config->servers[i].url);
                if (!server->ops)
                        return -EPROTONOSUPPORT;

                server->url = strdup(server->ops->name ?: config->servers[i].url);
                server->memory = calloc(1, MAX(server->ops->memory_size, (size_t) 1));
                if (!server->url || !server->memory)
                        return -ENOMEM;
        }

        s->current = config->n_shares > 1 ? 0 : random_u64() % s->n_servers;
        return 0;
}

static void set_config(Sender *s, const SenderConfig *config) {
        s->config = *config;
        s->config.servers = NULL;
        s->config.n_servers = 0;
        if (s->config.probe_timeout == 0)
                s->config.probe_timeout = 2 * USEC_PER_SEC;
        if (s->config.hung_timeout == 0)
                s->config.hung_timeout = 30 * USEC_PER_SEC;
        if (s->config.hold_time == 0)
                s->config.hold_time = 3 * USEC_PER_SEC;
        if (s->config.connect_timeout == 0)
                s->config.connect_timeout = 10 * USEC_PER_SEC;
        if (s->config.backoff.max == 0)
                s->config.backoff = (Backoff) { .min = USEC_PER_SEC, .max = 300 * USEC_PER_SEC };
        s->backoff = s->config.backoff;
}

int sender_new(Sender **ret, sd_event *event, Queue *queue, unsigned reader, const SenderConfig *config,
               const SenderEvents *events, void *userdata) {
        _cleanup_(sender_freep) Sender *s = calloc(1, sizeof(*s));
        int r;

        assert(config->n_servers > 0);

        if (!s)
                return -ENOMEM;

        *s = (Sender) {
                .event = sd_event_ref(event),
                .queue = queue,
                .reader = reader,
                .events = *events,
                .userdata = userdata,
                .complaints = { .interval = 60 * USEC_PER_SEC, .burst = 5 },
                .changes = { .interval = 60 * USEC_PER_SEC, .burst = 10 },
        };
        set_config(s, config);

        r = add_servers(s, config);
        if (r >= 0 && config->n_shares > 1)
                r = sender_share_new(&s->share, queue, reader, config->share, config->n_shares);
        if (r < 0)
                return r;
        r = add_sources(s);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}

Sender *sender_free(Sender *s) {
        if (!s)
                return NULL;

        if (s->link) {
                s->link->ops->stop(s->link);
                free(s->link);
                queue_rewind(s->queue, s->reader);
        }
        (void) sender_share_free(s->share);
        (void) curl_glue_free(s->curl);
        (void) sd_event_source_disable_unref(s->turn);
        (void) sd_event_source_disable_unref(s->timer);
        for (size_t i = 0; i < s->n_servers; i++) {
                sender_server_done(&s->servers[i].server);
                free(s->servers[i].url);
                free(s->servers[i].memory);
        }
        free(s->servers);
        (void) sd_event_unref(s->event);
        free(s);
        return NULL;
}

void sender_kick(Sender *s) {
        bool news = queue_head(s->queue) != s->seen;

        /* A turn is an event too: kicked after every event, this must not cause one without need. */
        if ((s->state == SENDER_IDLE && sender_has_more(s)) ||
            (news && (s->state == SENDER_CONNECTED || s->share)) ||
            (s->share && sender_share_has_unscanned(s->share)))
                sender_turn(s);
}

void sender_retry(Sender *s) {
        if (s->state != SENDER_WAITING)
                return;

        s->state = SENDER_IDLE;
        sender_timer(s, USEC_INFINITY);
        sender_turn(s);
}

bool sender_is_drained(const Sender *s) {
        return queue_acked_at(s->queue, s->reader) == queue_head(s->queue);
}

uint64_t sender_left(const Sender *s) {
        return s->left;
}

SenderStatus sender_status(const Sender *s) {
        return (SenderStatus) {
                .state = s->state,
                .url = sender_current(s)->url,
                .last_error = s->why[0] ? s->why : NULL,
                .retry_at = s->state == SENDER_WAITING ? s->retry_at : 0,
                .confirmed = s->link && s->link->confirmed,
        };
}

size_t sender_n_servers(const Sender *s) {
        return s->n_servers;
}

const char *sender_server_url(const Sender *s, size_t i) {
        return s->servers[i].url;
}

const SenderStats *sender_server_stats(const Sender *s, size_t i) {
        return &s->servers[i].stats;
}
