/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines go in two passes over small batches: the first parses, hashes and asks the cache for the series'
 * slots, the second decides and writes. By the time a slot is looked at, it has arrived: at a million series
 * that is what most of the time goes into. The second pass alone changes anything, and stops at the first
 * line the queue has no room for. */

#include <inttypes.h>
#include <stdio.h>

#include "agent/pipeline.h"
#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"
#include "basic/printable.h"
#include "point/encode.h"

#define BATCH 32u

typedef struct Parsed {
        Slice line; /* as printed, newline included */
        Verdict verdict;
        Point point;
        DedupKey key;
} Parsed;

DedupLimits lane_limits(const Config *c, const ConfigCollector *own) {
        return (DedupLimits) {
                .interval_ms = (int64_t) (c->dedup_interval / USEC_PER_MSEC),
                .only_zero = c->dedup_only_zero,
                .max_series = own && own->max_series > 0 ? own->max_series : c->max_series,
        };
}

int lane_new(Lane **ret, const char *name, Ring *ring, const PointRules *rules, const DedupLimits *limits) {
        _cleanup_(lane_freep) Lane *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;

        *l = (Lane) {
                .name = strdup(name),
                .ring = ring,
                .rules = rules,
                .log_limit = { .interval = 60 * USEC_PER_SEC, .burst = 5 },
        };
        if (!l->name)
                return -ENOMEM;

        r = dedup_new(&l->dedup, limits, random_u64());
        if (r < 0)
                return r;

        *ret = TAKE(l);
        return 0;
}

Lane *lane_free(Lane *l) {
        if (!l)
                return NULL;

        dedup_free(l->dedup);
        free(l->name);
        free(l);
        return NULL;
}

void lane_set_rules(Lane *l, const PointRules *rules, const DedupLimits *limits) {
        l->rules = rules;
        dedup_set_limits(l->dedup, limits);
}

void lane_set_dedup(Lane *l, Dedup *dedup) {
        dedup_free(l->dedup);
        l->dedup = dedup;
}

/* true: this one may be logged; what was held back before it has been said. */
static bool may_log(Lane *l) {
        uint64_t held_back;

        if (!ratelimit_allow(&l->log_limit, clock_usec(CLOCK_MONOTONIC), &held_back))
                return false;
        if (held_back > 0)
                log_warning("%s: %" PRIu64 " more invalid lines were not logged", l->name, held_back);

        return true;
}

void lane_fault(Lane *l, Verdict fault, Slice text) {
        char buf[PRINTABLE_MAX];

        l->stats.received++;
        stats_verdict(&l->stats, fault);
        if (may_log(l))
                log_warning("%s: invalid line (%s): %s", l->name, verdict_to_string(fault),
                            printable(buf, text));
}

static void fault_out_of_order(Lane *l, const Parsed *p, const DedupLast *last) {
        char buf[PRINTABLE_MAX], ms[8] = "";

        l->stats.received++;
        stats_verdict(&l->stats, VERDICT_OUT_OF_ORDER);
        if (!may_log(l))
                return;
        if (last->time_ms % 1000 != 0)
                (void) snprintf(ms, sizeof(ms), ".%03u", (unsigned) (last->time_ms % 1000) % 1000);

        log_warning("%s: invalid line (out-of-order): its time %.*s is not after %" PRId64 "%s, "
                    "which its series already has: %s",
                    l->name, (int) p->point.when.n, p->point.when.p, last->time_ms / 1000, ms,
                    printable(buf, slice_strip(p->line)));
}

static void enqueue(Lane *l, const Point *p, char *room) {
        (void) encode_telnet(l->rules, p, room);
        ring_written(l->ring, p->finished_n);
        l->stats.sent++;
}

/* Sends the line that was suppressed last, then `p`: both stand in the queue, or neither. */
static void enqueue_both(Lane *l, const Point *p, const DedupLast *last, char *room) {
        Point corner;

        /* Its finished form was checked when it came; only tags that have grown since can make it too long.
         */
        if (point_with(p, last->when, last->value, &corner)) {
                enqueue(l, &corner, room);
                l->stats.replayed++;
                room += corner.finished_n;
        }

        enqueue(l, p, room);
}

/* false: the queue has no room. Nothing has been changed then. */
static bool take_point(Lane *l, const Parsed *p) {
        char *room = ring_reserve(l->ring, 2 * POINT_FINISHED_MAX);
        DedupLast last;

        if (!room)
                return false;

        switch (dedup_check(l->dedup, p->key, &p->point, &last)) {
        case DEDUP_OUT_OF_ORDER:
                fault_out_of_order(l, p, &last);
                return true;
        case DEDUP_SUPPRESS:
                l->stats.suppressed++;
                break;
        case DEDUP_SEND_BOTH:
                enqueue_both(l, &p->point, &last, room);
                break;
        case DEDUP_OVERFLOW:
                l->stats.series_overflow++;
                enqueue(l, &p->point, room);
                break;
        case DEDUP_SEND:
                enqueue(l, &p->point, room);
                break;
        }

        l->stats.received++;
        l->stats.replaced += p->point.replaced;
        return true;
}

static bool take(Lane *l, const Parsed *p) {
        if (_likely_(p->verdict == VERDICT_OK))
                return take_point(l, p);
        if (p->verdict == VERDICT_MARK)
                l->stats.runs++;
        else if (p->verdict != VERDICT_EMPTY)
                lane_fault(l, p->verdict, (Slice) { p->line.p, p->line.n - 1 });

        return true;
}

static size_t parse_batch(const Lane *l, Slice lines, Parsed batch[static BATCH], char *scratch) {
        size_t n;

        for (n = 0; n < BATCH && lines.n > 0; n++) {
                Parsed *p = &batch[n];
                const char *end = memchr(lines.p, '\n', lines.n);

                p->line = (Slice) { lines.p, (size_t) (end - lines.p) + 1 };
                lines.p += p->line.n;
                lines.n -= p->line.n;

                p->verdict = point_parse(l->rules, (Slice) { p->line.p, p->line.n - 1 },
                                         scratch + n * POINT_LINE_MAX, &p->point);
                if (p->verdict != VERDICT_OK)
                        continue;
                p->key = dedup_key(l->dedup, &p->point);
                dedup_prefetch(l->dedup, p->key);
        }

        return n;
}

/* With which bytes of the source these are, so that a process that finds them unconsumed does not take them
 * in again. */
static void commit(Lane *l, Slice taken) {
        RingPending pending;

        if (l->source == 0) {
                ring_commit(l->ring, NULL);
                return;
        }

        pending = ring_pending_of(l->source, taken);
        ring_commit(l->ring, &pending);
}

size_t lane_lines(Lane *l, Slice lines) {
        char scratch[BATCH * POINT_LINE_MAX];
        Parsed batch[BATCH];
        uint64_t received = l->stats.received;
        size_t taken = 0;
        bool full = false;

        assert(lines.n == 0 || lines.p[lines.n - 1] == '\n');

        while (taken < lines.n && !full) {
                size_t n = parse_batch(l, (Slice) { lines.p + taken, lines.n - taken }, batch, scratch);

                for (size_t i = 0; i < n && !full; i++) {
                        full = !take(l, &batch[i]);
                        taken += full ? 0 : batch[i].line.n;
                }
        }

        commit(l, (Slice) { lines.p, taken });
        if (l->stats.received != received)
                l->last_line = clock_usec(CLOCK_REALTIME);
        return taken;
}

void lane_log_counters(const Lane *l, int level) {
        _cleanup_(buffer_done) Buffer faults = {};
        const CollectorStats *s = &l->stats;

        for (Verdict v = _VERDICT_FIRST_FAULT; v < _VERDICT_MAX; v++)
                if (s->verdicts[v] > 0)
                        (void) buffer_addf(&faults, "%s%s %" PRIu64, faults.n > 0 ? ", " : " (",
                                           verdict_to_string(v), s->verdicts[v]);
        if (faults.n > 0)
                (void) buffer_add_string(&faults, ")");
        if (s->replaced > 0)
                (void) buffer_addf(&faults, "; %" PRIu64 " with a character replaced", s->replaced);
        if (s->series_overflow > 0)
                (void) buffer_addf(&faults, "; %" PRIu64 " of series beyond max_series", s->series_overflow);

        (void) log_full(level, 0,
                        "%s: %" PRIu64 " received = %" PRIu64 " sent - %" PRIu64 " replayed + %" PRIu64
                        " suppressed + %" PRIu64 " invalid%s",
                        l->name, s->received, s->sent, s->replayed, s->suppressed, s->invalid,
                        faults.data ?: "");
}
