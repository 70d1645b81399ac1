/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a time series database says on a telnet connection, told apart: complaints about points, and the
 * answer to `version`. Pure: bytes in, verdicts out.
 *
 * How an answer is known. One `version` is outstanding at a time, so an answer need not be matched to its
 * question, but it must be told from everything else that may come, late and in pieces: OpenTSDB answers in
 * two lines, of which the second may arrive after the first has been taken as proof and the next `version`
 * has gone out; InfluxDB answers 19 bytes without a newline, several glued together; complaints name a
 * prefix on their first line, but the messages in them may have more lines. Counting lines or bytes fails as
 * soon as one comes late. But within one connection a server answers `version` with the same text each time.
 * So the first answer's first line is learned, and from then on that text and nothing else is an answer: a
 * second line, or the rest of a complaint, is never equal to it, whenever it comes.
 *
 * The first answer is the first line that is no complaint and does not begin with white space. What has no
 * newline counts only when nothing follows it for a while (telnet_reply_settle(), the caller has the clock),
 * as any line comes in two pieces now and then; from then on that text counts wherever it stands, as nothing
 * shows where the next begins. `unknown command: version` is an answer too: it comes in its turn like any
 * other.
 *
 * Were the wrong line learned (the rest of a complaint that came before the first answer), that proof would
 * be early by the little the answer is behind it. The real answer would then never be recognised, and the
 * caller, hearing something but no answer, gives the connection up and learns anew on the next. */

#include "basic/slice.h"

#define TELNET_REPLY_MAX 4096u /* a line is cut there */
#define TELNET_ANSWER_MAX 256u /* as much of an answer is compared */

typedef enum TelnetReplyType {
        TELNET_REPLY_NONE,     /* nothing more for now */
        TELNET_REPLY_ANSWER,   /* to the `version` that is outstanding */
        TELNET_REPLY_REFUSED,  /* a point is lost */
        TELNET_REPLY_THROTTLE, /* a point is to be sent again, later; so are those the store did not take */
        TELNET_REPLY_NO_PUT,   /* this server takes no points at all */
        TELNET_REPLY_OTHER,    /* to be ignored: an answer's second line, a complaint's second line, ... */
} TelnetReplyType;

/* Zero-initialised it is ready. */
typedef struct TelnetReply {
        char data[TELNET_REPLY_MAX];
        size_t begin, end; /* what has been received and not looked at */
        char answer[TELNET_ANSWER_MAX];
        size_t n_answer; /* 0: not learned yet */
        bool without_newline;
        bool skipping; /* the rest of a line that was cut */
} TelnetReply;

/* Where the next bytes go, at least one; invalidates the slices handed out. Then say how many came. */
char *telnet_reply_space(TelnetReply *r, size_t *ret_n);
void telnet_reply_received(TelnetReply *r, size_t n);

/* The next thing that was said. `asked`: a `version` is outstanding. *ret_line is borrowed from `r`; it is
 * not written for TELNET_REPLY_NONE. */
TelnetReplyType telnet_reply_next(TelnetReply *r, bool asked, Slice *ret_line);

/* Does something without a newline stand here that may be a first answer? Then, if nothing follows it,
 * telnet_reply_settle() takes it for one. */
bool telnet_reply_unsettled(const TelnetReply *r);
void telnet_reply_settle(TelnetReply *r);
