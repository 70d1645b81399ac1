/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A data point and the line it is written as (SPEC.md sections 1 and 2).
 *
 * Pure: no I/O, no allocation, no clock. A Point borrows from the line it was parsed from (or from the
 * scratch buffer handed in), so it lives no longer than that line. */

#include "basic/slice.h"
#include "point/verdict.h"

#define POINT_LINE_MAX 1024u       /* a squeezed line has fewer bytes than this */
#define POINT_RAW_MAX (64u * 1024) /* a line as it was printed has at most this many, newline aside */
#define POINT_FINISHED_MAX 1023u   /* "put ...\n" has at most this many bytes */
#define POINT_AGENT_TAGS_MAX 64u   /* bits in Point.agent_tags */
#define POINT_TIME_END_MS INT64_C(2209212000000) /* timestamps at or beyond it are refused, milliseconds */

#define RUN_MARK "\x18" /* a line of this byte alone begins a run (tcollector-exec writes it) */

typedef enum BadChars {
        BAD_CHARS_REJECT,
        BAD_CHARS_REPLACE, /* a character outside the set becomes '_' in a metric, tag key or tag value */
} BadChars;

typedef struct AgentTag {
        Slice key, value;
        Slice text; /* " key=value", as it is appended */
} AgentTag;

/* What the agent adds to and asks of every line of one collector. Made once per collector and configuration,
 * by point_rules_new(); constant while lines are parsed. */
typedef struct PointRules PointRules;

/* `prefix` is the namespace prefix without regard to its trailing dot (one is added if it lacks one), empty
 * for none. `tags` are the agent's tags for this collector, "host" included, in any order; they are copied.
 * 0; -EINVAL: a key or value is empty or has a character outside [-_./a-zA-Z0-9], or the prefix has;
 * -EEXIST: a key twice; -E2BIG: more than POINT_AGENT_TAGS_MAX tags, or their text does not leave room for a
 * point; -ENOMEM. */
int point_rules_new(PointRules **ret, Slice prefix, const AgentTag *tags, size_t n_tags, unsigned max_tags,
                    BadChars bad_chars);
PointRules *point_rules_free(PointRules *r); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(PointRules *, point_rules_free);

typedef struct Point {
        Slice metric;        /* as written, without the namespace prefix */
        Slice when;          /* the timestamp as written */
        Slice value;         /* as it is sent and compared: no '+', true and false as 1 and 0 */
        Slice tags;          /* the line's in its order, one space between, none in front; may be empty */
        int64_t time_ms;     /* the timestamp in milliseconds since the epoch */
        uint64_t agent_tags; /* bit i: the i-th of the rules' tags (in key order) is appended */
        uint16_t finished_n; /* bytes of the finished line, "put " and newline included */
        uint16_t text_n;     /* bytes at metric.p, if they hold all four above in one piece; else 0 */
        bool zero;           /* the value is numerically 0 */
        bool replaced;       /* a character was replaced (BAD_CHARS_REPLACE) */
} Point;

/* Parses one line. `line` has no newline; `scratch` (POINT_LINE_MAX bytes, borrowed by *ret) takes the
 * squeezed or replaced form when the line is not already in it. *ret is written for VERDICT_OK only. Never
 * returns VERDICT_OUT_OF_ORDER. */
Verdict point_parse(const PointRules *rules, Slice line, char *scratch, Point *ret);

/* Is `s` one or more of [-_./a-zA-Z0-9]? */
bool name_is_valid(Slice s);

/* The same point with another time and value (SPEC.md section 3, rule 4: the line that was suppressed last).
 * false where its finished form would be longer than POINT_FINISHED_MAX, or they are no time and value. */
bool point_with(const Point *p, Slice when, Slice value, Point *ret);
