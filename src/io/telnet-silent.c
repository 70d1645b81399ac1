/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delivery to a server that never answers: its kernel's word has to do.
 *
 * What the other kernel has acknowledged (SIOCOUTQ tells how much it has not) is there, but the server need
 * not have read it: when it is killed, that is lost. A server that dies says so by an RST or a FIN, so what
 * was taken counts as delivered only when the connection has stood for `hold_time` after it: a server that
 * reads what comes within that time loses nothing. No more than a quarter of the queue is held back so;
 * beyond that the oldest goes.
 *
 * What is held is kept in slots, each as long as a quarter of hold_time, which begins at their end. No event
 * tells of any of this, so the kernel is asked every 10 to 100 ms while something is on its way to the other
 * one, and else when a slot is over. */

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "io/telnet-internal.h"

#define POLL_MIN (10 * USEC_PER_MSEC)
#define POLL_MAX (100 * USEC_PER_MSEC)

int telnet_queued(const Telnet *t, uint64_t *ret) {
        struct tcp_info info;
        socklen_t n = sizeof(info);
        int queued, error = 0;

        if (ioctl(t->fd, SIOCOUTQ, &queued) < 0)
                return -errno;

        /* Looked at afterwards: on a connection that broke meanwhile the number means nothing. */
        if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
                return -errno;
        n = sizeof(error);
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                return -errno;
        if (error != 0)
                return -error;
        if (info.tcpi_state != TCP_ESTABLISHED)
                return -ECONNRESET;

        *ret = (uint64_t) queued + t->n_staged;
        return 0;
}

void telnet_watch(Telnet *t, uint64_t from) {
        usec_t now = telnet_now();

        if (t->taken_at >= from) /* nothing else is on its way */
                t->progress_at = now;

        t->poll_interval = POLL_MIN;
        if (t->deadlines[TELNET_POLL] > now + POLL_MIN)
                telnet_set_deadline(t, TELNET_POLL, now + POLL_MIN);
}

void telnet_forget(Telnet *t) {
        t->n_held = 0;
        telnet_set_deadline(t, TELNET_POLL, USEC_INFINITY);
}

static usec_t slot_length(const Telnet *t) {
        return sender_config(t->link.sender)->hold_time / (TELNET_HELD_MAX - 1);
}

/* When what the oldest slot holds is delivered. */
static usec_t held_until(const Telnet *t) {
        return t->held[0].begin + slot_length(t) * TELNET_HELD_MAX;
}

static void release(Telnet *t, usec_t now) {
        while (t->n_held > 0 && held_until(t) <= now) {
                sender_acked(t->link.sender, t->held[0].position, 0);
                t->n_held--;
                memmove(t->held, t->held + 1, t->n_held * sizeof(t->held[0]));
        }
}

/* The other kernel has all before `position`. */
static void hold(Telnet *t, uint64_t position, usec_t now) {
        Sender *s = t->link.sender;
        uint64_t bound = sender_queue_size(s) / 4;

        if (t->n_held == 0 || now >= t->held[t->n_held - 1].begin + slot_length(t)) {
                assert(t->n_held < TELNET_HELD_MAX); /* more slots than that have been released */
                t->held[t->n_held++].begin = now;
        }
        t->held[t->n_held - 1].position = position;

        if (position - sender_acked_at(s) > bound)
                sender_acked(s, position - bound, 0);
}

void telnet_poll(Telnet *t, usec_t now) {
        Sender *s = t->link.sender;
        uint64_t queued, position;
        int r;

        r = telnet_queued(t, &queued);
        if (r < 0) {
                telnet_lost(t, r, strerror(-r));
                return;
        }

        release(t, now);
        t->poll_interval = MIN(t->poll_interval * 2, POLL_MAX);
        position = sender_sent_at(s) - MIN(queued, telnet_unproven(t));
        if (position > t->taken_at) {
                t->taken_at = position;
                t->progress_at = now;
                t->poll_interval = POLL_MIN;
                hold(t, position, now);
        }

        if (position == sender_sent_at(s))
                telnet_set_deadline(t, TELNET_POLL, t->n_held > 0 ? held_until(t) : USEC_INFINITY);
        else if (now - MIN(t->progress_at, now) < sender_config(s)->hung_timeout)
                telnet_set_deadline(t, TELNET_POLL, now + t->poll_interval);
        else
                telnet_hung(t, false);
}
