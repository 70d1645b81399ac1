/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Opening a spool. Of most segments only the header is read: it says where and with which line they begin,
 * and so how many lines the one before holds. The last one is read through, as a power cut may have left
 * anything at its end: what stands behind its last good record is cut off. Damage elsewhere is found when it
 * is read. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/spool-internal.h"

/* -- names -- */

static bool parse_name(const char *name, uint64_t *ret) {
        uint64_t sequence = 0;

        for (size_t i = 0; i < 16; i++) {
                const char *digits = "0123456789abcdef", *hit = name[i] ? strchr(digits, name[i]) : NULL;

                if (!hit)
                        return false;
                sequence = sequence << 4 | (uint64_t) (hit - digits);
        }

        *ret = sequence;
        return strcmp(name + 16, SEGMENT_SUFFIX) == 0 && sequence > 0 && sequence < SEGMENT_NUMBER_MAX;
}

static void report_foreign(const Spool *s, const char *name) {
        spool_report(s, &(SpoolLoss) { .why = SPOOL_FOREIGN, .file = name });
}

static void dir_closep(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static int by_sequence(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* The sequence numbers of all that have a segment's name, in order. */
static int list_segments(Spool *s, uint64_t **ret, size_t *ret_n) {
        _cleanup_(close_fdp) int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(dir_closep) DIR *dir = NULL;
        _cleanup_(freep) uint64_t *list = NULL;
        size_t n = 0, allocated = 0;
        struct dirent *e;
        uint64_t sequence;

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return -errno;
        TAKE_FD(fd);

        while ((errno = 0, e = readdir(dir))) {
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                    strcmp(e->d_name, SPOOL_STATE_NAME) == 0)
                        continue;
                if (!parse_name(e->d_name, &sequence)) {
                        report_foreign(s, e->d_name);
                        continue;
                }
                if (n >= allocated) {
                        uint64_t *bigger = reallocarray(list, allocated = 2 * allocated + 32, sizeof(*list));

                        if (!bigger)
                                return -ENOMEM;
                        list = bigger;
                }
                list[n++] = sequence;
        }
        if (errno != 0)
                return -errno;

        if (n > 0)
                qsort(list, n, sizeof(*list), by_sequence);
        *ret = TAKE(list);
        *ret_n = n;
        return 0;
}

bool spool_has_segments(int dir_fd) {
        _cleanup_(freep) uint64_t *list = NULL;
        Spool s = { .dir_fd = dir_fd };
        size_t n = 0;

        return list_segments(&s, &list, &n) >= 0 && n > 0;
}

/* -- segments -- */

/* Where the segment begins: by its header, or else by its first good record. 0; -EBADMSG: it is not ours. */
static int find_first(int fd, SpoolSegment *segment) {
        SegmentPlace place = { .offset = 0 };
        SegmentHeader h;
        RecordHeader record;
        uint64_t offset;
        int r;

        r = segment_read(fd, 0, &h, sizeof(h));
        if (r >= 0)
                r = segment_header_verify(&h);
        if (r == -EPROTO || (r == 0 && h.sequence != segment->sequence))
                return -EBADMSG;
        if (r >= 0) {
                segment->first = (SpoolPoint) { h.position, h.line };
                return 0;
        }

        r = segment_next(fd, segment->size, &place, SEGMENT_NUMBER_MAX, &record, &offset);
        if (r <= 0)
                return -EBADMSG;

        segment->first = (SpoolPoint) { record.position, record.line };
        return 0;
}

static bool follows(const Spool *s, const SpoolSegment *segment) {
        const SpoolSegment *last = s->n_segments > 0 ? &s->segments[s->n_segments - 1] : NULL;

        return !last ||
               (segment->first.position >= last->first.position && segment->first.line >= last->first.line &&
                segment->first.line - last->first.line <= segment->first.position - last->first.position);
}

static int load_segment(Spool *s, uint64_t sequence) {
        SpoolSegment segment = { .sequence = sequence, .fd = -1 };
        _cleanup_(close_fdp) int fd = -1;
        char name[SEGMENT_NAME_N];
        struct stat st;

        segment_name(sequence, name);
        s->next_sequence = sequence + 1;
        fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && spool_error_passes(-errno))
                return -errno;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                report_foreign(s, name);
                return 0;
        }

        segment.size = (uint64_t) st.st_size;
        if (segment.size < sizeof(SegmentHeader)) {
                /* Killed while it was made: nothing is in it yet. */
                s->vanished = true;
                (void) unlinkat(s->dir_fd, name, 0);
                spool_report(s, &(SpoolLoss) { .why = SPOOL_TORN, .file = name, .bytes = segment.size });
                return 0;
        }
        if (find_first(fd, &segment) < 0 || !follows(s, &segment)) {
                report_foreign(s, name);
                return 0;
        }

        return spool_segment_add(s, &segment);
}

/* -- the last one -- */

typedef struct Tail {
        RecordHeader last; /* length 0: no record is good */
        uint64_t end;      /* of it in the file */
        bool whole;        /* nothing but good records before `end` */
        bool unreadable;
} Tail;

/* 0, or -ENOMEM. */
static int read_tail(Spool *s, int fd, const SpoolSegment *segment, Tail *t) {
        SegmentPlace place = { sizeof(SegmentHeader), segment->first.position, segment->first.line };
        bool gap = false;
        int r;

        *t = (Tail) { .end = sizeof(SegmentHeader), .whole = true };
        for (;;) {
                RecordHeader h;
                uint64_t offset;

                r = segment_next(fd, segment->size, &place, SEGMENT_NUMBER_MAX, &h, &offset);
                if (r <= 0)
                        break;

                gap = gap || offset != place.offset;
                place = (SegmentPlace) { offset + sizeof(h) + h.length, record_end(&h), h.line + h.lines };
                r = spool_window_reserve(&s->window, h.length);
                if (r < 0)
                        return r;
                r = segment_read_lines(fd, offset, &h, s->window.data);
                t->unreadable = t->unreadable || (r < 0 && r != -EBADMSG);
                if (r < 0) {
                        gap = true;
                        continue;
                }

                t->last = h;
                t->end = place.offset;
                t->whole = t->whole && !gap;
        }

        t->unreadable = t->unreadable || r < 0;
        return 0;
}

static void report_torn(const Spool *s, const SpoolSegment *segment, uint64_t bytes) {
        char name[SEGMENT_NAME_N];

        segment_name(segment->sequence, name);
        if (bytes > 0)
                spool_report(s, &(SpoolLoss) { .why = SPOOL_TORN, .file = name, .bytes = bytes });
}

/* Cuts off what stands behind the last good record. false: it cannot be, nothing may be appended. */
static bool cut_tail(Spool *s, int fd, SpoolSegment *segment, uint64_t end) {
        uint64_t excess = segment->size - end;

        if (excess == 0)
                return true;
        report_torn(s, segment, excess);
        if (ftruncate(fd, (off_t) end) < 0)
                return false;

        segment->size = end;
        s->bytes -= excess;
        s->dirty = true;
        return true;
}

/* 1: the head is known; 0: there was nothing in the last segment, and it has been dropped; or an error that
 * passes. */
static int recover_tail(Spool *s) {
        SpoolSegment *segment = &s->segments[s->n_segments - 1];
        _cleanup_(close_fdp) int fd = -1;
        char name[SEGMENT_NAME_N];
        bool writable;
        Tail t;
        int r;

        segment_name(segment->sequence, name);
        fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        writable = fd >= 0;
        if (fd < 0)
                fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0 && spool_error_passes(-errno))
                return -errno;
        r = read_tail(s, fd, segment, &t);
        if (r < 0)
                return r;

        s->head = t.last.length > 0 ? (SpoolPoint) { record_end(&t.last), t.last.line + t.last.lines } :
                                      segment->first;
        if (t.last.length == 0 && writable && !t.unreadable) {
                s->vanished = true;
                report_torn(s, segment, segment->size - sizeof(SegmentHeader));
                if (spool_segment_drop(s, s->n_segments - 1) >= 0)
                        return 0;
        }
        if (t.last.length == 0)
                return 1;

        s->last = (SpoolLast) {
                .origin = { t.last.ring, t.last.origin + t.last.length },
                .end = record_end(&t.last),
                .saved = s->state.head.position >= record_end(&t.last),
        };
        s->sealed = !writable || t.unreadable || !t.whole || !cut_tail(s, fd, segment, t.end);
        if (!s->sealed)
                segment->fd = TAKE_FD(fd);
        return 1;
}

/* -- the state -- */

/* 0, or an error that passes. */
static int load_state(Spool *s) {
        _cleanup_(close_fdp) int fd = -1;
        int r;

        s->save_error = spool_state_open(s);
        if (spool_error_passes(s->save_error))
                return s->save_error;
        if (s->state_fd < 0)
                fd = openat(s->dir_fd, SPOOL_STATE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        r = spool_state_read(s->state_fd < 0 ? fd : s->state_fd, &s->state);
        if (r == -EBADF)
                r = -ENODATA;
        if (r < 0)
                s->state = (SpoolState) {};
        if (r < 0 && r != -ENODATA)
                s->sync_error = r;
        return 0;
}

int spool_recover(Spool *s) {
        _cleanup_(freep) uint64_t *list = NULL;
        size_t n = 0;
        int r;

        s->next_sequence = 1;
        r = load_state(s);
        if (r >= 0)
                r = list_segments(s, &list, &n);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n; i++) {
                r = load_segment(s, list[i]);
                if (r < 0)
                        return r;
        }

        r = 0;
        while (r == 0 && s->n_segments > 0)
                r = recover_tail(s);
        if (r < 0)
                return r;

        /* What the state knows of and is not there is lost; it will be found so. */
        s->torn_from = s->head.position;
        s->torn_to = s->state.head.position;
        s->head.position = MAX(s->head.position, s->state.head.position);
        s->head.line = MAX(s->head.line, s->state.head.line);
        s->dir_dirty = true;
        s->n_readers = 0;
        return MIN(spool_add_reader(s), 0);
}
