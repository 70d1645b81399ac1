/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "conf/hostport.h"

#define HOST_MAX 253u /* bytes of a name, RFC 1035 section 2.3.4 */

static bool is_host_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '.' || c == '_';
}

static bool is_host_name(Slice s) {
        for (size_t i = 0; i < s.n; i++)
                if (!is_host_char(s.p[i]))
                        return false;

        return s.n > 0 && s.n <= HOST_MAX;
}

/* An IPv6 address, with or without the zone of a link-local one ("fe80::1%eth0"). */
static bool is_v6_address(Slice s) {
        char text[INET6_ADDRSTRLEN];
        struct in6_addr ignored;
        Slice address = s, rest = s;

        if (slice_cut(&rest, '%', &address) && (!is_host_name(rest) || rest.n >= IF_NAMESIZE))
                return false;
        if (address.n >= sizeof(text))
                return false;

        memcpy(text, address.p, address.n);
        text[address.n] = '\0';
        return memchr(text, '\0', sizeof(text)) == text + address.n &&
               inet_pton(AF_INET6, text, &ignored) == 1;
}

static bool parse_port(Slice s, uint16_t *ret) {
        uint64_t v;

        if (!slice_to_uint64(s, &v) || v < 1 || v > UINT16_MAX)
                return false;

        *ret = (uint16_t) v;
        return true;
}

static int parse_bracketed(Slice text, HostPort *ret, const char **ret_why) {
        Slice rest = { text.p + 1, text.n - 1 };
        HostPort hp = { .is_v6 = true };

        if (!slice_cut(&rest, ']', &hp.host) || !is_v6_address(hp.host)) {
                *ret_why = "what stands in brackets is an IPv6 address, as in [2001:db8::1]:4242";
                return -EINVAL;
        }
        if (rest.n > 0 && (rest.p[0] != ':' || !parse_port((Slice) { rest.p + 1, rest.n - 1 }, &hp.port))) {
                *ret_why = "behind the brackets stands nothing, or ':' and a port from 1 to 65535";
                return -EINVAL;
        }

        *ret = hp;
        return 0;
}

int hostport_parse(Slice text, HostPort *ret, const char **ret_why) {
        Slice rest = text;
        HostPort hp = { .host = text };
        bool has_port;

        if (text.n > 0 && text.p[0] == '[')
                return parse_bracketed(text, ret, ret_why);
        if (is_v6_address(text)) {
                *ret_why = "an IPv6 address is written in brackets, as in [2001:db8::1]:4242";
                return -EINVAL;
        }

        has_port = slice_cut(&rest, ':', &hp.host);
        if (!is_host_name(hp.host)) {
                *ret_why = "a host is a name or an address, as in tsd1, 192.0.2.1 or [2001:db8::1]";
                return -EINVAL;
        }
        if (has_port && !parse_port(rest, &hp.port)) {
                *ret_why = "a port is a number from 1 to 65535";
                return -EINVAL;
        }

        *ret = hp;
        return 0;
}

int host_parse(Slice text, HostPort *ret, const char **ret_why) {
        HostPort hp;
        int r;

        if (is_v6_address(text)) {
                *ret = (HostPort) { .host = text, .is_v6 = true };
                return 0;
        }

        r = hostport_parse(text, &hp, ret_why);
        if (r < 0)
                return r;
        if (hp.port != 0) {
                *ret_why = "here stands a host alone; its port has an option of its own";
                return -EINVAL;
        }

        *ret = hp;
        return 0;
}

char *hostport_url(const char *scheme, const HostPort *hp, uint16_t default_port) {
        unsigned port = hp->port != 0 ? hp->port : default_port;
        char *url;

        if (asprintf(&url, hp->is_v6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u", scheme, (int) hp->host.n,
                     hp->host.p, port) < 0)
                return NULL;

        return url;
}
