/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What dedup costs at several numbers of series, best of five rounds: nanoseconds to hash a key, to add a
 * series, to check a line that repeats its series' value and one that changes it, with keys prefetched so
 * many lines ahead; beside plain reads of one cache line per lookup over as many bytes, the machine's limit.
 * And bytes per series, as dedup counts them and as the process grew, and what an eviction leaves of them.
 */

#include <fcntl.h>
#include <stdio.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "store/dedup.h"

#define N_ROUNDS 5u
#define N_LINES 2000000u /* in a round, but whole turns of all series */
#define LINE_SIZE 64u    /* of the cache */
#define BEGIN_MS INT64_C(1700000000000)
#define STEP_MS 15000

typedef struct Bench {
        Dedup *dedup;
        DedupKey *keys; /* in the order in which the lines come */
        size_t n;
        char *area; /* as many bytes as dedup holds */
        size_t n_area;
        int64_t now_ms;
        size_t ahead; /* 0: no prefetching */
        volatile uint64_t sum;
} Bench;

typedef void (*Turn)(Bench *b); /* one line, or what is compared with it, for each series */

static double nsec_each(usec_t begin, size_t n) {
        return (double) (clock_usec(CLOCK_MONOTONIC) - begin) * 1000 / (double) n;
}

static double best(Bench *b, Turn turn) {
        size_t n_turns = MAX(N_LINES / b->n, (size_t) 1);
        double least = 1e9;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                usec_t begin = clock_usec(CLOCK_MONOTONIC);
                double each;

                for (size_t k = 0; k < n_turns; k++)
                        turn(b);

                each = nsec_each(begin, n_turns * b->n);
                least = MIN(least, each);
        }

        return least;
}

static Point make_point(size_t i, char text[static 128]) {
        int m = snprintf(text, 64, "proc.net.bytes.%zu", i % 50);
        int t = snprintf(text + 64, 64, "iface=eth%zu direction=in container=c%zu", i % 4, i);

        return (Point) { .metric = { text, (size_t) m }, .tags = { text + 64, (size_t) t } };
}

static void check_all(Bench *b, Slice value) {
        Point p = { .when = SLICE("1700000015"), .value = value, .time_ms = b->now_ms += STEP_MS };
        DedupLast last;

        for (size_t i = 0; i < b->n; i++) {
                if (b->ahead > 0 && i + b->ahead < b->n)
                        dedup_prefetch(b->dedup, b->keys[i + b->ahead]);

                b->sum += dedup_check(b->dedup, b->keys[i], &p, &last);
        }
}

static void turn_repeat(Bench *b) {
        check_all(b, SLICE("123456.25"));
}

static void turn_change(Bench *b) {
        check_all(b, b->now_ms / STEP_MS % 2 ? SLICE("123457.25") : SLICE("99999"));
}

static void turn_key(Bench *b) {
        char text[128];
        Point p = make_point(b->n - 1, text);

        for (size_t i = 0; i < b->n; i++)
                b->sum += dedup_key(b->dedup, &p).low;
}

static void turn_read(Bench *b) {
        uint64_t n_lines = b->n_area / LINE_SIZE;

        for (size_t i = 0; i < b->n; i++)
                b->sum += (uint8_t) b->area[((b->keys[i].low >> 32) * n_lines >> 32) * LINE_SIZE];
}

static size_t resident(void) {
        _cleanup_(buffer_done) Buffer b = {};
        unsigned long pages;

        if (file_read_at(AT_FDCWD, "/proc/self/statm", 4096, &b) < 0 ||
            sscanf(b.data, "%*u %lu", &pages) != 1)
                abort();

        return pages * (size_t) sysconf(_SC_PAGESIZE);
}

static void print_speed(Bench *b) {
        b->n_area = dedup_memory(b->dedup);
        b->area = aligned_alloc(LINE_SIZE, (b->n_area + LINE_SIZE - 1) / LINE_SIZE * LINE_SIZE);
        if (!b->area)
                abort();

        memset(b->area, 1, b->n_area);
        printf("  plain read %.1f ns, key %.1f ns\n", best(b, turn_read), best(b, turn_key));
        free(b->area);

        for (b->ahead = 0; b->ahead <= 32; b->ahead += 16) {
                double repeat = best(b, turn_repeat), change = best(b, turn_change);

                printf("  %2zu ahead: repeat %.1f ns, change %.1f ns\n", b->ahead, repeat, change);
        }
}

/* Nine of ten series go. */
static void print_evict(Bench *b) {
        Point p = { .when = SLICE("1700000015"), .value = SLICE("5"), .time_ms = b->now_ms += STEP_MS };
        DedupLast last;
        usec_t begin;
        size_t n;

        for (size_t i = 0; i < b->n; i += 10)
                b->sum += dedup_check(b->dedup, b->keys[i], &p, &last);

        begin = clock_usec(CLOCK_MONOTONIC);
        n = dedup_evict(b->dedup, p.time_ms);
        printf("  evict %zu: %.1f ns each, leaves %.1f bytes/series", n, nsec_each(begin, n),
               (double) dedup_memory(b->dedup) / (double) dedup_n_series(b->dedup));
}

static void bench(size_t n) {
        Bench b = { .n = n, .keys = calloc(n, sizeof(DedupKey)), .now_ms = BEGIN_MS };
        DedupLimits limits = { .interval_ms = INT64_MAX, .max_series = SIZE_MAX };
        double add, counted, grown;
        size_t before;
        usec_t begin;

        if (!b.keys || dedup_new(&b.dedup, &limits, 42) < 0)
                abort();
        for (size_t i = 0; i < n; i++) {
                char text[128];
                Point p = make_point(i, text);

                b.keys[i] = dedup_key(b.dedup, &p);
        }

        before = resident();
        begin = clock_usec(CLOCK_MONOTONIC);
        turn_repeat(&b);
        add = nsec_each(begin, n);
        counted = (double) dedup_memory(b.dedup) / (double) n;
        grown = (double) (resident() - before) / (double) n;
        printf("%zu series: %.1f bytes/series counted, %.1f resident, add %.1f ns\n", n, counted, grown,
               add);
        print_speed(&b);
        print_evict(&b);

        grown = (double) resident() - (double) before;
        printf(", %.1f MB resident", grown / 1e6);
        (void) dedup_free(b.dedup);
        grown = (double) resident() - (double) before;
        printf(", freed %.1f\n", grown / 1e6);
        free(b.keys);
}

int main(void) {
        bench(200);
        bench(100000);
        bench(1000000);
        return EXIT_SUCCESS;
}
