/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <string.h>

#include "agent/options-internal.h"
#include "conf/config-url.h"
#include "conf/hostport.h"

/* "telnet://host:4242", or with --http "https://host:4242/api/put". NULL: no memory. */
static char *server_url(const Parse *p, const HostPort *hp) {
        const Options *o = &p->options;
        const char *scheme = !o->http ? "telnet" : o->ssl ? "https" : "http";
        _cleanup_(freep) char *host = hostport_url(scheme, hp, (uint16_t) o->port);
        char *url;

        if (!host || !o->http)
                return TAKE(host);
        if (asprintf(&url, "%s/%s", host, o->http_api_path + strspn(o->http_api_path, "/")) < 0)
                return NULL;

        return url;
}

static int add_server(Parse *p, const HostPort *hp) {
        _cleanup_(freep) char *url = server_url(p, hp);
        int r;

        if (!url)
                return options_refuse_oom();

        r = config_add_server(p->given, url, url);
        if (r < 0 && r != -EEXIST) /* named twice is as good as once */
                return options_refuse(r == -ENOMEM ? r : -EINVAL, "server '%s': %s", url,
                                      strerrordesc_np(-r));

        return 0;
}

static int add_hosts(Parse *p) {
        Slice rest = slice_from_string(p->hosts);

        for (bool more = true; more;) {
                const char *why = NULL;
                Slice word = rest;
                HostPort hp;
                int r;

                more = slice_cut(&rest, ',', &word);
                word = slice_strip(word);
                if (hostport_parse(word, &hp, &why) < 0)
                        return options_refuse(-EINVAL, "--hosts-list '%.*s': %s", (int) word.n, word.p, why);

                r = add_server(p, &hp);
                if (r < 0)
                        return r;
        }

        return 0;
}

int options_add_servers(Parse *p) {
        const char *why = NULL;
        HostPort hp = { .host = SLICE("localhost") };
        int r = 0;

        if (p->hosts)
                r = add_hosts(p);
        if (r < 0)
                return r;
        if (p->host && host_parse(slice_from_string(p->host), &hp, &why) < 0)
                return options_refuse(-EINVAL, "--host '%s': %s", p->host, why);
        if (p->host || (!p->hosts && (p->has_port || p->options.config->n_servers == 0)))
                return add_server(p, &hp);

        return 0;
}

int options_set_user(Options *o) {
        for (size_t i = 0; i < o->config->n_servers; i++) {
                ConfigServer *server = &o->config->servers[i];

                if (!(config_url_flags(server->url) & URL_HTTP) || server->username[0] ||
                    server->token_file[0] || server->token_credential[0])
                        continue;

                free(server->username);
                server->username = strdup(o->http_username);
                if (!server->username)
                        return options_refuse_oom();
        }

        return 0;
}
