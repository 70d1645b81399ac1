/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mman.h>

#include "unit/tap.h"

#define N_GUARDED 8
#define GUARDED_MAX (256u * 1024)

Slice guarded_slice(Slice s) {
        static char *areas[N_GUARDED];
        static size_t next;
        size_t page = (size_t) sysconf(_SC_PAGESIZE);
        char **area = &areas[next++ % N_GUARDED], *p;

        assert_true(s.n <= GUARDED_MAX);
        if (!*area) {
                *area = mmap(NULL, GUARDED_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                             -1, 0);
                assert_true(*area != MAP_FAILED);
                assert_int_equal(mprotect(*area + GUARDED_MAX, page, PROT_NONE), 0);
        }

        p = *area + GUARDED_MAX - s.n;
        if (s.n > 0)
                memcpy(p, s.p, s.n);

        return (Slice) { p, s.n };
}

Slice guarded(const char *s) {
        return guarded_slice(slice_from_string(s));
}
