/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"
#include "lib/arguments.h"
#include "lib/collector.h"

#define FILE_MAX (32u * 1024 * 1024) /* /proc/interrupts of the largest machines has a few MiB */
#define KEEP_MAX (64u * 1024)        /* what of a buffer may stay allocated between rounds */

typedef struct Runner {
        const CollectorSpec *spec;
        Arguments arguments;
        Emit *out;
        Buffer file;
        void *state;
        int last[COLLECTOR_PARTS_MAX]; /* what each part returned when it ran last */
} Runner;

int round_read(const Round *round, const char *path, Slice *ret) {
        int r;

        round->file->n = 0;
        r = file_read_at(round->root_fd, path, FILE_MAX, round->file);
        if (r < 0)
                return r;

        *ret = buffer_slice(round->file);
        return 0;
}

int round_read_small(const Round *round, const char *path, char *buf, size_t size, Slice *ret) {
        _cleanup_(close_fdp) int fd = openat(round->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buf, size);
        if (n < 0)
                return -errno;

        *ret = slice_strip((Slice) { buf, (size_t) n });
        return 0;
}

int round_read_number(const Round *round, const char *path, uint64_t *ret) {
        char buf[64];
        Slice text;
        int r;

        r = round_read_small(round, path, buf, sizeof(buf), &text);
        if (r < 0)
                return r;

        return slice_to_uint64(text, ret) ? 0 : -EBADMSG;
}

bool round_has(const Round *round, const char *path) {
        return faccessat(round->root_fd, path, F_OK, AT_EACCESS) == 0;
}

static void on_log(void *userdata, int level _unused_, const char *line) {
        const CollectorSpec *spec = userdata;

        (void) dprintf(STDERR_FILENO, "%s: %s\n", spec->name, line);
}

/* Each kind of failure of a part once, until it is another. */
static void complain(const Runner *u, size_t part, int error) {
        const char *path = u->spec->parts[part].path;

        if (error == -EBADMSG)
                log_warning("/%s has lines that make no sense; they were left out.", path);
        else if (error < 0 && error != -ENOENT)
                (void) log_warning_errno(error, "Failed to read /%s: %m", path);
}

/* The first round had nothing to say: why, and is that a failure? */
static int nothing_here(const Runner *u) {
        for (size_t i = 0; i < u->spec->n_parts; i++)
                if (u->last[i] < 0 && u->last[i] != -ENOENT) {
                        complain(u, i, u->last[i]);
                        return EXIT_FAILURE;
                }

        log_notice("Nothing to report on this host: /%s %s.", u->spec->parts[0].path,
                   u->last[0] < 0 ? "does not exist" : "has nothing of the kind");
        return COLLECTOR_NOT_HERE;
}

/* 0: done; -errno: nobody takes the lines any more; or the exit status of a collector that has no business
 * here. */
static int run_round(Runner *u, uint64_t number, int root_fd) {
        Round round = {
                .out = u->out,
                .root_fd = root_fd,
                .fake_root = u->arguments.n_roots > 0,
                .file = &u->file,
                .state = u->state,
        };
        int r[COLLECTOR_PARTS_MAX];

        for (size_t i = 0; i < u->spec->n_parts; i++) {
                unsigned every = MAX(u->spec->parts[i].every, 1u);

                r[i] = number % every == 0 ? u->spec->parts[i].collect(&round) : u->last[i];
        }
        if (u->file.allocated > KEEP_MAX)
                buffer_done(&u->file);

        for (size_t i = 0; i < u->spec->n_parts; i++) {
                if (u->out->n_lines > 0 && r[i] != u->last[i])
                        complain(u, i, r[i]);
                u->last[i] = r[i];
        }
        if (u->out->n_lines == 0)
                return nothing_here(u);

        return emit_flush(u->out);
}

usec_t round_next(usec_t begin, usec_t interval, usec_t now) {
        return begin + ((now - begin) / interval + 1) * interval;
}

static void wait_until(usec_t when) {
        struct timespec ts = { (time_t) (when / USEC_PER_SEC),
                               (long) (when % USEC_PER_SEC * NSEC_PER_USEC) };

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
                ;
}

static int open_root(const Arguments *a, uint64_t number) {
        const char *path = a->n_roots > 0 ? a->roots[MIN(number, (uint64_t) a->n_roots - 1)] : "/";
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? log_error_errno(errno, "Failed to open the folder %s: %m", path) : fd;
}

/* As run_round(), for all of them. */
static int run_rounds(Runner *u) {
        const Arguments *a = &u->arguments;
        usec_t begin = clock_usec(CLOCK_MONOTONIC);

        for (uint64_t i = 0;; i++) {
                _cleanup_(close_fdp) int root_fd = open_root(a, i);
                int r;

                if (root_fd < 0)
                        return EXIT_FAILURE;

                u->out->time_sec = a->time_given ? a->time_sec + i * (a->interval / USEC_PER_SEC) :
                                                   clock_usec(CLOCK_REALTIME) / USEC_PER_SEC;
                r = run_round(u, i, root_fd);
                if (r != 0)
                        return r;
                if (!a->once)
                        wait_until(round_next(begin, a->interval, clock_usec(CLOCK_MONOTONIC)));
                else if (i + 1 >= a->n_roots)
                        return 0;
        }
}

static int exit_status(int r) {
        if (r >= 0)
                return r;
        if (r == -EPIPE)
                return EXIT_SUCCESS;

        (void) log_error_errno(r, "Failed to write: %m");
        return EXIT_FAILURE;
}

static int runner_main(Runner *u, int argc, char **argv) {
        int r;

        u->out = calloc(1, sizeof(*u->out));
        u->state = calloc(1, MAX(u->spec->state_size, (size_t) 1));
        if (!u->out || !u->state) {
                (void) log_oom();
                return EXIT_FAILURE;
        }

        u->out->fd = STDOUT_FILENO;
        r = arguments_parse(u->spec, argc, argv, u->state, &u->arguments);
        if (r < 0)
                return r == -EINVAL ? COLLECTOR_WRONG_USAGE : EXIT_FAILURE;
        if (r > 0)
                return EXIT_SUCCESS;

        return exit_status(run_rounds(u));
}

int collector_run(const CollectorSpec *spec, int argc, char **argv) {
        Runner u = { .spec = spec };
        int status;

        assert(spec->n_parts > 0 && spec->n_parts <= COLLECTOR_PARTS_MAX);

        log_set_sink(on_log, (void *) spec);
        /* So that a large buffer goes back to the kernel when it is freed. */
        (void) mallopt(M_MMAP_THRESHOLD, KEEP_MAX);

        status = runner_main(&u, argc, argv);

        if (spec->done && u.state)
                spec->done(u.state);
        arguments_done(&u.arguments);
        buffer_done(&u.file);
        free(u.state);
        free(u.out);
        return status;
}
