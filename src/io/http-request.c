/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One request at a time, over one easy handle, whose connection is kept. The body is not copied: it stays
 * in the batch until the answer is there. Redirects are not followed, as behind them a POST need not be one,
 * nor the server the one that was meant. */

#include <stdio.h>

#include <config.h>

#include "io/http-internal.h"
#include "io/sender-server.h"

#define RETRY_AFTER_MAX 300               /* seconds */
#define LONGEST 10                        /* times as long as who is hung says nothing may an answer take */
#define STORE_TIME(hung) ((hung) / 3 * 2) /* what the server has to store a batch in, when it is to wait */

/* CURLOPT_WRITEFUNCTION */
static size_t on_answer(char *data, size_t size, size_t n, void *userdata) {
        HttpRequest *q = &((Http *) userdata)->request;
        size_t room = HTTP_REPLY_MAX - q->answer.n;

        n *= size;
        q->n_answer += n;
        q->answer_cut = q->answer_cut || n > room;
        if (q->n_answer > HTTP_ANSWER_MAX)
                return 0; /* libcurl gives it up */

        return buffer_add(&q->answer, (Slice) { data, MIN(n, room) }) < 0 ? 0 : n;
}

/* CURLOPT_PREREQFUNCTION */
static int on_ready(void *userdata, char *there _unused_, char *here _unused_, int port _unused_,
                    int own_port _unused_) {
        Http *h = userdata;

        h->request.connected = true;
        if (!h->up)
                sender_link_up(&h->link);
        h->up = true;
        return CURL_PREREQFUNC_OK;
}

static int add_header(HttpRequest *q, struct curl_slist **list, const char *line) {
        struct curl_slist *longer = q->api->slist_append(*list, line);

        if (!longer)
                return -ENOMEM;

        *list = longer;
        return 0;
}

static int make_headers(HttpRequest *q) {
        /* An Expect would cost a round trip a batch, and OpenTSDB does not answer it. */
        static const char *const common[] = { "Content-Type: application/json", "Accept: application/json",
                                              "Expect:" };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(common) && r >= 0; i++) {
                r = add_header(q, &q->plain, common[i]);
                if (r >= 0)
                        r = add_header(q, &q->compressed, common[i]);
        }
        if (r >= 0)
                r = add_header(q, &q->compressed, "Content-Encoding: gzip");

        return r;
}

static int set_url(const Http *h) {
        usec_t store = STORE_TIME(sender_config(h->link.sender)->hung_timeout) / USEC_PER_MSEC;
        _cleanup_(buffer_done) Buffer url = {};
        const char *authority;
        int r;

        authority = strstr(h->link.url, "://");
        if (!authority)
                return -EINVAL;

        r = buffer_add_string(&url, h->link.url);
        if (r >= 0 && !strpbrk(authority + strlen("://"), "/?"))
                r = buffer_add_string(&url, "/api/put");
        if (r >= 0)
                r = buffer_addf(&url, "%cdetails", strchr(h->link.url, '?') ? '&' : '?');
        if (r >= 0 && h->link.server->sync)
                r = buffer_addf(&url, "&sync&sync_timeout=%llu", (unsigned long long) store);
        if (r < 0)
                return r;

        return h->request.api->easy_setopt(curl_job_easy(h->request.job), CURLOPT_URL, url.data) ==
                               CURLE_OK ?
                       0 :
                       -EINVAL;
}

static int set_user(const Http *h) {
        const SenderServer *server = h->link.server;
        CURL *easy = curl_job_easy(h->request.job);
        const CurlApi *api = h->request.api;

        if (server->token) {
                if (api->easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER) != CURLE_OK ||
                    api->easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, server->token) != CURLE_OK)
                        return -EINVAL;
                return 0;
        }
        if (!server->username)
                return 0;

        if (api->easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_USERNAME, server->username) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_PASSWORD, server->password ?: "") != CURLE_OK)
                return -EINVAL;

        return 0;
}

static int set_options(Http *h) {
        usec_t hung = sender_config(h->link.sender)->hung_timeout;
        long seconds = (long) ((hung + USEC_PER_SEC - 1) / USEC_PER_SEC);
        CURL *easy = curl_job_easy(h->request.job);
        const CurlApi *api = h->request.api;

        /* Hung is who neither takes nor says a byte for so long; a trickle is let go on for longer. */
        if (api->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_USERAGENT, "tcollector/" PROJECT_VERSION) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, seconds) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_TIMEOUT_MS, LONGEST * seconds * 1000) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_WRITEDATA, h) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_PREREQDATA, h) != CURLE_OK)
                return -EINVAL;

        /* a libcurl without HTTP/2 says no, and does without */
        (void) api->easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
        return 0;
}

int http_request_set_up(Http *h, CurlGlue *glue, CurlDone done) {
        HttpRequest *q = &h->request;
        int r;

        q->api = curl_glue_api(glue);
        r = curl_job_new(&q->job, glue, done, h);
        if (r < 0)
                return r;

        r = make_headers(q);
        if (r >= 0)
                r = set_options(h);
        if (r >= 0)
                r = set_url(h);
        if (r >= 0)
                r = set_user(h);
        if (r >= 0)
                r = sender_server_set_options(&h->link, q->job);
        return r;
}

int http_request_start(Http *h) {
        HttpRequest *q = &h->request;
        CURL *easy = curl_job_easy(q->job);

        q->answer.n = q->n_answer = 0;
        q->answer_cut = q->connected = false;
        if (q->api->easy_setopt(easy, CURLOPT_POSTFIELDS, h->batch.body.p) != CURLE_OK ||
            q->api->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) h->batch.body.n) !=
                    CURLE_OK ||
            q->api->easy_setopt(easy, CURLOPT_HTTPHEADER, h->batch.compressed ? q->compressed : q->plain) !=
                    CURLE_OK ||
            q->api->easy_setopt(easy, CURLOPT_FRESH_CONNECT, h->up ? 0L : 1L) != CURLE_OK)
                return -EIO;

        return curl_job_start(q->job);
}

unsigned http_request_status(const Http *h) {
        long status = 0;

        (void) h->request.api->easy_getinfo(curl_job_easy(h->request.job), CURLINFO_RESPONSE_CODE, &status);
        return (unsigned) status;
}

const char *http_request_redirect(const Http *h) {
        const char *url = NULL;

        (void) h->request.api->easy_getinfo(curl_job_easy(h->request.job), CURLINFO_REDIRECT_URL, &url);
        return url;
}

usec_t http_request_retry_after(const Http *h) {
        curl_off_t seconds = 0;

        (void) h->request.api->easy_getinfo(curl_job_easy(h->request.job), CURLINFO_RETRY_AFTER, &seconds);
        return (usec_t) MIN(MAX(seconds, (curl_off_t) 0), (curl_off_t) RETRY_AFTER_MAX) * USEC_PER_SEC;
}

void http_request_done(Http *h) {
        HttpRequest *q = &h->request;

        q->job = curl_job_free(q->job);
        if (q->api) {
                q->api->slist_free_all(q->plain);
                q->api->slist_free_all(q->compressed);
        }
        buffer_done(&q->answer);
        *q = (HttpRequest) {};
}
