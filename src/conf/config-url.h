/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* URLs of servers and proxies. They come out with a port, those of HTTP with a path too; what does not
 * belong in one (user, password, query, fragment) is refused. */

#include "basic/buffer.h"

/* The URL as it is kept, for the caller to free. -EINVAL: `why` says what is right, without quoting `text`;
 * -ENOMEM. */
int config_url_parse(const char *text, char **ret, Buffer *why);
int config_proxy_parse(const char *text, char **ret, Buffer *why);

typedef enum UrlFlags {
        URL_TLS = 1 << 0,
        URL_HTTP = 1 << 1,
} UrlFlags;

/* Of a URL that config_url_parse() has made. */
UrlFlags config_url_flags(const char *url);
