/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Deduplication of one collector's series (SPEC.md section 3).
 *
 * A series is remembered as the 128-bit hash of its metric and tags (XXH3, seeded per process), the value it
 * has, when it took it, and the time text of the last line seen: what rule 4 needs to send that line again,
 * as everything else of it stands in the line at hand. One series is one cache line in segments that grow,
 * split and shrink by themselves, so that no line moves more than one segment. Texts too long for the cache
 * line live on the heap. Bounded by max_series. Time is passed in. */

#include "point/point.h"

typedef struct Dedup Dedup;

typedef struct DedupLimits {
        int64_t interval_ms; /* D; 0: everything is sent, nothing remembered */
        bool only_zero;      /* suppress only repeated zeros */
        size_t max_series;   /* a new series beyond it is sent and not remembered */
} DedupLimits;

typedef struct DedupKey {
        uint64_t low, high;
} DedupKey;

typedef enum DedupAction {
        DEDUP_SEND,
        DEDUP_SEND_BOTH, /* first the line suppressed last (*ret_last), then this one */
        DEDUP_SUPPRESS,
        DEDUP_OUT_OF_ORDER, /* *ret_last.time_ms is the stored time, for the log */
        DEDUP_OVERFLOW,     /* send; it is a new series beyond max_series, or there is no memory for it */
} DedupAction;

/* What was stored of a series: time and value as the last line seen of it had them, and when it took that
 * value. The slices point into `text`, so it cannot be copied. */
typedef struct DedupLast {
        Slice when, value;
        int64_t time_ms;
        char text[POINT_LINE_MAX];
} DedupLast;

int dedup_new(Dedup **ret, const DedupLimits *limits, uint64_t seed); /* -ENOMEM */
Dedup *dedup_free(Dedup *d);                                          /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Dedup *, dedup_free);

/* New limits from a changed configuration. What is remembered stays; with interval_ms 0 it goes. */
void dedup_set_limits(Dedup *d, const DedupLimits *limits);

DedupKey dedup_key(const Dedup *d, const Point *p);

/* Asks the cache for what dedup_check() will read: call it some 16 lines ahead. */
void dedup_prefetch(const Dedup *d, DedupKey key);

/* Decides what becomes of `p` and remembers it. *ret_last is written for DEDUP_SEND_BOTH and
 * DEDUP_OUT_OF_ORDER only. */
DedupAction dedup_check(Dedup *d, DedupKey key, const Point *p, DedupLast *ret_last);

/* Forgets series whose stored time is before `before_ms`; returns how many. */
size_t dedup_evict(Dedup *d, int64_t before_ms);

/* The same, a part at a time: looks at some `n` slots (at least 1) beginning where *cursor says (0: at the
 * first), and moves it on; it is 0 again when all have been looked at. What comes, splits and joins in
 * between makes it miss none. */
size_t dedup_evict_some(Dedup *d, int64_t before_ms, size_t n, size_t *cursor);

/* Adds all that is remembered to what `write` is given, in pieces, in a form dedup_load() reads: for a clean
 * restart. -errno of `write`. */
typedef int (*DedupWrite)(void *userdata, Slice bytes);
int dedup_save(const Dedup *d, DedupWrite write, void *userdata);

/* The same with what was saved in place of an empty start; *from is what was saved, and is moved behind it.
 * Series beyond limits->max_series are left out. -EBADMSG: it is not what dedup_save() wrote, *from may have
 * been moved; -ENOMEM. */
int dedup_load(Dedup **ret, const DedupLimits *limits, Slice *from);

size_t dedup_n_series(const Dedup *d);
size_t dedup_memory(const Dedup *d); /* bytes held, for tests, benchmarks and the status */
