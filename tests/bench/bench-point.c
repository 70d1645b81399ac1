/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a line costs from its text to its finished form, next to a plain copy of the same bytes: CPU time,
 * best of five rounds. The lines are laid one behind the other, as they come out of a pipe. */

#include <inttypes.h>
#include <stdio.h>

#include "basic/clock.h"
#include "point/encode.h"

#define N_SERIES 200u
#define N_LINES 100000u
#define N_ROUNDS 5u
#define LINE_ROOM 128u

typedef struct Lines {
        char *text;
        size_t n;
        Slice lines[N_LINES];
} Lines;

/* Writes line number `i` of series `s` to `out`. */
typedef int (*WriteLine)(char *out, unsigned s, unsigned i);

static int write_plain(char *out, unsigned s, unsigned i) {
        return snprintf(out, LINE_ROOM, "proc.stat.cpu.%u %u %u cpu=%u type=user mode=guest_nice.%u", s % 10,
                        1700000000u + i / N_SERIES * 15, i * 2654435761u % 1000000, s, s % 7);
}

static int write_decimal(char *out, unsigned s, unsigned i) {
        return snprintf(out, LINE_ROOM, "proc.load.avg.%u %u %u.%02u cpu=%u type=user mode=guest_nice.%u",
                        s % 10, 1700000000u + i / N_SERIES * 15, i * 2654435761u % 10000, i % 100, s, s % 7);
}

static int write_untidy(char *out, unsigned s, unsigned i) {
        return snprintf(out, LINE_ROOM, "proc.stat.cpu.%u  %u %u  cpu=%u type=user mode=guest_nice.%u",
                        s % 10, 1700000000u + i / N_SERIES * 15, i * 2654435761u % 1000000, s, s % 7);
}

static int write_invalid(char *out, unsigned s, unsigned i) {
        return snprintf(out, LINE_ROOM, "proc.stat.cpu.%u %u %u cpu=%u type=us:er mode=guest_nice.%u",
                        s % 10, 1700000000u + i / N_SERIES * 15, i * 2654435761u % 1000000, s, s % 7);
}

static void lines_make(Lines *l, WriteLine write) {
        l->n = 0;
        for (unsigned i = 0; i < N_LINES; i++) {
                size_t n = (size_t) write(l->text + l->n, i % N_SERIES, i);

                l->lines[i] = (Slice) { l->text + l->n, n };
                l->n += n + 1;
        }
}

/* Parses and finishes every line; returns how many were valid. */
static size_t run(const PointRules *rules, const Lines *l, char *out, size_t room) {
        char scratch[POINT_LINE_MAX], *at = out;
        size_t n_valid = 0;
        Point p;

        for (size_t i = 0; i < N_LINES; i++) {
                if (point_parse(rules, l->lines[i], scratch, &p) != VERDICT_OK)
                        continue;
                if ((size_t) (at - out) + p.finished_n > room)
                        at = out;

                at = encode_telnet(rules, &p, at);
                n_valid++;
        }

        return n_valid;
}

static double ns_per_line(usec_t since) {
        return (double) (clock_usec(CLOCK_PROCESS_CPUTIME_ID) - since) * 1000 / N_LINES;
}

static void bench(const PointRules *rules, Lines *l, char *out, const char *name, WriteLine write) {
        double best = 1e9, best_copy = 1e9;
        size_t n_valid = 0, room = 1024 * 1024;

        lines_make(l, write);
        for (unsigned round = 0; round < N_ROUNDS; round++) {
                usec_t begin = clock_usec(CLOCK_PROCESS_CPUTIME_ID);

                n_valid = run(rules, l, out, room);
                best = MIN(best, ns_per_line(begin));

                begin = clock_usec(CLOCK_PROCESS_CPUTIME_ID);
                for (size_t i = 0; i < l->n; i += room)
                        memcpy(out, l->text + i, MIN(room, l->n - i));
                __asm__ volatile("" : : "r"(out) : "memory");
                best_copy = MIN(best_copy, ns_per_line(begin));
        }

        printf("%-8s %6.1f ns/line, memcpy %4.1f ns/line, %4.1f bytes/line, %zu of %u valid\n", name, best,
               best_copy, (double) l->n / N_LINES, n_valid, N_LINES);
}

int main(void) {
        AgentTag tags[] = { { .key = SLICE("host"), .value = SLICE("web01") } };
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        _cleanup_(freep) Lines *l = calloc(1, sizeof(*l));
        _cleanup_(freep) char *text = malloc(N_LINES * LINE_ROOM), *out = malloc(2 * 1024 * 1024);

        if (!l || !text || !out ||
            point_rules_new(&rules, (Slice) {}, tags, ELEMENTSOF(tags), 8, BAD_CHARS_REJECT) < 0)
                return EXIT_FAILURE;

        l->text = text;
        bench(rules, l, out, "plain", write_plain);
        bench(rules, l, out, "decimal", write_decimal);
        bench(rules, l, out, "untidy", write_untidy);
        bench(rules, l, out, "invalid", write_invalid);
        return EXIT_SUCCESS;
}
