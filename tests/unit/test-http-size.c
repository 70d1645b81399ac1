/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sizing against servers that are made of rules: lines go out in batches as the agent would send them, and
 * in the end each has been taken, but for those that had to be given up. */

#include "io/http-size.h"
#include "unit/tap.h"

#define LINES 20000u
#define REQUESTS_MAX 3000u

typedef struct Server {
        const char *name;
        size_t line_n;   /* bytes of a line on the wire */
        size_t wall;     /* bytes it takes; 0: any number */
        size_t bad;      /* every so many lines is a bad one; 0: none */
        bool hangs_up;   /* in place of refusing */
        bool says_why;   /* that it is the size */
        bool slow;       /* its answers are */
        unsigned broken; /* so many requests are refused, whatever is in them */
        /* What is to come of it. */
        size_t limit; /* the limit in the end: from the half of this to this */
        size_t n_dropped;
        size_t most; /* requests */
} Server;

static const Server servers[] = {
        { "takes all", 50, 0, 0, .limit = HTTP_SIZE_MAX, .n_dropped = 0, .most = 40 },
        { "takes all, slowly", 50, 0, 0, .slow = true, .limit = HTTP_SIZE_START, .n_dropped = 0,
          .most = 130 },
        { "the wall", 50, 8192, 0, .limit = 8192, .n_dropped = 0, .most = 140 },
        { "the wall, hanging up", 50, 8192, 0, .hangs_up = true, .limit = 8192, .n_dropped = 0,
          .most = 145 },
        { "the wall, with a word", 50, 8192, 0, .says_why = true, .limit = 8192, .n_dropped = 0,
          .most = 140 },
        { "low", 50, 3000, 0, .limit = 3000, .n_dropped = 0, .most = 700 },
        { "high", 50, 100000, 0, .limit = 100000, .n_dropped = 0, .most = 60 },
        { "a bad one", 50, 0, 20000, .limit = HTTP_SIZE_MAX, .n_dropped = 1, .most = 80 },
        { "bad ones", 50, 0, 1000, .limit = HTTP_SIZE_MAX, .n_dropped = 20, .most = 700 },
        { "bad ones kill it", 50, 0, 1000, .hangs_up = true, .limit = HTTP_SIZE_MAX, .n_dropped = 20,
          .most = 1300 },
        { "bad ones behind the wall", 50, 8192, 1000, .limit = 8192, .n_dropped = 20, .most = 900 },
        { "all are bad", 50, 0, 1, .limit = HTTP_SIZE_MAX, .n_dropped = 300, .most = REQUESTS_MAX },
        { "broken for a while", 50, 0, 0, .broken = 50, .limit = HTTP_SIZE_MAX, .n_dropped = 0,
          .most = 140 },
        { "broken, and hangs up", 50, 0, 0, .broken = 50, .hangs_up = true, .limit = HTTP_SIZE_MAX,
          .n_dropped = 0, .most = 140 },
        { "long lines", 2000, 8192, 0, .limit = 8192, .n_dropped = 0, .most = 6000 },
};

typedef struct Run {
        const Server *server;
        HttpSize size;
        size_t at;  /* lines taken or dropped */
        size_t end; /* how many there are */
        size_t n_requests, n_dropped;
        usec_t now;
} Run;

static bool has_bad(const Run *r, size_t lines) {
        const Server *s = r->server;

        return s->bad > 0 && (r->at + lines) / s->bad > r->at / s->bad;
}

static void drop(Run *r) {
        if (!has_bad(r, 1))
                fail_msg("%s: line %zu is none of the bad ones", r->server->name, r->at);
        r->n_dropped++;
        r->at++;
        http_size_dropped(&r->size);
}

/* The empty request. A broken server is given up, and asked anew later. */
static void probe(Run *r) {
        r->n_requests++;
        if (r->n_requests > r->server->broken)
                http_size_alive(&r->size);
        else
                http_size_settle(&r->size);
}

static void step(Run *r) {
        size_t most = MAX(http_size_limit(&r->size) / r->server->line_n, (size_t) 1);
        size_t left = r->end - r->at, lines = MIN(most, left);
        HttpSent sent;
        bool too_large;
        HttpStep next;

        lines = MIN(lines, http_size_max_lines(&r->size));
        sent = (HttpSent) { .wire = lines * r->server->line_n, .lines = lines, .full = lines < left };
        too_large = r->server->wall > 0 && sent.wire > r->server->wall;

        r->n_requests++;
        r->now += USEC_PER_MSEC;
        if (!too_large && !has_bad(r, lines) && r->n_requests > r->server->broken) {
                http_size_taken(&r->size, &sent, !r->server->slow, r->now);
                r->at += lines;
                return;
        }

        if (too_large && r->server->says_why)
                http_size_too_large(&r->size, &sent, r->now);
        next = r->server->hangs_up ? http_size_cut(&r->size, &sent) : http_size_refused(&r->size, &sent);
        if (next == HTTP_STEP_PROBE)
                probe(r);
        if (next == HTTP_STEP_DROP)
                drop(r);
}

static void test_servers(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(servers); i++) {
                const Server *s = &servers[i];
                Run r = { .server = s, .end = s->bad == 1 ? 300 : LINES };

                while (r.at < r.end && r.n_requests <= s->most)
                        step(&r);

                print_message("# %s: %zu requests, limit %zu\n", s->name, r.n_requests,
                              http_size_limit(&r.size));
                if (r.at < r.end || r.n_dropped != s->n_dropped)
                        fail_msg("%s: %zu lines of %zu, %zu dropped", s->name, r.at, r.end, r.n_dropped);
                if (s->bad != 1 && s->limit != HTTP_SIZE_MAX &&
                    (http_size_limit(&r.size) > s->limit || http_size_limit(&r.size) < s->limit / 2))
                        fail_msg("%s: the limit is %zu", s->name, http_size_limit(&r.size));
                assert_true(http_size_limit(&r.size) <= HTTP_SIZE_MAX);
        }
}

/* Full requests, quickly answered: then, and only then, it grows. */
static void test_growth(void **state _unused_) {
        static const struct {
                bool full, quick;
                size_t want;
        } cases[] = {
                { true, true, HTTP_SIZE_MAX },
                { false, true, HTTP_SIZE_START },
                { true, false, HTTP_SIZE_START },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HttpSent sent = { .wire = 7990, .lines = 100, .full = cases[i].full };
                HttpSize s = {};

                assert_int_equal(http_size_limit(&s), HTTP_SIZE_START);
                for (unsigned n = 0; n < 100; n++)
                        http_size_taken(&s, &sent, cases[i].quick, 0);
                assert_int_equal(http_size_limit(&s), cases[i].want);
        }
}

/* A ceiling is tried again after ten minutes, not before. */
static void test_ceiling(void **state _unused_) {
        const HttpSent sent = { .wire = 7990, .lines = 100, .full = true };
        const usec_t later = 600 * USEC_PER_SEC;
        HttpSize s = {};

        http_size_too_large(&s, &(HttpSent) { .wire = 16000, .lines = 200 }, 1);
        assert_int_equal(http_size_limit(&s), 8000);
        for (unsigned n = 0; n < 100; n++)
                http_size_taken(&s, &sent, true, later);
        assert_int_equal(http_size_limit(&s), 8000);
        for (unsigned n = 0; n < 3; n++)
                http_size_taken(&s, &sent, true, later + 1);
        assert_int_equal(http_size_limit(&s), 16000);

        /* What failed is not tried again soon, but what a default OpenTSDB takes always is. */
        http_size_failed(&s, &(HttpSent) { .wire = 15000, .lines = 200 }, 0);
        assert_int_equal(http_size_limit(&s), HTTP_SIZE_START);
        for (unsigned n = 0; n < 100; n++)
                http_size_taken(&s, &sent, true, 0);
        assert_int_equal(http_size_limit(&s), HTTP_SIZE_START);
        http_size_failed(&s, &(HttpSent) { .wire = 8000, .lines = 200 }, 0);
        assert_int_equal(http_size_limit(&s), HTTP_SIZE_START);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_servers),
                cmocka_unit_test(test_growth),
                cmocka_unit_test(test_ceiling),
        };

        return run_tap(tests);
}
