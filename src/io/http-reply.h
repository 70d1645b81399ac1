/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a server says to a batch of data points over HTTP, and what is to become of them. Pure. */

#include "basic/slice.h"

typedef enum HttpVerdict {
        HTTP_TAKEN,       /* all but those `errors` names, which are lost */
        HTTP_PUT_OFF,     /* some could not be stored just now: send all again, later */
        HTTP_REFUSED,     /* it is too large, or something in it is bad, and it is not said what: try less */
        HTTP_TOO_LARGE,   /* the same, and its size is to blame for certain */
        HTTP_NO_GZIP,     /* it does not take compressed ones */
        HTTP_UNWELCOME,   /* not this way: address, user or method are wrong. Keep all, and say so */
        HTTP_UNAVAILABLE, /* not now: keep all, and try later */
} HttpVerdict;

/* What came back. */
typedef struct HttpReply {
        unsigned status;
        Slice body;
        bool cut;      /* more of the body came than was kept */
        bool gzip;     /* the request was compressed */
        size_t n_sent; /* points in the request */
} HttpReply;

typedef struct HttpSaid {
        size_t n_errors;   /* HTTP_TAKEN, HTTP_PUT_OFF: points named, at most n_sent */
        Slice errors;      /* their list, for http_complaint(); borrowed from the body */
        Slice text;        /* what the server says about the whole; borrowed from the body, may be empty */
        bool some_put_off; /* HTTP_PUT_OFF: but others were stored */
} HttpSaid;

HttpVerdict http_reply_judge(const HttpReply *reply, HttpSaid *ret);

/* Goes through the list of errors. true: *ret_point is the JSON object of a point, *ret_error why it was
 * refused; either may be empty. */
bool http_complaint(Slice *errors, Slice *ret_point, Slice *ret_error);

/* A point that the store has not taken for so long, while it takes others, is a bad one all the same.
 * `since`: when that began; 0: it has not yet. */
#define HTTP_PUT_OFF_MAX (30 * 60 * USEC_PER_SEC)
bool http_put_off_is_over(usec_t *since, usec_t now);

/* Does the answer to an empty batch show that it is points this server takes, or refuses? */
bool http_reply_is_alive(unsigned status, Slice body);

const char *http_status_to_string(unsigned status); /* "Not Found"; "" where it is not a known one */
