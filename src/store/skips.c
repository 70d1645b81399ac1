/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table is filled from its front, and a place that is cleared is used again, so that as a rule nothing
 * but the first page of it is ever touched. `top` is behind the last place in use: there is nothing to look
 * at beyond it. Any number may stand in a place, so there is nothing to verify but the head. */

#include <fcntl.h>
#include <sys/mman.h>

#include "store/ring-map.h"
#include "store/skips.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define SKIPS_MAGIC UINT64_C(0x7370696b736c6f63) /* "colskips" */
#define SKIPS_LAYOUT 1u                          /* changes with every change to the struct below */

typedef struct SkipsTable {
        uint64_t magic;
        uint32_t layout;
        uint32_t n; /* places */
        uint64_t sources[SKIPS_MAX];
} SkipsTable;
static_assert(sizeof(SkipsTable) == 16 + 8 * (size_t) SKIPS_MAX, "layout of SkipsTable");

struct Skips {
        int fd;
        SkipsTable *table;
        size_t top;
};

static int skips_map(int fd, Skips **ret) {
        _cleanup_(skips_freep) Skips *s = malloc(sizeof(*s));
        void *p;

        if (!s)
                return -ENOMEM;

        *s = (Skips) { .fd = -1 };
        p = mmap(NULL, sizeof(SkipsTable), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;

        s->table = p;
        *ret = TAKE(s);
        return 0;
}

static int skips_memfd_new(void) {
        _cleanup_(close_fdp) int fd = -1;

        fd = memfd_create("tcollector-skips", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL) /* an older kernel */
                fd = memfd_create("tcollector-skips", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (ftruncate(fd, sizeof(SkipsTable)) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int skips_new(Skips **ret) {
        _cleanup_(close_fdp) int fd = skips_memfd_new();
        int r;

        if (fd < 0)
                return fd;

        r = skips_map(fd, ret);
        if (r < 0)
                return r;

        (*ret)->fd = TAKE_FD(fd);
        (*ret)->table->n = SKIPS_MAX;
        (*ret)->table->layout = SKIPS_LAYOUT;
        (*ret)->table->magic = SKIPS_MAGIC;
        return 0;
}

int skips_open(Skips **ret, int fd) {
        _cleanup_(skips_freep) Skips *s = NULL;
        uint64_t size;
        int r;

        r = ring_memfd_check(fd, &size);
        if (r < 0)
                return r;
        if (size != sizeof(SkipsTable))
                return -EBADMSG;

        r = skips_map(fd, &s);
        if (r < 0)
                return r;
        if (s->table->magic != SKIPS_MAGIC || s->table->layout != SKIPS_LAYOUT || s->table->n != SKIPS_MAX)
                return -EBADMSG;

        for (size_t i = 0; i < SKIPS_MAX; i++)
                if (s->table->sources[i] != 0)
                        s->top = i + 1;

        s->fd = fd;
        *ret = TAKE(s);
        return 0;
}

Skips *skips_free(Skips *s) {
        if (!s)
                return NULL;

        if (s->table)
                (void) munmap(s->table, sizeof(*s->table));
        (void) close_fd(s->fd);
        free(s);
        return NULL;
}

int skips_fd(const Skips *s) {
        return s->fd;
}

/* The first place in which `source` stands, or NULL. 0 finds one that is free. */
static uint64_t *skips_find(const Skips *s, uint64_t source) {
        for (size_t i = 0; i < s->top; i++)
                if (s->table->sources[i] == source)
                        return &s->table->sources[i];

        return NULL;
}

bool skips_has(const Skips *s, uint64_t source) {
        return source != 0 && skips_find(s, source);
}

/* A kill leaves what stands in memory at that moment, so one store is all it takes; the compiler may not
 * split it or leave it out. */
static void place_write(uint64_t *place, uint64_t source) {
        __atomic_store_n(place, source, __ATOMIC_SEQ_CST);
}

static void skips_add(Skips *s, uint64_t source) {
        uint64_t *place = skips_find(s, 0);

        if (!place && s->top < SKIPS_MAX)
                place = &s->table->sources[s->top++];
        if (place)
                place_write(place, source);
}

/* All of its places: what another process left may have it twice. */
static void skips_remove(Skips *s, uint64_t source) {
        uint64_t *place;

        while ((place = skips_find(s, source)))
                place_write(place, 0);
        while (s->top > 0 && s->table->sources[s->top - 1] == 0)
                s->top--;
}

void skips_set(Skips *s, uint64_t source, bool skips) {
        if (source == 0)
                return;
        if (!skips)
                skips_remove(s, source);
        else if (!skips_has(s, source))
                skips_add(s, source);
}
