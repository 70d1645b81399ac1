/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/fsprobe.h"

#define RETRY_MAX_SHIFT 6u /* 64 rounds */

/* What the child sends; shorter than PIPE_BUF, so it arrives whole. */
typedef struct Message {
        size_t index;
        FsAnswer answer;
} Message;

/* One round as it goes on. */
typedef struct Turn {
        FsProbe *probe;
        const FsQuestion *question;
        const char *const *paths;
        size_t n;
        size_t at; /* the path whose answer is due */
        FsAnswer *answers;
} Turn;

static FsDead *find_dead(const FsProbe *p, const char *path) {
        for (size_t i = 0; i < p->n_dead; i++)
                if (strcmp(p->dead[i].path, path) == 0)
                        return &p->dead[i];

        return NULL;
}

static void forget_dead(FsProbe *p, FsDead *d) {
        free(d->path);
        *d = p->dead[--p->n_dead];
}

/* Collects children that have come loose, and forgets mounts that are gone. */
static void reap(Turn *t) {
        FsProbe *p = t->probe;

        for (size_t i = p->n_dead; i-- > 0;) {
                FsDead *d = &p->dead[i];
                bool listed = false;

                if (d->child > 0 && waitpid(d->child, NULL, WNOHANG) != 0)
                        d->child = 0;
                for (size_t k = 0; k < t->n && !listed; k++)
                        listed = strcmp(t->paths[k], d->path) == 0;
                if (!listed && d->child == 0)
                        forget_dead(p, d);
        }
}

/* Moves `at` to the next path that is asked in this round. */
static void skip(Turn *t) {
        for (; t->at < t->n; t->at++) {
                const FsDead *d = find_dead(t->probe, t->paths[t->at]);

                if (!d || (d->child == 0 && t->probe->n_rounds >= d->retry))
                        return;
        }
}

/* Does not return. */
static void child_main(Turn *t, int fd, pid_t parent) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);

        for (skip(t); t->at < t->n; t->at++, skip(t)) {
                Message m = { .index = t->at };

                m.answer.result =
                        t->question->ask(t->question->userdata, t->paths[t->at], &m.answer.numbers);
                if (write(fd, &m, sizeof(m)) != (ssize_t) sizeof(m))
                        _exit(EXIT_FAILURE);
        }

        _exit(EXIT_SUCCESS);
}

/* `child` has been killed, but need not die of it. */
static int give_up(Turn *t, pid_t child) {
        FsProbe *p = t->probe;
        FsDead *d = find_dead(p, t->paths[t->at]);

        if (!d) {
                d = reallocarray(p->dead, p->n_dead + 1, sizeof(*d));
                if (!d)
                        return -ENOMEM;
                p->dead = d;

                d = &p->dead[p->n_dead];
                *d = (FsDead) { .path = strdup(t->paths[t->at]) };
                if (!d->path)
                        return -ENOMEM;
                p->n_dead++;
        }

        d->child = child;
        d->failures = MIN(d->failures + 1, RETRY_MAX_SHIFT);
        d->retry = p->n_rounds + (UINT64_C(1) << d->failures);
        return 0;
}

static void take_answer(Turn *t, const FsAnswer *answer) {
        FsDead *d = find_dead(t->probe, t->paths[t->at]);

        if (d)
                forget_dead(t->probe, d);
        t->answers[t->at++] = *answer;
        skip(t);
}

/* Reads answers until all are there, one is late, or the child dies. */
static int hear(Turn *t, int fd, pid_t child) {
        struct timespec deadline = {
                (time_t) (t->question->deadline / USEC_PER_SEC),
                (long) (t->question->deadline % USEC_PER_SEC * NSEC_PER_USEC),
        };

        while (t->at < t->n) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int ready = ppoll(&p, 1, &deadline, NULL);
                Message m;

                if (ready < 0 && errno == EINTR)
                        continue;
                if (ready == 0) {
                        (void) kill(child, SIGKILL);
                        t->answers[t->at].result = -ETIMEDOUT;
                        return give_up(t, child);
                }
                if (ready < 0 || read(fd, &m, sizeof(m)) != (ssize_t) sizeof(m) || m.index != t->at) {
                        take_answer(t, &(FsAnswer) { .result = -EIO }); /* the child died of this one */
                        break;
                }
                take_answer(t, &m.answer);
        }

        (void) kill(child, SIGKILL); /* it is at its end, or of no more use */
        (void) waitpid(child, NULL, 0);
        return 0;
}

static int ask_rest(Turn *t) {
        pid_t parent = getpid(), child;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;

        child = fork();
        if (child == 0)
                child_main(t, fds[1], parent);

        r = child < 0 ? -errno : 0;
        fds[1] = close_fd(fds[1]);
        if (r >= 0)
                r = hear(t, fds[0], child);

        fds[0] = close_fd(fds[0]);
        return r;
}

int fsprobe_round(FsProbe *p, const FsQuestion *q, const char *const *paths, size_t n, FsAnswer *answers) {
        Turn t = { .probe = p, .question = q, .paths = paths, .n = n, .answers = answers };
        int r = 0;

        for (size_t i = 0; i < n; i++)
                answers[i] = (FsAnswer) { .result = -EAGAIN };

        reap(&t);
        for (skip(&t); t.at < n && r >= 0; skip(&t))
                r = ask_rest(&t);

        p->n_rounds++;
        return r;
}

void fsprobe_done(FsProbe *p) {
        for (size_t i = 0; i < p->n_dead; i++)
                free(p->dead[i].path);

        free(p->dead);
        *p = (FsProbe) {};
}
