/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The line protocol of OpenTSDB, over a connection libcurl makes and hands over (CURLOPT_CONNECT_ONLY).
 *
 * Proof. The server says nothing to a good line, so `version` goes out behind what has been sent; its answer
 * proves that all in front of it was received and parsed. It never comes first (VictoriaMetrics and others
 * would take the connection for HTTP), only at the beginning of a line, and one at a time: lines go on being
 * sent behind it, and the next one follows behind those when the answer is there. What is unproven is
 * bounded by a window, half of which may stand in front of a connection's first `version`; it doubles while
 * answers are quick, so that a slow server never has more in hand than it can answer for before it is taken
 * for dead. telnet-reply.h says how an answer is known.
 *
 * Silence counts from when the server's kernel has the `version`, as SIOCOUTQ tells. A server that has
 * never answered then never does, which is remembered of it if the connection lasts: what its kernel has
 * taken counts as delivered (see telnet-silent.c). Should it answer, or complain, after all, its word counts
 * again. A server that has answered or complained before, or takes nothing any more, is hung: the connection
 * is dropped, and all unproven is sent again.
 *
 * Throttling. The points a server puts off are refused before the next answer, but not named, so nothing is
 * taken as proven any more: what was begun is finished, a last `version` shows that all complaints are in,
 * and after a pause, which doubles, everything unproven is sent again. */

#include <stdio.h>
#include <sys/epoll.h>

#include "io/sender-server.h"
#include "io/telnet-internal.h"

#define DEFAULT_PORT 4242L
#define URL_MAX 512
#define SILENT_MIN 20u /* probe times that a connection without answers lasts: then it never answers */

void telnet_lost(Telnet *t, int error, const char *why) {
        t->lost = true;
        (void) sd_event_source_set_enabled(t->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        sender_link_lost(&t->link, error, why);
}

static void telnet_arm(Telnet *t) {
        usec_t next = USEC_INFINITY;
        int r, enabled;

        for (size_t i = 0; i < _TELNET_DEADLINE_MAX; i++)
                next = MIN(next, t->deadlines[i]);

        enabled = next == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT;
        r = sd_event_source_set_time(t->timer, next);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->timer, enabled);
        if (r < 0)
                telnet_lost(t, r, "cannot set a timer");
}

void telnet_set_deadline(Telnet *t, TelnetDeadline which, usec_t at) {
        if (t->lost || t->deadlines[which] == at)
                return;

        t->deadlines[which] = at;
        telnet_arm(t);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Telnet *t = userdata;
        usec_t now = telnet_now();

        for (TelnetDeadline d = 0; d < _TELNET_DEADLINE_MAX && !t->lost; d++)
                if (t->deadlines[d] <= now) {
                        t->deadlines[d] = USEC_INFINITY;
                        telnet_deadline(t, d, now);
                }
        if (!t->lost)
                telnet_arm(t);
        if (!t->lost)
                telnet_send(t);

        return 0;
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t revents, void *userdata) {
        Telnet *t = userdata;
        int more = 1;

        if (revents & ~EPOLLOUT)
                more = telnet_receive(t);
        if (more == 0 && !t->lost && (revents & (EPOLLERR | EPOLLHUP)))
                telnet_lost(t, -ECONNRESET, "the connection broke");
        if (more > 0 && t->tls && (revents & EPOLLIN))
                telnet_set_deadline(t, TELNET_MORE, telnet_now());
        if (!t->lost)
                telnet_send(t);

        return 0;
}

/* -- connecting -- */

static int telnet_take_over(Telnet *t) {
        curl_socket_t fd = CURL_SOCKET_BAD;
        int r;

        if (t->api->easy_getinfo(curl_job_easy(t->job), CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
            fd == CURL_SOCKET_BAD)
                return -ENOTCONN;

        t->fd = fd;
        curl_job_take_socket(t->job, fd);
        r = sd_event_add_io(sender_event(t->link.sender), &t->io, fd, EPOLLIN, on_io, t);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(t->io, "telnet-connection");
        return 0;
}

static void on_connected(void *userdata, CURLcode code) {
        Telnet *t = userdata;
        int r;

        if (code != CURLE_OK) {
                telnet_lost(t, curl_job_errno(t->job, code), curl_job_why(t->job, code));
                return;
        }

        r = telnet_take_over(t);
        if (r < 0)
                telnet_lost(t, r, strerror(-r));
        else
                sender_link_up(&t->link);
}

/* Does "host", "host:1", "[::1]" or "[::1]:1" name a port? */
static bool has_port(const char *authority) {
        const char *bracket = authority[0] == '[' ? strchr(authority, ']') : NULL;

        return strchr(bracket ? bracket : authority, ':');
}

/* libcurl is told an HTTP address, of which it only makes the connection. */
static int telnet_url(const Telnet *t, char url[static URL_MAX]) {
        const char *authority = strchr(t->link.url, ':') + 1;
        int n;

        authority += strspn(authority, "/");
        n = snprintf(url, URL_MAX, "%s://%s", t->tls ? "https" : "http", authority);
        if (n < 0 || n >= URL_MAX)
                return -ENAMETOOLONG;
        if (!has_port(authority) &&
            t->api->easy_setopt(curl_job_easy(t->job), CURLOPT_PORT, DEFAULT_PORT) != CURLE_OK)
                return -EINVAL;

        return 0;
}

static int telnet_set_options(Telnet *t) {
        CURL *easy = curl_job_easy(t->job);
        const CurlApi *api = t->api;
        char url[URL_MAX];
        int r;

        r = telnet_url(t, url);
        if (r < 0)
                return r;

        /* Not ALPN: behind it no HTTP is spoken. */
        if (api->easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L) != CURLE_OK ||
            api->easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L) != CURLE_OK)
                return -EINVAL;

        return sender_server_set_options(&t->link, t->job);
}

static int add_timer(Telnet *t) {
        int r;

        r = sd_event_add_time(sender_event(t->link.sender), &t->timer, CLOCK_MONOTONIC, USEC_INFINITY,
                              USEC_PER_MSEC, on_timer, t);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(t->timer, "telnet-deadline");
        return sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
}

/* -- the protocol -- */

static int telnet_start(Link *l) {
        Telnet *t = (Telnet *) l;
        CurlGlue *glue;
        int r;

        t->memory = sender_link_memory(l);
        t->link.confirmed = t->memory->answers && !t->memory->silent;
        t->window = TELNET_WINDOW_START;
        t->taken_at = sender_sent_at(l->sender);
        t->pause = TELNET_PAUSE_MIN;
        for (size_t i = 0; i < _TELNET_DEADLINE_MAX; i++)
                t->deadlines[i] = USEC_INFINITY;

        t->tls = l->ops == &sender_telnets_ops;
        t->stage = t->tls ? malloc(TELNET_STAGE_MAX) : NULL;
        if (t->tls && !t->stage)
                return -ENOMEM;

        r = add_timer(t);
        if (r < 0)
                return r;
        r = sender_curl(l->sender, &glue);
        if (r < 0)
                return r;
        r = curl_job_new(&t->job, glue, on_connected, t);
        if (r < 0)
                return r;

        t->api = curl_glue_api(glue);
        r = telnet_set_options(t);
        if (r < 0)
                return r;

        return curl_job_start(t->job);
}

static void telnet_kick(Link *l) {
        Telnet *t = (Telnet *) l;

        if (!t->lost)
                telnet_send(t);
}

static void telnet_stop(Link *l) {
        Telnet *t = (Telnet *) l;

        /* It may just have been hung, or slow to start. */
        if (t->silent_since > 0 &&
            telnet_now() - t->silent_since < SILENT_MIN * sender_config(l->sender)->probe_timeout)
                t->memory->silent = false;

        /* Ours go first: libcurl closes the descriptor. */
        t->io = sd_event_source_disable_unref(t->io);
        t->timer = sd_event_source_disable_unref(t->timer);
        t->job = curl_job_free(t->job);
        free(TAKE(t->stage));
}

const SenderOps sender_telnet_ops = {
        .scheme = "telnet",
        .object_size = sizeof(Telnet),
        .memory_size = sizeof(TelnetMemory),
        .start = telnet_start,
        .kick = telnet_kick,
        .stop = telnet_stop,
};

const SenderOps sender_telnets_ops = {
        .scheme = "telnets",
        .object_size = sizeof(Telnet),
        .memory_size = sizeof(TelnetMemory),
        .start = telnet_start,
        .kick = telnet_kick,
        .stop = telnet_stop,
};
