/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OpenTSDB with ?details answers 200 or 400 and {"success":N,"failed":N,"errors":[{"datapoint":{...},
 * "error":"..."}]}, and has stored all others; {"error":{"code":400,"message":"..."}} is about the whole. It
 * refuses what it takes for too large with a page of HTML. Others answer 204, or 400 and a line of text.
 *
 * A store that is away is told of point by point as well; such a point is not bad.
 *
 * A list that does not account for every point sent is not OpenTSDB's: gateways have "errors", too, and
 * have stored nothing. */

#include "io/http-reply.h"
#include "io/http-json.h"

static const Slice put_off[] = {
        SLICE("Storage exception"),    SLICE("Write timedout"),    SLICE("Please throttle"),
        SLICE("Throttling"),           SLICE("Request timed out"), SLICE("Timeout exception"),
        SLICE("Unexpected exception"), /* whatever the store threw */
};

static const struct {
        unsigned status;
        HttpVerdict verdict;
        const char *name;
} known[] = {
        { 301, HTTP_UNWELCOME, "Moved Permanently" },
        { 302, HTTP_UNWELCOME, "Found" },
        { 303, HTTP_UNWELCOME, "See Other" },
        { 307, HTTP_UNWELCOME, "Temporary Redirect" },
        { 308, HTTP_UNWELCOME, "Permanent Redirect" },
        { 400, HTTP_REFUSED, "Bad Request" },
        { 401, HTTP_UNWELCOME, "Unauthorized" },
        { 403, HTTP_UNWELCOME, "Forbidden" },
        { 404, HTTP_UNWELCOME, "Not Found" },
        { 405, HTTP_UNWELCOME, "Method Not Allowed" },
        { 407, HTTP_UNWELCOME, "Proxy Authentication Required" },
        { 408, HTTP_UNAVAILABLE, "Request Timeout" },
        { 411, HTTP_UNWELCOME, "Length Required" },
        { 413, HTTP_TOO_LARGE, "Content Too Large" },
        { 415, HTTP_UNWELCOME, "Unsupported Media Type" },
        { 421, HTTP_UNAVAILABLE, "Misdirected Request" },
        { 422, HTTP_REFUSED, "Unprocessable Content" },
        { 425, HTTP_UNAVAILABLE, "Too Early" },
        { 429, HTTP_UNAVAILABLE, "Too Many Requests" },
        { 500, HTTP_UNAVAILABLE, "Internal Server Error" },
        { 502, HTTP_UNAVAILABLE, "Bad Gateway" },
        { 503, HTTP_UNAVAILABLE, "Service Unavailable" },
        { 504, HTTP_UNAVAILABLE, "Gateway Timeout" },
};

const char *http_status_to_string(unsigned status) {
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (known[i].status == status)
                        return known[i].name;

        return "";
}

static HttpVerdict judge_status(unsigned status) {
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (known[i].status == status)
                        return known[i].verdict;

        return status >= 300 && status < 500 ? HTTP_UNWELCOME : HTTP_UNAVAILABLE;
}

static bool is_put_off(Slice error) {
        /* A name the store does not know, or does not want, never will be stored. */
        if (memmem(error.p, error.n, "No such name", strlen("No such name")))
                return false;

        for (size_t i = 0; i < ELEMENTSOF(put_off); i++)
                if (slice_starts_with(error, put_off[i]))
                        return true;

        return false;
}

bool http_complaint(Slice *errors, Slice *ret_point, Slice *ret_error) {
        Slice ignored, entry, point = SLICE(""), error = SLICE("");

        if (!json_member(errors, &ignored, &entry))
                return false;

        (void) json_get(entry, SLICE("datapoint"), &point);
        if (json_get(entry, SLICE("error"), &error))
                error = json_text(error);
        *ret_point = point;
        *ret_error = error;
        return true;
}

typedef struct Counts {
        uint64_t success, failed, timeouts;
} Counts;

static bool get_count(Slice object, Slice key, uint64_t *ret) {
        Slice value;

        return json_get(object, key, &value) && slice_to_uint64(value, ret);
}

/* false: they are not all there. */
static bool read_counts(Slice object, Counts *ret) {
        *ret = (Counts) {};
        (void) get_count(object, SLICE("timeouts"), &ret->timeouts);
        return get_count(object, SLICE("success"), &ret->success) &&
               get_count(object, SLICE("failed"), &ret->failed);
}

static bool counts_are(const Counts *c, size_t n_sent) {
        return c->success <= n_sent && c->failed <= n_sent && c->timeouts <= n_sent &&
               c->success + c->failed + c->timeouts == n_sent;
}

/* The reply accounts for every point: is it about bad points, or about a store that is away? */
static HttpVerdict judge_errors(const HttpReply *reply, const Counts *counts, HttpSaid *ret) {
        Slice rest = ret->errors, point, error;
        size_t n_put_off = 0;

        while (http_complaint(&rest, &point, &error)) {
                ret->n_errors++;
                if (is_put_off(error)) {
                        n_put_off++;
                        ret->text = error;
                }
        }

        ret->n_errors = MAX(ret->n_errors, (size_t) counts->failed); /* the list may be shortened */
        ret->n_errors = MIN(ret->n_errors, reply->n_sent);
        if (n_put_off == 0)
                return HTTP_TAKEN;

        ret->some_put_off = n_put_off < reply->n_sent;
        return HTTP_PUT_OFF;
}

/* Of a page of HTML its title says most. */
static Slice find_title(Slice page) {
        static const char open[] = "<title>", close[] = "</title>";
        const char *begin = page.n > 0 ? memmem(page.p, page.n, open, sizeof(open) - 1) : NULL;
        const char *end;

        if (!begin)
                return (Slice) {};

        begin += sizeof(open) - 1;
        end = memmem(begin, page.n - (size_t) (begin - page.p), close, sizeof(close) - 1);
        return (Slice) { begin, end ? (size_t) (end - begin) : 0 };
}

/* What a JSON object has for a message, the title of a page, or a first line. */
static Slice find_text(Slice object, Slice body) {
        Slice line, error, text;

        if (json_get(object, SLICE("error"), &error)) {
                if (json_get(error, SLICE("message"), &text))
                        return json_text(text);
                return json_text(error);
        }
        if (object.n > 0)
                return object;

        text = find_title(body);
        if (text.n > 0)
                return slice_strip(text);

        return slice_cut(&body, '\n', &line) ? slice_strip(line) : body;
}

/* It is good by its status. Is it that of a database which has everything? */
static HttpVerdict judge_good(const HttpReply *reply, Slice object, Slice body) {
        Slice errors = {}, error;
        Counts counts;

        if (reply->cut)
                return HTTP_REFUSED; /* too much was said to be read: to less, less is said */
        if (body.n > 0 && body.p[0] == '<')
                return HTTP_UNWELCOME; /* a page: that is something else */
        if (body.n > 0 && body.p[0] == '{' && object.n == 0)
                return HTTP_UNAVAILABLE; /* half of an answer */
        if (json_get(object, SLICE("error"), &error))
                return HTTP_UNAVAILABLE;
        if (read_counts(object, &counts))
                return counts_are(&counts, reply->n_sent) ? HTTP_TAKEN : HTTP_REFUSED;

        return json_get(object, SLICE("errors"), &errors) && !slice_equal(errors, SLICE("[]")) ?
                       HTTP_REFUSED :
                       HTTP_TAKEN;
}

HttpVerdict http_reply_judge(const HttpReply *reply, HttpSaid *ret) {
        Slice body = slice_strip(reply->body), rest = body, object = {};
        bool is_good = reply->status >= 200 && reply->status < 300;
        Counts counts;

        *ret = (HttpSaid) {};
        if (!json_value(&rest, &object) || object.p[0] != '{')
                object = (Slice) {};

        if ((is_good || reply->status == 400) && json_get(object, SLICE("errors"), &ret->errors) &&
            ret->errors.p[0] == '[' && read_counts(object, &counts) && counts_are(&counts, reply->n_sent)) {
                HttpVerdict verdict = judge_errors(reply, &counts, ret);

                if (is_good || ret->n_errors > 0)
                        return verdict;
        }

        ret->errors = (Slice) {};
        ret->text = find_text(object, body);
        if (is_good)
                return judge_good(reply, object, body);
        if (reply->status == 415 && reply->gzip)
                return HTTP_NO_GZIP;

        return judge_status(reply->status);
}

bool http_put_off_is_over(usec_t *since, usec_t now) {
        if (*since == 0)
                *since = now;

        return now - *since >= HTTP_PUT_OFF_MAX;
}

bool http_reply_is_alive(unsigned status, Slice body) {
        Slice object;

        if (status >= 200 && status < 300)
                return true;

        return status == 400 && json_value(&body, &object) && object.p[0] == '{';
}
