/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The body of a request: as many finished lines as fit, as a JSON array of data points, compressed or not.
 *
 * How much text becomes how few bytes is only known when it has been compressed; what was seen of one batch
 * is what the next one is cut to, and what does not fit after all is cut shorter and compressed again. */

#include "basic/buffer.h"
#include "io/http-gzip.h"

#define HTTP_JSON_MAX ((size_t) 4 << 20) /* bytes before compression */

/* Zero-initialised it is empty. */
typedef struct HttpBatch {
        Slice body;      /* to be sent; borrowed from the batch, until the next one is built */
        bool compressed; /* by gzip */
        size_t n_bytes;  /* of the queue: whole lines */
        size_t n_lines;  /* in them */
        size_t n_points; /* of these in the body; the others are no finished lines */
        bool full;       /* there is more in the queue */

        Buffer json, wire;
        unsigned ratio; /* bytes before compression for 16 after it, as seen last; 0: never */
} HttpBatch;

typedef struct HttpBatchLimits {
        size_t wire;    /* bytes of the body; one point is taken even if it has more */
        size_t lines;   /* at least 1 */
        HttpGzip *gzip; /* NULL: do not compress; borrowed */
} HttpBatchLimits;

/* 0; -ENOMEM, and the batch is empty. */
int http_batch_build(HttpBatch *b, Slice queue, const HttpBatchLimits *limits);
int http_batch_build_probe(HttpBatch *b); /* no point at all; the same */
void http_batch_shrink(HttpBatch *b);     /* the body is needed no more: memory beyond a little goes */
void http_batch_done(HttpBatch *b);       /* frees what it holds */
