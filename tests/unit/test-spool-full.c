/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Disks that take no more: a small tmpfs in a mount namespace of this process's own, a limit on the size of
 * files, a read-only file system; and a process that may open no more. None of it may cost a line that was
 * appended, or more than the append. */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "basic/file.h"
#include "unit/spool-rig.h"

#define DISK_BYTES (1u << 20)
#define LINES_MAX 60000u

static uint64_t seen[LINES_MAX];

/* -- the disk -- */

static void write_to(const char *path, const char *text) {
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || fd_write_all(fd, slice_from_string(text)) < 0)
                fail_msg("cannot write %s: %s", path, strerror(errno));
}

static int own_namespace(void **state _unused_) {
        uid_t uid = geteuid();
        char map[32];

        (void) snprintf(map, sizeof(map), "0 %u 1", uid);
        if (unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) < 0)
                fail_msg("no mount namespace of our own, a full disk cannot be made: %s", strerror(errno));
        if (uid != 0)
                write_to("/proc/self/uid_map", map);
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                fail_msg("cannot make mounts private: %s", strerror(errno));

        return 0;
}

static int set_up(void **state) {
        SpoolRig *r;

        assert_int_equal(spool_rig_set_up(state), 0);
        r = *state;
        if (mount("spool-full", r->path, "tmpfs", 0, "size=1M") < 0)
                fail_msg("cannot mount a tmpfs: %s", strerror(errno));
        (void) close_fd(r->dir_fd);
        r->dir_fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(r->dir_fd >= 0);
        r->limits = (SpoolLimits) { .size = 1 << 30, .segment = 100000 };
        return 0;
}

static int tear_down(void **state) {
        SpoolRig *r = *state;

        spool_rig_close(r);
        r->dir_fd = close_fd(r->dir_fd);
        assert_int_equal(umount2(r->path, MNT_DETACH), 0);
        r->dir_fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return spool_rig_tear_down(state);
}

/* Appends until it is refused; with what. */
static int fill(SpoolRig *r, unsigned max) {
        int e = 0;

        for (unsigned i = 0; i < max && e == 0; i++)
                e = spool_rig_append(r, 20);

        return e;
}

static void assert_all_there(SpoolRig *r, uint64_t first) {
        unsigned n = (unsigned) (r->next - first);

        assert_int_equal(spool_lines(r->spool), n);
        assert_int_equal(spool_rig_drain(r, 0, seen, LINES_MAX), n);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(seen[i], first + i);
        assert_int_equal(spool_lost(r->spool), 0);
        assert_int_equal(r->losses.lines, 0);
}

/* -- rows -- */

static void test_full(void **state) {
        SpoolRig *r = *state;
        uint64_t first = 1, end;

        spool_rig_open(r);
        for (unsigned round = 0; round < 4; round++) {
                assert_int_equal(fill(r, 10000), -ENOSPC);
                assert_int_equal(spool_error(r->spool), -ENOSPC);
                assert_true(spool_bytes(r->spool) > DISK_BYTES / 2);
                assert_int_equal(fill(r, 10), -ENOSPC); /* and it may be tried as often as one likes */

                if (round % 2) { /* a little is delivered, and it works again */
                        end = spool_acked_at(r->spool, 0) + 300000;
                        first += spool_ack(r->spool, 0, end);
                        assert_int_equal(spool_rig_append(r, 20), 0);
                        assert_int_equal(spool_error(r->spool), 0);
                } else { /* the next process finds it full */
                        spool_rig_close(r);
                        spool_rig_open(r);
                }
                if (round == 3)
                        assert_all_there(r, first);
        }
}

/* What others need of the file system stays free, at the cost of the oldest lines. */
static void test_reserve(void **state) {
        SpoolRig *r = *state;
        struct statvfs fs;
        unsigned n;

        r->limits.reserve = 50;
        spool_rig_open(r);
        for (unsigned i = 0; i < 1500; i++) {
                assert_int_equal(spool_rig_append(r, 20), 0);
                assert_int_equal(fstatvfs(r->dir_fd, &fs), 0);
                assert_true(fs.f_bavail * 20 >= fs.f_blocks - fs.f_blocks / 50);
        }
        assert_true(r->losses.n[SPOOL_NO_SPACE] > 0);
        assert_int_equal(r->losses.n[SPOOL_NO_SPACE], r->losses.calls);
        n = spool_rig_drain(r, 0, seen, LINES_MAX);
        assert_int_equal(n + r->losses.lines, 30000);
        assert_int_equal(seen[n - 1], 30000);
}

/* Others take all there is. */
static void others_fill(SpoolRig *r) {
        _cleanup_(freep) char *bytes = calloc(1, DISK_BYTES);
        _cleanup_(close_fdp) int fd =
                openat(r->dir_fd, "others", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        assert_non_null(bytes);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, (Slice) { bytes, DISK_BYTES }), -ENOSPC);
}

/* Others have filled the disk: nothing of ours goes for it but what would help. */
static void test_filled_by_others(void **state) {
        static const struct {
                uint64_t reserve;
                size_t segments;
        } rows[] = { { 50, 1 }, { 500, 3 }, { 500, 5 } };
        SpoolRig *r = *state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                spool_rig_empty(r);
                r->limits.reserve = rows[i].reserve;
                spool_rig_open(r);
                while (spool_n_segments(r->spool) < rows[i].segments)
                        assert_int_equal(spool_rig_append(r, 20), 0);
                others_fill(r);
                assert_true(spool_would_drop(r->spool, 100));
                assert_int_equal(spool_rig_append(r, 20), -ENOSPC);
                assert_int_equal(spool_n_segments(r->spool), rows[i].segments);
                assert_all_there(r, 1);
        }
}

/* What a segment gave back does not show at once, or others take it: another one goes only when that has had
 * its time. */
static void test_freed_late(void **state) {
        SpoolRig *r = *state;
        usec_t now = 100 * USEC_PER_SEC;

        r->limits.reserve = 50;
        spool_rig_open(r);
        while (spool_n_segments(r->spool) < 5)
                assert_int_equal(spool_rig_append(r, 20), 0);
        for (unsigned i = 1; i < 3; i++, now += 30 * USEC_PER_SEC) {
                others_fill(r);
                spool_set_time(r->spool, now);
                assert_int_equal(spool_rig_append(r, 20), 0);
                assert_int_equal(r->losses.n[SPOOL_NO_SPACE], i);
                others_fill(r);
                for (unsigned k = 0; k < 10; k++)
                        assert_int_equal(spool_rig_append(r, 20), -ENOSPC);
                spool_set_time(r->spool, now + 30 * USEC_PER_SEC - 1);
                assert_int_equal(spool_rig_append(r, 20), -ENOSPC);
                assert_int_equal(r->losses.n[SPOOL_NO_SPACE], i);
        }
}

/* Room for lines, and none for the state: what is durable then is not known to be. */
static void test_no_room_for_state(void **state) {
        SpoolRig *r = *state;
        _cleanup_(close_fdp) int fd = -1;

        spool_rig_open(r);
        assert_int_equal(spool_rig_append(r, 2), 0);
        assert_int_equal(spool_sync(r->spool, USEC_INFINITY), 0);
        fd = openat(r->dir_fd, "state", O_RDWR | O_CLOEXEC);
        assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * 4096), 0);
        others_fill(r);
        assert_int_equal(spool_rig_append(r, 2), 0); /* into the page there is */
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(spool_sync(r->spool, USEC_INFINITY), -ENOSPC);
                assert_int_equal(spool_error(r->spool), -ENOSPC);
        }

        assert_int_equal(unlinkat(r->dir_fd, "others", 0), 0);
        assert_int_equal(spool_sync(r->spool, USEC_INFINITY), 0);
        assert_int_equal(spool_error(r->spool), 0);
        assert_all_there(r, 1);
}

static void test_file_size(void **state) {
        SpoolRig *r = *state;
        struct rlimit before, small;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur = 50001;
        (void) signal(SIGXFSZ, SIG_IGN);
        spool_rig_open(r);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(fill(r, 10000), -EFBIG);
        assert_int_equal(spool_error(r->spool), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(spool_rig_append(r, 20), 0);
        assert_int_equal(spool_error(r->spool), 0);
        assert_all_there(r, 1);
}

static void remount(SpoolRig *r, unsigned long flags) {
        if (mount(NULL, r->path, NULL, MS_REMOUNT | flags, NULL) < 0)
                fail_msg("cannot remount: %s", strerror(errno));
}

static void test_read_only(void **state) {
        SpoolRig *r = *state;

        spool_rig_open(r);
        assert_int_equal(fill(r, 50), 0);
        spool_rig_close(r);
        remount(r, MS_RDONLY);
        spool_rig_open(r);
        assert_int_equal(spool_error(r->spool), -EROFS);
        assert_int_equal(spool_rig_append(r, 20), -EROFS);
        assert_all_there(r, 1);
        assert_int_equal(spool_error(r->spool), -EROFS);
        assert_int_equal(spool_rig_append(r, 20), -EROFS);
        spool_rig_close(r);

        /* What was delivered could not be written down, so it comes again. */
        remount(r, 0);
        spool_rig_open(r);
        assert_int_equal(spool_error(r->spool), 0);
        assert_int_equal(spool_rig_append(r, 20), 0);
        assert_all_there(r, 1);
        spool_rig_close(r);
        spool_rig_open(r);
        assert_true(spool_is_empty(r->spool));
}

static void allow_descriptors(rlim_t more) {
        struct rlimit limit;
        int next;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        if (more != RLIM_INFINITY) {
                next = dup(STDIN_FILENO);
                assert_true(next >= 0);
                (void) close_fd(next);
                limit.rlim_cur = (rlim_t) next + more;
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int open_with(SpoolRig *r, rlim_t descriptors) {
        int e;

        allow_descriptors(descriptors);
        e = spool_open(&r->spool, r->dir_fd, &r->limits, spool_rig_on_loss, &r->losses);
        allow_descriptors(RLIM_INFINITY);
        return e;
}

/* Without a descriptor for it a segment waits, and is not lost. */
static void test_no_descriptor(void **state) {
        SpoolRig *r = *state;

        r->limits.segment = 4096;
        spool_rig_open(r);
        assert_int_equal(fill(r, 60), 0);
        allow_descriptors(0);
        assert_int_equal(spool_peek(r->spool, 0).n, 0);
        assert_int_equal(spool_ack(r->spool, 0, spool_head(r->spool)), 0);
        allow_descriptors(RLIM_INFINITY);
        assert_int_equal(spool_lines(r->spool), 1200);

        spool_rig_close(r);
        for (rlim_t n = 0; n < 3; n++) /* its folder; its state; a segment */
                assert_int_equal(open_with(r, n), -EMFILE);
        assert_int_equal(open_with(r, 3), 0);
        assert_int_equal(r->losses.calls, 0);
        assert_all_there(r, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_full),       TEST(test_reserve),           TEST(test_filled_by_others),
                TEST(test_freed_late), TEST(test_no_room_for_state), TEST(test_file_size),
                TEST(test_read_only),  TEST(test_no_descriptor),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, own_namespace, NULL);
}
