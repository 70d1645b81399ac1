/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delivery by POST /api/put?details: a batch of the queue's lines at a time, which counts as delivered when
 * the server has answered for it.
 *
 * A connection that is kept open may be closed by the server just as a request goes out; libcurl then sends
 * it again on a new one. What ends behind a request without a word beyond that is a sign that it was too
 * large, or had a point the server dies of, and is tried with less (http-size.h).
 *
 * What is refused alone may have been refused for its compression: before the server is probed, the point is
 * sent plainly.
 *
 * Few lines gather for a tenth of a second behind a request, before the next one takes them.
 *
 * What is wrong with the server, or the way to it, costs no point: the connection is given up, with the
 * reason, and everything is sent again, to this server or another. */

#include <stdio.h>

#include "basic/clock.h"
#include "basic/log.h"
#include "basic/printable.h"
#include "io/http-internal.h"
#include "io/http-reply.h"

#define QUICK USEC_PER_SEC           /* an answer within this time lets requests grow */
#define GATHER (100 * USEC_PER_MSEC) /* requests with few lines are so far apart */
#define ENOUGH_MAX ((size_t) 32 << 10)

static void http_send(Http *h);

static void http_lost(Http *h, int error, const char *why) {
        h->lost = true;
        sender_link_lost(&h->link, error, why);
}

/* -- what the answer means -- */

static Slice http_answer(const Http *h) {
        return buffer_slice(&h->request.answer);
}

/* "503 Service Unavailable: what the server says". */
static const char *describe(Http *h, unsigned status, Slice text) {
        char safe[PRINTABLE_MAX];

        (void) snprintf(h->why, sizeof(h->why), "%u %s%s%s", status, http_status_to_string(status),
                        text.n > 0 ? ": " : "", printable(safe, text));
        return h->why;
}

static void complain(Http *h, Slice error, Slice point) {
        char text[2 * PRINTABLE_MAX];
        int n;

        n = snprintf(text, sizeof(text), "%.*s: %.*s", (int) MIN(error.n, (size_t) PRINTABLE_MAX), error.p,
                     (int) MIN(point.n, (size_t) PRINTABLE_MAX), point.p);
        sender_link_error_line(&h->link, (Slice) { text, MIN((size_t) MAX(n, 0), sizeof(text) - 1) }, true);
}

/* The batch has left the queue, but for what is wrong in it. */
static void leave(Http *h, usec_t latency) {
        for (size_t i = h->batch.n_points; i < h->batch.n_lines; i++)
                complain(h, SLICE("not sent"), SLICE("no finished line, the queue has been damaged"));

        sender_acked(h->link.sender, h->until, latency);
}

/* From now on, whatever connection. */
static void http_leave_gzip(Http *h, const char *why) {
        log_info("%s: requests are not compressed any more: %s", h->link.url, why);
        h->memory->no_gzip = true;
        h->plain = false;
        h->gzip = http_gzip_free(h->gzip);
}

static void http_taken(Http *h, const HttpSaid *said, usec_t now) {
        usec_t latency = MAX(now - h->sent_at, (usec_t) 1);
        Slice errors = said->errors;
        HttpSent sent = { .wire = h->batch.body.n, .lines = h->batch.n_lines, .full = h->batch.full };

        for (size_t i = 0; i < said->n_errors; i++) {
                Slice point = {}, error = SLICE("refused");

                (void) http_complaint(&errors, &point, &error);
                complain(h, error, point);
        }

        h->memory->put_off_since = 0;
        if (h->plain)
                http_leave_gzip(h, "it takes uncompressed what it refused compressed");
        http_size_taken(&h->memory->size, &sent, latency < QUICK, now);
        leave(h, latency);
        http_send(h);
}

/* The batch goes again, in another size, or not at all. */
static void http_step(Http *h, HttpStep step) {
        switch (step) {
        case HTTP_STEP_AGAIN:
                break;
        case HTTP_STEP_PROBE:
                if (h->batch.compressed)
                        h->plain = true;
                else
                        h->probing = true;
                break;
        case HTTP_STEP_DROP:
                complain(h, slice_from_string(h->why), buffer_slice(&h->batch.json));
                http_size_dropped(&h->memory->size);
                h->plain = false;
                leave(h, 0);
                break;
        }

        if (step != HTTP_STEP_DROP)
                sender_rewind(h->link.sender);
        http_send(h);
}

static void http_refused(Http *h, bool too_large, usec_t now) {
        HttpSent sent = { .wire = h->batch.body.n, .lines = h->batch.n_lines };

        if (too_large)
                http_size_too_large(&h->memory->size, &sent, now);

        log_debug("%s: %zu points in %zu bytes: %s", h->link.url, sent.lines, sent.wire, h->why);
        http_step(h, http_size_refused(&h->memory->size, &sent));
}

static void http_put_off(Http *h, const HttpSaid *said, usec_t now) {
        if (said->some_put_off && http_put_off_is_over(&h->memory->put_off_since, now))
                http_taken(h, said, now);
        else
                http_lost(h, -EAGAIN, h->why);
}

static void http_unwelcome(Http *h, unsigned status) {
        const char *to = http_request_redirect(h);
        char why[HTTP_WHY_MAX + PRINTABLE_MAX], safe[PRINTABLE_MAX];

        if (!to) {
                http_lost(h, status == 401 || status == 403 ? -EACCES : -ENOENT, h->why);
                return;
        }

        (void) snprintf(why, sizeof(why),
                        "%u %s: it points to %s, which is not followed: name the right url", status,
                        http_status_to_string(status), printable(safe, slice_from_string(to)));
        http_lost(h, -EREMCHG, why);
}

static void http_unavailable(Http *h, unsigned status, usec_t now) {
        HttpSent sent = { .wire = h->batch.body.n, .lines = h->batch.n_lines };

        if (status >= 500)
                http_size_failed(&h->memory->size, &sent, now);

        h->link.retry_after = http_request_retry_after(h);
        http_lost(h, -EAGAIN, h->why);
}

static void http_judge(Http *h, unsigned status) {
        HttpReply reply = {
                .status = status,
                .body = http_answer(h),
                .cut = h->request.answer_cut,
                .gzip = h->batch.compressed,
                .n_sent = h->batch.n_points,
        };
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        HttpSaid said;
        HttpVerdict verdict = http_reply_judge(&reply, &said);

        (void) describe(h, status, said.text);
        switch (verdict) {
        case HTTP_TAKEN:
                http_taken(h, &said, now);
                return;
        case HTTP_PUT_OFF:
                http_put_off(h, &said, now);
                return;
        case HTTP_REFUSED:
        case HTTP_TOO_LARGE:
                http_refused(h, verdict == HTTP_TOO_LARGE, now);
                return;
        case HTTP_NO_GZIP:
                http_leave_gzip(h, "it does not take compressed ones");
                http_step(h, HTTP_STEP_AGAIN);
                return;
        case HTTP_UNWELCOME:
                http_unwelcome(h, status);
                return;
        case HTTP_UNAVAILABLE:
                http_unavailable(h, status, now);
                return;
        }
}

/* An empty batch was sent, as the one point alone had been refused. Who says the same to no point at all
 * does not speak of the point. */
static void http_probed(Http *h, unsigned status) {
        HttpReply reply = { .status = status, .body = http_answer(h) };
        char refusal[HTTP_WHY_MAX];
        HttpSaid said;

        memcpy(refusal, h->why, sizeof(refusal));
        (void) http_reply_judge(&reply, &said);
        (void) describe(h, status, said.text);

        h->probing = false;
        if (h->request.answer_cut || !http_reply_is_alive(status, reply.body) ||
            strcmp(h->why, refusal) == 0) {
                http_lost(h, -EPROTO, h->why);
                return;
        }

        memcpy(h->why, refusal, sizeof(h->why));
        http_size_alive(&h->memory->size);
        http_send(h);
}

/* -- no answer -- */

static bool is_cut(CURLcode code) {
        return code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
               code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
}

static void http_failed(Http *h, CURLcode code) {
        HttpSent sent = { .wire = h->batch.body.n, .lines = h->batch.n_lines };
        const char *why = curl_job_why(h->request.job, code);

        if (is_cut(code) && h->request.connected && !h->probing) {
                (void) snprintf(h->why, sizeof(h->why), "the connection ended without an answer: %s", why);
                http_step(h, http_size_cut(&h->memory->size, &sent));
                return;
        }

        if (code == CURLE_OPERATION_TIMEDOUT && h->request.connected)
                http_size_failed(&h->memory->size, &sent, clock_usec(CLOCK_MONOTONIC));
        http_lost(h, curl_job_errno(h->request.job, code), why);
}

static void on_done(void *userdata, CURLcode code) {
        Http *h = userdata;
        unsigned status = http_request_status(h);

        h->busy = false;
        /* Who refuses a request in the midst of it may hang up right behind that. */
        if (code == CURLE_SEND_ERROR && status >= 400)
                code = CURLE_OK;
        /* What was kept of it is judged. */
        if (code == CURLE_WRITE_ERROR && h->request.n_answer > HTTP_ANSWER_MAX)
                code = CURLE_OK;

        if (code != CURLE_OK)
                http_failed(h, code);
        else if (h->probing)
                http_probed(h, status);
        else
                http_judge(h, status);
}

/* -- sending -- */

/* Takes the next batch from the queue. 1: it is to be sent; 0: there is nothing to send. */
static int http_next(Http *h) {
        Sender *s = h->link.sender;
        HttpBatchLimits limits = {
                .wire = http_size_limit(&h->memory->size),
                .lines = http_size_max_lines(&h->memory->size),
                .gzip = h->plain ? NULL : h->gzip,
        };
        int r;

        for (;;) {
                r = http_batch_build(&h->batch, sender_peek(s), &limits);
                if (r < 0 || h->batch.n_lines == 0)
                        return r;

                sender_sent(s, h->batch.n_bytes);
                sender_link_stats(&h->link)->bytes += h->batch.body.n - h->batch.n_bytes;
                h->until = sender_sent_at(s);
                if (h->batch.n_points > 0)
                        return 1;

                leave(h, 0);
        }
}

/* A few lines only, and a request has just gone out: each costs server and agent more than many lines in
 * one do. The first lines after a pause go at once. */
static bool may_wait(Http *h) {
        size_t enough = MIN(http_size_limit(&h->memory->size) / 2, ENOUGH_MAX);
        Slice lines = sender_peek(h->link.sender);

        if (h->probing || h->sent_at == 0 || http_size_max_lines(&h->memory->size) != SIZE_MAX)
                return false;
        if (lines.n == 0 || lines.n >= enough || clock_usec(CLOCK_MONOTONIC) >= h->sent_at + GATHER)
                return false;

        return sd_event_source_set_time(h->timer, h->sent_at + GATHER) >= 0 &&
               sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT) >= 0;
}

static int on_gathered(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        http_send(userdata);
        return 0;
}

static void http_send(Http *h) {
        int r;

        if (h->busy || h->lost || may_wait(h))
                return;

        r = h->probing ? http_batch_build_probe(&h->batch) : http_next(h);
        if (r == 0 && !h->probing) {
                http_batch_shrink(&h->batch);
                return;
        }
        if (r >= 0) {
                h->sent_at = clock_usec(CLOCK_MONOTONIC);
                r = http_request_start(h);
        }
        if (r < 0)
                http_lost(h, r, strerror(-r));
        h->busy = r >= 0;
}

/* -- the protocol -- */

static void http_load_gzip(Http *h) {
        const char *why;

        if (!h->link.server->gzip || h->memory->no_gzip)
                return;
        if (http_gzip_new(&h->gzip, &why) >= 0)
                return;

        log_info("%s: requests are not compressed: %s", h->link.url, why);
        h->memory->no_gzip = true;
}

static int add_timer(Http *h) {
        int r;

        r = sd_event_add_time(sender_event(h->link.sender), &h->timer, CLOCK_MONOTONIC, USEC_INFINITY,
                              10 * USEC_PER_MSEC, on_gathered, h);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(h->timer, "http-gather");
        return sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
}

static int http_start(Link *l) {
        Http *h = (Http *) l;
        CurlGlue *glue;
        int r;

        h->memory = sender_link_memory(l);
        http_size_settle(&h->memory->size);
        l->confirmed = true;

        r = add_timer(h);
        if (r < 0)
                return r;
        r = sender_curl(l->sender, &glue);
        if (r < 0)
                return r;
        r = http_request_set_up(h, glue, on_done);
        if (r < 0)
                return r;

        http_load_gzip(h);
        http_send(h);
        if (h->busy || h->lost)
                return 0;

        h->up = true; /* nothing in the queue was worth a connection */
        sender_link_up(l);
        return 0;
}

static void http_kick(Link *l) {
        http_send((Http *) l);
}

static void http_stop(Link *l) {
        Http *h = (Http *) l;

        h->timer = sd_event_source_disable_unref(h->timer);
        http_request_done(h);
        http_batch_done(&h->batch);
        h->gzip = http_gzip_free(h->gzip);
}

const SenderOps sender_http_ops = {
        .scheme = "http",
        .object_size = sizeof(Http),
        .memory_size = sizeof(HttpMemory),
        .start = http_start,
        .kick = http_kick,
        .stop = http_stop,
};

const SenderOps sender_https_ops = {
        .scheme = "https",
        .object_size = sizeof(Http),
        .memory_size = sizeof(HttpMemory),
        .start = http_start,
        .kick = http_kick,
        .stop = http_stop,
};
