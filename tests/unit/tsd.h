/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A time series database as a test wants it: a listening socket on the loopback, served by the test's own
 * event loop, that answers, complains, hangs and dies by the book.
 *
 * Lines are numbered from 0 and all have the same length, so that the server can tell whether each that
 * comes is whole, and whether one before it is missing. Where they are of many series (line `n` is of series
 * n % TSD_SERIES) a server need not get all, but those of a series in order. */

#include <systemd/sd-event.h>

#include "basic/slice.h"

#define TSD_LINE_N 48u /* "put test.metric 1700000000 000000000 host=tester\n" without its newline */
#define TSD_LINES_MAX 1000000u
#define TSD_LINKS_MAX 8u
#define TSD_THROTTLED_MAX 3000u
#define TSD_SERIES 50u

typedef enum TsdAnswer {
        TSD_TWO_LINES, /* as OpenTSDB does */
        TSD_STRAY,     /* the second line comes when more has come, a turn before that is read */
        TSD_DRIBBLE,   /* a byte at a time */
        TSD_BARE,      /* as InfluxDB does: no newline */
        TSD_UNKNOWN,   /* "unknown command: version", the point commands being known */
        TSD_MUTE,      /* as VictoriaMetrics does */
        TSD_VARYING,   /* another text each time */
} TsdAnswer;

typedef struct Tsd Tsd;

typedef struct TsdRules {
        TsdAnswer answer;
        bool v6;
        bool deaf;   /* accepts and never reads */
        bool series; /* lines are tsd_series_line()'s, and some go elsewhere */
        bool narrow; /* takes little at a time, so that the other side's writes are cut short */
        /* What is said to line `n`, with its newline; NULL: nothing, and the line is taken. */
        const char *(*judge)(Tsd *t, unsigned n);
} TsdRules;

typedef struct TsdLink {
        int fd;
        sd_event_source *io;
        Tsd *tsd;
        char data[64 * 1024];
        size_t n;
        bool begun;                /* its first line was a put */
        unsigned last[TSD_SERIES]; /* number of the last line of each series, and 1 */
        unsigned n_versions;
        bool owes;      /* the second line */
        char late[256]; /* said a byte per turn */
        size_t n_late;
        sd_event_source *dribble;
} TsdLink;

struct Tsd {
        sd_event *event;
        TsdRules rules;
        int fd;
        uint16_t port;
        sd_event_source *listener, *restart;
        TsdLink *links[TSD_LINKS_MAX];
        char url[64];

        uint8_t *taken;                         /* by number: has it been? */
        uint8_t n_throttled[TSD_THROTTLED_MAX]; /* by number: for the judge's own use */
        unsigned arrived;                       /* all lines before this number have come */
        unsigned proven;                        /* the same, when `version` was answered last */
        uint64_t n_taken, n_again, n_versions, n_accepted;
        uint64_t lifetime; /* bytes until the next death; 0: for ever */
        uint64_t seed;     /* of the next lifetimes; 0: none */
        bool reset;        /* the next death is an RST, not a FIN */
};

void tsd_line(char line[static TSD_LINE_N + 1], unsigned n); /* with its newline, no NUL */
void tsd_series_line(char line[static TSD_LINE_N + 1], unsigned n);

void tsd_open(Tsd *t, sd_event *event, const TsdRules *rules);
void tsd_done(Tsd *t);

/* The process dies: connections end, with an RST or a FIN, and nobody listens. It comes back on the same
 * port. */
void tsd_kill(Tsd *t, bool reset);
void tsd_restart(Tsd *t);

void tsd_answer(Tsd *t); /* what is due, now, on every connection */

uint64_t tsd_random(uint64_t *seed);
