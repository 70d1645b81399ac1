/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the feeds leave to systemd, and what they find there. */

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "basic/log.h"
#include "unit/feeds-rig.h"

/* In a child, whose descriptors from 3 on are the passed ones. */
static int read_passed(World *w, const int *fds, int n, const char *names) {
        char text[16];
        bool good;
        Life l;

        for (int i = 0; i < n; i++)
                if (fcntl(fds[i], F_DUPFD, 100) < 0)
                        return 10;
        for (int i = 0; i < n; i++)
                if (dup2(100 + i, 3 + i) < 0)
                        return 11;
        (void) snprintf(text, sizeof(text), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", text, 1);
        (void) snprintf(text, sizeof(text), "%d", n);
        (void) setenv("LISTEN_FDS", text, 1);
        (void) setenv("LISTEN_FDNAMES", names, 1);

        life_begin(&l, w, NULL);
        live(&l);
        good = slice_equal(ring_unacked(w->ring, 0), SLICE("put m.b 1700000000 2 host=h\n"
                                                           "put m.a 1700000000 1 host=h\n"
                                                           "put m.c 1700000000 3 host=h\n"));
        feeds_look(l.feeds, clock_usec(CLOCK_MONOTONIC));
        if (feeds_n(l.feeds) != 1)
                return 12;

        life_end(&l);
        return good ? 0 : 13;
}

/* A stand-in for systemd: its socket, and what it has stored. It does not store what it has already, under
 * whatever name, and a name that is removed takes all of that name with it. */
typedef struct Store {
        int fd;
        struct {
                char name[32];
                ino_t inode;
        } items[8];
        size_t n;
} Store;

static void store_open(Store *s) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        char name[64];

        *s = (Store) { .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
        (void) snprintf(name, sizeof(name), "@tcollector-test-feeds-%d", (int) getpid());
        memcpy(a.sun_path, name, strlen(name));
        a.sun_path[0] = '\0';
        assert_int_equal(bind(s->fd, (struct sockaddr *) &a,
                              (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                         0);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void store_close(Store *s) {
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        (void) close_fd(s->fd);
}

static bool store_has(const Store *s, const char *name, ino_t inode) {
        for (size_t i = 0; i < s->n; i++)
                if (s->items[i].inode == inode && (!name || strcmp(s->items[i].name, name) == 0))
                        return true;

        return false;
}

static void store_add(Store *s, const char *name, int fd) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        (void) close_fd(fd);
        if (store_has(s, NULL, st.st_ino))
                return;

        assert_true(s->n < ELEMENTSOF(s->items));
        (void) snprintf(s->items[s->n].name, sizeof(s->items[0].name), "%s", name);
        s->items[s->n++].inode = st.st_ino;
}

static void store_remove(Store *s, const char *name) {
        for (size_t i = s->n; i-- > 0;)
                if (strcmp(s->items[i].name, name) == 0)
                        s->items[i] = s->items[--s->n];
}

/* Does what it was told meanwhile. */
static void store_read(Store *s) {
        for (;;) {
                char text[256], control[CMSG_SPACE(sizeof(int)) + 128], name[32] = "";
                struct iovec iov = { text, sizeof(text) - 1 };
                struct msghdr m = {
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control),
                };
                ssize_t k = recvmsg(s->fd, &m, MSG_CMSG_CLOEXEC);
                const char *at;
                int fd = -1;

                if (k < 0)
                        return;
                text[k] = '\0';
                at = strstr(text, "FDNAME=");
                assert_non_null(at);
                (void) snprintf(name, sizeof(name), "%.*s", (int) strcspn(at + 7, "\n"), at + 7);
                for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
                        if (c->cmsg_type == SCM_RIGHTS)
                                memcpy(&fd, CMSG_DATA(c), sizeof(fd));
                if (fd >= 0)
                        store_add(s, name, fd);
                else if (strstr(text, "FDSTOREREMOVE=1"))
                        store_remove(s, name);
        }
}

/* One that is replaced has its rest kept beside the new one. */
static void test_replaced_is_kept(void **state _unused_) {
        _cleanup_(world_done) World w;
        struct stat old, now;
        char path[256];
        Store store;
        Life l;

        world_new(&w);
        store_open(&store);
        make_fifo(&w, "a");
        (void) snprintf(path, sizeof(path), "%s/a", w.fifos);
        assert_int_equal(stat(path, &old), 0);
        life_begin(&l, &w, NULL);
        store_read(&store);
        assert_true(store.n == 1 && store_has(&store, "col-a", old.st_ino));

        remove_fifo(&w, "a");
        make_fifo(&w, "a");
        assert_int_equal(stat(path, &now), 0);
        live(&l);
        store_read(&store);
        assert_true(store.n == 2 && store_has(&store, "col-a", now.st_ino) &&
                    store_has(&store, "old-a", old.st_ino));
        life_end(&l);
        store_close(&store);
}

/* Replaced while no process of ours was there, and before that by one that did not come to read it all. */
static void test_replaced_meanwhile(void **state _unused_) {
        static const char *const lines[] = { "m.b 1700000000 2\n", "m.c 1700000000 3\n",
                                             "m.a 1700000000 1\n" };
        _cleanup_(close_fdp) int now = -1;
        _cleanup_(world_done) World w;
        int fds[2], status;
        char path[256];
        pid_t pid;

        world_new(&w);
        (void) snprintf(path, sizeof(path), "%s/a", w.fifos);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                int out, in;

                if (i > 0)
                        remove_fifo(&w, "a");
                make_fifo(&w, "a");
                in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
                out = open_to_write(&w, "a");
                say(out, lines[i]);
                assert_int_equal(close_fd(out), -1);
                if (i < ELEMENTSOF(fds))
                        fds[i] = in;
                else
                        now = in;
        }

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(read_passed(&w, fds, ELEMENTSOF(fds), "col-a:old-a"));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        (void) close_fd(fds[0]);
        (void) close_fd(fds[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replaced_is_kept),
                cmocka_unit_test(test_replaced_meanwhile),
        };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
