/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A reply of a server: two bytes of its status, one of flags, then its body. What is handed out lies inside
 * the body, and no more is said to be lost than was sent. */

#include "fuzz/fuzz.h"
#include "io/http-json.h"
#include "io/http-reply.h"

static bool is_inside(Slice part, Slice whole) {
        return part.n == 0 ||
               (part.p >= whole.p && part.n <= whole.n && (size_t) (part.p - whole.p) <= whole.n - part.n);
}

static void walk(Slice value, Slice body, unsigned depth) {
        Slice rest = value, key, member;

        while (json_member(&rest, &key, &member)) {
                check(is_inside(key, value) && is_inside(member, value) && is_inside(rest, value));
                check(is_inside(json_text(member), body));
                if (depth < JSON_DEPTH_MAX)
                        walk(member, body, depth + 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        HttpReply reply;
        HttpSaid said;
        HttpVerdict verdict;
        Slice rest, value, point, error;
        size_t n_complaints = 0;

        if (n < 3)
                return 0;

        reply = (HttpReply) {
                .status = (unsigned) data[0] << 8 | data[1],
                .cut = data[2] & 1,
                .gzip = data[2] & 2,
                .n_sent = data[2] >> 2,
                .body = { (const char *) data + 3, n - 3 },
        };
        verdict = http_reply_judge(&reply, &said);
        check(verdict <= HTTP_UNAVAILABLE);
        check(said.n_errors <= reply.n_sent);
        check(is_inside(said.errors, reply.body) && is_inside(said.text, reply.body));

        while (http_complaint(&said.errors, &point, &error)) {
                check(is_inside(point, reply.body) && is_inside(error, reply.body));
                n_complaints++;
        }
        check(n_complaints <= reply.body.n);
        (void) http_reply_is_alive(reply.status, reply.body);

        rest = reply.body;
        if (json_value(&rest, &value)) {
                check(is_inside(value, reply.body) && is_inside(rest, reply.body));
                walk(value, reply.body, 0);
        }
        return 0;
}
