/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What sender-http.c (which batch, and what its answer means) and http-request.c (one request and its answer
 * through libcurl) share. */

#include "io/http-batch.h"
#include "io/http-size.h"
#include "io/sender-ops.h"

#define HTTP_REPLY_MAX ((size_t) 64 << 10)  /* bytes of an answer that are kept */
#define HTTP_ANSWER_MAX ((size_t) 16 << 20) /* bytes of an answer that are waited for */
#define HTTP_WHY_MAX 256

/* Of one server, over all its connections. */
typedef struct HttpMemory {
        HttpSize size;
        usec_t put_off_since; /* CLOCK_MONOTONIC: it stores some points and not others; 0: it does not */
        bool no_gzip;         /* it does not take what is compressed */
} HttpMemory;

typedef struct HttpRequest {
        const CurlApi *api; /* borrowed */
        CurlJob *job;
        struct curl_slist *plain, *compressed; /* headers */
        Buffer answer;
        size_t n_answer; /* bytes of it that came, */
        bool answer_cut; /* and were not all kept */
        bool connected;  /* what is under way is sent, or being sent */
} HttpRequest;

typedef struct Http {
        Link link;
        HttpMemory *memory; /* borrowed */
        HttpRequest request;
        HttpBatch batch;
        HttpGzip *gzip; /* NULL: do not compress */
        bool busy;      /* a request is under way */
        bool probing;   /* it is, or is to be, the empty one */
        bool plain;     /* not compressed, as it may have been refused for that */
        bool up, lost;
        uint64_t until;         /* the queue's position behind the batch */
        usec_t sent_at;         /* CLOCK_MONOTONIC */
        sd_event_source *timer; /* lines gather until then */
        char why[HTTP_WHY_MAX]; /* what was refused last */
} Http;

/* http-request.c */
int http_request_set_up(Http *h, CurlGlue *glue, CurlDone done);
int http_request_start(Http *h); /* with the batch's body */
unsigned http_request_status(const Http *h);
const char *http_request_redirect(const Http *h); /* where it points; NULL: nowhere; borrowed */
usec_t http_request_retry_after(const Http *h);   /* 0: nothing said */
void http_request_done(Http *h);
