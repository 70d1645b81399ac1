/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <config.h>

#include "agent/status.h"

static const char *state_to_string(SenderState s) {
        switch (s) {
        case SENDER_IDLE:
                return "idle";
        case SENDER_CONNECTING:
                return "connecting";
        case SENDER_CONNECTED:
                return "connected";
        case SENDER_WAITING:
                return "waiting";
        case SENDER_CLOSED:
                return "closed";
        }

        abort();
}

static uint64_t acked_of(const Report *r) {
        uint64_t acked = r->acked_before;

        for (size_t i = 0; i < sender_n_servers(r->sender); i++)
                acked += sender_server_stats(r->sender, i)->acked;

        return acked;
}

static void connection(const SenderStatus *s, usec_t now, char *buf, size_t n) {
        switch (s->state) {
        case SENDER_CONNECTED:
                (void) snprintf(buf, n, "Connected to %s%s", s->url, s->confirmed ? "" : " (unconfirmed)");
                break;
        case SENDER_WAITING:
                (void) snprintf(buf, n, "Cannot deliver to %s (%s), next try in %" PRIu64 " s", s->url,
                                s->last_error ?: "no reason known",
                                (s->retry_at - MIN(s->retry_at, now)) / USEC_PER_SEC + 1);
                break;
        case SENDER_CONNECTING:
                (void) snprintf(buf, n, "Connecting to %s", s->url);
                break;
        default:
                (void) snprintf(buf, n, "Nothing to deliver to %s yet", s->url);
        }
}

const char *status_line(const Report *r, char buf[static STATUS_LINE_MAX]) {
        SenderStatus s = sender_status(r->sender);
        size_t failed = 0, n = r->census ? r->census->n : 0;
        char where[STATUS_LINE_MAX / 2], lost[64] = "", bad[64] = "";

        for (size_t i = 0; i < n; i++)
                failed += r->census->rows[i].state && strcmp(r->census->rows[i].state, "failed") == 0;

        connection(&s, r->monotonic, where, sizeof(where));
        if (r->lost > 0)
                (void) snprintf(lost, sizeof(lost), ", %" PRIu64 " lost", r->lost);
        if (failed > 0)
                (void) snprintf(bad, sizeof(bad), ", %zu failed", failed);

        (void) snprintf(buf, STATUS_LINE_MAX,
                        "%s; %" PRIu64 " points delivered, %" PRIu64 " queued%s; %zu collector%s%s", where,
                        acked_of(r), ring_lines_queued(r->ring), lost, n, n == 1 ? "" : "s", bad);
        return buf;
}

/* -- JSON -- */

typedef struct Json {
        Buffer *out;
        bool first;
        int r; /* the first error */
} Json;

static void key(Json *j, const char *name) {
        if (j->r >= 0)
                j->r = buffer_addf(j->out, "%s\"%s\":", j->first ? "" : ",", name);
        j->first = false;
}

static void raw(Json *j, const char *text) {
        if (j->r >= 0)
                j->r = buffer_add_string(j->out, text);
}

static void number(Json *j, const char *name, uint64_t value) {
        key(j, name);
        if (j->r >= 0)
                j->r = buffer_addf(j->out, "%" PRIu64, value);
}

static void text(Json *j, const char *name, const char *value) {
        key(j, name);
        if (!value)
                raw(j, "null");
        else if (j->r >= 0)
                j->r = buffer_add_json(j->out, slice_from_string(value));
}

static void truth(Json *j, const char *name, bool value) {
        key(j, name);
        raw(j, value ? "true" : "false");
}

static void open_object(Json *j) {
        raw(j, "{");
        j->first = true;
}

static void close_object(Json *j) {
        raw(j, "}");
        j->first = false;
}

static void add_server(Json *j, const Report *r, size_t i) {
        const SenderStats *stats = sender_server_stats(r->sender, i);
        const char *url = sender_server_url(r->sender, i);
        SenderStatus s = sender_status(r->sender);
        bool in_use = strcmp(s.url, url) == 0;

        open_object(j);
        text(j, "url", url);
        text(j, "state", in_use ? state_to_string(s.state) : "standby");
        truth(j, "confirmed", in_use && s.state == SENDER_CONNECTED && s.confirmed);
        text(j, "last_error", in_use ? s.last_error : NULL);
        number(j, "acked", stats->acked);
        number(j, "refused", stats->refused);
        number(j, "bytes", stats->bytes);
        number(j, "reconnects", stats->reconnects);
        number(j, "errors", stats->errors);
        number(j, "latency_usec", stats->latency_usec);
        close_object(j);
}

static void add_collector(Json *j, const Report *r, const CensusRow *c) {
        const CollectorStats *s = c->stats;

        open_object(j);
        text(j, "name", c->name);
        text(j, "path", c->path);
        text(j, "state", c->state);
        number(j, "interval", c->interval_sec);
        number(j, "received", s->received);
        number(j, "sent", s->sent);
        number(j, "replayed", s->replayed);
        number(j, "suppressed", s->suppressed);
        number(j, "invalid", s->invalid);
        key(j, "verdicts");
        open_object(j);
        for (Verdict v = _VERDICT_FIRST_FAULT; v < _VERDICT_MAX; v++)
                if (s->verdicts[v] > 0)
                        number(j, verdict_to_string(v), s->verdicts[v]);
        close_object(j);
        number(j, "series", c->n_series);
        number(j, "runs", s->runs);
        number(j, "failures", s->failures);
        number(j, "kills", s->kills);
        key(j, "last_line_sec_ago");
        if (c->last_line == 0)
                raw(j, "null");
        else if (j->r >= 0)
                j->r = buffer_addf(j->out, "%" PRIu64,
                                   (r->realtime - MIN(r->realtime, c->last_line)) / USEC_PER_SEC);
        close_object(j);
}

static void add_sums(Json *j, const Report *r) {
        CollectorStats totals = r->census ? r->census->totals : (CollectorStats) {};

        key(j, "sums");
        open_object(j);
        number(j, "received", totals.received);
        number(j, "sent", totals.sent + (r->self ? r->self->stats.sent : 0));
        number(j, "inherited", r->inherited);
        number(j, "acked", acked_of(r));
        number(j, "queued", ring_lines_queued(r->ring));
        number(j, "lost", r->lost);
        close_object(j);
}

int status_json(const Report *r, Buffer *out) {
        Json j = { .out = out };
        char line[STATUS_LINE_MAX];

        open_object(&j);
        text(&j, "version", PROJECT_VERSION);
        number(&j, "uptime_sec", (r->monotonic - r->started) / USEC_PER_SEC);
        text(&j, "state", status_line(r, line));
        key(&j, "queue");
        open_object(&j);
        number(&j, "bytes", ring_used(r->ring));
        number(&j, "lines", ring_lines_queued(r->ring));
        number(&j, "size", ring_size(r->ring));
        close_object(&j);
        add_sums(&j, r);

        key(&j, "servers");
        raw(&j, "[");
        for (size_t i = 0; i < sender_n_servers(r->sender); i++) {
                raw(&j, i > 0 ? "," : "");
                add_server(&j, r, i);
        }
        raw(&j, "]");

        key(&j, "collectors");
        raw(&j, "[");
        for (size_t i = 0; r->census && i < r->census->n; i++) {
                raw(&j, i > 0 ? "," : "");
                add_collector(&j, r, &r->census->rows[i]);
        }
        raw(&j, "]");
        close_object(&j);
        return j.r;
}
