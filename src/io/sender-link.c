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

Slice sender_peek(Sender *s) {
        Slice run = queue_peek(s->queue, s->reader), line = { run.p, 0 };

        if (is_going(s))
                return line;
        if (!s->expired)
                return run;
        if (queue_in_mid_line(s->queue, s->reader) && slice_cut(&run, '\n', &line))
                line.n++;

        return line;
}

void sender_sent(Sender *s, size_t n) {
        queue_sent(s->queue, s->reader, n);
        sender_current(s)->stats.bytes += n;
}

uint64_t sender_sent_at(const Sender *s) {
        return queue_sent_at(s->queue, s->reader);
}

uint64_t sender_acked_at(const Sender *s) {
        return queue_acked_at(s->queue, s->reader);
}

size_t sender_queue_size(const Sender *s) {
        return queue_size(s->queue);
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

void sender_acked(Sender *s, uint64_t until, usec_t latency) {
        uint64_t lines;

        assert(until <= sender_sent_at(s));

        lines = queue_ack(s->queue, s->reader, until);
        if (lines == 0)
                return;

        count_acked(s, lines, latency);
        note_success(s);

        if (s->events.acked)
                s->events.acked(s->userdata);
        sender_end_if_proven(s);
}

void sender_rewind(Sender *s) {
        queue_rewind(s->queue, s->reader);
        s->refused = 0;
        sender_end_if_proven(s); /* nothing will be acknowledged on an expired link any more */
}

/* -- the connection -- */

void sender_link_up(Link *l) {
        Sender *s = l->sender;
        SenderTarget *t = sender_current(s);

        if (t->known)
                t->stats.reconnects++;
        t->known = true;
        s->state = SENDER_CONNECTED;
        if (s->config.reconnect_interval > 0)
                sender_timer(s, clock_usec(CLOCK_MONOTONIC) + s->config.reconnect_interval);

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
