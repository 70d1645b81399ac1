/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spool's readers. A cursor goes from record to record by what their headers say; lines are read only to
 * be sent, and to be acknowledged in mid-record.
 *
 * What cannot be had (the next header does not follow, the lines do not verify, the disk refuses) becomes a
 * SpoolRange: counted as lost, reported, and passed over by every cursor from then on, so that what was
 * never sent is never counted as acknowledged. */

#include "store/lines.h"
#include "store/spool-internal.h"

static uint64_t record_end_line(const RecordHeader *h) {
        return h->line + h->lines;
}

void spool_cursor_begin(const Spool *s, SpoolCursor *c, SpoolPoint at) {
        *c = (SpoolCursor) {
                .at = at,
                .sequence = s->n_segments > 0 ? s->segments[0].sequence : 0,
                .offset = sizeof(SegmentHeader),
        };
}

/* -- what is lost -- */

static const SpoolRange *range_at(const Spool *s, uint64_t position) {
        for (size_t i = 0; i < s->n_ranges; i++)
                if (s->ranges[i].from.position <= position && position < s->ranges[i].to.position)
                        return &s->ranges[i];

        return NULL;
}

/* The part of `range` that is in no other one; false: there is none. */
static bool clip_range(const Spool *s, SpoolRange *range) {
        for (size_t i = 0; i < s->n_ranges; i++) {
                const SpoolRange *other = &s->ranges[i];

                if (other->from.position <= range->from.position &&
                    other->to.position > range->from.position)
                        return false;
                if (other->from.position <= range->from.position)
                        range->from.line = MAX(range->from.line, other->to.line);
                else if (other->from.position < range->to.position)
                        range->to = other->from;
        }

        return range->to.line > range->from.line;
}

static int add_range(Spool *s, const SpoolRange *range) {
        size_t i = s->n_ranges;

        if (s->n_ranges >= s->n_ranges_allocated) {
                size_t n = MAX(2 * s->n_ranges_allocated, (size_t) 16);
                SpoolRange *bigger = reallocarray(s->ranges, n, sizeof(*bigger));

                if (!bigger)
                        return -ENOMEM;

                s->ranges = bigger;
                s->n_ranges_allocated = n;
        }

        for (; i > 0 && s->ranges[i - 1].from.position > range->from.position; i--)
                s->ranges[i] = s->ranges[i - 1];
        s->ranges[i] = *range;
        s->n_ranges++;
        return 0;
}

/* The lines of `range` will never be read. 0; -ENOMEM: nothing has changed. */
static int lose(Spool *s, SpoolRange range, uint64_t sequence, SpoolWhy why) {
        uint64_t before = spool_floor(s).line, lines;
        char name[SEGMENT_NAME_N];
        int r;

        if (!clip_range(s, &range) || range.to.line <= before)
                return 0;

        r = add_range(s, &range);
        if (r < 0)
                return r;

        lines = range.to.line - MAX(before, range.from.line);
        if (range.from.position >= s->torn_from && range.to.position <= s->torn_to)
                why = SPOOL_TORN;

        s->lost += lines;
        segment_name(sequence, name);
        spool_report(s, &(SpoolLoss) {
                                .why = why,
                                .file = name,
                                .lines = lines,
                                .bytes = range.to.position - range.from.position,
                        });
        return 0;
}

/* -- cursors -- */

/* `to` is the next there is; what lies before it is lost, or, where no line is missing, a gap. */
static int cursor_skip(Spool *s, SpoolCursor *c, SpoolPoint to, SpoolWhy why) {
        SpoolRange range = { c->at, to };
        int r;

        r = to.line > c->at.line ? lose(s, range, c->sequence, why) : 0;
        if (r >= 0)
                c->at = to;

        return r;
}

/* What is expected behind what the cursor has in hand, in segment `i`. */
static SegmentPlace cursor_place(const Spool *s, SpoolCursor *c, size_t i) {
        const SpoolSegment *segment = &s->segments[i];
        const RecordHeader *h = &c->record;

        if (segment->sequence != c->sequence) {
                c->sequence = segment->sequence;
                c->offset = sizeof(SegmentHeader);
                c->record.length = 0;
        }
        if (h->length > 0)
                return (SegmentPlace) { c->offset + sizeof(*h) + h->length, record_end(h),
                                        record_end_line(h) };

        return (SegmentPlace) { c->offset, segment->first.position, segment->first.line };
}

/* Takes the next record in hand, whether it holds the cursor's position or not. 1; 0: there is none; or an
 * error that passes. */
static int cursor_next(Spool *s, SpoolCursor *c) {
        size_t i = spool_find(s, c->sequence);
        SpoolWhy why = SPOOL_DAMAGED;
        RecordHeader h;

        for (; i < s->n_segments; i++) {
                SegmentPlace place = cursor_place(s, c, i);
                SpoolPoint end = i + 1 < s->n_segments ? s->segments[i + 1].first : s->head;
                int r = spool_segment_fd(s, i);

                if (r >= 0)
                        r = segment_next(r, s->segments[i].size, &place, end.position, &h, &c->offset);
                if (spool_error_passes(r))
                        return r;
                if (r < 0)
                        why = SPOOL_UNREADABLE;
                if (r <= 0)
                        continue;

                c->record = h;
                if (h.position < c->at.position || (h.position == c->at.position && h.line <= c->at.line))
                        return 1;

                r = cursor_skip(s, c, (SpoolPoint) { h.position, h.line }, why);
                if (r < 0)
                        c->record.length = 0;
                return r < 0 ? r : 1;
        }

        return cursor_skip(s, c, s->head, why);
}

/* Takes the record in hand that holds the cursor's position, or puts the position behind what is lost. 1; 0:
 * the cursor is at the head; or an error that passes. */
static int cursor_load(Spool *s, SpoolCursor *c) {
        while (c->at.position < s->head.position) {
                const SpoolRange *range = range_at(s, c->at.position);
                const RecordHeader *h = &c->record;
                int r;

                if (range) {
                        c->at = range->to;
                        continue;
                }
                if (h->length > 0 && h->position <= c->at.position && c->at.position < record_end(h))
                        return 1;
                if (h->length > 0 && record_end(h) <= c->at.position)
                        c->at.line = MAX(c->at.line, record_end_line(h));

                r = cursor_next(s, c);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* -- lines in memory -- */

int spool_window_reserve(SpoolWindow *w, size_t n) {
        char *bigger;

        w->offset = 0;
        if (n <= w->allocated)
                return 0;

        bigger = realloc(w->data, n);
        if (!bigger)
                return -ENOMEM;

        w->data = bigger;
        w->allocated = n;
        return 0;
}

static void window_free(SpoolWindow *w) {
        free(w->data);
        *w = (SpoolWindow) {};
}

static bool window_holds(const SpoolWindow *w, const SpoolCursor *c) {
        return w->offset > 0 && w->offset == c->offset && w->sequence == c->sequence;
}

/* Brings the lines of the cursor's record into the window. 1; 0: they are lost, and the cursor is behind
 * them; or an error that passes. */
static int window_load(Spool *s, SpoolWindow *w, SpoolCursor *c) {
        const RecordHeader *h = &c->record;
        SpoolRange range = { { h->position, h->line }, { record_end(h), record_end_line(h) } };
        int r, fd;

        if (window_holds(w, c))
                return 1;

        r = spool_window_reserve(w, h->length);
        if (r < 0)
                return r;

        fd = spool_segment_fd(s, spool_find(s, c->sequence));
        r = fd < 0 ? fd : segment_read_lines(fd, c->offset, h, w->data);
        if (spool_error_passes(r))
                return r;
        if (r < 0) {
                r = lose(s, range, c->sequence, r == -EBADMSG ? SPOOL_DAMAGED : SPOOL_UNREADABLE);
                if (r >= 0)
                        c->at = range.to;
                return r;
        }

        w->sequence = c->sequence;
        w->offset = c->offset;
        return 1;
}

/* From the cursor's position to the end of its record. */
static Slice window_slice(const SpoolWindow *w, const SpoolCursor *c) {
        size_t skip = (size_t) (c->at.position - c->record.position);

        return (Slice) { w->data + skip, c->record.length - skip };
}

/* -- behind all readers -- */

static void free_acked(Spool *s) {
        uint64_t floor = spool_floor(s).position;
        size_t n = 0;
        int r = 0;

        while (n < s->n_ranges && s->ranges[n].to.position <= floor)
                n++;
        s->n_ranges -= n;
        if (n > 0)
                memmove(s->ranges, s->ranges + n, s->n_ranges * sizeof(*s->ranges));

        while (r >= 0 && s->n_segments > 1 && s->segments[1].first.position <= floor)
                r = spool_segment_drop(s, 0);
        if (r >= 0 && s->n_segments == 1 && floor == s->head.position)
                r = spool_segment_drop(s, 0);
        if (r < 0)
                s->sync_error = r;
}

static void settle_reader(Spool *s, SpoolReader *c) {
        const SpoolRange *range;

        while ((range = range_at(s, c->acked.at.position)))
                c->acked.at = range->to;
        if (c->sent.at.position < c->acked.at.position)
                c->sent = c->acked;
        if (c->acked.at.position == s->head.position)
                window_free(&c->window);
}

void spool_settle(Spool *s) {
        for (unsigned i = 0; i < s->n_readers; i++)
                settle_reader(s, &s->readers[i]);
        if (spool_is_empty(s))
                window_free(&s->window);

        spool_save(s); /* before what it says is gone is gone */
        free_acked(s);
}

/* -- reading -- */

/* Where the reader stood that the state knows of, or would begin if it does not. Without a state nothing is
 * known to be delivered: rather twice than never. */
static SpoolPoint known_point(const Spool *s, unsigned i) {
        SpoolPoint at = i < s->state.n_readers ? s->state.acked[i] : s->head;

        if (s->state.n_readers == 0 && s->n_segments > 0)
                at = s->segments[0].first;
        if (s->n_segments > 0 && at.position < s->segments[0].first.position)
                at = s->segments[0].first;
        /* Without segments all has been acknowledged, by a state that may not have reached the disk. */
        if (s->n_segments == 0 && !s->vanished)
                at = s->head;

        return at;
}

static void reader_begin(Spool *s, unsigned i, SpoolPoint at) {
        spool_cursor_begin(s, &s->readers[i].acked, at);
        spool_cursor_begin(s, &s->readers[i].sent, at);
}

int spool_add_reader(Spool *s) {
        unsigned i = s->n_readers;

        if (i >= RING_READERS_MAX)
                return -ENOSPC;

        s->n_readers++;
        reader_begin(s, i, known_point(s, i));
        return (int) i;
}

void spool_restart(Spool *s) {
        SpoolPoint at = spool_floor(s);

        for (unsigned i = s->n_readers; i < s->state.n_readers; i++)
                if (known_point(s, i).position < at.position)
                        at = known_point(s, i);
        for (unsigned i = 0; i < s->n_readers; i++)
                reader_begin(s, i, at);

        s->state.n_readers = s->n_readers;
        spool_settle(s);
}

static SpoolReader *spool_reader(Spool *s, unsigned reader) {
        assert(reader < s->n_readers);
        return &s->readers[reader];
}

Slice spool_peek(Spool *s, unsigned reader) {
        SpoolReader *c = spool_reader(s, reader);
        size_t n_ranges = s->n_ranges;
        int r;

        do {
                r = cursor_load(s, &c->sent);
                if (r > 0)
                        r = window_load(s, &c->window, &c->sent);
        } while (r == 0 && c->sent.at.position < s->head.position);

        if (s->n_ranges != n_ranges)
                spool_settle(s);

        return r > 0 ? window_slice(&c->window, &c->sent) : (Slice) {};
}

void spool_sent(Spool *s, unsigned reader, uint64_t position) {
        SpoolReader *c = spool_reader(s, reader);

        assert(position <= s->head.position);
        c->sent.at.position = MAX(c->sent.at.position, position);
}

/* Moves to the end of the last whole line before `until` in the record in hand. 1: there is none; 0: it is
 * done, or lost; or an error that passes. */
static int ack_part(Spool *s, SpoolReader *c, uint64_t until) {
        bool sending = window_holds(&c->window, &c->acked);
        SpoolWindow *w = sending ? &c->window : &s->window;
        const char *end;
        Slice lines;
        int r;

        r = window_load(s, w, &c->acked);
        if (r <= 0)
                return r;

        lines = window_slice(w, &c->acked);
        end = memrchr(lines.p, '\n', (size_t) (until - c->acked.at.position));
        if (!end)
                return 1;

        lines.n = (size_t) (end - lines.p) + 1;
        c->acked.at.position += lines.n;
        c->acked.at.line += lines_count(lines);
        return c->acked.at.position < until;
}

void spool_ack_to(Spool *s, SpoolReader *c, uint64_t until) {
        while (c->acked.at.position < until && cursor_load(s, &c->acked) > 0 &&
               c->acked.at.position < until) {
                const RecordHeader *h = &c->acked.record;

                if (record_end(h) <= until)
                        c->acked.at = (SpoolPoint) { record_end(h), record_end_line(h) };
                else if (ack_part(s, c, until) != 0)
                        break;
        }
}

void spool_ack_all(Spool *s, const uint64_t *acked) {
        for (unsigned i = 0; i < s->n_readers; i++)
                spool_ack_to(s, &s->readers[i], MIN(acked[i], s->head.position));
        spool_settle(s);
}

uint64_t spool_ack(Spool *s, unsigned reader, uint64_t until) {
        SpoolReader *c = spool_reader(s, reader);
        SpoolPoint before = c->acked.at;
        uint64_t n;

        until = MIN(until, s->head.position);
        if (until <= before.position)
                return 0;

        spool_ack_to(s, c, until);
        n = spool_count(s, before.line, c->acked.at.line);
        spool_settle(s);
        return n;
}

void spool_rewind(Spool *s, unsigned reader) {
        SpoolReader *c = spool_reader(s, reader);

        c->sent = c->acked;
}
