/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/http-batch.h"
#include "point/encode.h"

#define RATIO_ONE 16u
#define RATIO_FIRST (4 * RATIO_ONE)
#define KEEP ((size_t) 64 << 10) /* bytes of memory that are not worth giving back */
#define TELLING ((size_t) 2000)  /* bytes before compression that say something of other texts */

/* One line more; 1: it is in, 0: it does not fit. The array is closed behind each one. */
static int add_line(HttpBatch *b, Slice line, size_t limit) {
        size_t n;
        int r;

        r = buffer_reserve(&b->json, ENCODE_JSON_MAX + 1);
        if (r < 0)
                return r;

        n = encode_json(line, b->json.data + b->json.n);
        if (n > 0 && b->n_points > 0 && b->json.n + n + 1 > limit)
                return 0;

        if (n > 0) {
                b->json.data[b->json.n - 1] = b->n_points > 0 ? ',' : '[';
                b->json.n += n;
                b->json.data[b->json.n++] = ']';
                b->n_points++;
        }
        b->n_bytes += line.n;
        b->n_lines++;
        return 1;
}

static int fill(HttpBatch *b, Slice queue, size_t limit, size_t max_lines) {
        int r;

        b->json.n = b->n_bytes = b->n_lines = b->n_points = 0;
        r = buffer_add(&b->json, SLICE("["));

        while (r >= 0 && queue.n > 0 && b->n_lines < max_lines) {
                const char *end = memchr(queue.p, '\n', queue.n);
                size_t n = end ? (size_t) (end - queue.p) + 1 : queue.n;

                r = add_line(b, (Slice) { queue.p, n }, limit);
                if (r == 0)
                        break;
                queue = (Slice) { queue.p + n, queue.n - n };
        }

        b->full = queue.n > 0;
        b->body = buffer_slice(&b->json);
        b->compressed = false;
        return r;
}

static void remember_ratio(HttpBatch *b) {
        if (b->json.n >= TELLING)
                b->ratio = (unsigned) MAX(b->json.n * (RATIO_ONE - 1) / b->body.n, (size_t) 1);
}

/* 1: the body is compressed, or small enough as it is; 0: it does not fit. */
static int compress_it(HttpBatch *b, const HttpBatchLimits *limits) {
        size_t n;
        int r;

        b->wire.n = 0;
        r = buffer_reserve(&b->wire, limits->wire);
        if (r < 0)
                return r;

        n = http_gzip(limits->gzip, buffer_slice(&b->json), b->wire.data, limits->wire);
        if (n == 0)
                return b->n_points <= 1 || b->json.n <= limits->wire;

        b->body = (Slice) { b->wire.data, n };
        b->compressed = true;
        remember_ratio(b);
        return 1;
}

static int build(HttpBatch *b, Slice queue, const HttpBatchLimits *limits) {
        unsigned ratio = b->ratio > 0 ? b->ratio : RATIO_FIRST;
        size_t limit = MIN(limits->wire * ratio / RATIO_ONE, HTTP_JSON_MAX);
        int r;

        if (!limits->gzip)
                return fill(b, queue, limits->wire, limits->lines);

        for (;;) {
                r = fill(b, queue, limit, limits->lines);
                if (r >= 0)
                        r = compress_it(b, limits);
                if (r != 0)
                        return r;

                limit = b->json.n / 4 * 3;
        }
}

int http_batch_build(HttpBatch *b, Slice queue, const HttpBatchLimits *limits) {
        int r = build(b, queue, limits);

        if (r < 0) {
                b->n_bytes = b->n_lines = b->n_points = 0;
                b->body = (Slice) {};
                return r;
        }

        return 0;
}

int http_batch_build_probe(HttpBatch *b) {
        int r = fill(b, (Slice) {}, 0, 0);

        if (r >= 0)
                r = buffer_add(&b->json, SLICE("]"));
        b->body = buffer_slice(&b->json);
        return r;
}

void http_batch_shrink(HttpBatch *b) {
        b->body = (Slice) {};
        if (b->json.allocated > KEEP)
                buffer_done(&b->json);
        if (b->wire.allocated > KEEP)
                buffer_done(&b->wire);
}

void http_batch_done(HttpBatch *b) {
        buffer_done(&b->json);
        buffer_done(&b->wire);
        *b = (HttpBatch) {};
}
