/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "io/http-json.h"
#include "io/http-reply.h"
#include "unit/tap.h"

#define DP "{\"metric\":\"m\",\"timestamp\":1,\"value\":\"x\",\"tags\":{\"a\":\"b\"}}"
#define ENTRY(error) "{\"datapoint\":" DP ",\"error\":\"" error "\"}"
#define SENT 10 /* points, unless a test says otherwise */
#define COUNTS(success, failed) "\"success\":" #success ",\"failed\":" #failed
#define DETAILS(success, failed, list) "{" COUNTS(success, failed) ",\"errors\":[" list "]}"
#define DEEP "[[[[[[[["

/* -- values -- */

/* What json_value() cuts off the front, and what is left; NULL: nothing. */
static const struct {
        const char *in, *value, *rest;
} values[] = {
        { "", NULL, NULL },
        { " ", NULL, NULL },
        { "1", "1", "" },
        { " -1.5e+3 ,", "-1.5e+3", " ," },
        { "true]", "true", "]" },
        { "\"a\\\"b\":1", "\"a\\\"b\"", ":1" },
        { "\"a", NULL, NULL },
        { "\"a\\\"", NULL, NULL },
        { "\"a\\", NULL, NULL },
        { "{}x", "{}", "x" },
        { "{\"a\":[1,{\"b\":\"]}\"}]} ", "{\"a\":[1,{\"b\":\"]}\"}]}", " " },
        { "[", NULL, NULL },
        { "[1,2", NULL, NULL },
        { "[}", NULL, NULL },
        { "{]", NULL, NULL },
        { "]", NULL, NULL },
        { ",", NULL, NULL },
        { "<html>", NULL, NULL },
        { DEEP DEEP DEEP DEEP "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
          DEEP DEEP DEEP DEEP "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "" },
        { DEEP DEEP DEEP DEEP "[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", NULL, NULL },
};

static void test_values(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                Slice rest = guarded(values[i].in), before = rest, value = {};
                bool found = json_value(&rest, &value);

                if (found != !!values[i].value)
                        fail_msg("%s", values[i].in);
                if (!found) {
                        assert_ptr_equal(rest.p, before.p);
                        assert_int_equal(rest.n, before.n);
                        assert_null(value.p);
                        continue;
                }
                if (!slice_equal(value, slice_from_string(values[i].value)) ||
                    !slice_equal(rest, slice_from_string(values[i].rest)))
                        fail_msg("%s: '%.*s' and '%.*s'", values[i].in, (int) value.n, value.p, (int) rest.n,
                                 rest.p);
        }
}

/* The members, as "key=value;". */
static const struct {
        const char *in, *members;
} members[] = {
        { "[]", "" },
        { "[ ]", "" },
        { "{}", "" },
        { "[1, \"a\" ,{}]", "=1;=\"a\";={};" },
        { "{\"a\":1,\"b\" : [2], \"a\":\"\\n\"}", "a=1;b=[2];a=\"\\n\";" },
        { "{\"a\"}", "" },
        { "{\"a\":}", "" },
        { "{a:1}", "" },
        { "[1 2]", "=1;" },
        { "[1,]", "=1;" },
        { "{\"a\":1,}", "a=1;" },
        { "1", "" },
        { "\"ab\"", "" },
        { "", "" },
};

static void test_members(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                Slice rest = guarded(members[i].in), key, value;
                char said[256] = "";
                size_t n = 0;

                while (json_member(&rest, &key, &value))
                        n += (size_t) snprintf(said + n, sizeof(said) - n, "%.*s=%.*s;", (int) key.n, key.p,
                                               (int) value.n, value.p);
                if (strcmp(said, members[i].members) != 0)
                        fail_msg("%s: %s", members[i].in, said);
        }
}

/* -- replies -- */

static const struct {
        const char *name;
        unsigned status;
        const char *body;
        HttpVerdict want;
        size_t n_errors;
        const char *text;
} replies[] = {
        { "nothing to say", 204, "", HTTP_TAKEN, 0, "" },
        { "all stored", 200, DETAILS(10, 0, ""), HTTP_TAKEN, 0, "" },
        { "accepted", 202, "ok", HTTP_TAKEN, 0, "ok" },
        { "one bad", 400, DETAILS(9, 1, ENTRY("no number")), HTTP_TAKEN, 1, "" },
        { "two bad", 400, " " DETAILS(8, 2, ENTRY("a") "," ENTRY("b")) "\r\n", HTTP_TAKEN, 2, "" },
        { "bad though good", 200, DETAILS(9, 1, ENTRY("no number")), HTTP_TAKEN, 1, "" },
        { "the list is shortened", 400, DETAILS(3, 7, ENTRY("a")), HTTP_TAKEN, 7, "" },
        { "a count alone", 400, DETAILS(7, 3, ""), HTTP_TAKEN, 3, "" },
        { "entries of another kind", 400, DETAILS(7, 3, "1,\"two\",[]"), HTTP_TAKEN, 3, "" },
        { "the store is away", 400, DETAILS(8, 2, ENTRY("a") "," ENTRY("Storage exception: HBase")),
          HTTP_PUT_OFF, 2, "Storage exception: HBase" },
        { "the store has no time", 400,
          "{" COUNTS(9, 0) ",\"timeouts\":1,\"errors\":[" ENTRY("Write timedout") "]}", HTTP_PUT_OFF, 1,
          "Write timedout" },
        { "the store threw", 400, DETAILS(9, 1, ENTRY("Unexpected exception")), HTTP_PUT_OFF, 1,
          "Unexpected exception" },
        { "a name it does not know", 400,
          DETAILS(9, 1, ENTRY("Storage exception: No such name for 'metrics'")), HTTP_TAKEN, 1, "" },

        { "more than were sent", 400, DETAILS(6, 5, "{}"), HTTP_REFUSED, 0, DETAILS(6, 5, "{}") },
        { "fewer than were sent", 400, DETAILS(1, 1, "{}"), HTTP_REFUSED, 0, DETAILS(1, 1, "{}") },
        { "a sum that wraps around", 400, DETAILS(18446744073709551615, 11, "{}"), HTTP_REFUSED, 0,
          DETAILS(18446744073709551615, 11, "{}") },
        { "a count that is none", 400, DETAILS(11, -1, "{}"), HTTP_REFUSED, 0, DETAILS(11, -1, "{}") },
        { "a count is missing", 400, "{\"failed\":1,\"errors\":[{}]}", HTTP_REFUSED, 0,
          "{\"failed\":1,\"errors\":[{}]}" },
        { "a gateway's list", 400, "{\"errors\":[{\"code\":\"NO_TENANT\"}]}", HTTP_REFUSED, 0,
          "{\"errors\":[{\"code\":\"NO_TENANT\"}]}" },
        { "good, with a gateway's list", 200, "{\"errors\":[{}]}", HTTP_REFUSED, 0, "{\"errors\":[{}]}" },
        { "good, with an empty one", 200, "{\"errors\":[]}", HTTP_TAKEN, 0, "{\"errors\":[]}" },
        { "good, of fewer", 200, "{" COUNTS(9, 0) "}", HTTP_REFUSED, 0, "{" COUNTS(9, 0) "}" },
        { "good, and yet an error", 200, "{\"error\":{\"message\":\"asleep\"}}", HTTP_UNAVAILABLE, 0,
          "asleep" },
        { "good, but half", 200, "{\"success\":10,\"fai", HTTP_UNAVAILABLE, 0, "{\"success\":10,\"fai" },
        { "all refused", 400, "{\"error\":{\"code\":400,\"message\":\"no JSON\",\"details\":\"x\"}}",
          HTTP_REFUSED, 0, "no JSON" },
        { "in one word", 400, "{\"error\":\"no\"}", HTTP_REFUSED, 0, "no" },
        { "no list", 400, "{\"errors\":{}}", HTTP_REFUSED, 0, "{\"errors\":{}}" },
        { "an empty list", 400, "{\"errors\":[]}", HTTP_REFUSED, 0, "{\"errors\":[]}" },
        { "cut", 400, "{\"success\":1,\"errors\":[{\"datap", HTTP_REFUSED, 0,
          "{\"success\":1,\"errors\":[{\"datap" },
        { "a page", 400, "<!DOCTYPE html>\n<html>", HTTP_REFUSED, 0, "<!DOCTYPE html>" },
        { "with a title", 400, "<html>\r\n<title>400 Bad\nRequest </title>x", HTTP_REFUSED, 0,
          "400 Bad\nRequest" },
        { "with half a title", 400, "<html>\r\n<title>400 Bad", HTTP_REFUSED, 0, "<html>" },
        { "silent", 400, "", HTTP_REFUSED, 0, "" },
        { "unprocessable", 422, "", HTTP_REFUSED, 0, "" },
        { "too large", 413, "", HTTP_TOO_LARGE, 0, "" },
        { "a page, and all is well", 200, "<html>Log in", HTTP_UNWELCOME, 0, "<html>Log in" },
        { "moved", 301, "", HTTP_UNWELCOME, 0, "" },
        { "not modified", 304, "", HTTP_UNWELCOME, 0, "" },
        { "who", 401, "", HTTP_UNWELCOME, 0, "" },
        { "not you", 403, "", HTTP_UNWELCOME, 0, "" },
        { "where", 404, "", HTTP_UNWELCOME, 0, "" },
        { "teapot", 418, "", HTTP_UNWELCOME, 0, "" },
        { "compression", 415, "", HTTP_NO_GZIP, 0, "" },
        { "slow", 408, "", HTTP_UNAVAILABLE, 0, "" },
        { "too many", 429, "", HTTP_UNAVAILABLE, 0, "" },
        { "ill", 500, "{\"error\":{\"message\":\"trace\"}}", HTTP_UNAVAILABLE, 0, "trace" },
        { "ill, and says of what", 500, DETAILS(9, 1, ENTRY("a")), HTTP_UNAVAILABLE, 0,
          DETAILS(9, 1, ENTRY("a")) },
        { "gateway", 502, "", HTTP_UNAVAILABLE, 0, "" },
        { "unheard of", 999, "", HTTP_UNAVAILABLE, 0, "" },
        { "no status", 0, "", HTTP_UNAVAILABLE, 0, "" },
};

static void test_replies(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                HttpReply reply = { .status = replies[i].status,
                                    .body = guarded(replies[i].body),
                                    .gzip = true,
                                    .n_sent = SENT };
                HttpSaid said;
                HttpVerdict verdict = http_reply_judge(&reply, &said);

                if (verdict != replies[i].want || said.n_errors != replies[i].n_errors ||
                    !slice_equal(said.text, slice_from_string(replies[i].text)))
                        fail_msg("%s: %d, %zu errors, '%.*s'", replies[i].name, verdict, said.n_errors,
                                 (int) said.text.n, said.text.p);
        }
}

static void test_conditions(void **state _unused_) {
        Slice one = guarded(DETAILS(0, 1, ENTRY("Storage exception: x")));
        Slice of_two = guarded(DETAILS(1, 1, ENTRY("Storage exception: x"))), half = { of_two.p, 30 };
        HttpSaid said;

        /* Only what was compressed can be refused for that. */
        assert_int_equal(http_reply_judge(&(HttpReply) { .status = 415 }, &said), HTTP_UNWELCOME);
        /* All of one, or one of two. */
        assert_int_equal(http_reply_judge(&(HttpReply) { 400, one, .n_sent = 1 }, &said), HTTP_PUT_OFF);
        assert_false(said.some_put_off);
        assert_int_equal(http_reply_judge(&(HttpReply) { 400, of_two, .n_sent = 2 }, &said), HTTP_PUT_OFF);
        assert_true(said.some_put_off);
        /* What was not read to its end may name anything. */
        assert_int_equal(http_reply_judge(&(HttpReply) { 200, half, .cut = true, .n_sent = 2 }, &said),
                         HTTP_REFUSED);
}

static void test_complaints(void **state _unused_) {
        HttpReply reply = { .status = 400, .n_sent = SENT };
        Slice point, error;
        HttpSaid said;

        reply.body = guarded(DETAILS(7, 3, ENTRY("first \\\"one\\\"") ",{\"error\":\"second\"}," DP));
        assert_int_equal(http_reply_judge(&reply, &said), HTTP_TAKEN);
        assert_int_equal(said.n_errors, 3);
        assert_true(http_complaint(&said.errors, &point, &error));
        assert_true(slice_equal(point, SLICE(DP)));
        assert_true(slice_equal(error, SLICE("first \\\"one\\\"")));
        assert_true(http_complaint(&said.errors, &point, &error));
        assert_int_equal(point.n, 0);
        assert_true(slice_equal(error, SLICE("second")));
        assert_true(http_complaint(&said.errors, &point, &error));
        assert_int_equal(error.n, 0);
        assert_false(http_complaint(&said.errors, &point, &error));
}

static const struct {
        unsigned status;
        const char *body;
        bool alive;
} probes[] = {
        { 204, "", true },
        { 200, "{\"success\":0,\"failed\":0,\"errors\":[]}", true },
        { 400, "{\"error\":{\"code\":400,\"message\":\"No datapoints found in content\"}}", true },
        { 400, "<html>The plain HTTP request was sent to HTTPS port", false },
        { 400, "unable to parse", false },
        { 401, "{}", false },
        { 413, "", false },
        { 503, "{}", false },
};

static void test_probes(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(probes); i++)
                if (http_reply_is_alive(probes[i].status, guarded(probes[i].body)) != probes[i].alive)
                        fail_msg("%u %s", probes[i].status, probes[i].body);
}

static void test_put_off(void **state _unused_) {
        usec_t since = 0;

        assert_false(http_put_off_is_over(&since, 5));
        assert_false(http_put_off_is_over(&since, 4 + HTTP_PUT_OFF_MAX));
        assert_true(http_put_off_is_over(&since, 5 + HTTP_PUT_OFF_MAX));
        assert_int_equal(since, 5);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),     cmocka_unit_test(test_members),
                cmocka_unit_test(test_replies),    cmocka_unit_test(test_conditions),
                cmocka_unit_test(test_complaints), cmocka_unit_test(test_probes),
                cmocka_unit_test(test_put_off),
        };

        return run_tap(tests);
}
