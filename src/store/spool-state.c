/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/segment.h"
#include "store/spool-state.h"

#define STATE_MAGIC UINT64_C(0x836574617473636c) /* "lcstate", no character */
#define STATE_LAYOUT 1u                          /* changes with every change to the struct */
#define STATE_STRIDE 4096u                       /* between the copies */

static uint64_t state_checksum(const SpoolState *s) {
        return XXH3_64bits(s, offsetof(SpoolState, checksum));
}

static bool state_is_good(const SpoolState *s, unsigned i) {
        if (s->magic != STATE_MAGIC || s->layout != STATE_LAYOUT || s->checksum != state_checksum(s) ||
            s->n_readers < 1 || s->n_readers > RING_READERS_MAX || s->sequence % 2 != i ||
            s->head.position > SEGMENT_NUMBER_MAX || s->head.line > SEGMENT_NUMBER_MAX)
                return false;

        for (size_t k = 0; k < s->n_readers; k++)
                if (s->acked[k].position > s->head.position || s->acked[k].line > s->head.line)
                        return false;

        return true;
}

int spool_state_read(int fd, SpoolState *ret) {
        int found = -ENODATA;

        for (unsigned i = 0; i < 2; i++) {
                SpoolState s;
                int r = segment_read(fd, (uint64_t) i * STATE_STRIDE, &s, sizeof(s));

                if (r < 0 && r != -ENODATA)
                        found = found < 0 ? r : found;
                if (r < 0 || !state_is_good(&s, i) || (found == 0 && s.sequence < ret->sequence))
                        continue;

                *ret = s;
                found = 0;
        }

        return found;
}

int spool_state_write(int fd, SpoolState *s) {
        ssize_t n;

        s->magic = STATE_MAGIC;
        s->layout = STATE_LAYOUT;
        s->sequence++;
        s->checksum = state_checksum(s);

        do
                n = pwrite(fd, s, sizeof(*s), (off_t) (s->sequence % 2 * STATE_STRIDE));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        return n == (ssize_t) sizeof(*s) ? 0 : -ENOSPC;
}
