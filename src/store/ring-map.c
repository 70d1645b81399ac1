/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The seals are what makes a mapping of a foreign file safe: without them whoever else holds it could cut
 * it short under us, and the next touch would be a SIGBUS. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "store/ring-map.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define SEALS_NEEDED (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_REFUSED (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

int ring_memfd_new(uint64_t n) {
        _cleanup_(close_fdp) int fd = -1;

        fd = memfd_create("tcollector-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL) /* an older kernel */
                fd = memfd_create("tcollector-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t) n) < 0 || fcntl(fd, F_ADD_SEALS, SEALS_NEEDED | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int ring_memfd_check(int fd, uint64_t *ret) {
        int seals, flags;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;

        seals = fcntl(fd, F_GET_SEALS);
        flags = fcntl(fd, F_GETFL);
        if (seals < 0 || (seals & SEALS_NEEDED) != SEALS_NEEDED || (seals & SEALS_REFUSED) != 0 ||
            flags < 0 || (flags & O_ACCMODE) != O_RDWR)
                return -EBADMSG;

        *ret = (uint64_t) st.st_size;
        return 0;
}

int ring_map(int fd, size_t page, size_t size, RingMap *ret) {
        const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
        size_t first, whole;
        char *p;
        int r;

        if (__builtin_add_overflow(page, size, &first) || __builtin_add_overflow(first, size, &whole))
                return -ENOMEM;

        p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
                return -errno;
        if (mmap(p, first, prot, flags, fd, 0) == MAP_FAILED ||
            mmap(p + first, size, prot, flags, fd, (off_t) page) == MAP_FAILED) {
                r = -errno;
                (void) munmap(p, whole);
                return r;
        }

        *ret = (RingMap) { .p = p, .n = whole, .data = p + page };
        return 0;
}

void ring_unmap(RingMap *m) {
        if (m->p)
                (void) munmap(m->p, m->n);

        *m = (RingMap) {};
}
