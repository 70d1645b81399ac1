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

/* With a sender for each server: how many of them are reached, and why one is not. */
static void connections(const Delivery *d, usec_t now, char *buf, size_t n) {
        const char *what = delivery_policy(d) == CONFIG_POLICY_SPREAD ? "Spreading over" : "Mirroring to";
        size_t all = delivery_n_senders(d), up = 0;
        SenderStatus away = delivery_status(d, 0);

        if (all == 1) {
                connection(&away, now, buf, n);
                return;
        }

        for (size_t i = 0; i < all; i++) {
                SenderStatus s = delivery_status(d, i);

                if (s.state == SENDER_WAITING)
                        away = s;
                else
                        up++;
        }

        if (up == all)
                (void) snprintf(buf, n, "%s %zu servers", what, all);
        else
                (void) snprintf(buf, n, "%s %zu of %zu servers, not %s (%s)", what, up, all, away.url,
                                away.last_error ?: "no reason known");
}

static void amounts(const Report *r, char *buf, size_t n) {
        uint64_t spooled = queue_lines_spooled(r->queue), lost = report_lost(r);
        char on_disk[64] = "", gone[64] = "";

        if (spooled > 0)
                (void) snprintf(on_disk, sizeof(on_disk), ", %" PRIu64 " spooled", spooled);
        if (lost > 0)
                (void) snprintf(gone, sizeof(gone), ", %" PRIu64 " lost", lost);

        (void) snprintf(buf, n, "%" PRIu64 " points delivered, %" PRIu64 " queued%s%s",
                        delivery_acked(r->delivery), queue_lines_queued(r->queue), on_disk, gone);
}

static int disk_error(const Report *r) {
        const Spool *spool = queue_spool(r->queue);

        return spool ? spool_error(spool) : r->no_spool;
}

const char *status_line(const Report *r, char buf[static STATUS_LINE_MAX]) {
        char where[STATUS_LINE_MAX / 2], points[160], bad[32] = "", disk[96] = "";
        size_t failed = 0, n = r->census ? r->census->n : 0;

        for (size_t i = 0; i < n; i++)
                failed += r->census->rows[i].state && strcmp(r->census->rows[i].state, "failed") == 0;

        connections(r->delivery, r->monotonic, where, sizeof(where));
        amounts(r, points, sizeof(points));
        if (failed > 0)
                (void) snprintf(bad, sizeof(bad), ", %zu failed", failed);
        if (disk_error(r) < 0)
                (void) snprintf(disk, sizeof(disk), "; the spool cannot be %s (%s)",
                                queue_spool(r->queue) ? "written" : "used", strerrordesc_np(-disk_error(r)));

        (void) snprintf(buf, STATUS_LINE_MAX, "%s; %s; %zu collector%s%s%s", where, points, n,
                        n == 1 ? "" : "s", bad, disk);
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
        DeliveryServer server = delivery_server(r->delivery, i);
        const SenderStats *stats = server.stats;
        const SenderStatus *s = &server.status;

        open_object(j);
        text(j, "url", server.url);
        text(j, "state", server.in_use ? state_to_string(s->state) : "standby");
        truth(j, "confirmed", server.in_use && s->state == SENDER_CONNECTED && s->confirmed);
        text(j, "last_error", server.in_use ? s->last_error : NULL);
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
        number(j, "inherited", queue_inherited(r->queue));
        number(j, "acked", delivery_acked(r->delivery));
        number(j, "queued", queue_lines_queued(r->queue));
        number(j, "spooled", queue_lines_spooled(r->queue));
        number(j, "lost", report_lost(r));
        close_object(j);
}

static void add_queue(Json *j, const Report *r) {
        const Spool *spool = queue_spool(r->queue);
        const Queue *q = r->queue;

        key(j, "queue");
        open_object(j);
        number(j, "bytes", queue_used(q));
        number(j, "lines", queue_lines_queued(q));
        number(j, "size", queue_size(q));
        close_object(j);
        if (!spool && r->no_spool == 0)
                return;

        key(j, "spool");
        open_object(j);
        number(j, "bytes", spool ? spool_bytes(spool) : 0);
        number(j, "lines", queue_lines_spooled(q));
        number(j, "segments", spool ? spool_n_segments(spool) : 0);
        number(j, "lines_lost", queue_lost(q));
        text(j, "error", disk_error(r) < 0 ? strerrordesc_np(-disk_error(r)) : NULL);
        close_object(j);
}

int status_json(const Report *r, Buffer *out) {
        Json j = { .out = out };
        char line[STATUS_LINE_MAX];

        open_object(&j);
        text(&j, "version", PROJECT_VERSION);
        number(&j, "uptime_sec", (r->monotonic - r->started) / USEC_PER_SEC);
        text(&j, "state", status_line(r, line));
        add_queue(&j, r);
        add_sums(&j, r);

        key(&j, "servers");
        raw(&j, "[");
        for (size_t i = 0; i < delivery_n_servers(r->delivery); i++) {
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
