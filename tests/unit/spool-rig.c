/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "unit/spool-rig.h"

static uint64_t mix(uint64_t v) {
        v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
        return v ^ v >> 31;
}

uint64_t spool_rig_draw(SpoolRig *r, uint64_t n) {
        return mix(r->random += UINT64_C(0x9e3779b97f4a7c15)) % n;
}

/* -- lines -- */

#define PREFIX "put "
#define DIGITS 10u

size_t spool_line(uint64_t number, char ret[static SPOOL_LINE_MAX]) {
        size_t n = sizeof(PREFIX) + DIGITS + mix(number) % 60 + (number % 50 == 0 ? 600 : 0);

        memcpy(ret, PREFIX, sizeof(PREFIX) - 1);
        for (size_t i = 0; i < DIGITS; i++)
                ret[sizeof(PREFIX) - 1 + i] =
                        (char) ('0' + number /
                                              (uint64_t[]) { 1000000000, 100000000, 10000000, 1000000,
                                                             100000, 10000, 1000, 100, 10, 1 }[i] %
                                              10);
        memset(ret + sizeof(PREFIX) - 1 + DIGITS, (int) ('a' + number % 26), n - sizeof(PREFIX) - DIGITS);
        ret[n - 1] = '\n';
        return n;
}

void spool_lines_add(Buffer *b, uint64_t first, unsigned n) {
        char line[SPOOL_LINE_MAX];

        for (unsigned i = 0; i < n; i++) {
                size_t k = spool_line(first + i, line);

                assert_int_equal(buffer_add(b, (Slice) { line, k }), 0);
        }
}

uint64_t spool_line_take(Slice *s) {
        char want[SPOOL_LINE_MAX];
        uint64_t number = 0;
        size_t n;

        if (s->n < sizeof(PREFIX) - 1 + DIGITS)
                return 0;
        for (size_t i = 0; i < DIGITS; i++)
                number = number * 10 + (uint64_t) (s->p[sizeof(PREFIX) - 1 + i] - '0');

        n = spool_line(number, want);
        if (n > s->n || memcmp(want, s->p, n) != 0)
                return 0;

        s->p += n;
        s->n -= n;
        return number;
}

/* -- the folder -- */

void spool_rig_on_loss(void *userdata, const SpoolLoss *loss) {
        Losses *l = userdata;

        assert_non_null(loss->file);
        assert_non_null(spool_why_to_string(loss->why));
        l->n[loss->why]++;
        l->lines += loss->lines;
        l->calls++;
        if (getenv("TEST_VERBOSE"))
                print_message("# %s: %s, %ju lines, %ju bytes\n", loss->file, spool_why_to_string(loss->why),
                              (uintmax_t) loss->lines, (uintmax_t) loss->bytes);
}

int spool_rig_set_up(void **state) {
        SpoolRig *r = calloc(1, sizeof(*r));
        const char *folder =
                access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* nothing here needs a disk */

        assert_non_null(r);
        (void) snprintf(r->path, sizeof(r->path), "%s/spool-XXXXXX", folder);
        assert_non_null(mkdtemp(r->path));
        r->dir_fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(r->dir_fd >= 0);
        r->limits = (SpoolLimits) { .size = 64 << 20, .segment = 4096 };
        r->next = 1;
        *state = r;
        return 0;
}

void spool_rig_empty(SpoolRig *r) {
        DIR *dir = opendir(r->path);
        struct dirent *e;

        spool_rig_close(r);
        assert_non_null(dir);
        while ((e = readdir(dir)))
                if (e->d_name[0] != '.' && unlinkat(r->dir_fd, e->d_name, 0) < 0)
                        (void) unlinkat(r->dir_fd, e->d_name, AT_REMOVEDIR);
        (void) closedir(dir);
        r->losses = (Losses) {};
        r->next = 1;
}

int spool_rig_tear_down(void **state) {
        SpoolRig *r = *state;

        spool_rig_empty(r);
        (void) close_fd(r->dir_fd);
        (void) rmdir(r->path);
        free(r);
        return 0;
}

void spool_rig_open(SpoolRig *r) {
        assert_null(r->spool);
        assert_int_equal(spool_open(&r->spool, r->dir_fd, &r->limits, spool_rig_on_loss, &r->losses), 0);
}

void spool_rig_close(SpoolRig *r) {
        r->spool = spool_free(r->spool);
}

/* -- in and out -- */

int spool_rig_append(SpoolRig *r, unsigned n) {
        _cleanup_(buffer_done) Buffer b = {};
        int e;

        spool_lines_add(&b, r->next, n);
        e = spool_append(r->spool, buffer_slice(&b), spool_head(r->spool), &(SpoolOrigin) {}, NULL);
        if (e >= 0)
                r->next += n;

        return e;
}

unsigned spool_rig_drain(SpoolRig *r, unsigned reader, uint64_t *seen, unsigned n) {
        uint64_t last = 0, lines, acked;
        unsigned k = 0;

        for (;;) {
                Slice run = spool_peek(r->spool, reader);
                uint64_t end = spool_sent_at(r->spool, reader) + run.n;

                if (run.n == 0)
                        break;
                for (lines = 0; run.n > 0; lines++) {
                        uint64_t number = spool_line_take(&run);

                        assert_true(number > last);
                        last = number;
                        assert_true(k < n);
                        seen[k++] = number;
                }

                spool_sent(r->spool, reader, end);
                acked = spool_ack(r->spool, reader, end);
                assert_int_equal(acked, lines);
        }

        assert_int_equal(spool_acked_at(r->spool, reader), spool_head(r->spool));
        return k;
}
