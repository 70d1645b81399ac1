/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes out on a telnet connection, byte for byte, whatever part of a write the socket takes:
 * telnet-send.c against a ring, a socket and a server's answers that are all made up here. */

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "io/telnet-internal.h"
#include "unit/tap.h"
#include "unit/tsd.h"

#define LINE_N (TSD_LINE_N + 1)
#define N_LINES 3000u
#define ROUNDS_MAX 3000000u

struct Sender {
        char queue[(size_t) N_LINES * LINE_N];
        size_t acked, sent, head;

        char wire[(size_t) 2 * N_LINES * (LINE_N + 8)];
        size_t n;
        uint64_t seed;
        unsigned n_asked, n_watched, n_pauses;
        bool tls;
        const char *again; /* refused; TLS wants the same, at the same address, */
        char refused[TELNET_STAGE_MAX];
        size_t n_refused; /* and no less of it */
        SenderStats stats;
};

Slice sender_peek(Sender *s) {
        return (Slice) { s->queue + s->sent, s->head - s->sent };
}

void sender_sent(Sender *s, size_t n) {
        assert_true(n <= s->head - s->sent);
        s->sent += n;
}

uint64_t sender_sent_at(const Sender *s) {
        return s->sent;
}

uint64_t sender_acked_at(const Sender *s) {
        return s->acked;
}

SenderStats *sender_link_stats(Link *l) {
        return &l->sender->stats;
}

void telnet_lost(Telnet *t _unused_, int error, const char *why _unused_) {
        fail_msg("lost: %d", error);
}

int telnet_receive(Telnet *t _unused_) {
        fail();
        return 0;
}

void telnet_watch(Telnet *t, uint64_t from) {
        assert_true(t->memory->silent);
        assert_true(from < t->link.sender->sent);
        t->link.sender->n_watched++;
}

void telnet_pause(Telnet *t) {
        t->throttled = false;
        t->deadlines[TELNET_RESUME] = 1;
        t->link.sender->n_pauses++;
}

void telnet_asked(Telnet *t) {
        Sender *s = t->link.sender;

        assert_false(t->asked); /* one at a time */
        assert_int_equal(t->mark, s->sent);
        assert_int_equal(t->mark % LINE_N, 0);
        t->asked = true;
        s->n_asked++;
}

CURL *curl_job_easy(const CurlJob *j) {
        return (CURL *) j;
}

int curl_job_errno(const CurlJob *j _unused_, CURLcode code _unused_) {
        fail();
        return -EIO;
}

const char *curl_job_why(CurlJob *j _unused_, CURLcode code _unused_) {
        return "";
}

/* The socket takes any part of a write, or nothing. */
static CURLcode fake_send(CURL *easy, const void *data, size_t n, size_t *ret_n) {
        Sender *s = (Sender *) easy;
        uint64_t random = tsd_random(&s->seed);

        assert_true(n > 0);
        if (s->again)
                assert_true(data == s->again && n >= s->n_refused &&
                            memcmp(data, s->refused, s->n_refused) == 0);
        if (random % 4 == 0) {
                if (s->tls) {
                        assert_true(n <= sizeof(s->refused));
                        s->again = data;
                        s->n_refused = n;
                        memcpy(s->refused, data, n);
                }
                return CURLE_AGAIN;
        }

        s->again = NULL;
        *ret_n = random % 4 == 1 ? n : 1 + tsd_random(&s->seed) % MIN(n, (size_t) 300);
        assert_true(s->n + *ret_n <= sizeof(s->wire));
        memcpy(s->wire + s->n, data, *ret_n);
        s->n += *ret_n;
        return CURLE_OK;
}

/* All lines in order, and `version` between them: never first, never twice in a row. */
static void check_wire(const Sender *s) {
        Slice rest = { s->wire, s->n }, line;
        unsigned n_lines = 0, n_versions = 0;
        bool may_ask = false;
        char want[LINE_N];

        while (slice_cut(&rest, '\n', &line)) {
                if (slice_equal(line, SLICE("version"))) {
                        assert_true(may_ask);
                        may_ask = false;
                        n_versions++;
                        continue;
                }

                tsd_line(want, n_lines++);
                assert_int_equal(line.n, TSD_LINE_N);
                assert_memory_equal(line.p, want, TSD_LINE_N);
                may_ask = true;
        }

        assert_int_equal(rest.n, 0);
        assert_int_equal(n_lines, N_LINES);
        assert_int_equal(n_versions, s->n_asked);
        assert_int_equal(s->stats.bytes, (uint64_t) n_versions * strlen("version\n"));
}

static void play(Sender *s, Telnet *t) {
        for (unsigned i = 0; s->acked < sizeof(s->queue); i++) {
                size_t end_of_line;

                assert_true(i < ROUNDS_MAX);

                /* Some lines more, the answer, the end of a pause, the beginning of one: each now and
                 * then. */
                if (tsd_random(&s->seed) % 3 == 0)
                        s->head = MIN(s->head + tsd_random(&s->seed) % 200 * LINE_N, sizeof(s->queue));
                if (t->asked && t->n_staged == 0 && tsd_random(&s->seed) % 3 == 0) {
                        t->asked = false;
                        s->acked = t->mark;
                }
                if (t->memory->silent)
                        s->acked = s->sent - s->sent % LINE_N;
                t->deadlines[TELNET_RESUME] = tsd_random(&s->seed) % 5 == 0 ? 1 : USEC_INFINITY;

                end_of_line = (s->sent + LINE_N - 1) / LINE_N * LINE_N;
                telnet_send(t);
                assert_true(t->n_staged <= TELNET_STAGE_MAX);
                assert_true(t->deadlines[TELNET_RESUME] == USEC_INFINITY || s->sent <= end_of_line);
                assert_true(t->memory->silent || s->sent - s->acked <= t->window);
        }

        for (unsigned i = 0; t->n_staged > 0; i++) {
                assert_true(i < ROUNDS_MAX);
                telnet_send(t);
        }
}

static void test_stream(void **state _unused_) {
        static const CurlApi api = { .easy_send = fake_send };
        static const uint64_t windows[] = { TELNET_WINDOW_MIN, TELNET_WINDOW_START, TELNET_WINDOW_MAX };
        _cleanup_(close_fdp) int fd = eventfd(0, EFD_CLOEXEC);
        sd_event *event = NULL;
        sd_event_source *io = NULL;

        assert_true(sd_event_new(&event) >= 0 && sd_event_add_io(event, &io, fd, 0, NULL, NULL) >= 0);
        for (uint64_t seed = 1; seed <= 80; seed++) {
                TelnetMemory memory = { .silent = seed % 8 == 0 };
                Sender *s = calloc(1, sizeof(*s));
                Telnet t = { .link = { .sender = s },
                             .memory = &memory,
                             .tls = seed > 40,
                             .stage = malloc(TELNET_STAGE_MAX),
                             .api = &api,
                             .job = (CurlJob *) s,
                             .io = io,
                             .window = windows[seed % ELEMENTSOF(windows)],
                             .deadlines = { USEC_INFINITY, USEC_INFINITY, USEC_INFINITY, USEC_INFINITY } };

                assert_true(s && t.stage);
                s->tls = t.tls;
                s->seed = seed * 0x9e3779b97f4a7c15u;
                for (unsigned i = 0; i < N_LINES; i++)
                        tsd_line(s->queue + (size_t) i * LINE_N, i);

                play(s, &t);
                check_wire(s);
                assert_int_equal(s->n_asked == 0, memory.silent);
                assert_int_equal(s->n_watched > 0, memory.silent);
                free(t.stage);
                free(s);
        }

        (void) sd_event_source_disable_unref(io);
        (void) sd_event_unref(event);
}

/* A full spool drops what is to be sent again: nothing is unproven, and no answer will say that all
 * complaints are in. */
static void test_dropped_while_throttled(void **state _unused_) {
        static const CurlApi api = { .easy_send = fake_send };
        Sender *s = calloc(1, sizeof(*s));
        TelnetMemory memory = { .answers = true };
        Telnet t = { .link = { .sender = s },
                     .memory = &memory,
                     .api = &api,
                     .job = (CurlJob *) s,
                     .throttled = true,
                     .asked = true,
                     .window = TELNET_WINDOW_START,
                     .deadlines = { USEC_INFINITY, USEC_INFINITY, USEC_INFINITY, USEC_INFINITY } };
        _cleanup_(close_fdp) int fd = eventfd(0, EFD_CLOEXEC);
        sd_event *event = NULL;

        assert_non_null(s);
        assert_true(sd_event_new(&event) >= 0 && sd_event_add_io(event, &t.io, fd, 0, NULL, NULL) >= 0);
        for (unsigned i = 0; i < N_LINES; i++)
                tsd_line(s->queue + (size_t) i * LINE_N, i);
        s->seed = 1;
        s->head = sizeof(s->queue);
        s->sent = s->acked = 10 * LINE_N;

        telnet_send(&t); /* its answer is still to come */
        assert_int_equal(s->n_pauses, 0);
        t.asked = false;
        telnet_send(&t);
        assert_int_equal(s->n_pauses, 1);
        assert_int_equal(s->n, 0);
        t.deadlines[TELNET_RESUME] = USEC_INFINITY;
        for (unsigned i = 0; s->sent == s->acked; i++) {
                assert_true(i < ROUNDS_MAX);
                telnet_send(&t);
        }

        (void) sd_event_source_disable_unref(t.io);
        (void) sd_event_unref(event);
        free(s);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stream),
                cmocka_unit_test(test_dropped_while_throttled),
        };

        return run_tap(tests);
}
