/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What makes a program a collector: a table of the files it reads and what it makes of them, options of its
 * own, and COLLECTOR_MAIN(). The rest is here: the command line, the clock, complaints, the exit status.
 *
 * A collector runs rounds, one every interval on an absolute clock, for ever; in a round each part reads its
 * file below the root folder and emits what it finds, all with one time. A part that fails does not keep the
 * others from reporting. With --once, or where $TCOLLECTOR_INTERVAL is above 0 (the agent runs it
 * periodically), there is one round.
 *
 * --root DIR reads from DIR in place of "/", and given again, the next round reads from the next folder.
 * --time SEC is the time of the first round, and each later one is an interval behind. Together they make
 * the output a function of files, which is how the golden tests run a collector.
 *
 * Exit status: 0 done; 1 failed; 2 wrong usage; 13 nothing to report on this host. A reader that goes away
 * (EPIPE) ends it without a word. */

#include "basic/buffer.h"
#include "lib/emit.h"

#define COLLECTOR_WRONG_USAGE 2
#define COLLECTOR_NOT_HERE 13

typedef struct Round {
        Emit *out;
        int root_fd;    /* "/", or the folder of --root; borrowed */
        bool fake_root; /* --root was given */
        Buffer *file;   /* what round_read() read last */
        void *state;    /* the collector's own, zero-initialised at first */
} Round;

typedef struct CollectorPart {
        const char *path; /* of what it reads, without a leading '/': complaints name it */
        unsigned every;   /* it runs in each such round, the first included; 0 is 1 */
        /* 0; -ENOENT: this host has no such thing; -EBADMSG: some or all of it makes no sense and was left
         * out; or another -errno. The first of a kind is a line on standard error. */
        int (*collect)(const Round *round);
} CollectorPart;

typedef struct CollectorOption {
        const char *name;  /* without the dashes */
        const char *value; /* what --help calls its value; NULL: it has none */
        const char *help;
        /* -EINVAL: not such a value. `value` outlives the state. */
        int (*set)(void *state, const char *value);
} CollectorOption;

typedef struct CollectorSpec {
        const char *name;
        const char *summary; /* one line of --help */
        unsigned interval_sec;
        const CollectorPart *parts;
        size_t n_parts; /* at most COLLECTOR_PARTS_MAX */
        const CollectorOption *options;
        size_t n_options; /* at most COLLECTOR_OPTIONS_MAX */
        size_t state_size;
        void (*done)(void *state); /* frees what the state holds; may be NULL */
} CollectorSpec;

#define COLLECTOR_PARTS_MAX 16
#define COLLECTOR_OPTIONS_MAX 8

/* Reads a file below the root whole. *ret is borrowed until the next call. -errno of open(2) or read(2);
 * -EFBIG. */
int round_read(const Round *round, const char *path, Slice *ret);

/* The same for a small file, into `buf`, at most `size` bytes; white space at either end is gone. */
int round_read_small(const Round *round, const char *path, char *buf, size_t size, Slice *ret);

/* The same for a file of one number; -EBADMSG: that is not what is in it. */
int round_read_number(const Round *round, const char *path, uint64_t *ret);

bool round_has(const Round *round, const char *path); /* is there such a file or folder? */

/* When the next round is due: the first whole multiple of `interval` from `begin` on that is after `now`. A
 * round that took longer than the interval costs the ones it overran, and the rest keep their times. */
usec_t round_next(usec_t begin, usec_t interval, usec_t now);

/* The exit status. */
int collector_run(const CollectorSpec *spec, int argc, char **argv);

#define COLLECTOR_MAIN(spec)                               \
        int main(int argc, char **argv) {                  \
                return collector_run(&(spec), argc, argv); \
        }                                                  \
        struct _collector_main_needs_a_semicolon_
