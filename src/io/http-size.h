/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much goes into one request: bytes on the wire, which some servers bound without saying so, and points,
 * where one of them is to be found that a server refuses without naming it. Pure; time is passed in.
 *
 * The limit begins below 8,192 bytes, where a default OpenTSDB stops, and doubles while a server takes full
 * requests quickly, up to what it has refused. A refusal may be for the size or for one bad point: what was
 * refused is sent again in halves. When all of it passes so, it was the size; when one point alone is
 * refused, it was that one, and the limit is what it was before. A point is only given up when the server is
 * seen to answer an empty request properly, so that nothing is lost to what refuses everything. */

#include "basic/base.h"

#define HTTP_SIZE_START ((size_t) 8000)
#define HTTP_SIZE_MIN ((size_t) 1000)
#define HTTP_SIZE_MAX ((size_t) 1 << 20)

typedef struct HttpSize {
        size_t limit;         /* bytes of a request's body, on the wire; 0: zero-initialised, the start */
        size_t ceiling;       /* so many were refused for their number; 0: none */
        usec_t ceiling_until; /* then it is forgotten */
        unsigned n_full;      /* full requests taken in a row */

        /* While something that was refused is in doubt: */
        size_t max_lines; /* of a request; 0: any number */
        size_t refused;   /* bytes of the smallest that was; 0: nothing is in doubt */
        size_t before;    /* the limit then */
        size_t left;      /* lines of the first that was, and have not passed */
        unsigned n_cuts;  /* connections in a row that ended without an answer */
        bool alive;       /* the server has answered an empty request */
} HttpSize;

/* What was in a request. */
typedef struct HttpSent {
        size_t wire; /* bytes of its body */
        size_t lines;
        bool full; /* there was more to send than went in */
} HttpSent;

typedef enum HttpStep {
        HTTP_STEP_AGAIN, /* send again, within the bounds as they are now */
        HTTP_STEP_PROBE, /* send an empty request */
        HTTP_STEP_DROP,  /* the one line that was sent is lost */
} HttpStep;

size_t http_size_limit(const HttpSize *s);
size_t http_size_max_lines(const HttpSize *s);

void http_size_taken(HttpSize *s, const HttpSent *sent, bool quick, usec_t now);
HttpStep http_size_refused(HttpSize *s, const HttpSent *sent); /* for what reason ever */
void http_size_too_large(HttpSize *s, const HttpSent *sent,
                         usec_t now);                      /* and that is certain: ahead of refused() */
HttpStep http_size_cut(HttpSize *s, const HttpSent *sent); /* the connection ended behind it */
void http_size_alive(HttpSize *s);                         /* the empty request was answered */
void http_size_dropped(HttpSize *s);                       /* as HTTP_STEP_DROP said */
/* No answer in time, or an error of the server's own: a gateway says so of what the server behind it
 * refuses. */
void http_size_failed(HttpSize *s, const HttpSent *sent, usec_t now);
void http_size_settle(HttpSize *s); /* nothing is in doubt any more: another connection, or another server */
