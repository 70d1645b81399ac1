/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "io/sender-server.h"

static const size_t strings[] = {
        offsetof(SenderServer, url),        offsetof(SenderServer, username),
        offsetof(SenderServer, password),   offsetof(SenderServer, token),
        offsetof(SenderServer, ca_file),    offsetof(SenderServer, client_cert),
        offsetof(SenderServer, client_key), offsetof(SenderServer, proxy),
};

static const char **string_of(SenderServer *server, size_t i) {
        return (const char **) (void *) ((char *) server + strings[i]);
}

static bool names_user(const char *url) {
        const char *authority = strstr(url, "://");
        size_t n;

        if (!authority)
                return false;

        authority += strlen("://");
        n = strcspn(authority, "/?#");
        return memchr(authority, '@', n);
}

int sender_server_copy(SenderServer *ret, const SenderServer *server) {
        SenderServer copy = *server, source = *server;

        if (names_user(server->url))
                return -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                *string_of(&copy, i) = NULL;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                const char *s = *string_of(&source, i);

                if (!s || !s[0])
                        continue;

                *string_of(&copy, i) = strdup(s);
                if (!*string_of(&copy, i)) {
                        sender_server_done(&copy);
                        return -ENOMEM;
                }
        }

        *ret = copy;
        return 0;
}

void sender_server_done(SenderServer *server) {
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                char *s = (char *) (uintptr_t) *string_of(server, i);

                if (s)
                        explicit_bzero(s, strlen(s));
                free(s);
        }

        *server = (SenderServer) {};
}

static bool set_text(const CurlApi *api, CURL *easy, CURLoption option, const char *text) {
        return !text || api->easy_setopt(easy, option, text) == CURLE_OK;
}

int sender_server_set_options(const Link *link, CurlJob *job) {
        usec_t connect_timeout = sender_config(link->sender)->connect_timeout;
        const SenderServer *server = link->server;
        const CurlApi *api = curl_job_api(job);
        CURL *easy = curl_job_easy(job);

        /* "" keeps libcurl from asking the environment; the folder of the system's authorities would be
         * looked at beside ca_file, which is to be in their place. */
        if (!set_text(api, easy, CURLOPT_CAINFO, server->ca_file) ||
            (server->ca_file && api->easy_setopt(easy, CURLOPT_CAPATH, (const char *) NULL) != CURLE_OK) ||
            !set_text(api, easy, CURLOPT_SSLCERT, server->client_cert) ||
            !set_text(api, easy, CURLOPT_SSLKEY, server->client_key) ||
            !set_text(api, easy, CURLOPT_PROXY, server->proxy ?: "") ||
            !set_text(api, easy, CURLOPT_NOPROXY, "") ||
            api->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) != CURLE_OK ||
            /* libcurl before 8.4 spends all its time on the first address where that one drops what comes:
             * once it has failed, another one is to be the first now and then. */
            api->easy_setopt(easy, CURLOPT_DNS_SHUFFLE_ADDRESSES, (long) link->retrying) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) (connect_timeout / USEC_PER_MSEC)) !=
                    CURLE_OK)
                return -EINVAL;

        return 0;
}
