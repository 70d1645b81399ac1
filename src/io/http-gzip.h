/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compressing a whole text at once. libdeflate is loaded by the first http_gzip_new(), so that an agent that
 * does not compress stays small. */

#include "basic/slice.h"

typedef struct HttpGzip HttpGzip;

/* -ELIBACC, -ELIBBAD: no libdeflate, see *ret_why (borrowed; untouched on success); -ENOMEM. */
int http_gzip_new(HttpGzip **ret, const char **ret_why);
HttpGzip *http_gzip_free(HttpGzip *g); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(HttpGzip *, http_gzip_free);

/* Returns the bytes written to `out`, at most `room`; 0: it does not fit. */
size_t http_gzip(HttpGzip *g, Slice text, char *out, size_t room);
