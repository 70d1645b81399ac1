/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The memory after every single instruction (unit/ring-rig.h): what kill -9 would leave there. */

#include <stdio.h>

#include "unit/ring-rig.h"

#ifdef SLOW
#define SEEN_ENOUGH 1u
#else
#define SEEN_ENOUGH 2u
#endif

typedef enum Seen {
        SEEN_COMMIT,
        SEEN_ACK,
        SEEN_PENDING_DONE,
        SEEN_WRAP,    /* the base went up by the size */
        SEEN_RESTART, /* drained: at the first page again */
        SEEN_MOVE,    /* the lines moved to the first page */
        SEEN_AGAIN,   /* the same once more: the older copy was in the way */
        _SEEN_MAX,
} Seen;

static const char *const seen_table[] = {
        [SEEN_COMMIT] = "commit", [SEEN_ACK] = "ack",         [SEEN_PENDING_DONE] = "pending done",
        [SEEN_WRAP] = "wrap",     [SEEN_RESTART] = "restart", [SEEN_MOVE] = "move",
        [SEEN_AGAIN] = "again",
};
static_assert(ELEMENTSOF(seen_table) == _SEEN_MAX, "name every event");

static Seen classify(const RingState *a, const RingState *b) {
        if (b->head > a->head)
                return SEEN_COMMIT;
        if (b->base == a->base + RING_BYTES)
                return SEEN_WRAP;
        if (b->base != a->base)
                return b->base == b->head ? SEEN_RESTART : SEEN_MOVE;
        if (b->pending.n != a->pending.n)
                return SEEN_PENDING_DONE;
        for (unsigned i = 0; i < READERS; i++)
                if (b->readers[i].acked != a->readers[i].acked)
                        return SEEN_ACK;

        return SEEN_AGAIN;
}

/* Through one turn, looking after each instruction that has changed anything. Returns the instructions. */
static unsigned step_turn(Rig *rig, pid_t pid, unsigned seen_count[static _SEEN_MAX]) {
        bool stopped = false, base_moved = false;
        char when[64];
        unsigned n;

        rig_look(rig, "before the turn");
        for (n = 1; !stopped; n++) {
                RingState before = rig->newest;
                Seen seen;

                stopped = rig_go(rig, pid, PTRACE_SINGLESTEP);
                if (memcmp(rig->map, rig->image.data, rig->map_n) == 0 &&
                    memcmp(rig->log, &rig->image_log, sizeof(Log)) == 0)
                        continue;

                (void) snprintf(when, sizeof(when), "victim %ju, instruction %u of a turn",
                                (uintmax_t) rig->n_victims, n);
                rig_look(rig, when);
                if (rig->newest.sequence == before.sequence)
                        continue;

                seen = classify(&before, &rig->newest);
                if (seen != SEEN_AGAIN || !base_moved) /* a moved base is published twice */
                        seen_count[seen]++;
                base_moved = seen == SEEN_RESTART || seen == SEEN_MOVE;
        }

        return n;
}

/* Is a turn beginning here likely to show what has not been seen often enough? */
static bool is_promising(const Rig *rig, const unsigned seen[static _SEEN_MAX]) {
        const RingState *s = &((const RingHeader *) (const void *) rig->map)->states[0];
        uint64_t floor = ring_state_floor(s), offset = floor - s->base, queued = s->head - floor;
        const bool likely[] = {
                [SEEN_COMMIT] = true,
                [SEEN_ACK] = true,
                [SEEN_PENDING_DONE] = true,
                [SEEN_WRAP] = offset > RING_BYTES - 2 * LINE_MAX_BYTES,
                [SEEN_RESTART] = queued == 0 && offset != 0,
                [SEEN_MOVE] = offset > RING_BYTES / 4 && queued > 0 &&
                              queued<RING_BYTES / 8, [SEEN_AGAIN] = queued> RING_BYTES - 2 * LINE_MAX_BYTES,
        };

        for (size_t i = 0; i < _SEEN_MAX; i++)
                if (seen[i] < SEEN_ENOUGH && likely[i])
                        return true;

        return false;
}

/* What has been seen too seldom; _SEEN_MAX: nothing. */
static Seen missing(const unsigned seen[static _SEEN_MAX]) {
        Seen i = 0;

        while (i < _SEEN_MAX && seen[i] >= SEEN_ENOUGH)
                i++;

        return i;
}

static void test_every_instruction(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_make();
        unsigned seen[_SEEN_MAX] = {};
        uint64_t instructions;
        pid_t pid;

        pid = rig_fork_traced(&rig);
        instructions = step_turn(&rig, pid, seen); /* ring_open() */
        for (unsigned turn = 0; missing(seen) < _SEEN_MAX; turn++) {
                if (turn > 200000)
                        fail_msg("%s was seen too seldom", seen_table[missing(seen)]);
                if (is_promising(&rig, seen))
                        instructions += step_turn(&rig, pid, seen);
                else
                        assert_true(rig_go(&rig, pid, PTRACE_CONT));
        }
        rig_kill(&rig, pid);

        print_message("# %ju instructions, %u changes looked at, %u of them with the older copy too\n",
                      (uintmax_t) instructions, rig.looks, rig.older);
        assert_true(rig.older > rig.looks / 2 && rig.older < rig.looks);
        rig_finish(&rig);
}

/* -- scenes: how the ring stands before one more line is written -- */

typedef struct Act {
        char what;   /* 'w': write up to the position, 'a': acknowledge up to it, 'c': commit, 'o': open */
        unsigned at; /* KiB */
} Act;

static void write_until(Victim *v, uint64_t position) {
        while (ring_head(v->ring) + LINE_MAX_BYTES <= position)
                victim_write(v, 1);
}

static void play(Victim *v, const void *userdata) {
        v->burst = 8;
        for (const Act *a = userdata; a->what; a++) {
                uint64_t position = (uint64_t) a->at * 1024;

                if (a->what == 'w')
                        write_until(v, position);
                for (unsigned i = 0; a->what == 'a' && i < READERS; i++)
                        victim_ack(v, i, position - ring_acked_at(v->ring, i));
                if (a->what == 'c')
                        ring_commit(v->ring, NULL);
                if (a->what == 'o')
                        v->ring = ring_reopen(v->ring);
        }

        /* Then it writes, and does not read. */
        v->turn = 1;
        v->inclination = 100;
}

static void test_scenes(void **state _unused_) {
        static const struct {
                const char *name;
                Act acts[8];
                Seen want; /* of wrap, restart, move, again; SEEN_COMMIT: none of them */
        } cases[] = {
                { "short, and the first page is free", { { 'w', 20 }, { 'a', 17 }, { 'c', 0 } }, SEEN_MOVE },
                { "short, but the older copy claims the first page",
                  { { 'w', 20 }, { 'a', 17 } },
                  SEEN_COMMIT },
                { "short, but not far from the first page",
                  { { 'w', 14 }, { 'a', 12 }, { 'c', 0 } },
                  SEEN_COMMIT },
                { "too much to move", { { 'w', 40 }, { 'a', 20 }, { 'c', 0 } }, SEEN_COMMIT },
                { "short, but the older copy's claim runs over the end",
                  { { 'w', 64 }, { 'a', 50 }, { 'w', 72 }, { 'a', 60 }, { 'a', 66 } },
                  SEEN_COMMIT },
                { "short, but runs over the end",
                  { { 'w', 64 }, { 'a', 50 }, { 'w', 69 }, { 'a', 60 }, { 'a', 63 } },
                  SEEN_COMMIT },
                { "drained", { { 'w', 30 }, { 'a', 30 }, { 'c', 0 } }, SEEN_RESTART },
                { "drained, but for the older copy",
                  { { 'w', 30 }, { 'a', 10 }, { 'a', 30 } },
                  SEEN_RESTART },
                { "full, but for the newest copy", { { 'w', 64 }, { 'a', 5 } }, SEEN_AGAIN },
                { "the same, opened again", { { 'w', 64 }, { 'a', 5 }, { 'o', 0 } }, SEEN_COMMIT },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(rig_done) Rig rig = rig_make();
                unsigned seen[_SEEN_MAX] = {};
                pid_t pid;

                print_message("# %s\n", cases[i].name);
                rig.prepare = play;
                rig.userdata = cases[i].acts;
                pid = rig_fork_traced(&rig);
                assert_true(rig_go(&rig, pid, PTRACE_CONT));
                (void) step_turn(&rig, pid, seen);
                rig_kill(&rig, pid);

                for (Seen k = SEEN_WRAP; k < _SEEN_MAX; k++)
                        if ((seen[k] > 0) != (k == cases[i].want))
                                fail_msg("%s: %s seen %u times", cases[i].name, seen_table[k], seen[k]);
                assert_int_equal(seen[SEEN_COMMIT], 1);
                rig.prepare = NULL;
                rig_finish(&rig);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scenes),
                cmocka_unit_test(test_every_instruction),
        };

        return run_tap(tests);
}
