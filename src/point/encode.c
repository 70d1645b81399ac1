/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The telnet form is copied together, most often of three pieces: what every line begins with, the point as
 * it was written, and what every line ends with. The JSON form is made from a finished line, which is parsed
 * anew, as it may have come from the disk; its character set needs no escaping. */

#include <limits.h>

#include "point/encode.h"
#include "point/number.h"
#include "point/parse.h"
#include "point/rules.h"

/* A finished line as a line of its own: what it begins and ends with is already in it. */
static const PointRules finished_rules = {
        .max_tags = UINT_MAX,
        .tail = { "\n", 1 },
};

/* Texts of this size are copied before memcpy() has decided how; a last piece overlaps the one before it. */
static inline char *put(char *out, Slice s) {
        if (s.n < 8) {
                for (size_t i = 0; i < s.n; i++)
                        out[i] = s.p[i];
                return out + s.n;
        }
        if (s.n < 16) {
                memcpy(out, s.p, 8);
                memcpy(out + s.n - 8, s.p + s.n - 8, 8);
                return out + s.n;
        }

        for (size_t i = 0; i + 16 < s.n; i += 16)
                memcpy(out + i, s.p + i, 16);
        memcpy(out + s.n - 16, s.p + s.n - 16, 16);
        return out + s.n;
}

static char *put_after(char *out, char c, Slice s) {
        *out = c;
        return put(out + 1, s);
}

static char *put_body(char *out, const Point *p) {
        if (_likely_(p->text_n > 0))
                return put(out, (Slice) { p->metric.p, p->text_n });

        out = put(out, p->metric);
        out = put_after(out, ' ', p->when);
        out = put_after(out, ' ', p->value);
        return p->tags.n > 0 ? put_after(out, ' ', p->tags) : out;
}

char *encode_telnet(const PointRules *rules, const Point *p, char *out) {
        memcpy(out, PUT, PUT_N);
        out = put(out + PUT_N, rules->prefix);
        out = put_body(out, p);
        if (_likely_(p->agent_tags == rules->all_tags))
                return put(out, rules->tail);

        for (size_t i = 0; i < rules->n_tags; i++)
                if (p->agent_tags & UINT64_C(1) << i)
                        out = put(out, rules->tags[i].text);

        *out = '\n';
        return out + 1;
}

/* -- JSON -- */

static char *put_string(char *out, Slice s) {
        out = put_after(out, '"', s);
        *out = '"';
        return out + 1;
}

static char *put_uint(char *out, uint64_t v) {
        char digits[20];
        size_t at = sizeof(digits);

        do
                digits[--at] = (char) ('0' + v % 10);
        while ((v /= 10) > 0);

        return put(out, (Slice) { digits + at, sizeof(digits) - at });
}

/* A value as RFC 8259, section 6, wants it: no leading zeros, digits on both sides of a dot. */
static char *put_value(char *out, Slice value) {
        Number n;

        if (!number_split(value, &n))
                abort(); /* the parser took it */

        while (n.whole.n > 0 && n.whole.p[0] == '0')
                n.whole = (Slice) { n.whole.p + 1, n.whole.n - 1 };

        if (n.negative)
                *out++ = '-';
        out = put(out, n.whole.n > 0 ? n.whole : SLICE("0"));
        if (n.dot)
                out = put_after(out, '.', n.fraction.n > 0 ? n.fraction : SLICE("0"));
        return n.exponent.n > 0 ? put_after(out, 'e', n.exponent) : out;
}

static char *put_tags(char *out, Slice tags) {
        char open = '{';

        if (tags.n == 0)
                *out++ = open;

        while (tags.n > 0) {
                Slice tag = tags, key;

                if (!slice_cut(&tags, ' ', &tag))
                        tags.n = 0;
                (void) slice_cut(&tag, '=', &key);

                *out++ = open;
                out = put_string(out, key);
                *out++ = ':';
                out = put_string(out, tag);
                open = ',';
        }

        *out = '}';
        return out + 1;
}

/* A finished line has at most 215 different keys, each of which takes four bytes more here; with the 46
 * around them and two that a value may gain this stays below ENCODE_JSON_MAX. */
size_t encode_json(Slice finished, char *out) {
        char *begin = out;
        Point p;

        if (finished.n > 0 && finished.p[finished.n - 1] == '\n')
                finished.n--;
        if (finished.n <= PUT_N || finished.n > POINT_FINISHED_MAX ||
            !slice_starts_with(finished, SLICE(PUT)))
                return 0;

        finished = (Slice) { finished.p + PUT_N, finished.n - PUT_N };
        if (parse_tidy(&finished_rules, finished, &p) != VERDICT_OK || p.text_n == 0)
                return 0;

        out = put(out, SLICE("{\"metric\":"));
        out = put_string(out, p.metric);
        out = put(out, SLICE(",\"timestamp\":"));
        out = put_uint(out, (uint64_t) (time_has_ms(p.when) ? p.time_ms : p.time_ms / 1000));
        out = put(out, SLICE(",\"value\":"));
        out = put_value(out, p.value);
        out = put(out, SLICE(",\"tags\":"));
        out = put_tags(out, p.tags);
        *out++ = '}';

        return (size_t) (out - begin);
}
