/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a source makes of the bytes it is given, whatever they come through. */

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "unit/source-rig.h"

#define LIMIT POINT_RAW_MAX
#define HALF (LIMIT / 2)

/* A write: `fill` bytes 'x', then `text`. */
typedef struct Piece {
        size_t fill;
        Slice text;
} Piece;

#define T(text) \
        { 0, SLICE(text) }
#define F(n, text) \
        { (n), SLICE(text) }

static const struct {
        const char *name;
        Piece pieces[6];
        unsigned n_lines, n_too_long;
        size_t rest;
} rows[] = {
        { "nothing", {}, 0, 0, 0 },
        { "one line", { T("a 1 2\n") }, 1, 0, 0 },
        { "three lines at once", { T("a\nb\nc\n") }, 3, 0, 0 },
        { "half lines", { T("a"), T("b"), T("\nc"), T("\n") }, 2, 0, 0 },
        { "empty lines", { T("\n\n"), T("\n") }, 3, 0, 0 },
        { "the mark, a half line, the mark", { T("\x18\na 1"), T("\x18\n"), T("a 1 2\n") }, 3, 0, 0 },
        { "bytes of any value", { T("\0\xff\x80\r\n\0\0"), T("\n") }, 2, 0, 0 },
        { "a rest", { T("a\nb") }, 1, 0, 1 },
        { "a rest in two", { T("a\nb"), T("cd") }, 1, 0, 3 },
        { "one less than the limit", { F(LIMIT - 1, "\n"), T("a\n") }, 2, 0, 0 },
        { "at the limit", { F(LIMIT, "\n"), T("a\n") }, 2, 0, 0 },
        { "one over the limit", { F(LIMIT + 1, "\n"), T("a\n") }, 1, 1, 0 },
        { "at the limit, newline late", { F(LIMIT, ""), T("\na\n") }, 2, 0, 0 },
        { "at the limit in four", { F(HALF, ""), F(HALF - 1, ""), T("x"), T("\n") }, 1, 0, 0 },
        { "one over in four", { F(HALF, ""), F(HALF, ""), T("x"), T("\na\n") }, 1, 1, 0 },
        { "over, its rest looks like a line", { F(LIMIT + 1, ""), T("a 1 2\nb 1 2\n") }, 1, 1, 0 },
        { "over, between lines", { T("a\n"), F(LIMIT + 1, "\nb\n"), F(LIMIT, "\nc\n") }, 4, 1, 0 },
        { "two over in a row", { F(LIMIT + 1, "\n"), F(LIMIT + 1, "\n"), T("a\n") }, 1, 2, 0 },
        { "far over", { F(5 * LIMIT, ""), F(5 * LIMIT + 3, "\na\n") }, 1, 1, 0 },
        { "over, and nothing more", { T("a\n"), F(LIMIT + 1, "") }, 1, 1, 0 },
        { "a rest at the limit", { T("a\n"), F(LIMIT, "") }, 1, 0, LIMIT },
        { "longest lines fill chunks", { F(LIMIT, "\n"), F(LIMIT, "\n"), F(LIMIT, "\n") }, 3, 0, 0 },
        { "a chunk to the byte", { F(LIMIT - 1, "\n"), F(LIMIT - 1, "\n") }, 2, 0, 0 },
};

typedef enum Carrier {
        CARRIER_PIPE,
        CARRIER_TINY_PIPE,  /* one page */
        CARRIER_SMALL_PIPE, /* 16 pages: cannot hold the longest line beside another */
        CARRIER_TINY_HUB,   /* only the private pipe is small */
        CARRIER_SOCKET,
        CARRIER_FILE,
        _CARRIER_MAX,
} Carrier;

static const char *const carrier_names[] = {
        [CARRIER_PIPE] = "pipe",
        [CARRIER_TINY_PIPE] = "tiny pipe",
        [CARRIER_SMALL_PIPE] = "small pipe",
        [CARRIER_TINY_HUB] = "tiny hub",
        [CARRIER_SOCKET] = "socket",
        [CARRIER_FILE] = "file",
};
static_assert(ELEMENTSOF(carrier_names) == _CARRIER_MAX, "name every carrier");

/* What the kernel's quota does to those without privileges. */
static void shrink(Source *s, size_t pages) {
        size_t page = (size_t) sysconf(_SC_PAGESIZE);

        assert_true(fcntl(s->fd, F_SETPIPE_SZ, (int) (pages * page)) >= 0);
        s->size = pages * page;
        s->holds = (pages - 1) / 2 * page;
}

static int carrier_open(Rig *rig, Carrier c, Sink *sink) {
        int fds[2], fd;

        switch (c) {
        case CARRIER_SOCKET:
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
                rig_add(rig, fds[0], SOURCE_PIPE, sink);
                return fds[1];
        case CARRIER_FILE:
                fd = memfd_create("test", MFD_CLOEXEC);
                assert_true(fd >= 0);
                return fd;
        default:
                fd = rig_pipe(rig, SOURCE_PIPE, sink);
        }

        if (c == CARRIER_TINY_PIPE)
                shrink(sink->source, 1);
        if (c == CARRIER_SMALL_PIPE)
                shrink(sink->source, 16);
        if (c == CARRIER_TINY_HUB)
                assert_true(fcntl(rig->hub->pipe[0], F_SETPIPE_SZ, 4096) > 0);

        return fd;
}

static void carrier_close(Rig *rig, Carrier c, Sink *sink, int fd) {
        if (c != CARRIER_FILE) {
                close_fdp(&fd);
                return;
        }

        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        rig_add(rig, fd, SOURCE_PIPE, sink);
}

static void write_piece(Rig *rig, int fd, const Piece *p, Buffer *all) {
        size_t before = all->n;

        assert_int_equal(buffer_reserve(all, p->fill), 0);
        memset(all->data + all->n, 'x', p->fill);
        all->n += p->fill;
        assert_int_equal(buffer_add(all, p->text), 0);
        rig_write(rig, fd, (Slice) { all->data + before, all->n - before });
}

/* The lines of `all` that are not over-long, as the simplest splitter there is finds them. */
static void split_simply(Slice all, Buffer *ret) {
        Slice line;

        while (slice_cut(&all, '\n', &line))
                if (line.n <= LIMIT) {
                        assert_int_equal(buffer_add(ret, line), 0);
                        assert_int_equal(buffer_add_string(ret, "\n"), 0);
                }
}

static unsigned count_lines(Slice s) {
        unsigned n = 0;

        for (Slice line; slice_cut(&s, '\n', &line);)
                n++;

        return n;
}

static void run_row(size_t i, Carrier c, bool at_once) {
        _cleanup_(buffer_done) Buffer all = {}, want = {};
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        int fd = carrier_open(&rig, c, &sink);

        for (size_t k = 0; k < ELEMENTSOF(rows[i].pieces); k++) {
                write_piece(&rig, fd, &rows[i].pieces[k], &all);
                if (!at_once)
                        rig_settle(&rig);
        }
        carrier_close(&rig, c, &sink, fd);
        rig_settle(&rig);

        split_simply(buffer_slice(&all), &want);
        if (!slice_equal(buffer_slice(&sink.lines), buffer_slice(&want)) ||
            count_lines(buffer_slice(&want)) != rows[i].n_lines || sink.n_too_long != rows[i].n_too_long ||
            sink.rest.n != rows[i].rest || sink.n_ends != 1)
                fail_msg("%s by %s%s: %u lines, %u too long, rest of %zu, %u ends", rows[i].name,
                         carrier_names[c], at_once ? " at once" : "", count_lines(buffer_slice(&sink.lines)),
                         sink.n_too_long, sink.rest.n, sink.n_ends);

        assert_true(sink.n_too_long == 0 || sink.beginning_n == LIMIT);
        if (sink.rest.n > 0)
                assert_memory_equal(sink.rest.data, all.data + all.n - sink.rest.n, sink.rest.n);
}

static void test_rows(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (Carrier c = 0; c < _CARRIER_MAX; c++) {
                        run_row(i, c, false);
                        run_row(i, c, true);
                }
}

/* A queue that is full after each line, and at each byte of it. */
static void run_refusals(Carrier c, size_t room) {
        static const char lines[] = "a 1 2\nlonger than that 1 2\n\nb 1 2\nc\nd 1 2\n";
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        int fd = carrier_open(&rig, c, &sink);

        sink.room = 0;
        rig_write(&rig, fd, slice_from_string(lines));
        rig_write(&rig, fd, SLICE("rest"));
        close_fdp(&fd);

        for (unsigned n = 0; sink.n_ends == 0; n++) {
                unsigned calls;

                rig_settle(&rig);
                calls = sink.n_calls;
                if (sink.n_ends == 0)
                        assert_true(source_is_blocked(sink.source));

                /* Nothing is offered before it is asked for. */
                source_hub_turn(rig.hub, true);
                rig_run(&rig);
                assert_int_equal(sink.n_calls, calls);

                assert_true(n <= 100);
                sink.room = n % 2 ? room : MIN(room, (size_t) 25);
                source_hub_resume(rig.hub);
        }

        assert_true(slice_equal(buffer_slice(&sink.lines), slice_from_string(lines)));
        assert_true(slice_equal(buffer_slice(&sink.rest), SLICE("rest")));
        assert_false(source_is_blocked(sink.source));
}

static void test_refusals(void **state _unused_) {
        for (Carrier c = 0; c < CARRIER_FILE; c++)
                for (size_t room = 23; room < 60; room++)
                        run_refusals(c, room);
}

static void test_fifo_is_never_at_its_end(void **state _unused_) {
        char dir[] = "/tmp/test-source-XXXXXX", path[64];
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        int fd;

        assert_non_null(mkdtemp(dir));
        (void) snprintf(path, sizeof(path), "%s/fifo", dir);
        assert_int_equal(mkfifo(path, 0600), 0);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        rig_add(&rig, fd, SOURCE_FIFO, &sink);
        rig_settle(&rig);

        for (unsigned i = 0; i < 5; i++) {
                int writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

                assert_true(writer >= 0);
                rig_write(&rig, writer, SLICE("nd\nwhole\nhalf a"));
                rig_settle(&rig);
                close_fdp(&writer);
                rig_settle(&rig);
                assert_int_equal(count_lines(buffer_slice(&sink.lines)), 2 * (i + 1));
        }

        assert_true(slice_starts_with(buffer_slice(&sink.lines), SLICE("nd\nwhole\nhalf and\nwhole\n")));
        assert_int_equal(sink.n_ends, 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(dir), 0);
}

static void test_what_it_does_not_take(void **state _unused_) {
        _cleanup_(close_fdp) int file = memfd_create("test", MFD_CLOEXEC);
        _cleanup_(rig_done) Rig rig = rig_new();
        Source *s = NULL;

        assert_int_equal(source_new(&s, rig.hub, file, SOURCE_FIFO, "test", &sink_ops, NULL), -EINVAL);
        assert_int_equal(source_new(&s, rig.hub, -1, SOURCE_PIPE, "test", &sink_ops, NULL), -EBADF);
        assert_null(s);
        assert_true(fcntl(file, F_GETFD) >= 0);
}

/* Killed in the middle of an over-long line, the next process is told so. */
static void test_discarding_is_carried_over(void **state _unused_) {
        static const Piece over = F(LIMIT + 1, ""), tail = T("tail 1 2\nwhole 1 2\n");
        _cleanup_(buffer_done) Buffer all = {};
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {}, next = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);
        int reader = fcntl(source_fd(sink.source), F_DUPFD_CLOEXEC, 0);

        write_piece(&rig, fd, &over, &all);
        rig_settle(&rig);
        assert_int_equal(sink.n_too_long, 1);
        assert_true(source_is_discarding(sink.source));
        assert_int_equal(bytes_in(reader), 0);
        sink.source = source_free(sink.source);

        rig_add(&rig, reader, SOURCE_FIFO, &next);
        source_set_discarding(next.source, true);
        write_piece(&rig, fd, &tail, &all);
        rig_settle(&rig);
        assert_true(slice_equal(buffer_slice(&next.lines), SLICE("whole 1 2\n")));
        assert_int_equal(next.n_too_long, 0);
        assert_false(source_is_discarding(next.source));
}

/* Writes of a little more than half a page take a page each: a pipe is full long before it holds its
 * size. */
static void test_half_filled_pages(void **state _unused_) {
        static const size_t n_pages[] = { 1, 2, 3, 4, 16, 32, 64 };
        static const char text[2049] = "begins";

        for (size_t i = 0; i < ELEMENTSOF(n_pages); i++) {
                _cleanup_(rig_done) Rig rig = rig_new();
                _cleanup_(sink_done) Sink sink = {};
                _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

                rig_settle(&rig);
                shrink(sink.source, n_pages[i]);
                rig_write(&rig, fd, SLICE("whole\nh"));
                for (size_t n = 1; n < LIMIT; n += sizeof(text))
                        rig_write(&rig, fd, (Slice) { text, MIN(sizeof(text), LIMIT - n) });
                rig_write(&rig, fd, SLICE("\n"));
                rig_settle(&rig);
                assert_int_equal(sink.lines.n, 6 + LIMIT + 1);
                assert_int_equal(sink.n_too_long, 0);
        }
}

static void test_half_a_line_stays_in_the_pipe(void **state _unused_) {
        _cleanup_(rig_done) Rig rig = rig_new();
        _cleanup_(sink_done) Sink sink = {};
        _cleanup_(close_fdp) int fd = rig_pipe(&rig, SOURCE_FIFO, &sink);

        rig_write(&rig, fd, SLICE("whole\nhalf"));
        rig_settle(&rig);
        assert_int_equal(bytes_in(source_fd(sink.source)), 4);
        assert_true(source_last_line(sink.source) > 0);
        assert_int_equal(source_pipe_size(sink.source), fcntl(fd, F_GETPIPE_SZ));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_fifo_is_never_at_its_end),
                cmocka_unit_test(test_what_it_does_not_take),
                cmocka_unit_test(test_discarding_is_carried_over),
                cmocka_unit_test(test_half_a_line_stays_in_the_pipe),
                cmocka_unit_test(test_half_filled_pages),
        };

        return run_tap(tests);
}
