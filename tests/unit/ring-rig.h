/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* kill -9 and the ring: a victim and its rig.
 *
 * A victim writes numbered lines into a small ring and reads them itself, for two readers, in batches and
 * with cuts and rewinds as chance has it. What it takes for delivered it notes in a shared page before it
 * acknowledges it. It is killed, another one opens the same memfd and goes on. In the end every line has
 * arrived, whole and in order; some twice, none with a gap.
 *
 * Whenever the victim stands still, or is dead, rig_look() looks at the memory as a successor would find
 * it: once as it is, and once with the newest copy of the state damaged, so that the older one must be
 * true as well. */

#include <sys/ptrace.h>
#include <sys/types.h>

#include "unit/ring-tools.h"

#define RING_BYTES ((size_t) RING_SIZE_MIN)
#define READERS 2u
#define LINE_MAX_BYTES 1500u

/* The sanitizers take several times the instructions for the same work. */
#if defined(__SANITIZE_ADDRESS__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif

/* In shared memory: what the victims have said outlives them. */
typedef struct Log {
        uint64_t committed;          /* the last line whose commit has returned */
        uint64_t delivered[READERS]; /* the last line that arrived */
        uint64_t acked[READERS];     /* the position whose acknowledgement has returned */
        char error[200];
} Log;

typedef struct Random {
        uint64_t state;
} Random;

uint64_t draw(Random *r, uint64_t n); /* below n */

typedef struct Victim {
        Ring *ring;
        Log *log;
        Random random;
        uint64_t until; /* writes no more beyond this line, and ends when all have arrived; 0: never */
        uint64_t burst; /* lines it writes at a time, none cancelled; 0: as chance has it */
        unsigned turn;
        uint64_t inclination; /* to write rather than to read, in percent */
} Victim;

void victim_write(Victim *v, uint64_t n); /* up to `n` lines, one commit */
/* The whole lines among the next `n` bytes arrive, and are acknowledged. */
void victim_ack(Victim *v, unsigned reader, uint64_t n);

typedef struct Rig {
        int fd;
        const char *map; /* the memfd, to be read */
        size_t map_n;
        Log *log;
        Random random;
        uint64_t n_victims;
        uint64_t life_nsec; /* after which the kernel kills a victim; 0: never */
        void (*prepare)(Victim *v, const void *userdata); /* what a victim does first; may be NULL */
        const void *userdata;

        Buffer image; /* the memory when it was last looked at */
        Log image_log;
        RingState newest;      /* of it */
        unsigned looks, older; /* how often, and how often with the older copy */
} Rig;

Rig rig_make(void); /* a new ring and a log */
void rig_done(Rig *rig);

/* A victim that writes no more beyond line `until` and ends when all have arrived; 0: it never ends.
 * `stops`: it stops itself before it opens the ring and before each turn, for a tracer. */
pid_t rig_fork(Rig *rig, uint64_t until, bool stops);
pid_t rig_fork_traced(Rig *rig); /* one that stops, at its first stop */

/* Lets it go on, by one instruction (PTRACE_SINGLESTEP) or to its next stop (PTRACE_CONT). true: it has
 * stopped itself. */
bool rig_go(Rig *rig, pid_t pid, int request);

void rig_kill(Rig *rig, pid_t pid);
void rig_reap(Rig *rig, pid_t pid, bool killed); /* waits for its end, which must be that */
void rig_look(Rig *rig, const char *when);       /* as a successor would; fails the test, saying `when` */
void rig_finish(Rig *rig);                       /* a last one that is left alone brings everything home */
