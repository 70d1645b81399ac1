/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a server is, as people write it: "host", "host:4242", "[2001:db8::1]:4242". Nothing is resolved. */

#include "basic/slice.h"

typedef struct HostPort {
        Slice host;    /* without brackets; borrowed */
        uint16_t port; /* 0: none given */
        bool is_v6;    /* an IPv6 address: in brackets where a port may follow */
} HostPort;

/* 0; -EINVAL: *ret_why (constant) says what is right. */
int hostport_parse(Slice text, HostPort *ret, const char **ret_why);

/* The same for a host alone; an IPv6 address needs no brackets here, and may have them. */
int host_parse(Slice text, HostPort *ret, const char **ret_why);

/* "telnet://host:port", `port` being that of `hp` or else `default_port`. The caller frees it; NULL: no
 * memory. */
char *hostport_url(const char *scheme, const HostPort *hp, uint16_t default_port);
