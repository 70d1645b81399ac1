/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "unit/ring-rig.h"

#define DIGITS 8u

static uint64_t mix(uint64_t v) {
        v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
        return v ^ v >> 31;
}

uint64_t draw(Random *r, uint64_t n) {
        return mix(r->state += UINT64_C(0x9e3779b97f4a7c15)) % n;
}

/* -- lines: the number in hexadecimal digits, then a letter as often as the number's hash says -- */

static size_t line_length(uint64_t number) {
        uint64_t h = mix(number);

        return DIGITS + 1 + (size_t) (h % 8 == 0 ? h / 16 % (LINE_MAX_BYTES - DIGITS) : h / 16 % 600);
}

static size_t line_make(uint64_t number, char *out) {
        size_t n = line_length(number);

        for (size_t i = 0; i < DIGITS; i++)
                out[i] = "0123456789abcdef"[number >> 4 * (DIGITS - 1 - i) & 15];
        memset(out + DIGITS, (int) ('g' + number % 20), n - DIGITS - 1);
        out[n - 1] = '\n';
        return n;
}

/* Takes the line off the front of `s`; 0: it is none. */
static uint64_t line_take(Slice *s) {
        char want[LINE_MAX_BYTES];
        uint64_t number = 0;
        size_t n;

        if (s->n <= DIGITS)
                return 0;
        for (size_t i = 0; i < DIGITS; i++)
                number = number << 4 | (uint64_t) (s->p[i] <= '9' ? s->p[i] - '0' : s->p[i] - 'a' + 10);

        n = line_make(number, want);
        if (n > s->n || memcmp(want, s->p, n) != 0)
                return 0;

        s->p += n;
        s->n -= n;
        return number;
}

/* -- what must be true of a ring just opened -- */

/* Are the unacknowledged lines whole and without a gap, the last one `last`? *ret_n is how many. */
static const char *check_lines(Slice s, uint64_t last, uint64_t delivered, uint64_t *ret_n) {
        uint64_t before = 0, number;

        for (*ret_n = 0; s.n > 0; before = number, (*ret_n)++) {
                number = line_take(&s);
                if (number == 0)
                        return "a line is damaged";
                if (before == 0 && number > delivered + 1)
                        return "acknowledged before it arrived";
                if (before != 0 && number != before + 1)
                        return "a line is missing";
        }
        if (*ret_n > 0 && before != last)
                return "the counter does not go with the head";
        if (*ret_n == 0 && last > delivered)
                return "a line is gone";

        return NULL;
}

/* `newest`: what has returned to its caller must be there too. */
static const char *check_ring(const Ring *r, const Log *log, bool newest) {
        uint64_t last = ring_counter(r, 0), most = 0, n;
        RingPending pending = ring_pending(r);

        if (ring_n_readers(r) != READERS)
                return "a reader is missing";
        if (ring_counter(r, 1) != mix(last))
                return "the counters do not go together";
        if (pending.n != 0 && (pending.n != last || pending.checksum != mix(last)))
                return "what is pending does not go with the head";

        for (unsigned i = 0; i < READERS; i++) {
                const char *error = check_lines(ring_unacked(r, i), last, log->delivered[i], &n);

                if (error)
                        return error;
                if (ring_sent_at(r, i) != ring_acked_at(r, i))
                        return "sent is not rewound";
                if (newest && ring_acked_at(r, i) < log->acked[i])
                        return "an acknowledgement is forgotten";
                most = MAX(most, n);
        }
        if (ring_lines_queued(r) != most)
                return "the lines are miscounted";
        if (newest && last < log->committed)
                return "a commit is forgotten";

        return NULL;
}

/* -- the victim -- */

static void give_up(Log *log, const char *error) {
        (void) snprintf(log->error, sizeof(log->error), "%s", error);
        _exit(1);
}

void victim_write(Victim *v, uint64_t n) {
        uint64_t last = ring_counter(v->ring, 0);

        for (; n > 0; n--) {
                char *p = ring_reserve(v->ring, LINE_MAX_BYTES);

                if (!p)
                        break;
                ring_written(v->ring, line_make(++last, p));
        }
        if (last == ring_counter(v->ring, 0))
                return;
        if (v->burst == 0 && draw(&v->random, 16) == 0) {
                ring_cancel(v->ring);
                return;
        }

        ring_set_counter(v->ring, 0, last);
        ring_set_counter(v->ring, 1, mix(last));
        ring_commit(v->ring, &(RingPending) { .source = 1, .n = last, .checksum = mix(last) });
        v->log->committed = last;
        if (draw(&v->random, 4) == 0)
                ring_pending_done(v->ring);
}

/* The server's side: whole lines arrive, each known already or the next one. */
static void victim_deliver(Victim *v, unsigned reader, Slice s) {
        while (s.n > 0) {
                uint64_t number = line_take(&s);

                if (number == 0)
                        give_up(v->log, "a line arrived damaged");
                if (number > v->log->delivered[reader] + 1)
                        give_up(v->log, "lines arrived with a gap");
                v->log->delivered[reader] = MAX(v->log->delivered[reader], number);
        }
}

void victim_ack(Victim *v, unsigned reader, uint64_t n) {
        Slice s = ring_unacked(v->ring, reader);
        const char *end;

        s.n = MIN(s.n, (size_t) n);
        end = s.n > 0 ? memrchr(s.p, '\n', s.n) : NULL;
        if (!end)
                return;

        s.n = (size_t) (end - s.p) + 1;
        victim_deliver(v, reader, s);
        ring_ack(v->ring, reader, ring_acked_at(v->ring, reader) + s.n);
        v->log->acked[reader] = ring_acked_at(v->ring, reader);
}

static void victim_read(Victim *v, unsigned reader) {
        Slice s = ring_peek(v->ring, reader);
        uint64_t n;

        /* Cut wherever it may be, mostly within a line; the next peek has the rest of it. */
        ring_sent(v->ring, reader, draw(&v->random, 3) == 0 ? s.n : (size_t) draw(&v->random, s.n + 1));
        if (draw(&v->random, 8) == 0) {
                ring_rewind(v->ring, reader);
                return;
        }

        n = ring_sent_at(v->ring, reader) - ring_acked_at(v->ring, reader);
        victim_ack(v, reader, draw(&v->random, 4) == 0 ? draw(&v->random, n + 1) : n);
}

static void victim_turn(Victim *v) {
        bool enough = v->until > 0 && ring_counter(v->ring, 0) >= v->until;

        if (v->turn++ % 128 == 0)
                v->inclination = (uint64_t[]) { 20, 50, 50, 90 }[draw(&v->random, 4)];
        if (!enough && draw(&v->random, 100) < v->inclination)
                victim_write(v, v->burst ?: 1 + draw(&v->random, 4));
        for (unsigned i = 0; i < READERS; i++)
                if (draw(&v->random, 100) >= v->inclination)
                        victim_read(v, i);

        if (enough && ring_used(v->ring) == 0)
                _exit(0);
}

static void victim_open(Victim *v, int fd) {
        const char *error;
        int r;

        r = ring_open(&v->ring, fd);
        if (r < 0)
                give_up(v->log, "the ring does not open");
        error = check_ring(v->ring, v->log, true);
        if (error)
                give_up(v->log, error);
}

/* -- its parent -- */

Rig rig_make(void) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        Rig rig = { .random = { 11 } };

        assert_int_equal(ring_new(&ring, RING_BYTES), 0);
        for (unsigned i = 1; i < READERS; i++)
                assert_int_equal(ring_add_reader(ring), i);
        ring_set_counter(ring, 1, mix(0));
        ring_commit(ring, NULL);

        rig.fd = fcntl(ring_fd(ring), F_DUPFD_CLOEXEC, 0);
        assert_true(rig.fd >= 0);
        rig.map_n = (size_t) sysconf(_SC_PAGESIZE) + RING_BYTES;
        rig.map = mmap(NULL, rig.map_n, PROT_READ, MAP_SHARED, rig.fd, 0);
        rig.log = mmap(NULL, sizeof(Log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(rig.map != MAP_FAILED && rig.log != MAP_FAILED);
        return rig;
}

void rig_done(Rig *rig) {
        (void) munmap((void *) rig->map, rig->map_n);
        (void) munmap(rig->log, sizeof(Log));
        buffer_done(&rig->image);
        rig->fd = close_fd(rig->fd);
}

/* A timer whose signal is SIGKILL. */
static void die_after(Log *log, uint64_t nsec) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
        struct itimerspec life = { .it_value.tv_nsec = (long) nsec };
        timer_t timer;

        if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &life, NULL) < 0)
                give_up(log, "no timer");
}

pid_t rig_fork(Rig *rig, uint64_t until, bool stops) {
        Victim v = { .log = rig->log, .random = { ++rig->n_victims }, .until = until };
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (rig->life_nsec > 0)
                die_after(rig->log, rig->life_nsec);
        if (stops && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                give_up(rig->log, "cannot be traced");
        if (stops)
                (void) raise(SIGSTOP);
        victim_open(&v, rig->fd);
        if (rig->prepare)
                rig->prepare(&v, rig->userdata);
        for (;;) {
                if (stops)
                        (void) raise(SIGSTOP);
                victim_turn(&v);
        }
}

void rig_reap(Rig *rig, pid_t pid, bool killed) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (rig->log->error[0])
                fail_msg("victim %ju: %s", (uintmax_t) rig->n_victims, rig->log->error);
        if (killed ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
                fail_msg("victim %ju: status %x", (uintmax_t) rig->n_victims, (unsigned) status);
}

void rig_kill(Rig *rig, pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        rig_reap(rig, pid, true);
}

static void rig_check(Rig *rig, bool newest, const char *when) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        const char *error;
        int r;

        r = image_open(buffer_slice(&rig->image), &ring);
        error = r < 0 ? "it does not open" : check_ring(ring, rig->log, newest);
        if (error)
                fail_msg("%s, with the %s copy: %s", when, newest ? "newest" : "older", error);
}

void rig_look(Rig *rig, const char *when) {
        RingHeader *h;
        RingState *newest;

        assert_true(image_read(&rig->image, rig->fd));
        rig->image_log = *rig->log;
        rig->looks++;
        rig_check(rig, true, when);

        h = image_header(&rig->image);
        assert_int_equal(ring_header_verify(h, h->page, rig->image.n, &rig->newest), 0);
        newest = image_newest(&rig->image);
        if (!newest)
                return; /* the other one is just being written */

        rig->older++;
        newest->sequence ^= UINT64_C(1) << rig->older % 64;
        rig_check(rig, false, when);
        newest->sequence ^= UINT64_C(1) << rig->older % 64;
}

/* -- single steps -- */

bool rig_go(Rig *rig, pid_t pid, int request) {
        int status;

        assert_int_equal(ptrace(request, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
                fail_msg("victim %ju ended: %s", (uintmax_t) rig->n_victims, rig->log->error);

        return WSTOPSIG(status) == SIGSTOP;
}

pid_t rig_fork_traced(Rig *rig) {
        pid_t pid = rig_fork(rig, 0, true);
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
                fail_msg("status %x: %s", (unsigned) status, rig->log->error);

        return pid;
}

void rig_finish(Rig *rig) {
        Ring *ring = NULL;
        uint64_t last;

        rig_reap(rig, rig_fork(rig, rig->log->committed + 1000, false), false);
        assert_int_equal(ring_open(&ring, rig->fd), 0);
        rig->fd = -1;
        last = ring_counter(ring, 0);
        assert_int_equal(ring_used(ring), 0);
        assert_int_equal(ring_lines_queued(ring), 0);
        assert_int_equal(rig->log->committed, last);
        for (unsigned i = 0; i < READERS; i++)
                assert_int_equal(rig->log->delivered[i], last);
        ring_free(ring);
}
