/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/telnet-reply.h"

static const struct {
        Slice prefix;
        TelnetReplyType type;
} complaints[] = {
        /* The first that matches counts. */
        { SLICE("unknown command: version"), TELNET_REPLY_NONE }, /* no complaint */
        { SLICE("unknown command: put"), TELNET_REPLY_NO_PUT },
        { SLICE("unknown command: "), TELNET_REPLY_REFUSED },
        { SLICE("put: Please throttle writes"), TELNET_REPLY_THROTTLE },
        { SLICE("put: Throttling exception"), TELNET_REPLY_THROTTLE },
        { SLICE("put: HBase error"), TELNET_REPLY_THROTTLE },
        { SLICE("put: Request timed out"), TELNET_REPLY_THROTTLE },
        { SLICE("put: "), TELNET_REPLY_REFUSED },
};

/* A name that the store does not know and is not to make: it never will take the point. */
static const char no_such_name[] = "No such name";

static Slice pending(const TelnetReply *r) {
        return (Slice) { r->data + r->begin, r->end - r->begin };
}

static Slice answer(const TelnetReply *r) {
        return (Slice) { r->answer, r->n_answer };
}

/* TELNET_REPLY_NONE: `line` is no complaint. */
static TelnetReplyType complaint(Slice line) {
        size_t i = 0;

        while (i < ELEMENTSOF(complaints) && !slice_starts_with(line, complaints[i].prefix))
                i++;
        if (i == ELEMENTSOF(complaints))
                return TELNET_REPLY_NONE;
        if (complaints[i].type == TELNET_REPLY_THROTTLE &&
            memmem(line.p, line.n, no_such_name, strlen(no_such_name)))
                return TELNET_REPLY_REFUSED;

        return complaints[i].type;
}

/* Is `s`, which has no newline yet, a complaint or the beginning of one? */
static bool may_become_complaint(Slice s) {
        for (size_t i = 0; i < ELEMENTSOF(complaints); i++)
                if (slice_starts_with(complaints[i].prefix, s) || slice_starts_with(s, complaints[i].prefix))
                        return true;

        return false;
}

static bool may_be_answer(Slice line) {
        return line.n > 0 && line.p[0] > ' ';
}

static void learn(TelnetReply *r, Slice line, bool without_newline) {
        r->n_answer = MIN(line.n, (size_t) TELNET_ANSWER_MAX);
        r->without_newline = without_newline;
        memcpy(r->answer, line.p, r->n_answer);
}

char *telnet_reply_space(TelnetReply *r, size_t *ret_n) {
        if (r->begin > 0) {
                memmove(r->data, r->data + r->begin, r->end - r->begin);
                r->end -= r->begin;
                r->begin = 0;
        }
        assert(r->end < sizeof(r->data)); /* telnet_reply_next() empties a full buffer */

        *ret_n = sizeof(r->data) - r->end;
        return r->data + r->end;
}

void telnet_reply_received(TelnetReply *r, size_t n) {
        assert(n <= sizeof(r->data) - r->end);

        r->end += n;
}

/* Takes one line off. What fills the buffer is a line too; its rest is skipped to the newline. */
static bool take_line(TelnetReply *r, Slice *ret) {
        for (;;) {
                Slice rest = pending(r), line;
                bool cut = false;

                if (!slice_cut(&rest, '\n', &line)) {
                        if (rest.n < (r->skipping ? 1 : sizeof(r->data)))
                                return false;

                        line = rest;
                        cut = true;
                }

                r->begin += line.n + !cut;
                if (!r->skipping) {
                        r->skipping = cut;
                        if (line.n > 0 && line.p[line.n - 1] == '\r')
                                line.n--;
                        *ret = line;
                        return true;
                }

                r->skipping = cut;
        }
}

static TelnetReplyType judge_line(TelnetReply *r, bool asked, Slice line) {
        TelnetReplyType type = complaint(line);

        if (type != TELNET_REPLY_NONE)
                return type;

        if (r->n_answer == 0 && asked && may_be_answer(line)) {
                learn(r, line, false);
                return TELNET_REPLY_ANSWER;
        }
        if (asked && !r->without_newline && may_be_answer(line) &&
            slice_equal((Slice) { line.p, MIN(line.n, (size_t) TELNET_ANSWER_MAX) }, answer(r)))
                return TELNET_REPLY_ANSWER;

        return TELNET_REPLY_OTHER;
}

/* An answer without a newline counts wherever it stands, but not behind a line that is to be judged
 * first. */
static bool take_bare_answer(TelnetReply *r, Slice *ret) {
        Slice all = pending(r);
        const char *hit;

        if (!r->without_newline)
                return false;

        hit = memmem(all.p, all.n, r->answer, r->n_answer);
        if (!hit || memchr(all.p, '\n', (size_t) (hit - all.p)))
                return false;

        r->begin += (size_t) (hit - all.p) + r->n_answer;
        r->skipping = false;
        *ret = (Slice) { hit, r->n_answer };
        return true;
}

TelnetReplyType telnet_reply_next(TelnetReply *r, bool asked, Slice *ret_line) {
        Slice line;

        if (take_bare_answer(r, &line)) {
                *ret_line = line;
                return asked ? TELNET_REPLY_ANSWER : TELNET_REPLY_OTHER;
        }
        if (!take_line(r, &line))
                return TELNET_REPLY_NONE;

        *ret_line = line;
        return judge_line(r, asked, line);
}

bool telnet_reply_unsettled(const TelnetReply *r) {
        Slice rest = pending(r);

        return r->n_answer == 0 && !r->skipping && may_be_answer(rest) && !may_become_complaint(rest);
}

void telnet_reply_settle(TelnetReply *r) {
        if (telnet_reply_unsettled(r))
                learn(r, pending(r), true); /* and telnet_reply_next() finds it where it stands */
}
