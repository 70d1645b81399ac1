/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes out on a telnet connection: lines straight from the ring, as many in one write as there are, and
 * `version` behind them.
 *
 * Writes end with a line where they can; one that the socket cut short is finished before anything else,
 * whatever else holds the sending up, so that `version` stands at the beginning of a line. It goes out when
 * nothing more may be sent and something is unproven; few lines and the `version` behind them are one write,
 * thus one packet. */

#include <sys/epoll.h>

#include "io/telnet-internal.h"

static const char version[] = "version\n";
#define VERSION_N (sizeof(version) - 1)

#define SMALL_BYTES ((size_t) 4 << 10) /* up to here lines and `version` go out in one write */

static int send_failed(Telnet *t, CURLcode code) {
        int r = curl_job_errno(t->job, code);

        (void) telnet_receive(t); /* what it said last may be a proof, or say why */
        if (!t->lost)
                telnet_lost(t, r, curl_job_why(t->job, code));
        return r;
}

/* 1: all is; 0: the socket takes no more for now; negative: the connection is lost. */
static int send_staged(Telnet *t) {
        CURLcode code;
        size_t n;

        if (t->n_staged == 0)
                return 1;

        code = t->api->easy_send(curl_job_easy(t->job), t->stage, t->n_staged, &n);
        if (code == CURLE_AGAIN)
                return 0;
        if (code != CURLE_OK)
                return send_failed(t, code);

        t->n_staged -= n;
        memmove(t->stage, t->stage + n, t->n_staged);
        return t->n_staged == 0;
}

/* What TLS has refused once it must be given again, at the same address: it gets a copy, which counts as
 * written. */
static int write_staged(Telnet *t, Slice s, size_t *ret_n) {
        int r = send_staged(t);

        if (r <= 0)
                return r;

        t->n_staged = *ret_n = MIN(s.n, TELNET_STAGE_MAX);
        memcpy(t->stage, s.p, t->n_staged);
        t->wire += t->n_staged;
        return 1;
}

/* 1: *ret_n bytes were written; 0: the socket takes no more for now; negative: the connection is lost. */
static int telnet_write(Telnet *t, Slice s, size_t *ret_n) {
        CURLcode code;

        if (t->tls)
                return write_staged(t, s, ret_n);

        code = t->api->easy_send(curl_job_easy(t->job), s.p, s.n, ret_n);
        if (code == CURLE_AGAIN)
                return 0;
        if (code != CURLE_OK)
                return send_failed(t, code);

        t->wire += *ret_n;
        return 1;
}

static void account_lines(Telnet *t, Slice lines) {
        if (lines.n == 0)
                return;

        sender_sent(t->link.sender, lines.n);
        t->mid_line = lines.p[lines.n - 1] != '\n';
        if (t->memory->silent)
                telnet_watch(t, sender_sent_at(t->link.sender) - lines.n);
}

static void account_version(Telnet *t, size_t n) {
        if (n == 0)
                return;

        if (t->version_left == 0) {
                t->version_left = VERSION_N;
                t->mark = sender_sent_at(t->link.sender);
        }

        t->version_left -= n;
        sender_link_stats(&t->link)->bytes += n;
        if (t->version_left == 0)
                telnet_asked(t);
}

static int write_version(Telnet *t) {
        size_t n, left = t->version_left > 0 ? t->version_left : VERSION_N;
        int r;

        r = telnet_write(t, (Slice) { version + VERSION_N - left, left }, &n);
        if (r > 0)
                account_version(t, n);

        return r;
}

static int write_lines(Telnet *t, Slice lines) {
        char small[SMALL_BYTES + VERSION_N];
        Slice out = lines;
        size_t n;
        int r;

        if (!t->asked && !t->memory->silent && lines.n <= SMALL_BYTES && lines.p[lines.n - 1] == '\n') {
                memcpy(small, lines.p, lines.n);
                memcpy(small + lines.n, version, VERSION_N);
                out = (Slice) { small, lines.n + VERSION_N };
        }

        r = telnet_write(t, out, &n);
        if (r > 0) {
                account_lines(t, (Slice) { lines.p, MIN(n, lines.n) });
                account_version(t, n - MIN(n, lines.n));
        }

        return r;
}

/* How many bytes more may be unproven. While no `version` is out, half of the window stays free for what
 * goes out behind it. */
static uint64_t telnet_room(const Telnet *t) {
        uint64_t unproven = telnet_unproven(t), limit = t->asked ? t->window : t->window / 2;

        if (t->throttled || t->deadlines[TELNET_RESUME] != USEC_INFINITY)
                return 0;
        if (t->memory->silent)
                return UINT64_MAX;

        return limit - MIN(limit, unproven);
}

static Slice next_lines(const Telnet *t) {
        Slice run = sender_peek(t->link.sender);
        uint64_t room = MIN(telnet_room(t), TELNET_TURN_BYTES);
        const char *end;

        if (run.n > 0 && t->mid_line) {
                end = memchr(run.p, '\n', run.n);
                return (Slice) { run.p, end ? (size_t) (end - run.p) + 1 : run.n };
        }
        if (run.n <= room)
                return run;

        end = room > 0 ? memrchr(run.p, '\n', room) : NULL;
        return (Slice) { run.p, end ? (size_t) (end - run.p) + 1 : 0 };
}

/* 1: something was written; 0: the socket takes no more for now; -ENODATA: there is nothing to write; else
 * the connection is lost. */
static int telnet_step(Telnet *t) {
        Slice lines;
        int r;

        r = send_staged(t);
        if (r <= 0)
                return r;
        if (t->version_left > 0)
                return write_version(t);

        lines = next_lines(t);
        if (lines.n > 0)
                return write_lines(t, lines);
        if (t->throttled && !t->asked && !t->mid_line && telnet_unproven(t) == 0)
                telnet_pause(t); /* the spool has dropped what was to be sent again: no answer will end it */
        if (t->asked || t->mid_line || t->memory->silent || telnet_unproven(t) == 0)
                return -ENODATA;

        return write_version(t);
}

void telnet_send(Telnet *t) {
        uint64_t enough = t->wire + TELNET_TURN_BYTES;
        int r = 1;

        while (!t->lost && r > 0 && t->wire < enough)
                r = telnet_step(t);
        if (t->lost)
                return;

        /* Writable is of interest while there is more to write: after a full turn the loop comes back at
         * once. */
        r = sd_event_source_set_io_events(t->io, r == -ENODATA ? EPOLLIN : EPOLLIN | EPOLLOUT);
        if (r < 0)
                telnet_lost(t, r, "cannot watch the connection");
}
