/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "agent/report.h"
#include "basic/log.h"
#include "io/usage.h"
#include "point/point.h"

#define TAG_MAX 256u

/* `s` as a tag value: what the character set does not have becomes '_'. */
static const char *tag_value(char buf[static TAG_MAX], const char *s) {
        size_t n = 0;

        for (; s[n] && n < TAG_MAX - 1; n++)
                buf[n] = name_is_valid((Slice) { s + n, 1 }) ? s[n] : '_';

        buf[n] = '\0';
        return buf;
}

typedef struct Lines {
        Buffer *out;
        uint64_t time;   /* seconds */
        const char *tag; /* "collector" or "server" */
        char value[TAG_MAX];
        int r; /* the first error */
} Lines;

static void add(Lines *l, const char *metric, uint64_t value) {
        if (l->r < 0)
                return;
        if (l->tag)
                l->r = buffer_addf(l->out, "tcollector.%s %" PRIu64 " %" PRIu64 " %s=%s\n", metric, l->time,
                                   value, l->tag, l->value);
        else
                l->r = buffer_addf(l->out, "tcollector.%s %" PRIu64 " %" PRIu64 "\n", metric, l->time,
                                   value);
}

/* received = sent - replayed + suppressed + invalid */
static void add_lines(Lines *l, const CollectorStats *s) {
        add(l, "collector.lines_received", s->received);
        add(l, "collector.lines_sent", s->sent);
        add(l, "collector.replayed", s->replayed);
        add(l, "collector.suppressed", s->suppressed);
        add(l, "collector.lines_invalid", s->invalid);
        add(l, "collector.replaced", s->replaced);
}

static void add_collector(Lines *l, const CensusRow *c) {
        Usage usage = {};
        bool running = (c->pid > 0 && usage_of(c->pid, &usage) >= 0) ||
                       (c->cgroup && usage_of_cgroup(c->cgroup, &usage) >= 0);

        (void) tag_value(l->value, c->name);
        add_lines(l, c->stats);
        add(l, "collector.series", c->n_series);
        add(l, "collector.series_overflow", c->stats->series_overflow);
        add(l, "collector.runs", c->stats->runs);
        add(l, "collector.failures", c->stats->failures);
        add(l, "collector.kills", c->stats->kills);
        if (!c->cgroup || running)
                add(l, "collector.cpu_usec", c->cpu_usec + usage.cpu_usec);
        if (running)
                add(l, "collector.memory_bytes", usage.memory_bytes);
}

static void add_server(Lines *l, const char *url, const SenderStats *s) {
        const char *host = strstr(url, "://");

        if (!host)
                return; /* a dry run: nothing is delivered */

        (void) tag_value(l->value, host + 3);
        add(l, "sender.points_acked", s->acked);
        add(l, "sender.bytes", s->bytes);
        add(l, "sender.reconnects", s->reconnects);
        add(l, "sender.errors", s->errors);
        add(l, "sender.latency_ms", s->latency_usec / USEC_PER_MSEC);
}

/* Of all collectors, those that are gone included; the self-report's own lines aside. */
static CollectorStats totals_of(const Report *r) {
        return r->census ? r->census->totals : r->input->stats;
}

static void add_spool(Lines *l, const Queue *q) {
        const Spool *spool = queue_spool(q);

        if (!spool)
                return;

        add(l, "spool.bytes", spool_bytes(spool));
        add(l, "spool.segments", spool_n_segments(spool));
        add(l, "spool.lines_lost", queue_lost(q));
}

static void add_agent(Lines *l, const Report *r) {
        CollectorStats totals = totals_of(r);
        Usage usage;

        add(l, "reader.lines_collected", totals.received);
        add(l, "reader.lines_dropped", report_lost(r));
        add(l, "queue.bytes", queue_used(r->queue));
        add(l, "queue.lines", queue_lines_queued(r->queue));
        add_spool(l, r->queue);
        if (usage_of(getpid(), &usage) >= 0) {
                add(l, "agent.cpu_usec", usage.cpu_usec);
                add(l, "agent.memory_bytes", usage.memory_bytes);
        }
        add(l, "agent.uptime_sec", (r->monotonic - r->started) / USEC_PER_SEC);
}

int report_lines(const Report *r, Buffer *out) {
        Lines l = { .out = out, .time = r->realtime / USEC_PER_SEC };

        add_agent(&l, r);

        l.tag = "collector";
        for (size_t i = 0; r->census && i < r->census->n; i++)
                add_collector(&l, &r->census->rows[i]);

        if (r->self) {
                (void) tag_value(l.value, r->self->name);
                add_lines(&l, &r->self->stats);
        }

        l.tag = "server";
        for (size_t i = 0; i < delivery_n_servers(r->delivery); i++) {
                DeliveryServer server = delivery_server(r->delivery, i);

                add_server(&l, server.url, server.stats);
        }

        return l.r;
}

uint64_t report_lost(const Report *r) {
        return delivery_refused(r->delivery) + queue_lost(r->queue);
}

void report_log_sum(const Report *r, int level) {
        uint64_t sent = totals_of(r).sent + (r->self ? r->self->stats.sent : 0);

        (void) log_full(level, 0,
                        "in all: %" PRIu64 " sent + %" PRIu64 " inherited = %" PRIu64 " acked + %" PRIu64
                        " queued + %" PRIu64 " spooled + %" PRIu64 " lost",
                        sent, queue_inherited(r->queue), delivery_acked(r->delivery),
                        queue_lines_queued(r->queue), queue_lines_spooled(r->queue), report_lost(r));
}

/* The reference's keys: times in seconds since the epoch, killstate 0 running, 1 told to stop. */
static int add_json_collector(Buffer *out, const CensusRow *c, const Report *r) {
        uint64_t nextkill = 0;
        int e;

        if (c->kill_in != USEC_INFINITY)
                nextkill = (r->realtime + c->kill_in) / USEC_PER_SEC;

        e = buffer_add_string(out, "{\"name\":");
        if (e >= 0)
                e = buffer_add_json(out, slice_from_string(c->name));
        if (e >= 0)
                e = buffer_addf(out,
                                ",\"mtime\":%" PRIu64 ",\"lastspawn\":%" PRIu64
                                ",\"killstate\":%d,\"nextkill\":%" PRIu64 ",\"lines_sent\":%" PRIu64
                                ",\"lines_received\":%" PRIu64 ",\"lines_invalid\":%" PRIu64
                                ",\"last_datapoint\":%" PRIu64 ",\"dead\":%s}",
                                c->mtime / USEC_PER_SEC, c->last_spawn / USEC_PER_SEC, c->stopping, nextkill,
                                c->stats->sent, c->stats->received, c->stats->invalid,
                                c->last_line / USEC_PER_SEC, c->off ? "true" : "false");

        return e;
}

int report_json(const Report *r, Buffer *out) {
        int e;

        e = buffer_add_string(out, "[");
        for (size_t i = 0; e >= 0 && r->census && i < r->census->n; i++) {
                if (i > 0)
                        e = buffer_add_string(out, ",");
                if (e >= 0)
                        e = add_json_collector(out, &r->census->rows[i], r);
        }
        if (e >= 0)
                e = buffer_add_string(out, "]\n");

        return e;
}
