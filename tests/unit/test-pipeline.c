/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines in, queue out: what of it is sent, suppressed and refused, and what the counters say. */

#include <stdio.h>
#include <stdlib.h>

#include "agent/pipeline.h"
#include "basic/buffer.h"
#include "basic/log.h"
#include "unit/tap.h"

typedef struct Fixture {
        PointRules *rules;
        Ring *ring;
        Lane *lane;
} Fixture;

static void no_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static Fixture fixture_new(size_t ring_size, int64_t interval_ms) {
        AgentTag host = { .key = SLICE("host"), .value = SLICE("h") };
        Fixture f = {};

        assert_int_equal(point_rules_new(&f.rules, SLICE(""), &host, 1, 8, BAD_CHARS_REJECT), 0);
        assert_int_equal(ring_new(&f.ring, ring_size), 0);
        assert_int_equal(lane_new(&f.lane, "test", f.ring, f.rules,
                                  &(DedupLimits) { .interval_ms = interval_ms, .max_series = 100000 }),
                         0);
        return f;
}

static void fixture_done(Fixture *f) {
        assert_true(stats_adds_up(&f->lane->stats));
        lane_free(f->lane);
        ring_free(f->ring);
        point_rules_free(f->rules);
}

static const struct {
        const char *name, *lines, *queued;
        int64_t interval_ms;
        CollectorStats want; /* received, sent, replayed, suppressed, invalid, runs only */
} cases[] = {
        { "the example of SPEC.md section 3",
          "m 1700000000 5\nm 1700000015 5\nm 1700000030 5\nm 1700000045 7\nm 1700000060 7\nm 1700000360 7\n"
          "m 1700000375 8\n",
          "put m 1700000000 5 host=h\nput m 1700000030 5 host=h\nput m 1700000045 7 host=h\n"
          "put m 1700000360 7 host=h\nput m 1700000375 8 host=h\n",
          300000,
          { .received = 7, .sent = 5, .replayed = 1, .suppressed = 3 } },
        { "dedup off: order does not matter either",
          "m 1700000000 5\nm 1700000000 5\nm 1600000000 5\n",
          "put m 1700000000 5 host=h\nput m 1700000000 5 host=h\nput m 1600000000 5 host=h\n",
          0,
          { .received = 3, .sent = 3 } },
        { "marks, empty lines, faults between good lines",
          "\x18\nm 1700000000 5 a=b\n\n  \nm soon 5\nhalf a li\x18\n\xff 1700000000 5\n m  1700000001 +6 "
          "host=x \nm 1700000000 5 a=b\n",
          "put m 1700000000 5 a=b host=h\nput m 1700000001 6 host=x\n",
          300000,
          { .received = 6, .sent = 2, .invalid = 4, .runs = 1 } },
};

static void test_cases(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f = fixture_new(1 << 20, cases[i].interval_ms);
                Slice lines = guarded(cases[i].lines), queued;
                const CollectorStats *got = &f.lane->stats, *want = &cases[i].want;

                assert_int_equal(lane_lines(f.lane, lines), lines.n);
                queued = ring_peek(f.ring, 0);
                if (!slice_equal(queued, slice_from_string(cases[i].queued)))
                        fail_msg("%s: queued\n%.*s", cases[i].name, (int) queued.n, queued.p);
                if (got->received != want->received || got->sent != want->sent ||
                    got->replayed != want->replayed || got->suppressed != want->suppressed ||
                    got->invalid != want->invalid || got->runs != want->runs)
                        fail_msg("%s: wrong counters", cases[i].name);
                fixture_done(&f);
        }
}

/* With a full queue the lane takes what fits and no more, whichever line it is that does not fit, and
 * what comes of it in pieces is what comes of it at once. */
static void test_full(void **state _unused_) {
        _cleanup_(buffer_done) Buffer lines = {}, got = {};
        Fixture whole = fixture_new(16 << 20, 300000), piecewise = fixture_new(64 * 1024, 300000);
        Slice rest;

        for (unsigned i = 0; i < 20000; i++)
                assert_int_equal(
                        buffer_addf(&lines, "m.%u %u %u k=%u\n", i % 50, 1700000000 + i, i / 200, i % 3), 0);

        assert_int_equal(lane_lines(whole.lane, buffer_slice(&lines)), lines.n);
        for (rest = buffer_slice(&lines); rest.n > 0;) {
                size_t n = lane_lines(piecewise.lane, rest);
                Slice queued = ring_peek(piecewise.ring, 0);

                assert_true(n == 0 || rest.p[n - 1] == '\n');
                assert_true(n > 0 || queued.n > 0);
                assert_int_equal(buffer_add(&got, queued), 0);
                ring_sent(piecewise.ring, 0, queued.n);
                ring_ack(piecewise.ring, 0, ring_sent_at(piecewise.ring, 0));
                rest = (Slice) { rest.p + n, rest.n - n };
        }

        assert_true(slice_equal(buffer_slice(&got), ring_peek(whole.ring, 0)));
        assert_memory_equal(&piecewise.lane->stats, &whole.lane->stats, sizeof(CollectorStats));
        fixture_done(&whole);
        fixture_done(&piecewise);
}

static void test_fault(void **state _unused_) {
        Fixture f = fixture_new(1 << 16, 0);

        lane_fault(f.lane, VERDICT_TOO_LONG, SLICE("aaaa"));
        lane_fault(f.lane, VERDICT_UNFINISHED, SLICE("half"));
        assert_int_equal(f.lane->stats.received, 2);
        assert_int_equal(f.lane->stats.invalid, 2);
        assert_int_equal(f.lane->stats.verdicts[VERDICT_TOO_LONG], 1);
        assert_int_equal(f.lane->stats.verdicts[VERDICT_UNFINISHED], 1);
        fixture_done(&f);
}

typedef struct Seen {
        unsigned n;
        char last[512];
} Seen;

static void remember(void *userdata, int level _unused_, const char *line) {
        Seen *seen = userdata;

        seen->n++;
        (void) snprintf(seen->last, sizeof(seen->last), "%s", line);
}

static void test_log(void **state _unused_) {
        Fixture f = fixture_new(1 << 16, 300000);
        Seen seen = {};

        log_set_sink(remember, &seen);
        assert_true(lane_lines(f.lane, guarded("m 1700000000.5 1\nm 1700000000 2\n")) > 0);
        assert_string_equal(seen.last, "test: invalid line (out-of-order): its time 1700000000 is not after "
                                       "1700000000.500, which its series already has: m 1700000000 2");
        for (unsigned i = 0; i < 1000; i++)
                assert_true(lane_lines(f.lane, guarded("bad\x01line\n")) > 0);
        assert_string_equal(seen.last, "test: invalid line (bad-char): bad\\x01line");
        assert_true(seen.n <= 10);

        lane_log_counters(f.lane, LOG_INFO);
        assert_string_equal(seen.last,
                            "test: 1002 received = 1 sent - 0 replayed + 0 suppressed + 1001 invalid "
                            "(bad-char 1000, out-of-order 1)");
        log_set_sink(no_log, NULL);
        fixture_done(&f);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_fault),
                cmocka_unit_test(test_log),
        };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
