/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>

#include "store/spool-internal.h"

#define OPEN_MAX 8u /* segments with a descriptor at a time, the last one aside */

static const char *const why_table[] = {
        [SPOOL_FULL] = "full",       [SPOOL_NO_SPACE] = "no-space",
        [SPOOL_DAMAGED] = "damaged", [SPOOL_UNREADABLE] = "unreadable",
        [SPOOL_TORN] = "torn",       [SPOOL_FOREIGN] = "foreign",
};
static_assert(ELEMENTSOF(why_table) == _SPOOL_WHY_MAX, "name every reason");

const char *spool_why_to_string(SpoolWhy w) {
        return w < _SPOOL_WHY_MAX ? why_table[w] : NULL;
}

void segment_name(uint64_t sequence, char ret[static SEGMENT_NAME_N]) {
        (void) snprintf(ret, SEGMENT_NAME_N, "%016" PRIx64 SEGMENT_SUFFIX, sequence);
}

/* -- accounts -- */

SpoolPoint spool_floor(const Spool *s) {
        SpoolPoint floor = s->head;

        for (unsigned i = 0; i < s->n_readers; i++)
                if (s->readers[i].acked.at.position < floor.position)
                        floor = s->readers[i].acked.at;

        return floor;
}

uint64_t spool_count(const Spool *s, uint64_t from, uint64_t to) {
        uint64_t n = to - from;

        for (size_t i = 0; i < s->n_ranges; i++) {
                uint64_t begin = MAX(s->ranges[i].from.line, from), end = MIN(s->ranges[i].to.line, to);

                n -= end > begin ? end - begin : 0;
        }

        return n;
}

void spool_report(const Spool *s, const SpoolLoss *loss) {
        if (s->on_loss)
                s->on_loss(s->userdata, loss);
}

/* -- segments -- */

size_t spool_find(const Spool *s, uint64_t sequence) {
        size_t low = 0, high = s->n_segments;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->segments[middle].sequence < sequence)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

static void close_others(Spool *s) {
        for (size_t i = 0; i + 1 < s->n_segments; i++)
                s->segments[i].fd = close_fd(s->segments[i].fd);

        s->n_open = 0;
}

int spool_segment_fd(Spool *s, size_t i) {
        SpoolSegment *segment = &s->segments[i];
        char name[SEGMENT_NAME_N];

        if (segment->fd >= 0)
                return segment->fd;
        if (s->n_open >= OPEN_MAX)
                close_others(s);

        segment_name(segment->sequence, name);
        segment->fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (segment->fd < 0)
                return -errno;

        s->n_open++;
        return segment->fd;
}

int spool_segment_add(Spool *s, const SpoolSegment *segment) {
        if (s->n_segments >= s->n_allocated) {
                size_t n = MAX(2 * s->n_allocated, (size_t) 32);
                SpoolSegment *bigger = reallocarray(s->segments, n, sizeof(*bigger));

                if (!bigger)
                        return -ENOMEM;

                s->segments = bigger;
                s->n_allocated = n;
        }

        s->segments[s->n_segments++] = *segment;
        s->bytes += segment->size;
        return 0;
}

int spool_segment_drop(Spool *s, size_t i) {
        SpoolSegment *segment = &s->segments[i];
        char name[SEGMENT_NAME_N];

        segment_name(segment->sequence, name);
        if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;

        (void) close_fd(segment->fd);
        s->bytes -= segment->size;
        s->n_segments--;
        memmove(segment, segment + 1, (s->n_segments - i) * sizeof(*segment));
        if (i == s->n_segments)
                s->sealed = true; /* what is last now was full, or is not known */
        s->dirty = s->dir_dirty = true;
        return 0;
}

/* -- life -- */

static void set_limits(Spool *s, const SpoolLimits *limits) {
        const uint64_t mib = UINT64_C(1) << 20;

        s->limits = *limits;
        if (s->limits.segment == 0)
                s->limits.segment = MIN(MAX(limits->size / 16, mib), 64 * mib);
        s->limits.size = MAX(s->limits.size, 2 * s->limits.segment);
        if (s->limits.sync_interval == 0)
                s->limits.sync_interval = USEC_PER_SEC;
}

int spool_open(Spool **ret, int dir_fd, const SpoolLimits *limits, SpoolOnLoss on_loss, void *userdata) {
        _cleanup_(spool_freep) Spool *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;

        s->dir_fd = s->state_fd = -1;
        s->on_loss = on_loss;
        s->userdata = userdata;
        s->n_readers = 1;
        s->sealed = true;
        set_limits(s, limits);

        /* A descriptor of our own: the lock is its. */
        s->dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0)
                return -errno;
        if (flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;

        r = spool_recover(s);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}

Spool *spool_free(Spool *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_segments; i++)
                (void) close_fd(s->segments[i].fd);
        for (unsigned i = 0; i < RING_READERS_MAX; i++)
                free(s->readers[i].window.data);
        free(s->window.data);
        free(s->segments);
        free(s->ranges);
        (void) close_fd(s->state_fd);
        (void) close_fd(s->dir_fd);
        free(s);
        return NULL;
}

/* -- measures -- */

uint64_t spool_head(const Spool *s) {
        return s->head.position;
}

uint64_t spool_sent_at(const Spool *s, unsigned reader) {
        assert(reader < s->n_readers);
        return s->readers[reader].sent.at.position;
}

uint64_t spool_acked_at(const Spool *s, unsigned reader) {
        assert(reader < s->n_readers);
        return s->readers[reader].acked.at.position;
}

unsigned spool_n_readers(const Spool *s) {
        return s->n_readers;
}

bool spool_last(const Spool *s, SpoolLast *ret) {
        if (s->last.end == 0)
                return false;

        *ret = s->last;
        return true;
}

bool spool_is_empty(const Spool *s) {
        return spool_floor(s).position == s->head.position;
}

uint64_t spool_lines(const Spool *s) {
        return spool_count(s, spool_floor(s).line, s->head.line);
}

uint64_t spool_lost(const Spool *s) {
        return s->lost;
}

uint64_t spool_bytes(const Spool *s) {
        return s->bytes;
}

size_t spool_n_segments(const Spool *s) {
        return s->n_segments;
}

int spool_error(const Spool *s) {
        return s->append_error ?: s->save_error ?: s->sync_error;
}
