/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why a kill at any instruction leaves a good ring.
 *
 * Whoever opens the memfd next does so after this process has died. A process dies between two
 * instructions: all before has been done to the shared pages, nothing after it, and the kernel's own
 * locking on the way from one process to the next makes every processor see it. So no barrier of the
 * processor is needed, only that the compiler keeps the order of the program: ring_publish() has a fence
 * for it before and behind.
 *
 * What must hold between any two instructions: a copy of the state that is good by its checksum is true
 * of the data. That is, the bytes it claims (from its smallest acked to its head) are the lines that were
 * committed.
 *   1. Lines are written before the state that claims them is published.
 *   2. Publishing overwrites the older copy. While it is torn the newer one stands.
 *   3. Nothing is written over bytes that either copy claims: `limit` is drawn from the smaller of the
 *      two copies' floors. Where only the older copy is in the way, the newest state is published once
 *      more.
 *   4. What lies where changes with `base`, which moves by `size` (the same places), or when nothing is
 *      queued (nothing is claimed), or when the lines have been copied to a place that neither copy
 *      claims; then it is published twice before anything is written.
 *
 * 4 keeps a queue that is short in few pages: it begins at the first page again when it is drained, or
 * when it has little in it and has run some way. Pages touched by a long queue are given back when that
 * is over. */

#include <fcntl.h>
#include <stdatomic.h>

#include "basic/file.h"
#include "store/lines.h"
#include "store/ring-map.h"
#include "store/ring-state.h"

#define RING_SHORT_MAX (UINT64_C(512) * 1024) /* what a short queue may touch */
#define RING_SHORT_ROUNDS 8u                  /* as many in a row end a backlog: its pages are given back */

struct Ring {
        int fd;
        size_t page, size;
        RingMap map;
        RingHeader *header; /* the first of the map */

        RingState state;     /* as last published, but for `sent` */
        uint64_t claimed[2]; /* the smallest acked of each copy */
        uint64_t written;    /* behind the lines not committed yet; head where there are none */
        uint64_t reserved;   /* bytes handed out behind that */
        uint64_t limit;      /* nothing may be written at or beyond it */
        uint64_t lines;      /* queued */
        uint64_t counters[RING_COUNTERS_MAX]; /* for the next commit or ack */

        uint64_t round_from;   /* where the first page began to be used last */
        uint64_t touched;      /* bytes of data that may have pages */
        unsigned short_rounds; /* in a row */
};

/* -- places -- */

static char *ring_at(const Ring *r, uint64_t position) {
        uint64_t offset = position - r->state.base;

        /* The second mapping is for runs over the end, not for whole lines. */
        return r->map.data + (offset < r->size ? offset : offset - r->size);
}

static Slice ring_slice(const Ring *r, uint64_t from, uint64_t to) {
        return (Slice) { ring_at(r, from), (size_t) (to - from) };
}

static uint64_t ring_floor(const Ring *r) {
        return r->claimed[r->state.sequence % 2];
}

/* What a short queue may touch, whole pages. */
static uint64_t ring_short(const Ring *r) {
        uint64_t n = MIN(RING_SHORT_MAX, (uint64_t) r->size / 2);

        return n - n % r->page;
}

/* -- state -- */

static void ring_publish(Ring *r) {
        RingState *s = &r->state;
        size_t i = ++s->sequence % 2;

        s->checksum = ring_state_checksum(s);

        atomic_signal_fence(memory_order_seq_cst); /* the lines come before what claims them */
        r->header->states[i] = *s;
        atomic_signal_fence(memory_order_seq_cst); /* and this before anything it frees is written over */

        r->claimed[i] = ring_state_floor(s);
        r->limit = MIN(r->claimed[0], r->claimed[1]) + r->size;
}

static void ring_publish_counters(Ring *r) {
        memcpy(r->state.counters, r->counters, sizeof(r->counters));
        ring_publish(r);
}

/* -- the first page again -- */

/* A round over the pages has ended; nothing is claimed beyond the short queue's. */
static void ring_round_done(Ring *r, uint64_t head) {
        uint64_t reached = MIN(head - r->round_from, (uint64_t) r->size), keep = ring_short(r);

        r->touched = MAX(r->touched, reached);
        r->short_rounds = reached > keep ? 0 : r->short_rounds + 1;
        if (r->touched <= keep || r->short_rounds < RING_SHORT_ROUNDS)
                return;

        (void) fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) (r->page + keep),
                         (off_t) (r->size - keep));
        r->touched = 0;
}

static void ring_move(Ring *r, uint64_t base) {
        uint64_t head = r->state.head;

        r->state.base = base;
        ring_publish(r);
        ring_publish(r);
        ring_round_done(r, head);
        r->round_from = base;
}

/* Lets what is written next begin at, or near, the first page, where that costs little. Nothing is
 * uncommitted. */
static void ring_settle(Ring *r) {
        uint64_t from = MIN(r->claimed[0], r->claimed[1]), head = r->state.head;
        uint64_t queued = head - ring_floor(r), offset = from - r->state.base, keep = ring_short(r);

        if (queued == 0 && r->state.base == head)
                return;
        if (queued == 0) {
                ring_move(r, head);
                return;
        }
        if (queued > keep / 4 || from < r->state.base || offset < keep / 2 ||
            offset + (head - from) > r->size)
                return;

        memcpy(r->map.data, ring_at(r, ring_floor(r)), queued);
        ring_move(r, ring_floor(r));
}

/* -- making and opening -- */

Ring *ring_free(Ring *r) {
        if (!r)
                return NULL;

        ring_unmap(&r->map);
        (void) close_fd(r->fd);
        free(r);
        return NULL;
}

/* Maps `fd`, which is taken on success only. */
static int ring_make(Ring **ret, int fd, size_t page, size_t size) {
        _cleanup_(ring_freep) Ring *ring = calloc(1, sizeof(*ring));
        int r;

        if (!ring)
                return -ENOMEM;

        ring->fd = -1;
        ring->page = page;
        ring->size = size;
        r = ring_map(fd, page, size, &ring->map);
        if (r < 0)
                return r;

        ring->fd = fd;
        ring->header = (RingHeader *) (void *) ring->map.p;
        *ret = TAKE(ring);
        return 0;
}

int ring_new(Ring **ret, size_t size) {
        _cleanup_(close_fdp) int fd = -1;
        size_t page = (size_t) sysconf(_SC_PAGESIZE);
        Ring *ring;
        int r;

        if ((uint64_t) size > RING_SIZE_MAX || size > SIZE_MAX - page)
                return -EINVAL;

        size = MAX(size, (size_t) RING_SIZE_MIN);
        size = (size + page - 1) / page * page;
        fd = ring_memfd_new((uint64_t) page + size);
        if (fd < 0)
                return fd;
        r = ring_make(&ring, fd, page, size);
        if (r < 0)
                return r;

        TAKE_FD(fd);
        ring_header_init(ring->header, page, size, random_u64());
        ring->state.n_readers = 1;
        ring_publish(ring);
        ring_publish(ring);
        *ret = ring;
        return 0;
}

/* Do the cursors stand behind newlines? The byte before the smallest acked is not the ring's any more. */
static bool ring_ends_lines(const Ring *r) {
        uint64_t floor = ring_state_floor(&r->state);

        if (r->state.head > floor && *ring_at(r, r->state.head - 1) != '\n')
                return false;
        for (size_t i = 0; i < r->state.n_readers; i++)
                if (r->state.readers[i].acked > floor && *ring_at(r, r->state.readers[i].acked - 1) != '\n')
                        return false;

        return true;
}

static void ring_resume(Ring *r) {
        for (size_t i = 0; i < r->state.n_readers; i++)
                r->state.readers[i].sent = r->state.readers[i].acked;

        r->written = r->state.head;
        r->round_from = r->state.base;
        r->touched = r->size; /* for all that is known */
        memcpy(r->counters, r->state.counters, sizeof(r->counters));

        /* The other copy is older, or torn: from here on both claim the same. */
        ring_publish(r);
        ring_publish(r);
        r->lines = lines_count(ring_slice(r, ring_floor(r), r->state.head));
}

int ring_open(Ring **ret, int fd) {
        size_t page = (size_t) sysconf(_SC_PAGESIZE);
        _cleanup_(ring_freep) Ring *ring = NULL;
        uint64_t file_size = 0;
        RingHeader header;
        RingState state;
        int r;

        r = ring_memfd_check(fd, &file_size);
        if (r < 0)
                return r;
        if (pread(fd, &header, sizeof(header), 0) != (ssize_t) sizeof(header))
                return -EBADMSG;
        r = ring_header_verify(&header, page, file_size, &state);
        if (r < 0)
                return r;
        if (header.size > SIZE_MAX)
                return -ENOMEM;
        r = ring_make(&ring, fd, page, (size_t) header.size);
        if (r < 0)
                return r;

        ring->state = state;
        if (!ring_ends_lines(ring)) {
                ring->fd = -1; /* stays the caller's */
                return -EBADMSG;
        }

        ring_resume(ring);
        *ret = TAKE(ring);
        return 0;
}

int ring_fd(const Ring *r) {
        return r->fd;
}

uint64_t ring_id(const Ring *r) {
        return r->header->id;
}

/* -- writing -- */

char *ring_reserve(Ring *r, size_t n) {
        if (r->written == r->state.head)
                ring_settle(r);

        if (_unlikely_(n > r->limit - r->written)) {
                if (n > ring_floor(r) + r->size - r->written)
                        return NULL;
                ring_publish(r); /* the older copy still claims what the newer has freed */
        }

        r->reserved = n;
        return ring_at(r, r->written);
}

void ring_written(Ring *r, size_t n) {
        assert(n <= r->reserved);

        r->reserved -= n;
        r->written += n;
        assert(n == 0 || *ring_at(r, r->written - 1) == '\n');
}

void ring_commit(Ring *r, const RingPending *pending) {
        r->lines += lines_count(ring_slice(r, r->state.head, r->written));
        r->reserved = 0;
        r->state.head = r->written;
        r->state.pending = pending ? *pending : (RingPending) {};
        ring_publish_counters(r);
}

void ring_cancel(Ring *r) {
        r->written = r->state.head;
        r->reserved = 0;
}

void ring_pending_done(Ring *r) {
        if (r->state.pending.n == 0)
                return;

        r->state.pending = (RingPending) {};
        ring_publish(r);
}

RingPending ring_pending(const Ring *r) {
        return r->state.pending;
}

/* -- reading -- */

int ring_add_reader(Ring *r) {
        uint32_t i = r->state.n_readers;

        if (i >= RING_READERS_MAX)
                return -ENOSPC;

        r->state.readers[i] = (RingReader) { .acked = r->state.head, .sent = r->state.head };
        r->state.n_readers++;
        ring_publish(r);
        return (int) i;
}

unsigned ring_n_readers(const Ring *r) {
        return r->state.n_readers;
}

static RingReader *ring_reader(Ring *r, unsigned reader) {
        assert(reader < r->state.n_readers);
        return &r->state.readers[reader];
}

Slice ring_peek(const Ring *r, unsigned reader) {
        return ring_slice(r, ring_sent_at(r, reader), r->state.head);
}

void ring_sent(Ring *r, unsigned reader, size_t n) {
        RingReader *c = ring_reader(r, reader);

        assert(n <= r->state.head - c->sent);
        c->sent += n;
}

/* Takes the lines below `floor` off the count, looking through the shorter part. */
static void ring_uncount(Ring *r, uint64_t floor) {
        uint64_t before = ring_floor(r), head = r->state.head;

        if (floor - before <= head - floor)
                r->lines -= lines_count(ring_slice(r, before, floor));
        else
                r->lines = lines_count(ring_slice(r, floor, head));
}

void ring_ack(Ring *r, unsigned reader, uint64_t end) {
        RingReader *c = ring_reader(r, reader);
        uint64_t floor;

        assert(end <= r->state.head);
        if (end > c->acked) {
                assert(*ring_at(r, end - 1) == '\n');
                c->acked = end;
                c->sent = MAX(c->sent, end);

                floor = ring_state_floor(&r->state);
                ring_uncount(r, floor);
                if (floor - r->state.base >= r->size)
                        r->state.base += r->size;
        }

        ring_publish_counters(r);
}

void ring_rewind(Ring *r, unsigned reader) {
        RingReader *c = ring_reader(r, reader);

        c->sent = c->acked;
}

void ring_restart(Ring *r) {
        uint64_t floor = ring_floor(r);

        for (size_t i = 0; i < r->state.n_readers; i++)
                r->state.readers[i] = (RingReader) { .acked = floor, .sent = floor };
        ring_publish_counters(r);
}

uint64_t ring_head(const Ring *r) {
        return r->state.head;
}

uint64_t ring_sent_at(const Ring *r, unsigned reader) {
        assert(reader < r->state.n_readers);
        return r->state.readers[reader].sent;
}

uint64_t ring_acked_at(const Ring *r, unsigned reader) {
        assert(reader < r->state.n_readers);
        return r->state.readers[reader].acked;
}

Slice ring_unacked(const Ring *r, unsigned reader) {
        return ring_slice(r, ring_acked_at(r, reader), r->state.head);
}

/* -- measures -- */

size_t ring_size(const Ring *r) {
        return r->size;
}

size_t ring_used(const Ring *r) {
        return (size_t) (r->state.head - ring_floor(r));
}

uint64_t ring_lines_queued(const Ring *r) {
        return r->lines;
}

uint64_t ring_counter(const Ring *r, unsigned i) {
        assert(i < RING_COUNTERS_MAX);
        return r->counters[i];
}

void ring_set_counter(Ring *r, unsigned i, uint64_t value) {
        assert(i < RING_COUNTERS_MAX);
        r->counters[i] = value;
}
