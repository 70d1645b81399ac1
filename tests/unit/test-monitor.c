/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The endpoint and its clients share one process and one loop: a client writes its request, the loop is run
 * until the answer is there. */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "basic/clock.h"
#include "basic/log.h"
#include "io/monitor.h"
#include "unit/tap.h"

#define DEADLINE (60 * USEC_PER_SEC)
#define LIMIT 64

typedef struct Rig {
        sd_event *event;
        Monitor *monitor;
        const char *text; /* what is reported; NULL: the report fails */
        size_t times;     /* it is reported so many times over */
        unsigned asked;
} Rig;

static int report(void *userdata, Buffer *out) {
        Rig *rig = userdata;

        rig->asked++;
        for (size_t i = 0; rig->text && i < rig->times; i++)
                assert_int_equal(buffer_add_string(out, rig->text), 0);

        return rig->text ? 0 : -ENOMEM;
}

static void rig_done(Rig *rig) {
        (void) monitor_free(rig->monitor);
        (void) sd_event_unref(rig->event);
}

static void rig_start(Rig *rig) {
        *rig = (Rig) { .text = "[]\n", .times = 1 };
        assert_true(sd_event_new(&rig->event) >= 0);
        assert_int_equal(monitor_new(&rig->monitor, rig->event, "127.0.0.1", 0, report, rig), 0);
        assert_true(monitor_port(rig->monitor) > 0);
}

static int client(const Rig *rig) {
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_addr = { htonl(INADDR_LOOPBACK) },
                                 .sin_port = htons(monitor_port(rig->monitor)) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &a, sizeof(a)), 0);
        return fd;
}

static void request(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

/* Adds what there is to read. false: the other side has closed. */
static bool receive(int fd, Buffer *b) {
        for (;;) {
                ssize_t n;

                assert_int_equal(buffer_reserve(b, 65536), 0);
                n = recv(fd, b->data + b->n, 65536, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno == ECONNRESET))
                        return false;
                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        return true;
                }
                b->n += (size_t) n;
                b->data[b->n] = '\0';
        }
}

/* Runs the loop until `fd` is closed by the other side, or (if not NULL) `want` has come. */
static void await(const Rig *rig, int fd, const char *want, Buffer *b) {
        usec_t end = clock_usec(CLOCK_MONOTONIC) + DEADLINE;

        while (receive(fd, b) && !(want && b->n > 0 && strstr(b->data, want))) {
                assert_true(clock_usec(CLOCK_MONOTONIC) < end);
                assert_true(sd_event_run(rig->event, 100 * USEC_PER_MSEC) >= 0);
        }
        if (want && !(b->n > 0 && strstr(b->data, want)))
                fail_msg("closed after: %s", b->n > 0 ? b->data : "nothing");
}

/* Runs the loop until there is nothing to do. */
static void settle(const Rig *rig) {
        for (unsigned idle = 0; idle < 3;) {
                int r = sd_event_run(rig->event, 0);

                assert_true(r >= 0);
                idle = r == 0 ? idle + 1 : 0;
        }
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

static const struct {
        const char *name, *request, *status, *header, *body;
} cases[] = {
        { "get", "GET / HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK\r\n",
          "\r\nContent-Type: application/json\r\n", "[]\n" },
        { "any path", "GET /a/b?c=d HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK\r\n",
          "\r\nContent-Length: 3\r\n", "[]\n" },
        { "old client", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\nCache-Control: no-store\r\n",
          "[]\n" },
        { "head", "HEAD / HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 3\r\n",
          "" },
        { "get with a body", "GET / HTTP/1.1\r\n" CLOSE "Content-Length: 5\r\n\r\n12345",
          "HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 3\r\n", "[]\n" },
        { "post", "POST / HTTP/1.1\r\n" CLOSE "Content-Length: 2\r\n\r\n{}",
          "HTTP/1.1 405 Method Not Allowed\r\n", "\r\nAllow: GET, HEAD\r\n",
          "GET answers the list of collectors.\n" },
        { "delete", "DELETE /x HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 405 Method Not Allowed\r\n",
          "\r\nAllow: GET, HEAD\r\n", "GET answers the list of collectors.\n" },
};

static void test_requests(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(close_fdp) int fd = client(&rig);
                _cleanup_(buffer_done) Buffer b = {};
                const char *body;

                request(fd, cases[i].request);
                await(&rig, fd, NULL, &b);
                body = b.n > 0 ? strstr(b.data, "\r\n\r\n") : NULL;
                if (!body || strncmp(b.data, cases[i].status, strlen(cases[i].status)) != 0 ||
                    !strstr(b.data, cases[i].header) || strcmp(body + 4, cases[i].body) != 0)
                        fail_msg("%s: %s", cases[i].name, b.data);
        }
        assert_int_equal(rig.asked, 5);
}

static void test_keep_alive(void **state _unused_) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};

        rig_start(&rig);
        fd = client(&rig);
        for (unsigned i = 0; i < 3; i++) {
                buffer_consume(&b, b.n);
                request(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                await(&rig, fd, "\r\n\r\n[]\n", &b);
        }

        buffer_consume(&b, b.n);
        request(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\n" CLOSE "\r\n");
        await(&rig, fd, NULL, &b);
        assert_int_equal(rig.asked, 5);
}

/* A request that comes a byte at a time, and an answer larger than the socket's buffers. */
static void test_slow_and_large(void **state _unused_) {
        static const char text[] = "GET / HTTP/1.1\r\n" CLOSE "\r\n";
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};
        const char *body;

        rig_start(&rig);
        rig.text = "0123456789abcdef";
        rig.times = 1 << 20;
        fd = client(&rig);
        for (const char *c = text; *c; c++) {
                assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
                settle(&rig);
        }

        await(&rig, fd, NULL, &b);
        body = memmem(b.data, b.n, "\r\n\r\n", 4);
        assert_non_null(body);
        assert_int_equal(b.n - (size_t) (body + 4 - b.data), 16u << 20);
        assert_memory_equal(b.data + b.n - 16, rig.text, 16);
}

static void note_line(void *userdata, int level _unused_, const char *line) {
        (void) snprintf(userdata, 256, "%s", line);
}

static void test_report_fails(void **state _unused_) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};
        char line[256] = "";

        rig_start(&rig);
        rig.text = NULL;
        fd = client(&rig);
        request(fd, "GET / HTTP/1.1\r\n" CLOSE "\r\n");
        log_set_sink(note_line, line);
        await(&rig, fd, NULL, &b);
        log_set_sink(NULL, NULL);
        assert_string_equal(
                line, "Failed to make the list of collectors for an HTTP client: Cannot allocate memory");
        assert_true(strncmp(b.data, "HTTP/1.1 500 ", 13) == 0);
}

/* What is no HTTP is closed, and hurts nobody; neither does a client that does not wait for its answer. */
static void test_bad_clients(void **state _unused_) {
        static const char *const texts[] = { "nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                                             "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n" };
        _cleanup_(buffer_done) Buffer good = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(close_fdp) int bad = client(&rig), gone = client(&rig);
                _cleanup_(buffer_done) Buffer b = {};

                request(gone, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                gone = close_fd(gone);
                request(bad, texts[i]);
                assert_int_equal(shutdown(bad, SHUT_WR), 0);
                await(&rig, bad, NULL, &b);
        }

        fd = client(&rig);
        request(fd, "GET / HTTP/1.1\r\n" CLOSE "\r\n");
        await(&rig, fd, "\r\n\r\n[]\n", &good);
}

/* With as many connections as it takes, one more waits until another one is gone. */
static void test_limit(void **state _unused_) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};
        int others[LIMIT];

        rig_start(&rig);
        for (size_t i = 0; i < LIMIT; i++) {
                others[i] = client(&rig);
                settle(&rig);
        }
        fd = client(&rig);
        request(fd, "GET / HTTP/1.1\r\n" CLOSE "\r\n");
        settle(&rig);
        assert_true(receive(fd, &b));
        assert_int_equal(b.n, 0);

        others[0] = close_fd(others[0]);
        settle(&rig);
        (void) receive(fd, &b);
        assert_true(b.n > 0 && strstr(b.data, "\r\n\r\n[]\n"));
        for (size_t i = 1; i < LIMIT; i++)
                (void) close_fd(others[i]);
}

/* One that says nothing is closed; nothing but the timer can wake the loop for that. */
static void test_silent_client(void **state _unused_) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(rig_done) Rig rig = {};

        rig_start(&rig);
        fd = client(&rig);
        request(fd, "GET / HT");
        await(&rig, fd, NULL, &b);
        assert_int_equal(rig.asked, 0);
}

static void test_addresses(void **state _unused_) {
        static const struct {
                const char *address;
                int r;
                const char *why;
        } rows[] = {
                { "localhost", 0, "" },
                { "0.0.0.0", 0, "" },
                { "192.0.2.1", -EADDRNOTAVAIL,
                  "Failed to listen for HTTP requests at 192.0.2.1, port 0: Cannot assign requested "
                  "address" },
                { "a b", -EINVAL,
                  "Failed to listen for HTTP requests at a b, port 0: a host is a name or an address, "
                  "as in tsd1, 192.0.2.1 or [2001:db8::1]" },
                { "[::1", -EINVAL,
                  "Failed to listen for HTTP requests at [::1, port 0: what stands in brackets is an "
                  "IPv6 address, as in [2001:db8::1]:4242" },
        };
        _cleanup_(rig_done) Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(monitor_freep) Monitor *m = NULL;
                char line[256] = "";

                log_set_sink(note_line, line);
                assert_int_equal(monitor_new(&m, rig.event, rows[i].address, 0, report, &rig), rows[i].r);
                log_set_sink(NULL, NULL);
                assert_string_equal(line, rows[i].why);
        }
}

static void test_port_taken(void **state _unused_) {
        _cleanup_(monitor_freep) Monitor *m = NULL;
        _cleanup_(rig_done) Rig rig = {};
        char line[256] = "", want[256];
        uint16_t port;

        rig_start(&rig);
        port = monitor_port(rig.monitor);
        log_set_sink(note_line, line);
        assert_int_equal(monitor_new(&m, rig.event, "127.0.0.1", port, report, &rig), -EADDRINUSE);
        log_set_sink(NULL, NULL);
        (void) snprintf(want, sizeof(want),
                        "Failed to listen for HTTP requests at 127.0.0.1, port %u: Address already in use",
                        (unsigned) port);
        assert_string_equal(line, want);

        rig.monitor = monitor_free(rig.monitor);
        assert_int_equal(monitor_new(&m, rig.event, "127.0.0.1", port, report, &rig), 0);
        assert_int_equal(monitor_port(m), port);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),       cmocka_unit_test(test_keep_alive),
                cmocka_unit_test(test_slow_and_large), cmocka_unit_test(test_report_fails),
                cmocka_unit_test(test_bad_clients),    cmocka_unit_test(test_limit),
                cmocka_unit_test(test_silent_client),  cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_port_taken),
        };

        return run_tap(tests);
}
