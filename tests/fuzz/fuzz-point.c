/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines through parser and encoders. The first byte chooses the rules, the rest is one line. Whatever it is:
 * - squeezing its white space first changes nothing;
 * - a point that was refused is left untouched;
 * - a finished line has the length foretold, ends in its only newline, and has only allowed bytes;
 * - parsed again, without rules, it is the same point, and finishes to the same bytes;
 * - its JSON is JSON. */

#include "fuzz/fuzz.h"
#include "point/encode.h"
#include "point/scan.h"

/* -- JSON, as far as RFC 8259 is needed here -- */

static bool take(Slice *s, char c) {
        if (s->n == 0 || s->p[0] != c)
                return false;

        *s = (Slice) { s->p + 1, s->n - 1 };
        return true;
}

static size_t take_digits(Slice *s) {
        size_t n = 0;

        while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
                n++;

        *s = (Slice) { s->p + n, s->n - n };
        return n;
}

static bool take_string(Slice *s) {
        if (!take(s, '"'))
                return false;
        while (s->n > 0 && (class_of(s->p[0]) & CHAR_NAME))
                *s = (Slice) { s->p + 1, s->n - 1 };

        return take(s, '"');
}

static bool take_number(Slice *s) {
        (void) take(s, '-');
        if (!take(s, '0') && take_digits(s) == 0)
                return false;
        if (take(s, '.') && take_digits(s) == 0)
                return false;
        if (!take(s, 'e'))
                return true;
        if (!take(s, '-'))
                (void) take(s, '+');

        return take_digits(s) > 0;
}

static bool take_object(Slice *s, bool nested) {
        if (!take(s, '{'))
                return false;
        if (take(s, '}'))
                return true;

        do {
                if (!take_string(s) || !take(s, ':'))
                        return false;
                if (!take_string(s) && !take_number(s) && (nested || !take_object(s, true)))
                        return false;
        } while (take(s, ','));

        return take(s, '}');
}

static void check_json(Slice finished) {
        char out[ENCODE_JSON_MAX];
        Slice s = { out, encode_json(finished, out) };

        check(s.n > 0);
        check(take_object(&s, false));
        check(s.n == 0);
}

/* -- lines -- */

/* White space as SPEC.md says, in other words than the parser's. */
static Slice squeeze(Slice line, char *out) {
        size_t n = 0;

        for (size_t i = 0; i < line.n; i++)
                if (!strchr(" \t\r\v\f", line.p[i]) || line.p[i] == '\0')
                        out[n++] = line.p[i];
                else if (n > 0 && out[n - 1] != ' ')
                        out[n++] = ' ';
        if (n > 0 && out[n - 1] == ' ')
                n--;

        return (Slice) { out, n };
}

static void check_same(const Point *a, const Point *b) {
        check(slice_equal(a->metric, b->metric));
        check(slice_equal(a->when, b->when));
        check(slice_equal(a->value, b->value));
        check(slice_equal(a->tags, b->tags));
        check(a->time_ms == b->time_ms);
        check(a->zero == b->zero);
}

static void check_bytes(Slice finished) {
        check(slice_starts_with(finished, SLICE("put ")));
        check(finished.n <= POINT_FINISHED_MAX);
        for (size_t i = 0; i + 1 < finished.n; i++) {
                char c = finished.p[i];

                check(class_of(c) == CHAR_NAME || c == ' ' || c == '=' || c == '+');
        }

        check(finished.p[finished.n - 1] == '\n');
}

/* The finished line without "put " and newline, under rules that add nothing. */
static void check_again(const Point *p, Slice finished) {
        _cleanup_(point_rules_freep) PointRules *plain = NULL;
        char scratch[POINT_LINE_MAX], again[POINT_FINISHED_MAX];
        Point q;

        check(point_rules_new(&plain, (Slice) {}, NULL, 0, 1000, BAD_CHARS_REJECT) == 0);
        check(point_parse(plain, (Slice) { finished.p + 4, finished.n - 5 }, scratch, &q) == VERDICT_OK);
        check(q.time_ms == p->time_ms && q.zero == p->zero && slice_equal(q.value, p->value));
        check(slice_starts_with(q.tags, p->tags));
        check(encode_telnet(plain, &q, again) == again + finished.n);
        check(memcmp(again, finished.p, finished.n) == 0);
}

static void check_point(const PointRules *rules, const Point *p) {
        char out[POINT_FINISHED_MAX];
        Slice finished = { out, p->finished_n };
        Point q;

        check(p->finished_n <= sizeof(out));
        check(encode_telnet(rules, p, out) == out + p->finished_n);
        check_bytes(finished);
        check_again(p, finished);
        check_json(finished);

        check(point_with(p, p->when, p->value, &q));
        check_same(p, &q);
        check(q.finished_n == p->finished_n);
}

static PointRules *make_rules(uint8_t choice) {
        static const AgentTag tags[] = {
                { .key = { "host", 4 }, .value = { "web01", 5 } },
                { .key = { "a", 1 }, .value = { "b", 1 } },
                { .key = { "dc", 2 }, .value = { "x", 1 } },
        };
        PointRules *rules;

        check(point_rules_new(&rules, choice & 4 ? SLICE("pre") : (Slice) {}, tags, choice & 3,
                              choice & 8 ? 3 : 500,
                              choice & 16 ? BAD_CHARS_REPLACE : BAD_CHARS_REJECT) == 0);
        return rules;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(point_rules_freep) PointRules *rules = make_rules(n > 0 ? data[0] : 0);
        Slice line = { (const char *) data + (n > 0), n - (n > 0) };
        char scratch[POINT_LINE_MAX], scratch_tidy[POINT_LINE_MAX];
        _cleanup_(freep) char *tidy = malloc(n + 1);
        Point p, untouched, q;
        Verdict v;

        check(tidy);
        memset(&untouched, 0xa5, sizeof(untouched));
        memcpy(&p, &untouched, sizeof(p));
        v = point_parse(rules, line, scratch, &p);
        if (v != VERDICT_OK)
                check(memcmp(&p, &untouched, sizeof(p)) == 0);
        if (line.n > POINT_RAW_MAX)
                check(v == VERDICT_TOO_LONG);
        else
                check(point_parse(rules, squeeze(line, tidy), scratch_tidy, &q) == v);
        if (v != VERDICT_OK)
                return 0;

        check_same(&p, &q);
        check_point(rules, &p);
        return 0;
}
