/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What bringing a line in costs, beside a plain read(64 KiB) loop over the same pipe: the processor time
 * of the reading process per line (user and system), and how often it woke. A child writes, in large
 * writes or a line at a time, as fast as it can or at a given rate; nothing is done with the lines. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "io/source.h"

#define LINE "proc.stat.cpu.guest 1700000000 1234567 cpu=12 type=user mode=nice.3\n"
#define LINE_BYTES (sizeof(LINE) - 1)
#define READ_BYTES (64u * 1024)
#define N_ROUNDS 3u

typedef struct Bench {
        const char *name;
        unsigned n_lines;
        size_t lines_per_write;
        usec_t every; /* microseconds from write to write; 0: at once */
} Bench;

typedef struct Result {
        double cpu, wall; /* nanoseconds per line */
        long wakeups;
} Result;

typedef struct Sink {
        sd_event *event;
        size_t n;
} Sink;

typedef int (*Reader)(int fd, size_t *ret_bytes);

static usec_t cpu_usec(void) {
        struct rusage u;

        (void) getrusage(RUSAGE_SELF, &u);
        return (usec_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC +
               (usec_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static long waits(void) {
        struct rusage u;

        (void) getrusage(RUSAGE_SELF, &u);
        return u.ru_nvcsw;
}

static void write_lines(const Bench *b, int fd) {
        static char block[1024 * LINE_BYTES];
        usec_t at = clock_usec(CLOCK_MONOTONIC), now;

        for (size_t i = 0; i < b->lines_per_write; i++)
                memcpy(block + i * LINE_BYTES, LINE, LINE_BYTES);

        for (size_t i = 0; i < b->n_lines; i += b->lines_per_write) {
                if (fd_write_all(fd, (Slice) { block, b->lines_per_write * LINE_BYTES }) < 0)
                        return;

                at += b->every;
                now = clock_usec(CLOCK_MONOTONIC);
                if (b->every > 0 && at > now)
                        (void) usleep((useconds_t) (at - now));
        }
}

static int read_plainly(int fd, size_t *ret_bytes) {
        static char block[READ_BYTES];

        for (;;) {
                ssize_t n = read(fd, block, sizeof(block));

                if (n <= 0) {
                        (void) close(fd);
                        return n < 0 ? -errno : 0;
                }
                *ret_bytes += (size_t) n;
        }
}

static size_t on_lines(void *userdata, Slice lines) {
        Sink *sink = userdata;

        sink->n += lines.n;
        return lines.n;
}

static void on_too_long(void *userdata _unused_, Slice beginning _unused_) {
        abort();
}

static void on_end(void *userdata, Slice rest _unused_) {
        Sink *sink = userdata;

        (void) sd_event_exit(sink->event, 0);
}

static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long, .end = on_end };

static int read_as_source(int fd, size_t *ret_bytes) {
        Sink sink = {};
        SourceHub *hub = NULL;
        Source *source = NULL;
        int r;

        r = sd_event_new(&sink.event);
        if (r >= 0)
                r = source_hub_new(&hub, sink.event);
        if (r >= 0)
                r = source_new(&source, hub, fd, SOURCE_PIPE, "bench", &ops, &sink);
        if (r >= 0)
                r = sd_event_loop(sink.event);

        source_free(source);
        source_hub_free(hub);
        sd_event_unref(sink.event);
        *ret_bytes = sink.n;
        return r;
}

static int run(const Bench *b, Reader reader, Result *best) {
        size_t bytes = 0;
        usec_t wall, cpu;
        long wakeups;
        int fds[2], r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETPIPE_SZ, 1024 * 1024) < 0)
                return -errno;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void) close(fds[0]);
                write_lines(b, fds[1]);
                _exit(EXIT_SUCCESS);
        }

        (void) close(fds[1]);
        wall = clock_usec(CLOCK_MONOTONIC);
        cpu = cpu_usec();
        wakeups = waits();
        r = reader(fds[0], &bytes);
        cpu = cpu_usec() - cpu;
        wall = clock_usec(CLOCK_MONOTONIC) - wall;
        *best = (Result) { MIN(best->cpu, (double) cpu * 1000 / b->n_lines),
                           MIN(best->wall, (double) wall * 1000 / b->n_lines),
                           MIN(best->wakeups, waits() - wakeups) };
        (void) waitpid(pid, NULL, 0);

        return r < 0 ? r : bytes == b->n_lines * LINE_BYTES ? 0 : -EIO;
}

int main(void) {
        static const Bench benches[] = {
                { "64 KiB writes", 4000 * 963, 963, 0 },
                { "line by line, flat out", 1000000, 1, 0 },
                { "line by line, 20,000/s", 20000, 1, 50 },
        };

        for (size_t i = 0; i < ELEMENTSOF(benches); i++) {
                const Bench *b = benches + i;
                Result plain = { 1e9, 1e9, 1000000000 }, source = plain;

                for (unsigned round = 0; round < N_ROUNDS; round++)
                        if (run(b, read_plainly, &plain) < 0 || run(b, read_as_source, &source) < 0)
                                return EXIT_FAILURE;

                printf("%-23s source %6.1f ns CPU/line (%7.1f wall, %6ld waits), "
                       "plain read %6.1f (%7.1f, %6ld)\n",
                       b->name, source.cpu, source.wall, source.wakeups, plain.cpu, plain.wall,
                       plain.wakeups);
        }

        return EXIT_SUCCESS;
}
