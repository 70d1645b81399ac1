/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What dedup costs at several numbers of series, best of five rounds: nanoseconds to hash a key, to add a
 * series, to check a line that repeats its series' value and one that changes it, with keys prefetched so
 * many lines ahead; beside plain reads of one cache line per lookup over as many bytes, the machine's limit.
 * What it costs to save all of it and to load it again, beside a copy of as many bytes. And bytes per
 * series, as dedup counts them and as the process grew, and what an eviction leaves of them. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

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

static int copy_bytes(void *userdata, Slice bytes) {
        char **at = userdata;

        memcpy(*at, bytes.p, bytes.n);
        *at += bytes.n;
        return 0;
}

static double msec(usec_t begin) {
        return (double) (clock_usec(CLOCK_MONOTONIC) - begin) / 1000;
}

static void *map_new(size_t n) {
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                abort();

        return p;
}

/* To memory never touched before and back into a new dedup, as a restart does; a copy of as many bytes to
 * such memory beside it. */
static void print_save(const Bench *b) {
        const DedupLimits limits = { .interval_ms = INT64_MAX, .max_series = SIZE_MAX };
        double save = 1e9, load = 1e9, copy = 1e9;
        size_t room = b->n * 128 + 4096, n = 0;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                char *area = map_new(room), *end = area, *other;
                usec_t begin = clock_usec(CLOCK_MONOTONIC);
                Dedup *d;
                Slice from;

                if (dedup_save(b->dedup, copy_bytes, &end) < 0)
                        abort();
                save = MIN(save, msec(begin));
                n = (size_t) (end - area);

                other = map_new(n);
                begin = clock_usec(CLOCK_MONOTONIC);
                memcpy(other, area, n);
                copy = MIN(copy, msec(begin));
                (void) munmap(other, n);

                from = (Slice) { area, n };
                begin = clock_usec(CLOCK_MONOTONIC);
                if (dedup_load(&d, &limits, &from) < 0 || dedup_n_series(d) != b->n)
                        abort();
                load = MIN(load, msec(begin));
                (void) dedup_free(d);
                (void) munmap(area, room);
        }

        printf("  save %.2f ms, load %.2f ms, %.2f MB; memcpy of as many %.2f ms\n", save, load,
               (double) n / 1e6, copy);
}

/* Nothing is due, and then half of it: how long the longest of many calls takes. */
static void print_parts(Bench *b) {
        const size_t n_slots = 16384;

        for (unsigned half = 0; half < 2; half++) {
                Point p = { .when = SLICE("1700000015"),
                            .value = half ? SLICE("7") : SLICE("6"),
                            .time_ms = b->now_ms += STEP_MS };
                size_t cursor = 0, n = 0, n_calls = 0;
                usec_t longest = 0;
                DedupLast last;

                for (size_t i = 0; i < b->n; i += 1 + half)
                        b->sum += dedup_check(b->dedup, b->keys[i], &p, &last);
                do {
                        usec_t begin = clock_usec(CLOCK_MONOTONIC);

                        n += dedup_evict_some(b->dedup, p.time_ms, n_slots, &cursor);
                        longest = MAX(longest, clock_usec(CLOCK_MONOTONIC) - begin);
                        n_calls++;
                } while (cursor != 0);
                printf("  evict %zu, %zu slots a call: %zu calls, the longest %u us\n", n, n_slots, n_calls,
                       (unsigned) longest);
        }
        turn_repeat(b);
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
        print_save(&b);
        print_parts(&b);
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
