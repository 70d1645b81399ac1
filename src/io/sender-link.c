/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sender as its protocols see it: the queue's cursors, the counters, and the word that a connection is
 * up, lost or complained about. None of these makes or ends a Link; that is on_turn()'s business.
 *
 * A line the server named as bad is counted as refused when what it belonged to is proven, not before: after
 * a lost connection the same lines are sent, and named, again. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/log.h"
#include "basic/printable.h"
#include "io/sender-internal.h"

#define AWAY_USEC (300 * USEC_PER_SEC) /* then a share's own server is tried again */

sd_event *sender_event(Sender *s) {
        return s->event;
}

const SenderConfig *sender_config(const Sender *s) {
        return &s->config;
}

SenderStats *sender_link_stats(Link *l) {
        return &sender_current(l->sender)->stats;
}

void *sender_link_memory(Link *l) {
        return sender_current(l->sender)->memory;
}

int sender_curl(Sender *s, CurlGlue **ret) {
        const char *why = NULL;
        int r = 0;

        if (!s->curl)
                r = curl_glue_new(&s->curl, s->event, &why);
        if (r < 0)
                return log_error_errno(r, "Failed to set up libcurl: %s", why);

        *ret = s->curl;
        return 0;
}

/* -- the queue -- */

static bool is_going(const Sender *s) {
        return s->lost < 0 || s->closed < 0 || s->ended;
}

/* Returns the lines that are acknowledged by that, of whatever share. */
static uint64_t pass(Sender *s, uint64_t until) {
        uint64_t before = queue_lines(s->queue) + queue_lost(s->queue), n;

        n = queue_ack(s->queue, s->reader, until);
        s->left += before - (queue_lines(s->queue) + queue_lost(s->queue));
        return n;
}

static void say_acked(Sender *s) {
        if (s->events.acked)
                s->events.acked(s->userdata);
}

void sender_pass_others(Sender *s) {
        if (!s->share)
                return;

        (void) sender_share_peek(s->share);
        if (sender_share_is_idle(s->share) && pass(s, sender_share_floor(s->share)) > 0)
                say_acked(s);
}

static Slice peek_share(Sender *s) {
        Slice run = s->expired ? sender_share_rest(s->share) : sender_share_peek(s->share);

        if (!s->expired && run.n == 0)
                sender_pass_others(s);
        return run;
}

Slice sender_peek(Sender *s) {
        Slice run, line;

        if (is_going(s))
                return (Slice) {};
        if (s->share)
                return peek_share(s);

        run = queue_peek(s->queue, s->reader);
        if (!s->expired)
                return run;

        line = (Slice) { run.p, 0 };
        if (queue_in_mid_line(s->queue, s->reader) && slice_cut(&run, '\n', &line))
                line.n++;

        return line;
}

bool sender_has_more(const Sender *s) {
        return s->share ? sender_share_has_more(s->share) : queue_has_more(s->queue, s->reader);
}

void sender_sent(Sender *s, size_t n) {
        if (s->share)
                sender_share_sent(s->share, n);
        else
                queue_sent(s->queue, s->reader, n);
        sender_current(s)->stats.bytes += n;
}

uint64_t sender_sent_at(const Sender *s) {
        return s->share ? sender_share_sent_at(s->share) : queue_sent_at(s->queue, s->reader);
}

uint64_t sender_acked_at(const Sender *s) {
        return s->share ? sender_share_acked_at(s->share) : queue_acked_at(s->queue, s->reader);
}

size_t sender_queue_size(const Sender *s) {
        return s->share ? queue_size(s->queue) / s->config.n_shares : queue_size(s->queue);
}

static void count_acked(Sender *s, uint64_t lines, usec_t latency) {
        SenderStats *stats = &sender_current(s)->stats;
        uint64_t refused = MIN(s->refused, lines);

        stats->acked += lines - refused;
        stats->refused += refused;
        s->refused -= refused; /* a complaint that came late counts against what comes after */
        if (latency > 0)
                stats->latency_usec = latency;
}

/* The first proof of a connection: it works. */
static void note_success(Sender *s) {
        SenderTarget *t = sender_current(s);

        if (s->proven)
                return;

        if ((!t->greeted || t->why[0]) && !t->ops->name)
                (void) log_full(sender_log_level(s, LOG_INFO), 0, "Delivering to %s", t->url);
        s->proven = t->greeted = true;
        s->why[0] = t->why[0] = '\0';
        backoff_reset(&s->backoff);
}

/* How many of its lines are proven by that; with a share, those of others go with them. */
static uint64_t take_proof(Sender *s, uint64_t until) {
        uint64_t own, all;

        if (!s->share)
                return pass(s, until);

        own = sender_share_acked(s->share, until);
        all = pass(s, sender_share_floor(s->share));
        return MIN(own, all); /* those that were lost under way are counted as that */
}

void sender_acked(Sender *s, uint64_t until, usec_t latency) {
        uint64_t lines;

        assert(until <= sender_sent_at(s));

        lines = take_proof(s, until);
        if (lines == 0)
                return;

        count_acked(s, lines, latency);
        note_success(s);
        say_acked(s);
        sender_end_if_proven(s);
}

void sender_back(Sender *s) {
        if (s->share)
                sender_share_rewind(s->share);
        else
                queue_rewind(s->queue, s->reader);
        s->refused = 0;
}

void sender_rewind(Sender *s) {
        sender_back(s);
        sender_end_if_proven(s); /* nothing will be acknowledged on an expired link any more */
}

/* -- the connection -- */

/* For how long a connection lives; 0: for ever. */
static usec_t lifetime(const Sender *s) {
        bool away = s->share && s->current != 0;

        if (s->config.reconnect_interval > 0 || !away)
                return s->config.reconnect_interval;

        return AWAY_USEC;
}

void sender_link_up(Link *l) {
        Sender *s = l->sender;
        SenderTarget *t = sender_current(s);

        if (t->known)
                t->stats.reconnects++;
        t->known = true;
        s->state = SENDER_CONNECTED;
        if (lifetime(s) > 0)
                sender_timer(s, clock_usec(CLOCK_MONOTONIC) + lifetime(s));

        sender_turn(s);
}

void sender_link_lost(Link *l, int error, const char *why) {
        Sender *s = l->sender;

        assert(error < 0);

        if (is_going(s))
                return;

        s->lost = error;
        (void) snprintf(s->why, sizeof(s->why), "%s", why);
        sender_turn(s);
}

void sender_link_closed(Link *l, int error) {
        Sender *s = l->sender;

        assert(error < 0);

        s->closed = error;
        (void) snprintf(s->why, sizeof(s->why), "%s", strerror(-error));
        sender_turn(s);
}

void sender_link_error_line(Link *l, Slice line, bool refused) {
        Sender *s = l->sender;
        char text[PRINTABLE_MAX];
        uint64_t held_back;

        sender_current(s)->stats.errors++;
        s->refused += refused;

        if (!ratelimit_allow(&s->complaints, clock_usec(CLOCK_MONOTONIC), &held_back))
                return;
        if (held_back > 0)
                log_warning("%s: %" PRIu64 " more complaints not shown", l->url, held_back);
        log_warning("%s says: %s", l->url, printable(text, line));
}
