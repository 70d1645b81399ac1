/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is sent to a stand-in for systemd, and what is taken over from one. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "io/handover.h"
#include "unit/tap.h"

static int listen_as_systemd(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char name[64];

        assert_true(fd >= 0);
        (void) snprintf(name, sizeof(name), "@tcollector-test-%d", (int) getpid());
        memcpy(a.sun_path, name, strlen(name));
        a.sun_path[0] = '\0';
        assert_int_equal(bind(fd, (struct sockaddr *) &a,
                              (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                         0);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        return fd;
}

/* One message: its text, and the descriptor that came with it, or -1. */
static int receive(int fd, char *text, size_t n) {
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(sizeof(int)) + 128];
        } control;
        struct iovec iov = { text, n - 1 };
        struct msghdr m = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        assert_true(k > 0);
        text[k] = '\0';
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                        int passed;

                        memcpy(&passed, CMSG_DATA(c), sizeof(passed));
                        return passed;
                }

        return -1;
}

static bool same_file(int a, int b) {
        struct stat x, y;

        return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void test_store_and_forget(void **state _unused_) {
        _cleanup_(close_fdp) int fd = listen_as_systemd(), memfd = memfd_create("test", MFD_CLOEXEC),
                                 got = -1;
        _cleanup_(handover_freep) Handover *h = NULL;
        char text[256], name[300];

        assert_int_equal(handover_new(&h), 0);
        assert_true(handover_is_kept(h));
        assert_int_equal(handover_store(h, "col-a.py", memfd), 0);
        got = receive(fd, text, sizeof(text));
        assert_string_equal(text, "FDSTORE=1\nFDNAME=col-a.py\nFDPOLL=0");
        assert_true(same_file(got, memfd));

        handover_forget(h, "col-a.py");
        assert_int_equal(receive(fd, text, sizeof(text)), -1);
        assert_string_equal(text, "FDSTOREREMOVE=1\nFDNAME=col-a.py");

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_true(handover_store(h, name, memfd) <= 0); /* too long a name is systemd's to refuse */
}

static void test_nobody_listens(void **state _unused_) {
        _cleanup_(handover_freep) Handover *h = NULL;

        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(handover_new(&h), 0);
        assert_false(handover_is_kept(h));
        assert_int_equal(handover_store(h, "queue", STDIN_FILENO), 0);
        handover_forget(h, "queue");
        assert_int_equal(handover_settle(h, 0), 0);
        assert_int_equal(handover_take(h, "queue"), -1);
}

/* In a child, whose descriptors from 3 on are the passed ones. */
static int take_over(void) {
        _cleanup_(freep) char *first = NULL, *second = NULL, *third = NULL;
        _cleanup_(close_fdp) int queue = -1, b = -1, a = -1;
        _cleanup_(handover_freep) Handover *h = NULL;
        char pid[16];

        for (int fd = 3; fd < 7; fd++) {
                int memfd = memfd_create("passed", 0);

                if (memfd < 0 || dup2(memfd, fd) != fd || ftruncate(fd, fd) < 0)
                        return 10;
                if (memfd != fd)
                        (void) close(memfd);
        }
        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", pid, 1);
        (void) setenv("LISTEN_FDS", "4", 1);
        (void) setenv("LISTEN_FDNAMES", "col-b:queue:queue:col-a", 1);

        if (handover_new(&h) < 0 || getenv("LISTEN_FDS"))
                return 11;

        queue = handover_take(h, "queue");
        if (queue != 4 || handover_take(h, "queue") != -1 || fcntl(5, F_GETFD) >= 0)
                return 12;
        if ((fcntl(queue, F_GETFD) & FD_CLOEXEC) == 0)
                return 13;

        b = handover_take_any(h, "col-", &first);
        a = handover_take_any(h, "col-", &second);
        if (b != 3 || a != 6 || strcmp(first, "b") != 0 || strcmp(second, "a") != 0)
                return 14;
        return handover_take_any(h, "col-", &third) == -1 && !third ? 0 : 15;
}

static void test_take_over(void **state _unused_) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(take_over());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_store_and_forget),
                cmocka_unit_test(test_nobody_listens),
                cmocka_unit_test(test_take_over),
        };

        return run_tap(tests);
}
