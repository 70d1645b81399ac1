/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/dedup-image.h"

#define PIECE (16u * 1024)
static_assert(PIECE >= sizeof(ImageSeries) + POINT_LINE_MAX, "a series fits");

/* -- writing -- */

typedef struct Writer {
        DedupWrite write;
        void *userdata;
        XXH3_state_t checksum;
        size_t n; /* bytes gathered */
        char piece[PIECE];
} Writer;

static int writer_flush(Writer *w) {
        Slice piece = { w->piece, TAKE(w->n) };

        if (piece.n == 0)
                return 0;

        (void) XXH3_64bits_update(&w->checksum, piece.p, piece.n);
        return w->write(w->userdata, piece);
}

static void writer_add(Writer *w, const void *p, size_t n) {
        memcpy(w->piece + w->n, p, n);
        w->n += n;
}

static int write_series(Writer *w, const Slot *s) {
        const char *text = s->spilled ? slot_long_text(s) : s->text;
        size_t n = (size_t) s->value_n + s->when_n;
        ImageSeries series = {
                .key = s->key,
                .time_ms = s->time_ms,
                .value_n = s->value_n,
                .when_n = s->when_n,
                .repeated = s->repeated,
        };
        int r;

        if (PIECE - w->n < sizeof(series) + n) {
                r = writer_flush(w);
                if (r < 0)
                        return r;
        }

        writer_add(w, &series, sizeof(series));
        writer_add(w, text, n);
        return 0;
}

static int write_segment(Writer *w, const Segment *g) {
        int r;

        for (size_t i = 0; i < g->capacity; i++) {
                if (!g->slots[i].used)
                        continue;

                r = write_series(w, &g->slots[i]);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int write_checksum(Writer *w) {
        uint64_t checksum;
        int r;

        r = writer_flush(w);
        if (r < 0)
                return r;

        checksum = XXH3_64bits_digest(&w->checksum);
        return w->write(w->userdata, (Slice) { (const char *) &checksum, sizeof(checksum) });
}

int image_write(const SlotTable *t, uint64_t seed, DedupWrite write, void *userdata) {
        ImageHead head = { .magic = IMAGE_MAGIC, .layout = IMAGE_LAYOUT, .seed = seed, .n = t->n };
        Writer w;
        int r;

        w.write = write;
        w.userdata = userdata;
        w.n = 0;
        (void) XXH3_64bits_reset(&w.checksum);
        writer_add(&w, &head, sizeof(head));

        for (size_t i = 0; t->directory && i < (size_t) 1 << t->bits; i += row_length(t, &t->directory[i])) {
                r = write_segment(&w, &t->directory[i]);
                if (r < 0)
                        return r;
        }

        return write_checksum(&w);
}

/* -- reading -- */

/* Cuts the first `n` bytes off into *ret. false: there are not so many. */
static bool cut_bytes(Slice *from, void *ret, size_t n) {
        if (from->n < n)
                return false;

        memcpy(ret, from->p, n);
        *from = (Slice) { from->p + n, from->n - n };
        return true;
}

/* false: no series that was written stands there. The times are those of points, or 0. */
static bool cut_series(Slice *from, ImageSeries *ret, const char **ret_text) {
        size_t n;

        if (!cut_bytes(from, ret, sizeof(*ret)))
                return false;

        n = (size_t) ret->value_n + ret->when_n;
        if (n > POINT_LINE_MAX || n > from->n || ret->time_ms < 0 || ret->time_ms >= POINT_TIME_END_MS ||
            ret->repeated > 1)
                return false;

        *ret_text = from->p;
        *from = (Slice) { from->p + n, from->n - n };
        return true;
}

/* Goes through the whole of it. false: it is not what was written. */
static bool image_cut(Slice *from, ImageHead *ret, Slice *ret_series) {
        const char *begin = from->p, *text;
        uint64_t checksum, want;
        ImageSeries series;

        if (!cut_bytes(from, ret, sizeof(*ret)) || ret->magic != IMAGE_MAGIC ||
            ret->layout != IMAGE_LAYOUT || ret->reserved != 0)
                return false;

        *ret_series = *from;
        for (uint64_t i = 0; i < ret->n; i++)
                if (!cut_series(from, &series, &text))
                        return false;

        ret_series->n = (size_t) (from->p - ret_series->p);
        want = XXH3_64bits(begin, (size_t) (from->p - begin));
        return cut_bytes(from, &checksum, sizeof(checksum)) && checksum == want;
}

static int add_series(SlotTable *t, const ImageSeries *series, const char *text) {
        Slice value = { text, series->value_n }, when = { text + series->value_n, series->when_n };
        Slot s = { .key = series->key, .time_ms = series->time_ms, .used = true };
        int r;

        s.repeated = series->repeated == 1;
        r = slot_set_text(&s, value, when, &t->memory);
        if (r < 0)
                return r;

        r = table_add(t, &s);
        if (r < 0)
                slot_release(&s, &t->memory);

        return r;
}

/* Where some are left out they are taken evenly from all: those of one end would crowd one segment. */
static int add_some(SlotTable *t, Slice from, size_t n, size_t max) {
        size_t due = 0;
        ImageSeries series;
        const char *text;
        int r;

        while (cut_series(&from, &series, &text)) {
                due += max;
                if (due < n)
                        continue;

                due -= n;
                r = add_series(t, &series, text);
                if (r < 0)
                        return r;
        }

        return 0;
}

int image_read(Slice *from, size_t max, SlotTable *t, uint64_t *ret_seed) {
        ImageHead head;
        Slice series;
        int r;

        if (!image_cut(from, &head, &series))
                return -EBADMSG;

        max = MIN(max, (size_t) head.n);
        if (max > 0) {
                r = table_expect(t, max);
                if (r < 0)
                        return r;

                r = add_some(t, series, (size_t) head.n, max);
                if (r < 0)
                        return r;

                table_fit(t);
        }

        *ret_seed = head.seed;
        return 0;
}
