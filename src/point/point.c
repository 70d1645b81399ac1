/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A line is first taken as if it were tidy: single spaces, nothing to replace. Most are, and are parsed
 * where they lie. parse_tidy() says VERDICT_OK only of a line that is right as it stands; whatever it
 * refuses is made tidy in the scratch buffer (white space squeezed, characters replaced if so configured)
 * and parsed again, and only then is its verdict the line's. */

#include "point/number.h"
#include "point/parse.h"
#include "point/rules.h"
#include "point/scan.h"

#define LINE_TAGS_MAX (POINT_LINE_MAX / 4) /* " k=v" */

/* The keys of a line's tags. */
typedef struct Keys {
        size_t n;
        uint64_t bits; /* the key_bit() of each */
        bool duplicate;
        Slice keys[LINE_TAGS_MAX];
} Keys;

/* Cuts a scanned text at its separators, from left to right. */
typedef struct Walk {
        Slice text;
        size_t start; /* of the next token */
        size_t base;  /* of the bits in `bits` */
        uint64_t bits;
        const uint64_t *words;
} Walk;

/* What the agent appends to a line. */
typedef struct Tail {
        uint64_t tags; /* as in Point.agent_tags */
        size_t n_tags;
        size_t n; /* bytes, newline included */
} Tail;

bool name_is_valid(Slice s) {
        uint8_t all = CHAR_NAME;

        for (size_t i = 0; i < s.n; i++)
                all &= class_of(s.p[i]);

        return s.n > 0 && all == CHAR_NAME;
}

/* The text up to the next separator, which is *ret_sep: ' ', '=', or 0 at the end of the text. */
static inline Slice walk(Walk *w, char *ret_sep) {
        Slice token = { w->text.p + w->start, 0 };
        size_t at;

        while (_unlikely_(w->bits == 0)) {
                w->bits = *++w->words;
                w->base += 64;
        }
        at = w->base + (unsigned) __builtin_ctzll(w->bits);
        w->bits &= w->bits - 1;

        token.n = at - w->start;
        w->start = at + 1;
        *ret_sep = at < w->text.n ? w->text.p[at] : '\0';
        return token;
}

/* -- tags -- */

/* The array needs none, and is large. */
static inline void keys_init(Keys *k) {
        k->n = 0;
        k->bits = 0;
        k->duplicate = false;
}

/* Looks at three bytes first: with 250 keys in a line it matters. */
static bool keys_have(const Keys *k, Slice key) {
        for (size_t i = 0; i < k->n; i++) {
                Slice other = k->keys[i];

                if (other.n == key.n && other.p[0] == key.p[0] && other.p[key.n / 2] == key.p[key.n / 2] &&
                    other.p[key.n - 1] == key.p[key.n - 1] && memcmp(other.p, key.p, key.n) == 0)
                        return true;
        }

        return false;
}

static inline void keys_add(Keys *k, Slice key) {
        uint64_t bit = key_bit(key);

        if (_unlikely_(k->bits & bit))
                k->duplicate = k->duplicate || keys_have(k, key);

        k->bits |= bit;
        k->keys[k->n++] = key;
}

/* Tags to the end of the text; there is at least one. */
static inline bool walk_tags(Walk *w, bool clean, Keys *k) {
        for (char sep = ' '; sep == ' ';) {
                Slice key, value;

                key = walk(w, &sep);
                if (sep != '=' || key.n == 0)
                        return false;
                value = walk(w, &sep);
                if (sep == '=' || value.n == 0)
                        return false;
                if (!clean && (!name_is_valid(key) || !name_is_valid(value)))
                        return false;

                keys_add(k, key);
        }

        return true;
}

/* Takes out of `t` what the line has tags of its own for. */
static void tail_yield(Tail *t, const PointRules *rules, const Keys *k) {
        for (size_t i = 0; i < rules->n_tags; i++) {
                const AgentTag *tag = &rules->tags[i];

                if (!keys_have(k, tag->key))
                        continue;
                t->tags &= ~(UINT64_C(1) << i);
                t->n_tags--;
                t->n -= tag->text.n;
        }
}

static inline Verdict check_keys(const PointRules *rules, const Keys *k, Tail *ret) {
        Tail tail = { rules->all_tags, rules->n_tags, rules->tail.n };

        if (k->duplicate)
                return VERDICT_DUPLICATE_TAG;
        if (_unlikely_(k->bits & rules->key_bits))
                tail_yield(&tail, rules, k);
        if (k->n + tail.n_tags > rules->max_tags)
                return VERDICT_TOO_MANY_TAGS;

        *ret = tail;
        return VERDICT_OK;
}

/* -- the line -- */

static inline size_t body_size(Slice metric, Slice when, Slice value, Slice tags) {
        return metric.n + 1 + when.n + 1 + value.n + (tags.n > 0 ? 1 + tags.n : 0);
}

Verdict parse_tidy(const PointRules *rules, Slice text, Point *ret) {
        uint64_t words[SCAN_WORDS];
        bool clean = scan_line(text.p, text.n, words), zero;
        Walk w = { .text = text, .bits = words[0], .words = words };
        Slice metric, when, written, value, tags = {};
        int64_t time_ms;
        Verdict v;
        size_t n;
        Tail tail;
        Keys k;
        char sep;

        metric = walk(&w, &sep);
        if (metric.n == 0 || sep == '=' || (!clean && !name_is_valid(metric)))
                return VERDICT_BAD_METRIC;
        if (sep == '\0')
                return VERDICT_BAD_TIME;

        when = walk(&w, &sep);
        if (sep == '=' || !time_parse(when, &time_ms))
                return VERDICT_BAD_TIME;
        if (sep == '\0')
                return VERDICT_BAD_VALUE;

        written = walk(&w, &sep);
        if (sep == '=' || !value_parse(written, &value, &zero))
                return VERDICT_BAD_VALUE;

        keys_init(&k);
        if (sep == ' ') {
                tags = (Slice) { text.p + w.start, text.n - w.start };
                if (!walk_tags(&w, clean, &k))
                        return VERDICT_BAD_TAG;
        }

        v = check_keys(rules, &k, &tail);
        if (v != VERDICT_OK)
                return v;

        n = PUT_N + rules->prefix.n + body_size(metric, when, value, tags) + tail.n;
        if (n > POINT_FINISHED_MAX)
                return VERDICT_TOO_LONG;

        /* One by one: as a compound literal it goes through memory, at half the cost of all of the above. */
        ret->metric = metric;
        ret->when = when;
        ret->value = value;
        ret->tags = tags;
        ret->time_ms = time_ms;
        ret->agent_tags = tail.tags;
        ret->finished_n = (uint16_t) n;
        ret->text_n = value.p == written.p ? (uint16_t) text.n : 0;
        ret->zero = zero;
        ret->replaced = false;
        return VERDICT_OK;
}

/* -- making tidy -- */

static Slice strip(Slice s) {
        while (s.n > 0 && (class_of(s.p[0]) & CHAR_SPACE)) {
                s.p++;
                s.n--;
        }
        while (s.n > 0 && (class_of(s.p[s.n - 1]) & CHAR_SPACE))
                s.n--;

        return s;
}

/* Copies a stripped line to `out` (POINT_LINE_MAX bytes), every run of white space as one space. */
static Verdict squeeze(Slice line, char *out, size_t *ret_n) {
        bool was_space = false;
        uint8_t seen = 0;
        size_t n = 0;

        for (size_t i = 0; i < line.n; i++) {
                uint8_t class = class_of(line.p[i]);
                bool space = class & CHAR_SPACE;

                if (space && was_space)
                        continue;
                if (n == POINT_LINE_MAX - 1)
                        return VERDICT_TOO_LONG;

                out[n++] = space ? ' ' : line.p[i];
                was_space = space;
                seen |= class;
        }
        if (seen & CHAR_BAD)
                return VERDICT_BAD_CHAR;

        *ret_n = n;
        return VERDICT_OK;
}

/* What is not allowed in a squeezed line's metric, keys and tag values becomes '_', and so does a '=' in
 * them that does not part key from value. true: there was something. */
static bool replace(char *text, size_t n) {
        size_t token = 0;
        bool split = false, replaced = false;

        for (size_t i = 0; i < n; i++) {
                if (text[i] == ' ') {
                        token++;
                        split = false;
                        continue;
                }
                if (class_of(text[i]) == CHAR_NAME || token == 1 || token == 2)
                        continue;
                if (text[i] == '=' && token > 2 && !split) {
                        split = true;
                        continue;
                }

                text[i] = '_';
                replaced = true;
        }

        return replaced;
}

static Verdict parse_untidy(const PointRules *rules, Slice line, char *scratch, Point *ret) {
        bool replaced = false;
        Verdict v;
        size_t n;

        v = squeeze(line, scratch, &n);
        if (v != VERDICT_OK)
                return v;
        if (rules->bad_chars == BAD_CHARS_REPLACE)
                replaced = replace(scratch, n);

        v = parse_tidy(rules, (Slice) { scratch, n }, ret);
        if (v == VERDICT_OK)
                ret->replaced = replaced;

        return v;
}

Verdict point_parse(const PointRules *rules, Slice line, char *scratch, Point *ret) {
        if (line.n > POINT_RAW_MAX)
                return VERDICT_TOO_LONG;

        line = strip(line);
        if (line.n == 0)
                return VERDICT_EMPTY;
        if (line.n == 1 && line.p[0] == RUN_MARK[0])
                return VERDICT_MARK;
        if (_likely_(line.n < POINT_LINE_MAX) && parse_tidy(rules, line, ret) == VERDICT_OK)
                return VERDICT_OK;

        return parse_untidy(rules, line, scratch, ret);
}

bool point_with(const Point *p, Slice when, Slice value, Point *ret) {
        Point q = *p;
        size_t n = p->finished_n - body_size(p->metric, p->when, p->value, p->tags);

        if (!time_parse(when, &q.time_ms) || !value_parse(value, &q.value, &q.zero))
                return false;

        q.when = when;
        q.text_n = 0;
        n += body_size(q.metric, q.when, q.value, q.tags);
        if (n > POINT_FINISHED_MAX)
                return false;

        q.finished_n = (uint16_t) n;
        *ret = q;
        return true;
}
