/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a successor finds: a ring as it was left, at any moment, or damaged. */

#include <stdio.h>

#include "basic/file.h"
#include "store/lines.h"
#include "unit/ring-tools.h"

#define SMALL ((size_t) RING_SIZE_MIN)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Bit by bit: one damaged copy makes the other one count, two make a file that is no ring. */
static void test_flips(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
        _cleanup_(buffer_done) Buffer b = {};
        RingState *newest;
        size_t live, at;

        assert_int_equal(ring_add_reader(ring), 1);
        ring_put_and_commit(ring, 'a', 100);
        ring_ack(ring, 0, 100);
        assert_true(image_read(&b, ring_fd(ring)));
        newest = image_newest(&b);
        assert_non_null(newest);
        live = offsetof(RingState, readers) + 2 * sizeof(RingReader);
        at = (size_t) (newest - image_header(&b)->states);

        for (size_t bit = 0; bit < live * 8; bit++)
                for (unsigned which = 1; which <= 3; which++) {
                        _cleanup_(ring_freep) Ring *copy = NULL;
                        char *one = (char *) newest + bit / 8;
                        char *other = (char *) &image_header(&b)->states[1 - at] + bit / 8;
                        char mask = (char) (1 << bit % 8);

                        *one ^= which & 1 ? mask : 0;
                        *other ^= which & 2 ? mask : 0;
                        assert_int_equal(image_open(buffer_slice(&b), &copy), which == 3 ? -EBADMSG : 0);
                        if (copy)
                                assert_int_equal(ring_acked_at(copy, 0), which == 1 ? 0 : 100);
                        *one ^= which & 1 ? mask : 0;
                        *other ^= which & 2 ? mask : 0;
                }

        for (size_t bit = 0; bit < (offsetof(RingHeader, checksum) + 8) * 8; bit++) {
                Ring *copy = NULL;
                size_t byte = bit / 8;
                bool layout = byte >= offsetof(RingHeader, layout) && byte < offsetof(RingHeader, page);

                b.data[byte] ^= (char) (1 << bit % 8);
                assert_int_equal(image_open(buffer_slice(&b), &copy), layout ? -EPROTO : -EBADMSG);
                assert_null(copy);
                b.data[byte] ^= (char) (1 << bit % 8);
        }
}

static void cut_all(Buffer *b) {
        b->n = 0;
}
static void cut_header(Buffer *b) {
        b->n = sizeof(RingHeader) - 1;
}
static void cut_data(Buffer *b) {
        b->n = image_header(b)->page;
}
static void cut_page(Buffer *b) {
        b->n -= image_header(b)->page;
}
static void cut_byte(Buffer *b) {
        b->n--;
}
static void add_byte(Buffer *b) {
        assert_int_equal(buffer_add(b, SLICE("\n")), 0);
}
static void next_layout(Buffer *b) {
        image_header(b)->layout++;
}
static void zero_both(Buffer *b) {
        memset(image_header(b)->states, 0, sizeof(image_header(b)->states));
}
static void no_newline(Buffer *b) {
        b->data[image_header(b)->page + 299] = 'x';
}
static void no_newline_acked(Buffer *b) {
        b->data[image_header(b)->page + 199] = 'x';
}

static void other_size(Buffer *b) {
        RingHeader *h = image_header(b), old = *h;

        ring_header_init(h, old.page, old.size - old.page, old.id);
        memcpy(h->states, old.states, sizeof(h->states));
}

static void other_page(Buffer *b) {
        RingHeader *h = image_header(b), old = *h;

        ring_header_init(h, old.page * 2, old.size - old.page, old.id);
        memcpy(h->states, old.states, sizeof(h->states));
}

static void head_far(RingState *s) {
        s->head += SMALL;
}
static void head_low(RingState *s) {
        s->head = 0;
}
static void head_huge(RingState *s) {
        s->base = s->head = UINT64_MAX - 10;
        s->readers[0] = s->readers[1] = (RingReader) { s->head, s->head };
}
static void acked_over_sent(RingState *s) {
        s->readers[0].acked = s->readers[0].sent + 1;
}
static void sent_over_head(RingState *s) {
        s->readers[1].sent = s->head + 1;
}
static void base_over_floor(RingState *s) {
        s->base = 101;
}
static void base_far_back(RingState *s) {
        s->head += SMALL;
        for (unsigned i = 0; i < s->n_readers; i++) {
                s->readers[i].acked += SMALL;
                s->readers[i].sent += SMALL;
        }
}

static void no_reader(RingState *s) {
        s->n_readers = 0;
}
static void odd_sequence(RingState *s) {
        s->sequence++;
}
static void huge_sequence(RingState *s) {
        s->sequence |= UINT64_C(1) << 63;
}

static void many_readers(RingState *s) {
        s->n_readers = RING_READERS_MAX + 1;
        s->checksum = 0;
}

/* The ring has lines at 0 to 100, 100 to 200, 200 to 300; reader 0 is at 100, reader 1 at 200. What is
 * said of the states is said of both, with a good checksum. */
static const struct {
        const char *name;
        void (*image)(Buffer *b);
        void (*each)(RingState *s);
        int r;
} damages[] = {
        { "as it is", NULL, NULL, 0 },
        { "empty file", cut_all, NULL, -EBADMSG },
        { "header cut", cut_header, NULL, -EBADMSG },
        { "no data", cut_data, NULL, -EBADMSG },
        { "one page short", cut_page, NULL, -EBADMSG },
        { "one byte short", cut_byte, NULL, -EBADMSG },
        { "one byte long", add_byte, NULL, -EBADMSG },
        { "another layout", next_layout, NULL, -EPROTO },
        { "no state", zero_both, NULL, -EBADMSG },
        { "another size than the file", other_size, NULL, -EBADMSG },
        { "another page size", other_page, NULL, -EBADMSG },
        { "no newline at the head", no_newline, NULL, -EBADMSG },
        { "no newline at a reader's acked", no_newline_acked, NULL, -EBADMSG },
        { "more than fits", NULL, head_far, -EBADMSG },
        { "head before acked", NULL, head_low, -EBADMSG },
        { "position near overflow", NULL, head_huge, -EBADMSG },
        { "acked beyond sent", NULL, acked_over_sent, -EBADMSG },
        { "sent beyond head", NULL, sent_over_head, -EBADMSG },
        { "base beyond acked", NULL, base_over_floor, -EBADMSG },
        { "base too far back", NULL, base_far_back, -EBADMSG },
        { "no reader", NULL, no_reader, -EBADMSG },
        { "too many readers", NULL, many_readers, -EBADMSG },
        { "the other copy's sequence", NULL, odd_sequence, -EBADMSG },
        { "sequence near overflow", NULL, huge_sequence, -EBADMSG },
};

static void test_damage(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);

        assert_int_equal(ring_add_reader(ring), 1);
        for (char c = 'a'; c <= 'c'; c++)
                ring_put_and_commit(ring, c, 100);
        ring_ack(ring, 0, 100);
        ring_ack(ring, 1, 200);
        ring_ack(ring, 1, 200);

        for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
                _cleanup_(buffer_done) Buffer b = {};
                _cleanup_(ring_freep) Ring *copy = NULL;
                int r;

                assert_true(image_read(&b, ring_fd(ring)));
                if (damages[i].image)
                        damages[i].image(&b);
                for (size_t k = 0; damages[i].each && k < 2; k++) {
                        RingState *s = &image_header(&b)->states[k];

                        damages[i].each(s);
                        if (s->n_readers <= RING_READERS_MAX)
                                s->checksum = ring_state_checksum(s);
                }

                r = image_open(buffer_slice(&b), &copy);
                if (r != damages[i].r || (r < 0) != !copy)
                        fail_msg("%s: %d", damages[i].name, r);
        }
}

static int kind_pipe(Slice image _unused_) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        (void) close_fd(fds[1]);
        return fds[0];
}

static int kind_file(Slice image) {
        int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, image), 0);
        return fd;
}

static int kind_null(Slice image _unused_) {
        return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int kind_no_seals(Slice image) {
        return image_memfd(image, 0);
}
static int kind_may_grow(Slice image) {
        return image_memfd(image, F_SEAL_SHRINK);
}
static int kind_may_shrink(Slice image) {
        return image_memfd(image, F_SEAL_GROW);
}
static int kind_not_writable(Slice image) {
        return image_memfd(image, SEALS | F_SEAL_WRITE);
}
static int kind_not_writable_later(Slice image) {
        return image_memfd(image, SEALS | F_SEAL_FUTURE_WRITE);
}
static int kind_ring(Slice image) {
        return image_memfd(image, SEALS);
}

static int kind_read_only(Slice image) {
        _cleanup_(close_fdp) int fd = image_memfd(image, SEALS);
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return open(path, O_RDONLY | O_CLOEXEC);
}

/* The right bytes in the wrong kind of file. */
static void test_kinds(void **state _unused_) {
        static const struct {
                const char *name;
                int (*make)(Slice image);
                int r;
        } cases[] = {
                { "pipe", kind_pipe, -EBADMSG },
                { "regular file", kind_file, -EBADMSG },
                { "device", kind_null, -EBADMSG },
                { "no seals", kind_no_seals, -EBADMSG },
                { "may grow", kind_may_grow, -EBADMSG },
                { "may shrink", kind_may_shrink, -EBADMSG },
                { "sealed against writing", kind_not_writable, -EBADMSG },
                { "the same, from now on", kind_not_writable_later, -EBADMSG },
                { "opened for reading", kind_read_only, -EBADMSG },
                { "a ring", kind_ring, 0 },
        };
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL);
        _cleanup_(buffer_done) Buffer b = {};
        Ring *none = NULL;

        ring_put_and_commit(ring, 'a', 100);
        assert_true(image_read(&b, ring_fd(ring)));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ring_freep) Ring *copy = NULL;
                int fd = cases[i].make(buffer_slice(&b)), r;

                assert_true(fd >= 0);
                r = ring_open(&copy, fd);
                if (r != cases[i].r || fcntl(fd, F_GETFD) < 0)
                        fail_msg("%s: %d", cases[i].name, r);
                if (r < 0)
                        (void) close_fd(fd);
        }
        assert_int_equal(ring_open(&none, -1), -EBADF);
}

/* Whatever happens to come, a copy of the state that is good claims what was written there. Each step of
 * a long random walk is looked at twice: as it is, and with the newest copy damaged. */
typedef struct Walk {
        Ring *ring;
        char *stream;     /* every byte ever committed, by position */
        uint64_t written; /* and what follows the head */
        uint64_t random;
        Buffer image;
        unsigned older; /* times the older copy was believed */
} Walk;

#define WALK_STREAM (8u * 1024 * 1024)

static uint64_t walk_random(Walk *w, uint64_t n) {
        w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
        return (w->random >> 33) % n;
}

static void walk_check(const Walk *w, const Ring *r) {
        uint64_t lines = 0;

        for (unsigned i = 0; i < ring_n_readers(r); i++) {
                Slice s = ring_unacked(r, i);
                uint64_t acked = ring_acked_at(r, i);

                assert_int_equal(s.n, ring_head(r) - acked);
                assert_memory_equal(s.p, w->stream + acked, s.n);
                lines = MAX(lines, lines_count(s));
        }
        assert_int_equal(ring_lines_queued(r), lines);
}

static void walk_look(Walk *w) {
        RingState *newest;

        walk_check(w, w->ring);
        assert_true(image_read(&w->image, ring_fd(w->ring)));
        newest = image_newest(&w->image);
        assert_non_null(newest); /* nothing is torn between two calls */

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(ring_freep) Ring *copy = NULL;

                assert_int_equal(image_open(buffer_slice(&w->image), &copy), 0);
                walk_check(w, copy);
                w->older += ring_head(copy) != ring_head(w->ring);
                newest->checksum ^= 1;
        }
}

static void walk_write(Walk *w) {
        size_t n = 1 + (size_t) walk_random(w, walk_random(w, 8) == 0 ? 20000 : 900);
        char *p = ring_reserve(w->ring, n);

        if (!p || w->written + n > WALK_STREAM)
                return;

        memset(p, (int) ('a' + walk_random(w, 26)), n - 1);
        p[n - 1] = '\n';
        memcpy(w->stream + w->written, p, n);
        ring_written(w->ring, n);
        w->written += n;
}

static void walk_read(Walk *w) {
        unsigned i = (unsigned) walk_random(w, ring_n_readers(w->ring));
        uint64_t end;

        ring_sent(w->ring, i, (size_t) walk_random(w, ring_peek(w->ring, i).n + 1));
        end = walk_random(w, 2) == 0 ? ring_head(w->ring) : ring_sent_at(w->ring, i);
        while (end > ring_acked_at(w->ring, i) && w->stream[end - 1] != '\n')
                end--;
        ring_ack(w->ring, i, end);
        if (walk_random(w, 4) == 0)
                ring_rewind(w->ring, i);
}

static void walk_step(Walk *w, uint64_t inclination) {
        uint64_t what = walk_random(w, 100);

        if (what < inclination)
                walk_write(w);
        else if (what < 92)
                walk_read(w);
        else if (what < 94) {
                ring_cancel(w->ring);
                w->written = ring_head(w->ring);
        } else if (what < 95) {
                ring_pending_done(w->ring);
        } else {
                ring_commit(w->ring, &(RingPending) { .source = what, .n = 1 });
        }
}

static void test_walk(void **state _unused_) {
        Walk w = { .ring = ring_make(SMALL), .stream = malloc(WALK_STREAM), .random = 7 };

        assert_non_null(w.stream);
        for (unsigned i = 0; i < 12000; i++) {
                walk_step(&w, i / 100 % 3 == 0 ? 80 : i / 100 % 3 == 1 ? 45 : 20);
                if (i == 3000)
                        assert_int_equal(ring_add_reader(w.ring), 1);
                if (i % 997 == 0) {
                        w.ring = ring_reopen(w.ring);
                        w.written = ring_head(w.ring);
                }
                walk_look(&w);
        }
        assert_true(ring_head(w.ring) > 10 * SMALL);
        assert_true(w.older > 100);

        buffer_done(&w.image);
        free(w.stream);
        ring_free(w.ring);
}

/* Room that only the newest copy has freed: the older one must not claim what is written there. */
static void test_older_copy(void **state _unused_) {
        _cleanup_(ring_freep) Ring *ring = ring_make(SMALL), *copy = NULL;
        _cleanup_(buffer_done) Buffer b = {};

        for (unsigned i = 0; i < 64; i++)
                ring_put_and_commit(ring, 'a', 1024);
        ring_ack(ring, 0, 1024);
        assert_true(ring_put(ring, 'b', 1024));

        assert_true(image_read(&b, ring_fd(ring)));
        image_newest(&b)->checksum ^= 1;
        assert_int_equal(image_open(buffer_slice(&b), &copy), 0);
        assert_int_equal(ring_acked_at(copy, 0), 1024);
        for (size_t i = 0; i < 63; i++)
                assert_true(is_line(ring_unacked(copy, 0), i * 1024, 'a', 1024));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flips),      cmocka_unit_test(test_damage),
                cmocka_unit_test(test_kinds),      cmocka_unit_test(test_walk),
                cmocka_unit_test(test_older_copy),
        };

        return run_tap(tests);
}
