/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A server as the sender keeps it: copies of its strings, and what of them libcurl is to know. */

#include "io/sender-ops.h"

/* -ENOMEM; -EINVAL: the url names a user, whose password would stand in logs. */
int sender_server_copy(SenderServer *ret, const SenderServer *server);
void sender_server_done(SenderServer *server); /* what is secret is overwritten */

/* Certificates, proxy and time-out, as every protocol over libcurl needs them. -EINVAL: libcurl refuses one.
 */
int sender_server_set_options(const Link *link, CurlJob *job);
