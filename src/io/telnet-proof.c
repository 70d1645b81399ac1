/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What comes back on a telnet connection, or does not, and what that proves. */

#include "basic/log.h"
#include "io/telnet-internal.h"

#define QUICK (500 * USEC_PER_MSEC) /* an answer that is quicker lets the window grow, */
#define SLOW (5 * USEC_PER_SEC)     /* and one that is slower than this lets it shrink */
#define SETTLE (100 * USEC_PER_MSEC)

#define STRANGE_MAX 3u

/* Who answered once and then says nothing, on so many connections and for so long, is another one by now:
 * behind the same name there is one that never answers. It takes long, as of a server that hangs the
 * kernel's word must not be taken. */
#define MUTE_MAX 5u
#define MUTE_TIME (30 * 60 * USEC_PER_SEC)

/* Is it certain that the answer comes, however late, if the server is alive? */
static bool will_answer(const Telnet *t) {
        return t->memory->answers || t->memory->complains;
}

void telnet_asked(Telnet *t) {
        const SenderConfig *config = sender_config(t->link.sender);
        usec_t limit = will_answer(t) ? config->hung_timeout : config->probe_timeout;

        t->asked = true;
        t->asked_at = t->progress_at = telnet_now();
        t->asked_wire = t->wire;
        t->taken = 0;
        t->strange = false;

        /* An early first look, to learn since when the server has had it all. */
        telnet_set_deadline(t, TELNET_SILENCE, t->asked_at + MAX(limit / 10, USEC_PER_MSEC));
}

/* -- what is said -- */

static void adapt_window(Telnet *t, uint64_t proven, usec_t latency) {
        if (latency < QUICK && proven >= t->window / 4)
                t->window = MIN(t->window * 2, TELNET_WINDOW_MAX);
        if (latency > SLOW)
                t->window = MAX(t->window / 2, TELNET_WINDOW_MIN);
}

/* The `version` behind everything is answered, so all complaints are in. */
void telnet_pause(Telnet *t) {
        t->throttled = false;
        t->window = MAX(t->window / 2, TELNET_WINDOW_MIN);
        sender_rewind(t->link.sender);
        telnet_set_deadline(t, TELNET_RESUME, telnet_now() + t->pause);
        t->pause = MIN(t->pause * 2, TELNET_PAUSE_MAX);
}

/* Keeps what is known of the server. The first answer of a connection is recognised whatever it is. */
static void remember_answer(Telnet *t) {
        if (t->memory->silent)
                log_info("%s: it answers after all", t->link.url);

        t->memory->answers = true;
        t->memory->silent = false;
        t->memory->mute = 0;
        if (++t->n_answers > 1)
                t->memory->strange = 0;
        t->link.confirmed = true;
}

static void telnet_answered(Telnet *t) {
        uint64_t acked = sender_acked_at(t->link.sender);
        usec_t latency = MAX(telnet_now() - t->asked_at, (usec_t) 1);

        remember_answer(t);
        t->asked = false;
        telnet_set_deadline(t, TELNET_SILENCE, USEC_INFINITY);
        telnet_forget(t);

        if (!t->throttled) {
                t->pause = TELNET_PAUSE_MIN;
                adapt_window(t, t->mark - MIN(acked, t->mark), latency);
                sender_acked(t->link.sender, t->mark, latency);
        } else if (t->mark == sender_sent_at(t->link.sender) || telnet_unproven(t) == 0)
                telnet_pause(t); /* a spool that is full may have dropped what was unproven */
}

static void telnet_throttled(Telnet *t, Slice line) {
        bool again = !t->memory->silent && telnet_unproven(t) > 0;

        /* In the pause all is going to be sent again anyway. */
        sender_link_error_line(&t->link, line, !again && t->deadlines[TELNET_RESUME] == USEC_INFINITY);
        t->throttled = t->throttled || again;
}

/* It speaks the protocol. That its kernel took what it may have put off, or refused, proves nothing. */
static void remember_complaint(Telnet *t) {
        t->memory->complains = true;
        if (!t->memory->silent)
                return;

        log_info("%s: it complains, so its answers are waited for again", t->link.url);
        t->memory->silent = false;
        telnet_forget(t);
        if (t->asked)
                telnet_set_deadline(t, TELNET_SILENCE, telnet_now());
}

static void telnet_heed(Telnet *t, TelnetReplyType type, Slice line) {
        if (type != TELNET_REPLY_OTHER) /* who only babbles gets nowhere */
                t->progress_at = telnet_now();
        if (type == TELNET_REPLY_REFUSED || type == TELNET_REPLY_THROTTLE || type == TELNET_REPLY_NO_PUT)
                remember_complaint(t);

        switch (type) {
        case TELNET_REPLY_ANSWER:
                telnet_answered(t);
                return;
        case TELNET_REPLY_REFUSED:
                sender_link_error_line(&t->link, line, true);
                return;
        case TELNET_REPLY_THROTTLE:
                telnet_throttled(t, line);
                return;
        case TELNET_REPLY_NO_PUT:
                telnet_lost(t, -EOPNOTSUPP, "the server takes no points (is it read-only?)");
                return;
        default:
                t->strange = t->strange || t->asked;
                return;
        }
}

static void telnet_heed_all(Telnet *t) {
        bool unsettled;

        while (!t->lost) {
                Slice line = {};
                TelnetReplyType type = telnet_reply_next(&t->reply, t->asked, &line);

                if (type == TELNET_REPLY_NONE)
                        break;
                telnet_heed(t, type, line);
        }

        unsettled = t->asked && telnet_reply_unsettled(&t->reply);
        telnet_set_deadline(t, TELNET_SETTLE, unsettled ? telnet_now() + SETTLE : USEC_INFINITY);
}

/* Reads until there is no more: with TLS, libcurl may hold bytes back that no event tells of. */
int telnet_receive(Telnet *t) {
        for (size_t received = 0; !t->lost && received < TELNET_TURN_BYTES;) {
                CURLcode code;
                size_t n, room;
                char *p = telnet_reply_space(&t->reply, &room);

                code = t->api->easy_recv(curl_job_easy(t->job), p, room, &n);
                if (code == CURLE_AGAIN)
                        return 0;
                if (code != CURLE_OK) {
                        telnet_lost(t, curl_job_errno(t->job, code), curl_job_why(t->job, code));
                        return 0;
                }
                if (n == 0) {
                        telnet_lost(t, -ECONNRESET, "the server closed the connection");
                        return 0;
                }

                received += n;
                telnet_reply_received(&t->reply, n);
                telnet_heed_all(t);
        }

        return 1;
}

/* -- what is not said -- */

static void telnet_fall_silent(Telnet *t, usec_t now) {
        log_info("%s: it does not answer \"version\", so what its kernel has taken will do", t->link.url);
        t->memory->silent = true;
        t->link.confirmed = false;
        t->progress_at = t->silent_since = now;
        telnet_watch(t, sender_sent_at(t->link.sender));
}

bool telnet_memory_mute(TelnetMemory *m, usec_t now) {
        if (m->mute++ == 0)
                m->mute_since = now;
        if (m->mute < MUTE_MAX || now - m->mute_since < MUTE_TIME)
                return false;

        m->answers = m->complains = false;
        m->mute = 0;
        return true;
}

void telnet_hung(Telnet *t, bool has_all) {
        if (has_all && t->strange && !t->memory->complains && ++t->memory->strange >= STRANGE_MAX)
                t->memory->silent = true;
        if (has_all && !t->strange && t->n_answers == 0 && telnet_memory_mute(t->memory, telnet_now()))
                log_warning("%s: no connection has had an answer for long: it may be another server by now",
                            t->link.url);

        telnet_lost(t, -ETIMEDOUT, has_all ? "no answer any more" : "it takes nothing any more");
}

static void on_silence(Telnet *t, usec_t now) {
        const SenderConfig *config = sender_config(t->link.sender);
        uint64_t queued, taken; /* of the bytes written: still here; there, of those up to the `version` */
        bool has_all, probing;
        usec_t limit;
        int r;

        r = telnet_queued(t, &queued);
        if (r < 0) {
                telnet_lost(t, r, strerror(-r));
                return;
        }

        /* What goes out behind the `version` says nothing of what stands before it. */
        taken = queued < t->wire ? t->wire - queued : 0;
        taken = MIN(taken, t->asked_wire);
        if (taken != t->taken) {
                t->taken = taken;
                t->progress_at = now;
        }

        has_all = taken == t->asked_wire;
        probing = has_all && !will_answer(t);
        limit = probing ? config->probe_timeout : config->hung_timeout;
        if (now - MIN(t->progress_at, now) < limit)
                telnet_set_deadline(t, TELNET_SILENCE, t->progress_at + limit);
        else if (probing)
                telnet_fall_silent(t, now);
        else
                telnet_hung(t, has_all);
}

static void on_settle(Telnet *t, usec_t now _unused_) {
        telnet_reply_settle(&t->reply);
        telnet_heed_all(t);
}

static void on_resume(Telnet *t _unused_, usec_t now _unused_) {
        /* That it is off again is enough: sending follows every deadline. */
}

static void on_more(Telnet *t, usec_t now) {
        if (telnet_receive(t) > 0)
                telnet_set_deadline(t, TELNET_MORE, now);
}

void telnet_deadline(Telnet *t, TelnetDeadline which, usec_t now) {
        static void (*const handlers[])(Telnet * t, usec_t now) = {
                [TELNET_SILENCE] = on_silence, [TELNET_SETTLE] = on_settle, [TELNET_POLL] = telnet_poll,
                [TELNET_RESUME] = on_resume,   [TELNET_MORE] = on_more,
        };
        static_assert(ELEMENTSOF(handlers) == _TELNET_DEADLINE_MAX, "handle every deadline");

        handlers[which](t, now);
}
