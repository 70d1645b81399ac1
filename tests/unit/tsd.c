/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "unit/tap.h"
#include "unit/tsd.h"

static const char second_line[] = "Built on 2021/11/22 18:00:00 +0000 by tester@localhost:/src\n";

uint64_t tsd_random(uint64_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static void make_line(char line[static TSD_LINE_N + 1], unsigned n, const char *host) {
        char text[TSD_LINE_N + 2];

        assert_int_equal(snprintf(text, sizeof(text), "put test.metric 1700000000 %09u host=%s\n", n, host),
                         TSD_LINE_N + 1);
        memcpy(line, text, TSD_LINE_N + 1);
}

void tsd_line(char line[static TSD_LINE_N + 1], unsigned n) {
        make_line(line, n, "tester");
}

void tsd_series_line(char line[static TSD_LINE_N + 1], unsigned n) {
        char host[16];

        (void) snprintf(host, sizeof(host), "no.%03u", n % TSD_SERIES);
        make_line(line, n, host);
}

static void link_close(TsdLink *l, bool reset) {
        struct linger linger = { .l_onoff = 1 };
        Tsd *t = l->tsd;

        if (reset)
                assert_int_equal(setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        (void) sd_event_source_disable_unref(l->io);
        (void) sd_event_source_disable_unref(l->dribble);
        close(l->fd);
        for (size_t i = 0; i < TSD_LINKS_MAX; i++)
                if (t->links[i] == l)
                        t->links[i] = NULL;
        free(l);
}

/* What is said is short, so that the socket always takes it, unless the other side has gone. */
static void say(TsdLink *l, const char *text, size_t n) {
        ssize_t done = send(l->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        assert_true(done == (ssize_t) n || (done < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static int on_dribble(sd_event_source *source, void *userdata) {
        TsdLink *l = userdata;

        say(l, l->late, 1);
        l->n_late--;
        memmove(l->late, l->late + 1, l->n_late);
        return sd_event_source_set_enabled(source, l->n_late > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void say_late(TsdLink *l, const char *text) {
        size_t n = strlen(text);

        assert_true(l->n_late + n < sizeof(l->late));
        memcpy(l->late + l->n_late, text, n);
        l->n_late += n;
        if (!l->dribble)
                assert_true(sd_event_add_defer(l->tsd->event, &l->dribble, on_dribble, l) >= 0);
        assert_true(sd_event_source_set_enabled(l->dribble, SD_EVENT_ONESHOT) >= 0);
}

static void answer(TsdLink *l) {
        static const char first_line[] = "net.opentsdb.tools 2.4.1 built at revision abc (MINT)\n";
        Tsd *t = l->tsd;
        char text[64];

        if (t->rules.answer != TSD_MUTE)
                t->proven = MAX(t->proven, t->arrived);

        switch (t->rules.answer) {
        case TSD_TWO_LINES:
                say(l, first_line, strlen(first_line));
                say(l, second_line, strlen(second_line));
                return;
        case TSD_STRAY:
                say(l, first_line, strlen(first_line));
                l->owes = true;
                return;
        case TSD_DRIBBLE:
                say_late(l, first_line);
                say_late(l, second_line);
                return;
        case TSD_BARE:
                say(l, "InfluxDB TSDB proxy", 19);
                return;
        case TSD_UNKNOWN:
                say(l, "unknown command: version\n", 25);
                return;
        case TSD_VARYING:
                (void) snprintf(text, sizeof(text), "tsd up %u s\n", l->n_versions);
                say(l, text, strlen(text));
                return;
        case TSD_MUTE:
                return;
        }
}

static void on_version(TsdLink *l) {
        l->tsd->n_versions++;
        l->n_versions++;
        answer(l);
}

void tsd_answer(Tsd *t) {
        for (size_t i = 0; i < TSD_LINKS_MAX; i++)
                if (t->links[i])
                        answer(t->links[i]);
}

/* The line is whole, and nothing of what comes before it is missing. */
static void check_line(TsdLink *l, Slice line, unsigned n) {
        char want[TSD_LINE_N + 1];

        if (!l->tsd->rules.series) {
                tsd_line(want, n);
                assert_memory_equal(line.p, want, TSD_LINE_N);
                assert_true(n <= l->tsd->arrived);
                return;
        }

        tsd_series_line(want, n);
        assert_memory_equal(line.p, want, TSD_LINE_N);
        assert_true(n >= l->last[n % TSD_SERIES]);
        l->last[n % TSD_SERIES] = n + 1;
}

static void on_put(TsdLink *l, Slice line) {
        char number[10] = {};
        Tsd *t = l->tsd;
        const char *text;
        unsigned n;

        assert_int_equal(line.n, TSD_LINE_N);
        memcpy(number, line.p + 27, 9);
        n = (unsigned) strtoul(number, NULL, 10);
        assert_true(n < TSD_LINES_MAX);
        check_line(l, line, n);

        t->n_again += n < t->arrived;
        t->arrived = MAX(t->arrived, n + 1);
        text = t->rules.judge ? t->rules.judge(t, n) : NULL;
        if (text) {
                say(l, text, strlen(text));
                return;
        }

        t->n_taken += t->taken[n] == 0;
        t->taken[n] = 1;
}

static void on_lines(TsdLink *l) {
        Slice rest = { l->data, l->n }, line;

        while (slice_cut(&rest, '\n', &line)) {
                if (slice_equal(line, SLICE("version"))) {
                        assert_true(l->begun); /* else it would be taken for HTTP */
                        on_version(l);
                        continue;
                }

                l->begun = true;
                on_put(l, line);
        }

        l->n = rest.n;
        memmove(l->data, rest.p, rest.n);
}

static int on_restart(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        tsd_restart(userdata);
        return 0;
}

/* Lives for so many bytes, dies in the midst of a line, and comes back soon. */
static void live_and_die(Tsd *t, size_t n) {
        if (t->lifetime == 0)
                return;
        if (n < t->lifetime) {
                t->lifetime -= n;
                return;
        }

        t->lifetime = 1 + tsd_random(&t->seed) % 400000;
        tsd_kill(t, tsd_random(&t->seed) % 2);
        assert_true(sd_event_source_set_time_relative(t->restart, tsd_random(&t->seed) % 3000) >= 0);
        assert_true(sd_event_source_set_enabled(t->restart, SD_EVENT_ONESHOT) >= 0);
}

static int on_readable(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        TsdLink *l = userdata;
        Tsd *t = l->tsd;
        size_t room = sizeof(l->data) - l->n;
        ssize_t n;

        if (l->owes) {
                say(l, second_line, strlen(second_line));
                l->owes = false;
                return 0;
        }

        if (t->lifetime > 0)
                room = MIN(room, t->lifetime);
        if (t->rules.narrow)
                room = MIN(room, (size_t) 3000);
        n = recv(fd, l->data + l->n, room, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return 0;
        if (n <= 0) {
                link_close(l, false);
                return 0;
        }

        l->n += (size_t) n;
        on_lines(l);
        live_and_die(t, (size_t) n);
        return 0;
}

static int on_accept(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        Tsd *t = userdata;
        TsdLink *l = calloc(1, sizeof(*l));
        uint32_t events = t->rules.deaf ? 0 : EPOLLIN;
        size_t i = 0;

        assert_non_null(l);
        l->tsd = t;
        l->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(l->fd >= 0);
        assert_int_equal(setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int)), 0);
        assert_true(sd_event_add_io(t->event, &l->io, l->fd, events, on_readable, l) >= 0);
        /* What is said is heard before more is read. */
        assert_true(sd_event_source_set_priority(l->io, SD_EVENT_PRIORITY_IDLE) >= 0);

        while (t->links[i])
                assert_true(++i < TSD_LINKS_MAX);
        t->links[i] = l;
        t->n_accepted++;
        return 0;
}

void tsd_restart(Tsd *t) {
        struct sockaddr_in v4 = { .sin_family = AF_INET,
                                  .sin_port = htons(t->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                   .sin6_port = htons(t->port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr *address = t->rules.v6 ? (struct sockaddr *) &v6 : (struct sockaddr *) &v4;
        const char *host = t->rules.v6 ? "[::1]" : "127.0.0.1";
        socklen_t n = t->rules.v6 ? sizeof(v6) : sizeof(v4);

        t->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(t->fd >= 0);
        assert_int_equal(setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)), 0);
        if (t->rules.narrow) {
                assert_int_equal(setsockopt(t->fd, IPPROTO_TCP, TCP_MAXSEG, &(int) { 536 }, sizeof(int)), 0);
                assert_int_equal(setsockopt(t->fd, SOL_SOCKET, SO_RCVBUF, &(int) { 8192 }, sizeof(int)), 0);
        }
        assert_int_equal(bind(t->fd, address, n), 0);
        assert_int_equal(listen(t->fd, 8), 0);

        assert_int_equal(getsockname(t->fd, address, &n), 0);
        t->port = ntohs(t->rules.v6 ? v6.sin6_port : v4.sin_port);
        (void) snprintf(t->url, sizeof(t->url), "telnet://%s:%u", host, t->port);
        assert_true(sd_event_add_io(t->event, &t->listener, t->fd, EPOLLIN, on_accept, t) >= 0);
}

void tsd_kill(Tsd *t, bool reset) {
        t->listener = sd_event_source_disable_unref(t->listener);
        if (t->fd >= 0)
                close(t->fd);
        t->fd = -1;
        for (size_t i = 0; i < TSD_LINKS_MAX; i++)
                if (t->links[i])
                        link_close(t->links[i], reset);
}

void tsd_open(Tsd *t, sd_event *event, const TsdRules *rules) {
        *t = (Tsd) { .event = event, .rules = *rules, .taken = calloc(TSD_LINES_MAX, 1) };
        assert_non_null(t->taken);
        assert_true(sd_event_add_time(event, &t->restart, CLOCK_MONOTONIC, 0, 1, on_restart, t) >= 0);
        assert_true(sd_event_source_set_enabled(t->restart, SD_EVENT_OFF) >= 0);
        tsd_restart(t);
}

void tsd_done(Tsd *t) {
        if (!t->event)
                return;

        tsd_kill(t, false);
        (void) sd_event_source_disable_unref(t->restart);
        free(t->taken);
        *t = (Tsd) {};
}
