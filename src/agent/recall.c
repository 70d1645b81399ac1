/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A magic number, then an entry a lane: its head, the name, and what dedup_save() wrote, which has a
 * checksum of its own. The size of an entry is filled in last, so one that was cut short has none and ends
 * the list. */

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/recall.h"
#include "basic/buffer.h"
#include "basic/file.h"

#define MAGIC UINT64_C(0x6c6c616365726c63) /* "clrecall" */
#define PIECE (256u * 1024)

typedef struct EntryHead {
        uint64_t size; /* of what follows the head, bytes; 0: not finished */
        uint64_t name_n;
} EntryHead;

struct Recall {
        void *map;
        size_t size;
};

int recall_begin(int *ret_fd) {
        _cleanup_(close_fdp) int fd = memfd_create("tcollector-dedup", MFD_CLOEXEC);
        uint64_t magic = MAGIC;
        int r;

        if (fd < 0)
                return -errno;

        r = fd_write_all(fd, (Slice) { (const char *) &magic, sizeof(magic) });
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

typedef struct Writing {
        int fd;
        Buffer gathered;
} Writing;

static int flush(Writing *w) {
        int r = fd_write_all(w->fd, buffer_slice(&w->gathered));

        w->gathered.n = 0;
        return r;
}

static int on_write(void *userdata, Slice bytes) {
        Writing *w = userdata;
        int r = buffer_add(&w->gathered, bytes);

        if (r < 0 || w->gathered.n < PIECE)
                return r;

        return flush(w);
}

static int write_entry(Writing *w, const char *name, const Dedup *d) {
        EntryHead head = { .name_n = strlen(name) };
        int r;

        r = on_write(w, (Slice) { (const char *) &head, sizeof(head) });
        if (r >= 0)
                r = on_write(w, slice_from_string(name));
        if (r >= 0)
                r = dedup_save(d, on_write, w);
        if (r >= 0)
                r = flush(w);

        return r;
}

int recall_save(int fd, const char *name, const Dedup *d) {
        off_t begin = lseek(fd, 0, SEEK_END), end;
        Writing w = { .fd = fd };
        uint64_t size;
        int r;

        if (begin < 0)
                return -errno;

        r = write_entry(&w, name, d);
        buffer_done(&w.gathered);
        if (r < 0)
                return r;

        end = lseek(fd, 0, SEEK_END);
        size = (uint64_t) (end - begin) - sizeof(EntryHead);
        return end < 0 || pwrite(fd, &size, sizeof(size), begin) != sizeof(size) ? -errno : 0;
}

int recall_open(Recall **ret, int fd) {
        _cleanup_(recall_freep) Recall *r = calloc(1, sizeof(*r));
        struct stat st;
        uint64_t magic;

        if (!r)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t) sizeof(magic))
                return -EBADMSG;

        r->size = (size_t) st.st_size;
        r->map = mmap(NULL, r->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (r->map == MAP_FAILED) {
                r->map = NULL;
                return -errno;
        }

        memcpy(&magic, r->map, sizeof(magic));
        if (magic != MAGIC)
                return -EBADMSG;

        *ret = TAKE(r);
        return 0;
}

Recall *recall_free(Recall *r) {
        if (!r)
                return NULL;

        if (r->map)
                (void) munmap(r->map, r->size);
        free(r);
        return NULL;
}

/* Cuts the next entry off `rest`. false: there is none. */
static bool next_entry(Slice *rest, Slice *ret_name, Slice *ret_bytes) {
        EntryHead head;

        if (rest->n < sizeof(head))
                return false;

        memcpy(&head, rest->p, sizeof(head));
        *rest = (Slice) { rest->p + sizeof(head), rest->n - sizeof(head) };
        if (head.size == 0 || head.size > rest->n || head.name_n > head.size)
                return false;

        *ret_name = (Slice) { rest->p, head.name_n };
        *ret_bytes = (Slice) { rest->p + head.name_n, head.size - head.name_n };
        *rest = (Slice) { rest->p + head.size, rest->n - head.size };
        return true;
}

int recall_find(const Recall *r, const char *name, const DedupLimits *limits, Dedup **ret) {
        Slice rest = { (const char *) r->map + sizeof(uint64_t), r->size - sizeof(uint64_t) }, known, bytes;

        while (next_entry(&rest, &known, &bytes))
                if (slice_equal(known, slice_from_string(name)))
                        return dedup_load(ret, limits, &bytes);

        return -ENOENT;
}
