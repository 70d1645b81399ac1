/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/telnet-reply.h"
#include "unit/tap.h"

#define FIRST "net.opentsdb.tools 2.4.1 built at revision abc"
#define SECOND "Built on 2021/11/22 18:00:00 +0000"
#define BARE "InfluxDB TSDB proxy"

/* One letter for each thing said: A answer, R refused, T throttle, N no put, o other. In the input, '@'
 * stands for "a `version` goes out", '~' for "quiet for a while", '|' for the end of a segment. An answer
 * settles the question. */
static const struct {
        const char *name, *in, *want;
} cases[] = {
        { "nothing", "", "" },
        { "two lines", "@" FIRST "\n" SECOND "\n@" FIRST "\n" SECOND "\n", "AoAo" },
        { "carriage returns", "@" FIRST "\r\n" SECOND "\r\n@" FIRST "\r\n", "AoA" },
        { "second line late", "@" FIRST "\n@" SECOND "\n" FIRST "\n", "AoA" },
        { "in pieces", "@net.open|tsdb.tools|\n|Built|\n@net.opentsdb.t|ools\n", "AoA" },
        { "not asked", FIRST "\n@" FIRST "\n" FIRST "\n", "oAo" },
        { "newline comes late", "@" FIRST "~\n@" FIRST "\n", "AoAo" },
        { "bare", "@" BARE "~@" BARE "@" BARE, "AAA" },
        { "bare, glued", "@" BARE "~@" BARE BARE "@" BARE, "AAoA" },
        { "bare, in pieces", "@Influ|xDB~@Influ|xDB@InfluxDB", "AAA" },
        { "bare, cut when learned", "@Influ~|xDB@InfluxDB", "AA" },
        { "bare, then a complaint", "@" BARE "~put: no\n@" BARE "put: no\n", "ARAR" },
        { "bare, not asked", "@" BARE "~" BARE "@" BARE, "AoA" },
        { "complaints first", "put: invalid value: x\n@put: illegal argument: y\n" FIRST "\n", "RRA" },
        { "complaint in pieces", "@pu|t: illegal arg|ument\n", "R" },
        { "complaint not whole", "@put: illegal~", "" },
        { "may become one", "@pu~", "" },
        { "every prefix", "put: unknown metric: x\nput: HBase error: x\nput: Request timed out: x\n",
          "RTT" },
        { "a name the store does not know", "put: HBase error: No such name for 'metrics': 'x'\n", "R" },
        { "no such command", "unknown command: nothing\n", "R" },
        { "throttling", "put: Please throttle writes: 1\nput: Throttling exception: 2\n", "TT" },
        { "takes no points", "unknown command: put.  Try `help'.\n", "N" },
        { "version unknown", "@unknown command: version\n@unknown command: version\n", "AA" },
        { "trace behind a complaint",
          "@put: HBase error: x\n\tat org.hbase\n  at y\n" FIRST "\n@\tat z\n" FIRST "\n", "TooAoA" },
        { "white space is no answer", "@\n \n\t~" FIRST "\n", "ooo" },
        { "prefix of an answer", "@" FIRST "\n@net.opentsdb\n" FIRST " more\n" FIRST "\n", "AooA" },
};

static char letter(TelnetReplyType type) {
        static const char letters[] = {
                [TELNET_REPLY_ANSWER] = 'A', [TELNET_REPLY_REFUSED] = 'R', [TELNET_REPLY_THROTTLE] = 'T',
                [TELNET_REPLY_NO_PUT] = 'N', [TELNET_REPLY_OTHER] = 'o',
        };

        assert_true(type > TELNET_REPLY_NONE && (size_t) type < ELEMENTSOF(letters));
        return letters[type];
}

typedef struct Talk {
        TelnetReply reply;
        bool asked;
        char said[256];
        size_t n;
} Talk;

static void listen_to(Talk *t, Slice segment) {
        TelnetReplyType type;
        Slice line;
        size_t room;

        while (segment.n > 0) {
                char *p = telnet_reply_space(&t->reply, &room);
                size_t n = MIN(room, segment.n);

                memcpy(p, segment.p, n);
                telnet_reply_received(&t->reply, n);
                segment = (Slice) { segment.p + n, segment.n - n };

                while ((type = telnet_reply_next(&t->reply, t->asked, &line)) != TELNET_REPLY_NONE) {
                        assert_true(t->n < sizeof(t->said) - 1);
                        t->said[t->n++] = letter(type);
                        if (type == TELNET_REPLY_ANSWER)
                                t->asked = false;
                }
        }
}

static void settle(Talk *t) {
        Slice line;

        if (t->asked && telnet_reply_unsettled(&t->reply)) {
                telnet_reply_settle(&t->reply);
                assert_int_equal(telnet_reply_next(&t->reply, t->asked, &line), TELNET_REPLY_ANSWER);
                t->said[t->n++] = 'A';
                t->asked = false;
        }
}

/* Talks `in` through; `piece`: the bytes of a segment at most. */
static void talk(Talk *t, const char *in, size_t piece) {
        while (*in) {
                size_t n = strcspn(in, "@~|");

                for (size_t i = 0; i < n; i += piece)
                        listen_to(t, guarded_slice((Slice) { in + i, MIN(piece, n - i) }));
                in += n;
                if (*in == '@')
                        t->asked = true;
                if (*in == '~')
                        settle(t);
                in += *in != '\0';
        }
}

static void test_cases(void **state _unused_) {
        static const size_t pieces[] = { SIZE_MAX / 2, 1, 7 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t j = 0; j < ELEMENTSOF(pieces); j++) {
                        Talk t = {};

                        talk(&t, cases[i].in, pieces[j]);
                        if (strcmp(t.said, cases[i].want) != 0)
                                fail_msg("%s: %s, not %s", cases[i].name, t.said, cases[i].want);
                }
}

/* Lines beyond any bound are cut, judged by their beginning and skipped to their end. */
static void test_long_lines(void **state _unused_) {
        static const size_t lengths[] = { TELNET_REPLY_MAX - 1, TELNET_REPLY_MAX, TELNET_REPLY_MAX + 1,
                                          10 * TELNET_REPLY_MAX };

        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                Talk t = { .asked = true };
                char *text = malloc(lengths[i] + 1);

                assert_non_null(text);
                memset(text, 'x', lengths[i]);
                memcpy(text, "put: ", 5);
                text[lengths[i]] = '\n';
                listen_to(&t, (Slice) { text, lengths[i] + 1 });
                listen_to(&t, SLICE(FIRST "\n"));
                assert_string_equal(t.said, "RA");
                free(text);
        }
}

/* An answer is compared up to a bound, and a long one is an answer like any other. */
static void test_long_answer(void **state _unused_) {
        char text[2 * TELNET_ANSWER_MAX];
        Talk t = { .asked = true };

        memset(text, 'v', sizeof(text));
        text[sizeof(text) - 1] = '\n';
        listen_to(&t, (Slice) { text, sizeof(text) });
        t.asked = true;
        listen_to(&t, (Slice) { text, sizeof(text) });
        assert_string_equal(t.said, "AA");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_long_lines),
                cmocka_unit_test(test_long_answer),
        };

        return run_tap(tests);
}
