/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "basic/file.h"
#include "store/skips.h"
#include "unit/tap.h"

#define N_KILLS 100u
#define TABLE_SIZE (16 + 8 * (size_t) SKIPS_MAX)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* What another process would find in the fd store. */
static Skips *take_over(const Skips *s) {
        int fd = fcntl(skips_fd(s), F_DUPFD_CLOEXEC, 0);
        Skips *next = NULL;

        assert_true(fd >= 0);
        assert_int_equal(skips_open(&next, fd), 0);
        assert_int_equal(skips_fd(next), fd);
        return next;
}

static void test_set(void **state _unused_) {
        _cleanup_(skips_freep) Skips *s = NULL, *next = NULL;

        assert_int_equal(skips_new(&s), 0);
        assert_false(skips_has(s, 1));
        skips_set(s, 1, true);
        skips_set(s, UINT64_MAX, true);
        skips_set(s, 1, true);
        skips_set(s, 2, false);
        assert_true(skips_has(s, 1) && skips_has(s, UINT64_MAX) && !skips_has(s, 2));

        next = take_over(s);
        assert_true(skips_has(next, 1) && skips_has(next, UINT64_MAX) && !skips_has(next, 2));
        skips_set(next, 1, false);
        assert_false(skips_has(next, 1));
        assert_true(skips_has(next, UINT64_MAX));
        assert_false(skips_has(s, 1));
}

static void test_zero_is_no_hash(void **state _unused_) {
        _cleanup_(skips_freep) Skips *s = NULL;

        assert_int_equal(skips_new(&s), 0);
        skips_set(s, 5, true);
        skips_set(s, 6, true);
        skips_set(s, 5, false); /* leaves a free place before one in use */
        skips_set(s, 0, true);
        assert_false(skips_has(s, 0));
        skips_set(s, 0, false);
        assert_true(skips_has(s, 6));
}

static void test_full(void **state _unused_) {
        _cleanup_(skips_freep) Skips *s = NULL, *next = NULL;

        assert_int_equal(skips_new(&s), 0);
        for (uint64_t i = 1; i <= SKIPS_MAX; i++)
                skips_set(s, i << 40, true);
        for (uint64_t i = 1; i <= SKIPS_MAX; i++)
                assert_true(skips_has(s, i << 40));

        skips_set(s, 7, true);
        assert_false(skips_has(s, 7));
        next = take_over(s);
        skips_set(next, 7, true);
        assert_false(skips_has(next, 7));

        /* Room again, at the front, in the middle and at the end. */
        for (unsigned k = 0; k < 3; k++) {
                static const uint64_t gone[] = { 1, SKIPS_MAX / 2, SKIPS_MAX };

                skips_set(next, gone[k] << 40, false);
                skips_set(next, 7 + k, true);
                assert_true(skips_has(next, 7 + k) && !skips_has(next, gone[k] << 40));
                skips_set(next, 99, true);
                assert_false(skips_has(next, 99));
        }

        for (uint64_t i = 0; i <= SKIPS_MAX; i++) {
                skips_set(next, i << 40, false);
                skips_set(next, 7 + i, false);
        }
        skips_set(next, 100, true);
        assert_true(skips_has(next, 100) && !skips_has(next, 7) && !skips_has(next, UINT64_C(2) << 40));
}

/* A place another process has used twice for one source. */
static void test_twice(void **state _unused_) {
        _cleanup_(skips_freep) Skips *s = NULL, *next = NULL;
        const uint64_t twice[] = { 9, 8, 9 };

        assert_int_equal(skips_new(&s), 0);
        assert_int_equal(pwrite(skips_fd(s), twice, sizeof(twice), 16), sizeof(twice));
        next = take_over(s);
        assert_true(skips_has(next, 9) && skips_has(next, 8));
        skips_set(next, 9, false);
        assert_true(!skips_has(next, 9) && skips_has(next, 8));
}

/* -- kill -9 -- */

typedef struct Shared {
        unsigned n; /* times set and cleared */
} Shared;

static _Noreturn void set_and_clear(int fd, Shared *shared) {
        Skips *s = NULL;

        if (skips_open(&s, fd) < 0)
                _exit(2);

        for (;;) {
                skips_set(s, 2, true);
                skips_set(s, 3, true);
                skips_set(s, 2, false);
                skips_set(s, 3, false);
                __atomic_add_fetch(&shared->n, 1, __ATOMIC_RELEASE);
        }
}

/* What others have is as it was; of what the writer was at, there is one thing or the other. */
static void test_kill(void **state _unused_) {
        Shared *shared =
                mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        _cleanup_(skips_freep) Skips *s = NULL;

        assert_true(shared != MAP_FAILED);
        assert_int_equal(skips_new(&s), 0);
        skips_set(s, 1, true);
        skips_set(s, 5, true);
        skips_set(s, 4, true);
        skips_set(s, 5, false); /* a free place in front of 4 */

        for (unsigned i = 0; i < N_KILLS; i++) {
                _cleanup_(skips_freep) Skips *next = NULL;
                unsigned begin = __atomic_load_n(&shared->n, __ATOMIC_ACQUIRE);
                pid_t pid = fork();
                int status;

                assert_true(pid >= 0);
                if (pid == 0)
                        set_and_clear(skips_fd(s), shared);
                while (__atomic_load_n(&shared->n, __ATOMIC_ACQUIRE) - begin < 3 + random_u64() % 100 &&
                       waitpid(pid, &status, WNOHANG) == 0)
                        (void) sched_yield();
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

                next = take_over(s);
                assert_true(skips_has(next, 1) && skips_has(next, 4));
                assert_false(skips_has(next, 5) || skips_has(next, 6));
                skips_set(next, 2, false);
                skips_set(next, 3, false);
                assert_false(skips_has(next, 2) || skips_has(next, 3));
        }
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

/* -- what is none -- */

/* A copy of a good one, with `n` bytes at `at` made different, in a memfd of another size or other seals. */
typedef struct Copy {
        const char *name;
        size_t size, at, n;
        int seals; /* 0: as the good one has them */
        enum { OPEN_AS_IT_IS, OPEN_TO_READ, OPEN_TO_WRITE } open;
        int want;
} Copy;

static int copy_make(const Copy *c, int good) {
        char bytes[TABLE_SIZE + 8] = {};
        size_t size = c->size > 0 ? c->size : TABLE_SIZE;
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char path[64];
        int other;

        assert_true(fd >= 0);
        assert_int_equal(pread(good, bytes, TABLE_SIZE, 0), TABLE_SIZE);
        for (size_t i = 0; i < c->n; i++)
                bytes[c->at + i] ^= 1;
        assert_int_equal(fd_write_all(fd, (Slice) { bytes, size }), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, c->seals == 0 ? SEALS : c->seals), 0);
        if (c->open == OPEN_AS_IT_IS)
                return fd;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        other = open(path, (c->open == OPEN_TO_READ ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        assert_true(other >= 0);
        close_fdp(&fd);
        return other;
}

static void test_foreign(void **state _unused_) {
        static const Copy copies[] = {
                { .name = "good" },
                { .name = "other magic", .at = 0, .n = 1, .want = -EBADMSG },
                { .name = "end of the magic", .at = 7, .n = 1, .want = -EBADMSG },
                { .name = "other layout", .at = 8, .n = 1, .want = -EBADMSG },
                { .name = "other number of places", .at = 12, .n = 1, .want = -EBADMSG },
                { .name = "any source", .at = 16, .n = TABLE_SIZE - 16 },
                { .name = "too short", .size = TABLE_SIZE - 8, .want = -EBADMSG },
                { .name = "too long", .size = TABLE_SIZE + 8, .want = -EBADMSG },
                { .name = "may shrink", .seals = F_SEAL_GROW, .want = -EBADMSG },
                { .name = "may grow", .seals = F_SEAL_SHRINK, .want = -EBADMSG },
                { .name = "cannot be written", .seals = SEALS | F_SEAL_WRITE, .want = -EBADMSG },
                { .name = "read-only", .open = OPEN_TO_READ, .want = -EBADMSG },
                { .name = "write-only", .open = OPEN_TO_WRITE, .want = -EBADMSG },
        };
        _cleanup_(skips_freep) Skips *s = NULL;

        assert_int_equal(skips_new(&s), 0);
        for (size_t i = 0; i < ELEMENTSOF(copies); i++) {
                int fd = copy_make(&copies[i], skips_fd(s)), r;
                Skips *other = NULL;

                r = skips_open(&other, fd);
                if (r != copies[i].want || !other != (r < 0))
                        fail_msg("%s: %d", copies[i].name, r);
                assert_true(fcntl(fd, F_GETFD) >= 0); /* refused, it is still ours */
                if (r < 0)
                        close_fdp(&fd);
                skips_free(other);
        }
}

static void test_no_memfd(void **state _unused_) {
        _cleanup_(close_fdp) int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Skips *s = NULL;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(skips_open(&s, fds[0]), -EBADMSG);
        assert_int_equal(skips_open(&s, dir), -EBADMSG);
        assert_int_equal(skips_open(&s, -1), -EBADF);
        assert_null(s);
        close_fdp(&fds[0]);
        close_fdp(&fds[1]);
}

/* Nobody who has it can cut it short under the agent. */
static void test_sealed(void **state _unused_) {
        _cleanup_(skips_freep) Skips *s = NULL;

        assert_int_equal(skips_new(&s), 0);
        assert_int_equal(ftruncate(skips_fd(s), 0), -1);
        assert_int_equal(ftruncate(skips_fd(s), 1 << 20), -1);
        assert_true(fcntl(skips_fd(s), F_GETFD) & FD_CLOEXEC);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),      cmocka_unit_test(test_zero_is_no_hash),
                cmocka_unit_test(test_full),     cmocka_unit_test(test_twice),
                cmocka_unit_test(test_kill),     cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_no_memfd), cmocka_unit_test(test_sealed),
        };

        return run_tap(tests);
}
