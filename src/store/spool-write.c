/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spool's writing side. The order of an append: the record, then the head in the state; a kill between
 * them leaves a whole record behind the head that was written down, which recovery finds. What reaches the
 * disk in another order after a power cut is told apart by its checksums. */

#include <fcntl.h>
#include <sys/statvfs.h>

#include "store/spool-internal.h"

#define GIVE_USEC (30 * USEC_PER_SEC) /* between segments that go as the file system lacks space */

int spool_state_open(Spool *s) {
        if (s->state_fd >= 0)
                return 0;

        s->state_fd = openat(s->dir_fd, SPOOL_STATE_NAME,
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        s->dir_dirty = true;
        return s->state_fd < 0 ? -errno : 0;
}

void spool_save(Spool *s) {
        s->state.head = s->head;
        s->state.n_readers = MAX(s->state.n_readers, s->n_readers);
        for (unsigned i = 0; i < s->n_readers; i++)
                s->state.acked[i] = s->readers[i].acked.at;

        s->dirty = true;
        s->save_error = spool_state_open(s);
        if (s->save_error >= 0)
                s->save_error = spool_state_write(s->state_fd, &s->state);
}

/* -- room -- */

/* Bytes that the file system lacks of `n` and of what is never taken; 0: none, or none that is known of. */
static uint64_t fs_lacks(const Spool *s, size_t n) {
        struct statvfs fs;
        uint64_t want, available;

        if (s->limits.reserve == 0 || fstatvfs(s->dir_fd, &fs) < 0)
                return 0;

        want = (uint64_t) fs.f_blocks * fs.f_frsize / 1000 * s->limits.reserve + n;
        available = (uint64_t) fs.f_bavail * fs.f_frsize;
        return want > available ? want - available : 0;
}

/* Some file systems give back late what was deleted: asked again at once, they would say that it was not
 * enough. */
static bool has_just_given(const Spool *s) {
        return s->given_at > 0 && s->now - s->given_at < GIVE_USEC;
}

/* Would it help to drop segments? All of them may go but the last one. */
static bool can_give(const Spool *s, uint64_t missing) {
        uint64_t most = s->n_segments > 0 ? s->bytes - s->segments[s->n_segments - 1].size : 0;

        return missing <= most && !has_just_given(s);
}

static bool is_at_bound(const Spool *s, size_t n) {
        return s->bytes + n > s->limits.size;
}

static size_t on_disk(size_t n) {
        return n + sizeof(SegmentHeader) + sizeof(RecordHeader);
}

bool spool_would_drop(Spool *s, size_t n) {
        return is_at_bound(s, on_disk(n)) || fs_lacks(s, on_disk(n)) > 0;
}

void spool_use_reserve(Spool *s) {
        s->limits.reserve = 0;
}

void spool_set_time(Spool *s, usec_t now) {
        s->now = now;
}

/* The oldest segment goes, and with it what no reader will get now. */
static int drop_oldest(Spool *s, SpoolWhy why) {
        uint64_t before = spool_floor(s).line, lines;
        SpoolPoint to = s->segments[1].first;
        SpoolSegment oldest = s->segments[0];
        char name[SEGMENT_NAME_N];
        int r;

        r = spool_segment_drop(s, 0);
        if (r < 0)
                return r;

        lines = to.line > before ? spool_count(s, before, to.line) : 0;
        for (unsigned i = 0; i < s->n_readers; i++)
                if (s->readers[i].acked.at.position < to.position)
                        spool_cursor_begin(s, &s->readers[i].acked, to);
        spool_settle(s);

        s->lost += lines;
        segment_name(oldest.sequence, name);
        if (lines > 0)
                spool_report(
                        s, &(SpoolLoss) { .why = why, .file = name, .lines = lines, .bytes = oldest.size });
        return 0;
}

static int make_room(Spool *s, size_t n) {
        uint64_t missing = fs_lacks(s, n), freed = 0;

        if (missing > 0 && !can_give(s, missing))
                return -ENOSPC;

        while (is_at_bound(s, n) || freed < missing) {
                SpoolWhy why = is_at_bound(s, n) ? SPOOL_FULL : SPOOL_NO_SPACE;
                uint64_t before = s->bytes;
                int r = s->n_segments > 1 ? drop_oldest(s, why) : -ENOSPC;

                if (r < 0)
                        return r;

                freed += before - s->bytes;
                if (why == SPOOL_NO_SPACE)
                        s->given_at = s->now;
        }

        return 0;
}

/* -- segments -- */

static int write_segment_header(int fd, SegmentHeader *h) {
        ssize_t n;

        segment_header_seal(h);
        do
                n = pwrite(fd, h, sizeof(*h), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        return n == (ssize_t) sizeof(*h) ? 0 : -ENOSPC;
}

static int new_segment(Spool *s, SpoolPoint first) {
        SpoolSegment segment = { .sequence = s->next_sequence++, .first = first };
        SegmentHeader h = { .sequence = segment.sequence, .position = first.position, .line = first.line };
        _cleanup_(close_fdp) int fd = -1;
        char name[SEGMENT_NAME_N];
        int r;

        segment_name(segment.sequence, name);
        fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;

        r = write_segment_header(fd, &h);
        if (r >= 0) {
                segment.fd = fd;
                segment.size = sizeof(h);
                r = spool_segment_add(s, &segment);
        }
        if (r < 0) {
                (void) unlinkat(s->dir_fd, name, 0);
                return r;
        }

        TAKE_FD(fd);
        s->sealed = false;
        s->dir_dirty = true;
        return 0;
}

/* A segment with room for `n` bytes more; what is in a full one is made durable, as nobody looks at it
 * again. */
static int tail_for(Spool *s, size_t n, SpoolPoint first) {
        SpoolSegment *tail = s->n_segments > 0 ? &s->segments[s->n_segments - 1] : NULL;
        int r;

        if (tail && !s->sealed &&
            (tail->size + n <= s->limits.segment || tail->size == sizeof(SegmentHeader)))
                return 0;
        if (tail && tail->fd >= 0 && s->dirty && fdatasync(tail->fd) < 0)
                return -errno;
        if (tail)
                tail->fd = close_fd(tail->fd);

        r = new_segment(s, first);
        s->sealed = s->sealed || r < 0;
        return r;
}

/* -- appending -- */

/* Puts the record behind the last one, or leaves the file as it was. */
static int write_record(Spool *s, RecordHeader *h, Slice lines) {
        SpoolSegment *tail = &s->segments[s->n_segments - 1];
        uint64_t before = tail->size;
        int r;

        r = segment_write(tail->fd, before, h, lines);
        if (r < 0) {
                if (ftruncate(tail->fd, (off_t) before) < 0)
                        s->sealed = true; /* part of it stays behind the end; a reader passes over it */
                return r;
        }

        tail->size += sizeof(*h) + lines.n;
        s->bytes += sizeof(*h) + lines.n;
        /* Begins the writing now, so that there is less to wait for when it is synced. */
        (void) sync_file_range(tail->fd, (off_t) before, (off_t) (tail->size - before),
                               SYNC_FILE_RANGE_WRITE);
        return 0;
}

/* Readers at the head do not stay behind where positions leave a gap. */
static void move_head(Spool *s, uint64_t position) {
        for (unsigned i = 0; i < s->n_readers; i++) {
                SpoolReader *c = &s->readers[i];

                if (c->acked.at.position == s->head.position)
                        c->acked.at.position = position;
                if (c->sent.at.position == s->head.position)
                        c->sent.at.position = position;
        }

        s->head.position = position;
}

static int append(Spool *s, RecordHeader *h, Slice lines) {
        size_t n = sizeof(*h) + lines.n;
        int r;

        r = make_room(s, on_disk(lines.n));
        if (r < 0)
                return r;
        r = tail_for(s, n, (SpoolPoint) { h->position, h->line });
        if (r < 0)
                return r;

        return write_record(s, h, lines);
}

int spool_append(Spool *s, Slice lines, uint64_t position, const SpoolOrigin *origin,
                 const uint64_t *acked) {
        RecordHeader h = {
                .position = position,
                .line = s->head.line,
                .ring = origin->ring,
                .origin = origin->position,
        };
        int r;

        assert(position >= s->head.position);
        assert(lines.n <= SPOOL_BATCH_MAX);

        record_header_seal(&h, lines);
        r = s->append_error = append(s, &h, lines);
        if (r < 0)
                return r;

        move_head(s, position);
        s->head.position += h.length;
        s->head.line += h.lines;
        s->last = (SpoolLast) { { h.ring, h.origin + h.length }, s->head.position, true };
        if (acked)
                spool_ack_all(s, acked);
        else
                spool_settle(s);
        return 0;
}

/* -- durability -- */

static int sync_all(Spool *s) {
        SpoolSegment *tail = s->n_segments > 0 ? &s->segments[s->n_segments - 1] : NULL;

        if (s->save_error < 0)
                spool_save(s);
        if (s->save_error < 0)
                return s->save_error;
        if (tail && tail->fd >= 0 && fdatasync(tail->fd) < 0)
                return -errno;
        if (s->dir_dirty && fsync(s->dir_fd) < 0)
                return -errno;

        s->dir_dirty = false;
        if (fdatasync(s->state_fd) < 0)
                return -errno;

        s->dirty = false;
        return 0;
}

int spool_sync(Spool *s, usec_t now) {
        if (!s->dirty ||
            (now != USEC_INFINITY && s->synced > 0 && now - s->synced < s->limits.sync_interval))
                return 0;

        s->synced = now == USEC_INFINITY ? s->synced : now;
        s->sync_error = sync_all(s);
        return s->sync_error;
}
