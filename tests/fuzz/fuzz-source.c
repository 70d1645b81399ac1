/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A writer, a source and a queue that is full at times, as the input says: writes of any size, over-long
 * lines, turns of the loop and refusals in any order, through pipes of several sizes and a socket. In the
 * end the lines handed up, the over-long ones and the rest are what the simplest splitter finds in the
 * same bytes. */

#include <fcntl.h>
#include <sys/socket.h>

#include "basic/buffer.h"
#include "basic/file.h"
#include "fuzz/fuzz.h"
#include "io/source-internal.h"

#define WRITTEN_MAX (1024u * 1024)

typedef struct Fuzz {
        sd_event *event;
        SourceHub *hub;
        Source *source;
        int fd;      /* of the writer */
        size_t room; /* of the queue */
        Buffer written, lines, rest;
        unsigned n_too_long, n_ends;
        bool taking, skipping; /* until taken() */
} Fuzz;

static size_t on_lines(void *userdata, Slice lines) {
        Fuzz *f = userdata;
        size_t n = MIN(lines.n, f->room);
        const char *newline = n > 0 ? memrchr(lines.p, '\n', n) : NULL;

        check(!f->taking && !f->skipping);
        check(lines.n > 0 && lines.p[lines.n - 1] == '\n');
        n = newline ? (size_t) (newline + 1 - lines.p) : 0;
        f->room -= f->room == SIZE_MAX ? 0 : n;
        check(buffer_add(&f->lines, (Slice) { lines.p, n }) == 0);
        f->taking = n > 0;
        return n;
}

static void on_too_long(void *userdata, Slice beginning) {
        Fuzz *f = userdata;

        check(!f->taking && !f->skipping);
        check(beginning.n == POINT_RAW_MAX);
        f->n_too_long++;
        f->skipping = true;
}

static void on_taken(void *userdata) {
        Fuzz *f = userdata;

        check(f->taking != f->skipping && !source_is_discarding(f->source));
        f->taking = f->skipping = false;
}

static void on_end(void *userdata, Slice rest) {
        Fuzz *f = userdata;

        f->n_ends++;
        check(buffer_add(&f->rest, rest) == 0);
}

static const SourceOps ops = {
        .lines = on_lines,
        .too_long = on_too_long,
        .taken = on_taken,
        .end = on_end,
};

static void settle(Fuzz *f) {
        for (;;) {
                while (sd_event_run(f->event, 0) > 0)
                        ;
                if (TAILQ_EMPTY(&f->hub->lists[SOURCE_GATHERING]) && TAILQ_EMPTY(&f->hub->lists[SOURCE_DUE]))
                        return;
                source_hub_turn(f->hub, true);
        }
}

static void take_all(Fuzz *f) {
        f->room = SIZE_MAX;
        source_hub_resume(f->hub);
        settle(f);
}

static void write_bytes(Fuzz *f, Slice s) {
        s.n = MIN(s.n, WRITTEN_MAX - f->written.n);
        check(buffer_add(&f->written, s) == 0);

        while (s.n > 0) {
                ssize_t n = write(f->fd, s.p, s.n);

                if (n < 0) {
                        take_all(f);
                        n = write(f->fd, s.p, s.n); /* what is full must become free */
                }
                check(n > 0);
                s = (Slice) { s.p + n, s.n - (size_t) n };
        }
}

static void write_fill(Fuzz *f, size_t n) {
        static const char fill[POINT_RAW_MAX] = { [0 ... POINT_RAW_MAX - 1] = 'x' };

        write_bytes(f, (Slice) { fill, MIN(n, sizeof(fill)) });
}

/* What the kernel's quota does to those without privileges. */
static void shrink(Fuzz *f, size_t pages) {
        size_t page = (size_t) sysconf(_SC_PAGESIZE);

        check(fcntl(source_fd(f->source), F_SETPIPE_SZ, (int) (pages * page)) >= 0);
        f->source->size = pages * page;
        f->source->holds = (pages - 1) / 2 * page;
}

static void fuzz_open(Fuzz *f, uint8_t choice) {
        static const size_t pages[] = { 0, 1, 2, 3, 8, 16, 32, 64 };
        bool is_socket = choice & 8;
        int fds[2];

        check(sd_event_new(&f->event) >= 0);
        check(source_hub_new(&f->hub, f->event) == 0);
        if (is_socket)
                check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        else
                check(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);

        check(source_new(&f->source, f->hub, fds[0], SOURCE_PIPE, "fuzz", &ops, f) == 0);
        f->fd = fds[1];
        if (!is_socket && choice % 8 > 0)
                shrink(f, pages[choice % 8]);
        if (choice & 16)
                check(fcntl(f->hub->pipe[0], F_SETPIPE_SZ, (int) sysconf(_SC_PAGESIZE)) >= 0);
}

/* One step: an operation, its argument, and for some the bytes behind. */
static void step(Fuzz *f, Slice *rest) {
        uint8_t op = (uint8_t) rest->p[0], argument = rest->n > 1 ? (uint8_t) rest->p[1] : 0;
        size_t n;

        *rest = (Slice) { rest->p + MIN(rest->n, (size_t) 2), rest->n - MIN(rest->n, (size_t) 2) };
        switch (op % 8) {
        case 0:
        case 1:
                n = MIN(rest->n, (size_t) argument);
                write_bytes(f, (Slice) { rest->p, n });
                *rest = (Slice) { rest->p + n, rest->n - n };
                break;
        case 2:
                write_bytes(f, SLICE("\n"));
                break;
        case 3:
                write_fill(f, (size_t) argument * 257 + op / 8);
                break;
        case 4:
                write_fill(f, POINT_RAW_MAX - argument % 4);
                break;
        case 5:
                f->room = (size_t) argument * (op / 8u);
                source_hub_resume(f->hub);
                break;
        case 6:
                (void) sd_event_run(f->event, 0);
                source_hub_turn(f->hub, argument & 1);
                break;
        default:
                (void) source_hub_drain(f->hub);
        }
}

static void compare(const Fuzz *f) {
        _cleanup_(buffer_done) Buffer want = {};
        Slice rest = buffer_slice(&f->written), line;
        unsigned n_too_long = 0;

        while (slice_cut(&rest, '\n', &line))
                if (line.n <= POINT_RAW_MAX)
                        check(buffer_add(&want, (Slice) { line.p, line.n + 1 }) == 0);
                else
                        n_too_long++;
        if (rest.n > POINT_RAW_MAX) {
                n_too_long++;
                rest.n = 0;
        }

        check(slice_equal(buffer_slice(&f->lines), buffer_slice(&want)));
        check(slice_equal(buffer_slice(&f->rest), rest));
        check(f->n_too_long == n_too_long);
        check(f->n_ends == 1);
        check(!f->taking && f->skipping == source_is_discarding(f->source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        Slice rest = { (const char *) data + (n > 0), n - (n > 0) };
        Fuzz f = { .room = SIZE_MAX };

        fuzz_open(&f, n > 0 ? data[0] : 0);
        while (rest.n > 0)
                step(&f, &rest);

        f.fd = close_fd(f.fd);
        take_all(&f);
        compare(&f);

        f.source = source_free(f.source);
        f.hub = source_hub_free(f.hub);
        f.event = sd_event_unref(f.event);
        buffer_done(&f.written);
        buffer_done(&f.lines);
        buffer_done(&f.rest);
        return 0;
}
