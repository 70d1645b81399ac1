/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A collector that leaves the processor to the agent: prints "NAME TIME N" with N = 1, 2, ... $POINTS, at
 * $RATE lines a second (0: as fast as they are taken), then waits for ever. NAME is what it is called as.
 * How many lines are written for sure stands in a file that outlives it, as with installed.NUMBERED, and a
 * process that takes its place goes on from there. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define START UINT64_C(1000000000)
#define BATCH UINT64_C(500)
#define LINE_MAX_BYTES 64u

static uint64_t number_of(const char *variable) {
        const char *text = getenv(variable);

        return text ? strtoull(text, NULL, 10) : 0;
}

/* The file's 8 bytes, shared with whoever reads it; NULL: it cannot be had. */
static volatile uint64_t *count_of(const char *name) {
        char path[256];
        void *p;
        int fd;

        (void) snprintf(path, sizeof(path), "/dev/shm/tcollector-test-%s", name);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, sizeof(uint64_t)) < 0)
                return NULL;

        p = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return p == MAP_FAILED ? NULL : p;
}

static int write_all(const char *p, size_t n) {
        while (n > 0) {
                ssize_t k = write(STDOUT_FILENO, p, n);

                if (k < 0 && errno != EINTR)
                        return -errno;
                p += k > 0 ? k : 0;
                n -= k > 0 ? (size_t) k : 0;
        }

        return 0;
}

static uint64_t nsec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* How many lines may be written by now, of those that are left; waits where none may. */
static uint64_t due(uint64_t written, uint64_t left, uint64_t rate, uint64_t began) {
        uint64_t n = BATCH;

        while (rate > 0) {
                uint64_t allowed = (nsec() - began) / 1000 * rate / 1000000;

                n = allowed > written ? allowed - written : 0;
                if (n > 0)
                        break;
                (void) usleep(2000);
        }
        n = n < BATCH ? n : BATCH;
        return n < left ? n : left;
}

int main(int argc, char **argv) {
        const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : "numbered";
        uint64_t points = number_of("POINTS"), rate = number_of("RATE"), began = nsec(), first;
        volatile uint64_t *count = count_of(name);
        static char text[BATCH * LINE_MAX_BYTES];

        if (!count || strlen(name) > 20)
                return 1;

        first = *count;
        while (*count < points) {
                uint64_t n = due(*count - first, points - *count, rate, began);
                size_t used = 0;

                for (uint64_t i = *count + 1; i <= *count + n; i++)
                        used += (size_t) snprintf(text + used, sizeof(text) - used,
                                                  "%s %" PRIu64 " %" PRIu64 "\n", name, START + i, i);
                if (write_all(text, used) < 0)
                        return 1;
                *count += n;
        }

        for (;;)
                (void) pause();
}
