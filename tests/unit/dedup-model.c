/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <search.h>
#include <stdio.h>

#include "basic/buffer.h"
#include "unit/dedup-model.h"

#define LINE_MAX_BYTES (2 * POINT_LINE_MAX)
#define BEGIN_MS INT64_C(1700000000000)

struct Series {
        char *metric, *tags; /* the key */
        char *value;
        int64_t time_ms;
        bool repeated;
        char *line;           /* the last one seen */
        uint64_t line_number; /* its number among all lines */
        uint64_t sent_number; /* that of the last one sent */
};

static char *slice_dup(Slice s) {
        char *p = strndup(s.n > 0 ? s.p : "", s.n);

        if (!p)
                abort();

        return p;
}

static char *line_of(const Point *p, Slice when, Slice value) {
        char line[LINE_MAX_BYTES];

        (void) snprintf(line, sizeof(line), "%.*s %.*s %.*s %.*s", (int) p->metric.n, p->metric.p,
                        (int) when.n, when.p, (int) value.n, value.p, (int) p->tags.n,
                        p->tags.n > 0 ? p->tags.p : "");
        return slice_dup(slice_from_string(line));
}

static int series_compare(const void *a, const void *b) {
        const Series *s = a, *t = b;
        int r = strcmp(s->metric, t->metric);

        return r != 0 ? r : strcmp(s->tags, t->tags);
}

static Series *series_free(Series *s) {
        free(s->metric);
        free(s->tags);
        free(s->value);
        free(s->line);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(Series *, series_free);

static Series *series_new(const Point *p) {
        Series *s = calloc(1, sizeof(*s));

        if (!s)
                abort();

        s->metric = slice_dup(p->metric);
        s->tags = slice_dup(p->tags);
        return s;
}

static Series *model_find(const DedupModel *m, const Point *p) {
        _cleanup_(series_freep) Series *key = series_new(p);
        Series **found = tfind(key, &m->tree, series_compare);

        return found ? *found : NULL;
}

static Series *model_add(DedupModel *m, const Point *p) {
        Series *s = series_new(p);

        if (!tsearch(s, &m->tree, series_compare))
                abort();
        if (m->n == m->allocated) {
                m->allocated = MAX(m->allocated * 2, (size_t) 16);
                m->series = reallocarray(m->series, m->allocated, sizeof(*m->series));
                if (!m->series)
                        abort();
        }

        m->series[m->n++] = s;
        return s;
}

static void model_drop(DedupModel *m, size_t i) {
        (void) tdelete(m->series[i], &m->tree, series_compare);
        (void) series_free(m->series[i]);
        m->series[i] = m->series[--m->n];
}

static size_t model_evict(DedupModel *m, int64_t before_ms) {
        size_t n = m->n;

        for (size_t i = 0; i < m->n;)
                if (m->series[i]->time_ms < before_ms)
                        model_drop(m, i);
                else
                        i++;

        return n - m->n;
}

static void model_done(DedupModel *m) {
        while (m->n > 0)
                model_drop(m, m->n - 1);

        free(TAKE(m->series));
        m->allocated = 0;
}

static void series_see(Series *s, const Point *p, uint64_t number) {
        free(s->line);
        s->line = line_of(p, p->when, p->value);
        s->line_number = number;
}

static void series_send(Series *s, const Point *p, uint64_t number) {
        series_see(s, p, number);
        free(s->value);
        s->value = slice_dup(p->value);
        s->time_ms = p->time_ms;
        s->repeated = false;
        s->sent_number = number;
}

/* The six rules in their order. *ret_replay is the line that is sent first. */
static DedupAction model_check(DedupModel *m, const Point *p, char **ret_replay) {
        uint64_t number = ++m->n_lines;
        bool differs, old;
        Series *s;

        if (m->limits.interval_ms == 0)
                return DEDUP_SEND;

        s = model_find(m, p);
        if (!s && m->n >= m->limits.max_series)
                return DEDUP_OVERFLOW;
        if (!s) {
                series_send(model_add(m, p), p, number);
                return DEDUP_SEND;
        }
        if (p->time_ms <= s->time_ms)
                return DEDUP_OUT_OF_ORDER;

        differs = !slice_equal(slice_from_string(s->value), p->value);
        old = p->time_ms - s->time_ms >= m->limits.interval_ms;
        if (!differs && !old && (!m->limits.only_zero || p->zero)) {
                s->repeated = true;
                series_see(s, p, number);
                return DEDUP_SUPPRESS;
        }

        if ((s->repeated || old) && differs && s->line_number != s->sent_number)
                *ret_replay = TAKE(s->line);

        series_send(s, p, number);
        return *ret_replay ? DEDUP_SEND_BOTH : DEDUP_SEND;
}

/* -- both -- */

bool pair_begin(DedupPair *pair, const DedupLimits *limits, uint64_t seed) {
        *pair = (DedupPair) { .model = { .limits = *limits } };
        return dedup_new(&pair->dedup, limits, seed) == 0;
}

void pair_done(DedupPair *pair) {
        pair->dedup = dedup_free(pair->dedup);
        model_done(&pair->model);
}

void pair_forget(DedupPair *pair, const Point *p) {
        const Series *s = model_find(&pair->model, p);

        for (size_t i = 0; i < pair->model.n; i++)
                if (pair->model.series[i] == s) {
                        model_drop(&pair->model, i);
                        return;
                }
}

static bool same_size(const DedupPair *pair) {
        size_t n = dedup_n_series(pair->dedup);

        return n == pair->model.n && dedup_memory(pair->dedup) >= n * 64 &&
               (n > 0 || dedup_memory(pair->dedup) < 1024);
}

bool pair_check(DedupPair *pair, const Point *p, DedupAction *ret) {
        _cleanup_(freep) char *replay = NULL, *line = NULL;
        const Series *s = model_find(&pair->model, p);
        int64_t stored_ms = s ? s->time_ms : 0;
        DedupKey key = dedup_key(pair->dedup, p);
        DedupAction want = model_check(&pair->model, p, &replay);
        DedupLast last;

        dedup_prefetch(pair->dedup, key);
        *ret = dedup_check(pair->dedup, key, p, &last);
        if (*ret != want)
                return false;
        if (want != DEDUP_SEND_BOTH && want != DEDUP_OUT_OF_ORDER)
                return true;

        line = line_of(p, last.when, last.value);
        return last.time_ms == stored_ms && strcmp(line, replay ?: s->line) == 0;
}

bool pair_evict(DedupPair *pair, int64_t before_ms) {
        return dedup_evict(pair->dedup, before_ms) == model_evict(&pair->model, before_ms) &&
               same_size(pair);
}

size_t pair_n_evicted(DedupPair *pair, int64_t before_ms) {
        return model_evict(&pair->model, before_ms);
}

bool pair_evict_in_parts(DedupPair *pair, int64_t before_ms, size_t n) {
        size_t cursor = 0, n_evicted = 0;

        do
                n_evicted += dedup_evict_some(pair->dedup, before_ms, n, &cursor);
        while (cursor != 0);

        return n_evicted == model_evict(&pair->model, before_ms) && same_size(pair);
}

static int add_bytes(void *userdata, Slice bytes) {
        return buffer_add(userdata, bytes);
}

/* What was left out of a full one is a new series beyond max_series. */
static bool model_drop_unknown(DedupPair *pair) {
        for (size_t i = 0; i < pair->model.n;) {
                const Series *s = pair->model.series[i];
                Point p = {
                        .metric = slice_from_string(s->metric),
                        .tags = slice_from_string(s->tags),
                        .time_ms = s->time_ms,
                };
                DedupLast last;

                switch (dedup_check(pair->dedup, dedup_key(pair->dedup, &p), &p, &last)) {
                case DEDUP_OUT_OF_ORDER:
                        i++;
                        break;
                case DEDUP_OVERFLOW:
                        model_drop(&pair->model, i);
                        break;
                default:
                        return false;
                }
        }

        return true;
}

bool pair_reload(DedupPair *pair, const DedupLimits *limits) {
        size_t want = limits->interval_ms > 0 ? MIN(limits->max_series, pair->model.n) : 0;
        _cleanup_(buffer_done) Buffer saved = {};
        Dedup *next;
        Slice from;

        if (dedup_save(pair->dedup, add_bytes, &saved) < 0 || buffer_add_string(&saved, "behind") < 0)
                return false;

        from = buffer_slice(&saved);
        if (dedup_load(&next, limits, &from) < 0)
                return false;

        (void) dedup_free(pair->dedup);
        pair->dedup = next;
        pair->model.limits = *limits;
        if (!slice_equal(from, SLICE("behind")) || dedup_n_series(next) != want)
                return false;
        if (want == 0)
                model_done(&pair->model);

        return model_drop_unknown(pair) && same_size(pair);
}

bool pair_set_limits(DedupPair *pair, const DedupLimits *limits) {
        pair->model.limits = *limits;
        if (limits->interval_ms == 0)
                model_done(&pair->model);

        dedup_set_limits(pair->dedup, limits);
        return same_size(pair);
}

/* -- programs -- */

typedef struct Program {
        DedupPair pair;
        const uint8_t *at, *end;
        int64_t now_ms;
        uint32_t id_mask; /* few series or many */
} Program;

static uint32_t next_byte(Program *g) {
        return g->at < g->end ? *g->at++ : 0;
}

static uint32_t next_id(Program *g) {
        uint32_t high = next_byte(g);

        return (high << 8 | next_byte(g)) & g->id_mask;
}

static DedupLimits next_limits(Program *g) {
        static const int64_t intervals[] = { 300000, 0, 1, 1000, 300000, 15000, INT64_C(1) << 40, 299999 };
        static const size_t bounds[] = { SIZE_MAX, 0, 1, 5, SIZE_MAX, 400, 3000, SIZE_MAX };
        uint32_t b = next_byte(g);

        return (DedupLimits) { intervals[b & 7], b & 64, bounds[b >> 3 & 7] };
}

/* The same time in seconds, with a fraction, in milliseconds, or with so many zeroes in front that it is
 * long. */
static Slice when_text(int64_t ms, uint32_t form, char text[static POINT_LINE_MAX]) {
        int n;

        if (form % 4 == 0 && ms % 1000 == 0)
                n = snprintf(text, POINT_LINE_MAX, "%lld", (long long) ms / 1000);
        else if (form % 4 <= 1)
                n = snprintf(text, POINT_LINE_MAX, "%lld.%03lld", (long long) ms / 1000,
                             (long long) ms % 1000);
        else if (form % 4 == 2)
                n = snprintf(text, POINT_LINE_MAX, "%lld", (long long) ms);
        else
                n = snprintf(text, POINT_LINE_MAX, "%0*lld", (int) (13 + form * 9), (long long) ms);

        return (Slice) { text, (size_t) n };
}

/* Short ones and long ones; some are equal as numbers only. */
static Slice value_text(uint32_t choice, char text[static POINT_LINE_MAX], bool *ret_zero) {
        static const char *const values[] = { "0",       "0.0", "-0",
                                              "5",       "05",  "17",
                                              "-1234.5", "1e9", "123456789012345678" };
        int n;

        *ret_zero = choice % 16 < 3 || choice % 16 > 13;
        if (choice % 16 < ELEMENTSOF(values))
                return slice_from_string(values[choice % 16]);

        n = snprintf(text, POINT_LINE_MAX, "%0*u", (int) (19 + choice % 16 * 3 + choice / 16 * 40),
                     *ret_zero ? 0 : choice);
        return (Slice) { text, (size_t) n };
}

static bool run_line(Program *g, uint32_t id, uint32_t when, uint32_t value) {
        static const int32_t ahead_ms[] = { 1000,  0,      1,      -1,     999,   1001,   14999, 15000,
                                            15001, 299999, 300000, 300001, -1000, -15000, 2,     600000 };
        char metric[32], tags[32], when_buffer[POINT_LINE_MAX], value_buffer[POINT_LINE_MAX];
        Point p = { .time_ms = g->now_ms + ahead_ms[when % 16] };
        DedupAction action;

        /* The same letters, cut between metric and tags at different places. */
        (void) snprintf(metric, sizeof(metric), "m%u%s", id / 4, id & 2 ? "t" : "");
        (void) snprintf(tags, sizeof(tags), "%s", id & 1 ? "t" : "");
        p.metric = slice_from_string(metric);
        p.tags = slice_from_string(tags);
        p.when = when_text(p.time_ms, when / 16, when_buffer);
        p.value = value_text(value, value_buffer, &p.zero);
        return pair_check(&g->pair, &p, &action);
}

static bool run_many(Program *g) {
        uint32_t id = next_id(g), n = next_byte(g) * 4, when = next_byte(g), value = next_byte(g);

        for (uint32_t i = 0; i < n; i++)
                if (!run_line(g, (id + i) & g->id_mask, when, value))
                        return false;

        return true;
}

static bool run_step(Program *g) {
        uint32_t op = next_byte(g), id, when;
        DedupLimits limits;

        switch (op % 16) {
        case 0:
                return run_many(g);

        case 1:
                g->now_ms += next_byte(g) * 10000;
                return true;

        case 2:
                when = next_byte(g) * 5000;
                if (op & 16)
                        return pair_evict_in_parts(&g->pair, g->now_ms - when, 1 + op / 32 * 300);
                return pair_evict(&g->pair, g->now_ms - when);

        case 3:
                limits = op & 64 ? g->pair.model.limits : next_limits(g);
                if (op & 16)
                        return pair_reload(&g->pair, &limits);
                return pair_set_limits(&g->pair, &limits);

        default:
                id = next_id(g);
                when = next_byte(g);
                g->now_ms += when % 16;
                return run_line(g, id, when, next_byte(g));
        }
}

bool pair_run(const uint8_t *program, size_t n) {
        static const uint32_t id_masks[] = { 0x3, 0x1f, 0x3ff, 0xffff };
        Program g = { .at = program, .end = program + n, .now_ms = BEGIN_MS };
        DedupLimits limits = next_limits(&g);
        bool ok;

        g.id_mask = id_masks[next_byte(&g) % 4];
        ok = pair_begin(&g.pair, &limits, next_byte(&g));
        while (ok && g.at < g.end)
                ok = run_step(&g) && same_size(&g.pair);

        pair_done(&g.pair);
        return ok;
}
