/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One source: a chunk of what it holds is brought into the hub's buffer, cut into whole lines, over-long
 * lines and a half one at the end, and only what was taken of it leaves the pipe.
 *
 * Half a line stays in the pipe. A pipe that is too small for that (without privileges the quota can
 * leave it two pages) would never let its writer finish the line: there the half line moves into memory
 * of the source. What is no pipe can only be read, so all of it goes that way. */

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "io/source-internal.h"

size_t pipe_grow(int fd, size_t size) {
        int now = fcntl(fd, F_GETPIPE_SZ);

        for (; now >= 0 && size > (size_t) now; size /= 2) {
                int grown = fcntl(fd, F_SETPIPE_SZ, (int) size);

                if (grown >= 0)
                        return (size_t) grown;
        }

        return now < 0 ? 0 : (size_t) now;
}

/* A pipe is full when its pages are, and a write that does not fit into the rest of a page begins
 * another: two neighbours hold more than one page between them, the first page may be all but consumed. */
static size_t pipe_holds(size_t size) {
        size_t page = (size_t) sysconf(_SC_PAGESIZE);

        return size < page ? 0 : (size / page - 1) / 2 * page;
}

static size_t pipe_available(const Source *s) {
        int n = 0;

        return ioctl(s->fd, FIONREAD, &n) < 0 || n < 0 ? 0 : (size_t) n;
}

size_t source_survey(Source *s) {
        struct pollfd p = { .fd = s->fd, .events = POLLIN };

        if (!s->is_pipe)
                return SOURCE_PIPE_SIZE;
        if (s->type == SOURCE_PIPE && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
                s->hangup = true;

        return pipe_available(s);
}

bool source_has_news(const Source *s) {
        struct pollfd p = { .fd = s->fd, .events = POLLIN };

        if (s->is_pipe)
                return pipe_available(s) != s->left;

        return s->carry_refused || poll(&p, 1, 0) > 0;
}

/* Copies up to `max` bytes from the front of the pipe to `to`; they stay in it. */
static size_t pipe_peek(Source *s, char *to, size_t max) {
        ssize_t n = tee(s->fd, s->hub->pipe[1], max, SPLICE_F_NONBLOCK);
        size_t done = 0;

        while (n > 0 && done < (size_t) n) {
                ssize_t k = read(s->hub->pipe[0], to + done, (size_t) n - done);

                if (k <= 0)
                        abort(); /* these bytes are in a pipe that nobody else has */
                done += (size_t) k;
        }

        return done;
}

static void pipe_consume(Source *s, size_t n) {
        while (n > 0) {
                ssize_t k = splice(s->fd, NULL, s->hub->null_fd, NULL, n, SPLICE_F_NONBLOCK);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return; /* somebody else reads this pipe */
                n -= (size_t) k;
        }
}

/* Reads once what is no pipe, without blocking whatever the descriptor's mode: that one belongs to all
 * who share it, as with a terminal. */
static size_t other_read(Source *s, char *to, size_t max) {
        struct pollfd p = { .fd = s->fd, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, 0) <= 0)
                return 0;

        n = read(s->fd, to, max);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                s->hangup = true;

        return n < 0 ? 0 : (size_t) n;
}

/* Brings what is new, behind what is carried, into the hub's buffer. The bytes there, 0: nothing new.
 * *ret_more: there may be more behind them. */
static size_t source_fill(Source *s, bool *ret_more) {
        size_t room = SOURCE_CHUNK - s->carry_n, available, n;
        char *behind = s->hub->chunk + s->carry_n;

        *ret_more = true;
        if (s->carry_n > 0)
                memcpy(s->hub->chunk, s->carry, s->carry_n);
        if (s->carry_refused)
                return s->carry_n;

        if (s->is_pipe) {
                available = pipe_available(s);
                s->hub->crowded = s->hub->crowded || available >= s->size / 2;
                s->hub->roomy = s->hub->roomy && available <= s->size / 8;
                n = available == s->left ? 0 : pipe_peek(s, behind, MIN(available, room));
                *ret_more = n < available;
        } else {
                n = other_read(s, behind, room);
                *ret_more = n == room || !s->io;
        }

        return n > 0 ? s->carry_n + n : 0;
}

/* How many bytes of whole lines, none of them over-long, `s` begins with. */
static size_t whole_lines(Slice s) {
        size_t n = 0;

        for (;;) {
                size_t window = MIN(s.n - n, (size_t) POINT_RAW_MAX + 1);
                const char *newline = window > 0 ? memrchr(s.p + n, '\n', window) : NULL;

                if (!newline)
                        return n;
                n = (size_t) (newline + 1 - s.p);
        }
}

static void source_too_long(Source *s, Slice beginning) {
        s->discarding = true; /* before the callback, which may want to note it */
        s->ops->too_long(s->userdata, beginning);
}

static void source_consume(Source *s, size_t n) {
        size_t carried = MIN(n, s->carry_n);

        if (!s->is_pipe)
                return; /* source_keep() sees to it */

        assert(carried == s->carry_n); /* what is carried has no newline: it goes as a whole */
        s->carry_n = 0;
        pipe_consume(s, n - carried);
}

static void source_taken(Source *s) {
        if (s->ops->taken && !s->dead)
                s->ops->taken(s->userdata);
}

/* The bytes taken of these whole lines. */
static size_t source_offer(Source *s, Slice lines, bool *ret_refused) {
        size_t taken = s->ops->lines(s->userdata, lines);

        assert(taken <= lines.n && (taken == 0 || lines.p[taken - 1] == '\n'));
        *ret_refused = taken < lines.n;
        if (taken == 0)
                return 0;

        s->took = true;
        (void) sd_event_now(s->hub->event, CLOCK_MONOTONIC, &s->last_line);
        source_consume(s, taken);
        source_taken(s);
        return taken;
}

/* The newline of an over-long line goes last, when the owner knows that the line has ended: whatever moment
 * a kill comes at, no process discards the line behind it. */
static size_t source_discard(Source *s, Slice rest) {
        const char *newline = memchr(rest.p, '\n', rest.n);
        size_t n = newline ? (size_t) (newline - rest.p) : rest.n;

        source_consume(s, n);
        if (!newline)
                return n;

        s->discarding = false;
        source_taken(s);
        source_consume(s, 1);
        return n + 1;
}

/* Makes one step through `rest`. The bytes done with, 0: it is half a line, or was refused. */
static size_t source_step(Source *s, Slice rest, bool *ret_refused) {
        size_t n = s->discarding ? 0 : whole_lines(rest);

        if (n > 0)
                return source_offer(s, (Slice) { rest.p, n }, ret_refused);
        if (!s->discarding) {
                if (rest.n <= POINT_RAW_MAX)
                        return 0;
                source_too_long(s, (Slice) { rest.p, POINT_RAW_MAX });
        }

        return source_discard(s, rest);
}

/* Moves half a line out of the pipe. Without memory for it, it ends as an over-long one does. */
static void source_carry(Source *s, Slice half) {
        size_t in_pipe = half.n - s->carry_n;

        if (!s->carry)
                s->carry = malloc(POINT_RAW_MAX);
        if (s->carry)
                memcpy(s->carry, half.p, half.n);
        else
                source_too_long(s, half);

        s->carry_n = s->carry ? half.n : 0;
        s->left = 0;
        pipe_consume(s, in_pipe);
}

/* Notes what is left of a chunk: half a line, or what was refused. `stuck`: there is more behind it, and
 * this is all that can be seen of it at once. */
static void source_keep(Source *s, Slice rest, bool refused, bool stuck) {
        if (!s->is_pipe) {
                memcpy(s->carry, rest.p, rest.n);
                s->carry_n = rest.n;
                s->carry_refused = refused;
                return;
        }

        s->left = refused ? 0 : rest.n - s->carry_n;
        if (s->left > 0 && (stuck || s->left >= s->holds))
                source_carry(s, rest);
}

/* Takes a chunk apart. The bytes done with. */
static size_t source_take(Source *s, Slice chunk, bool more, bool *ret_refused) {
        Slice rest = chunk;

        while (rest.n > 0 && !*ret_refused && !s->dead) {
                size_t n = source_step(s, rest, ret_refused);

                if (n == 0)
                        break;

                rest = (Slice) { rest.p + n, rest.n - n };
        }

        if (!s->dead)
                source_keep(s, rest, *ret_refused, more && rest.n == chunk.n);
        return chunk.n - rest.n;
}

static void source_end(Source *s) {
        char *p = s->hub->chunk;
        size_t n = s->carry_n;

        if (n > 0)
                memcpy(p, s->carry, n);
        if (s->left > 0)
                n += pipe_peek(s, p + n, s->left);

        s->ops->end(s->userdata, (Slice) { p, n });
}

static Served source_serve_chunks(Source *s, size_t budget) {
        bool more = true, refused = false, some = false;

        for (size_t spent = 0; more && !s->dead; some = true) {
                size_t n;

                if (some && spent >= budget)
                        return SERVED_MORE;

                n = source_fill(s, &more);
                if (n == 0)
                        break;

                spent += source_take(s, (Slice) { s->hub->chunk, n }, more, &refused);
                if (refused)
                        return SERVED_REFUSED;
        }

        if (s->hangup && !s->dead) {
                source_end(s);
                return SERVED_ENDED;
        }

        return some ? SERVED_SOME : SERVED_NOTHING;
}

Served source_serve(Source *s, size_t budget) {
        SourceHub *h = s->hub;
        Served served;

        assert(!h->current); /* not from within a callback */

        h->current = s;
        s->took = s->unserved = false;
        served = source_serve_chunks(s, budget);
        h->current = NULL;

        if (s->dead) {
                source_destroy(s);
                return SERVED_GONE;
        }

        return served;
}

int source_new(Source **ret, SourceHub *h, int fd, SourceType type, const char *name, const SourceOps *ops,
               void *userdata) {
        _cleanup_(source_freep) Source *s = calloc(1, sizeof(*s));
        struct stat st;
        int r;

        if (!s)
                return -ENOMEM;

        *s = (Source) { .fd = -1, .hub = h, .ops = ops, .userdata = userdata, .type = type };
        source_hub_add(h, s);
        if (fstat(fd, &st) < 0)
                return -errno;

        s->is_pipe = S_ISFIFO(st.st_mode);
        if (s->is_pipe) {
                s->size = pipe_grow(fd, SOURCE_PIPE_SIZE);
                s->holds = pipe_holds(s->size);
        } else if (type == SOURCE_FIFO)
                return -EINVAL;
        else {
                s->carry = malloc(SOURCE_CHUNK);
                if (!s->carry)
                        return -ENOMEM;
        }

        s->fd = fd;
        r = source_hub_watch(h, s, name);
        if (r < 0) {
                s->fd = -1;
                return r;
        }

        *ret = TAKE(s);
        return 0;
}

void source_destroy(Source *s) {
        s->fd = close_fd(s->fd);
        free(s->carry);
        free(s);
}

Source *source_free(Source *s) {
        if (!s)
                return NULL;

        source_hub_remove(s->hub, s);
        if (s->hub->current == s)
                s->dead = true; /* what its callback takes is still to be consumed */
        else
                source_destroy(s);

        return NULL;
}

bool source_finish(Source *s, size_t n, uint64_t checksum) {
        char *p = s->hub->chunk;

        assert(!s->hub->current && s->left == 0 && s->carry_n == 0);

        if (!s->is_pipe || n == 0 || n > SOURCE_CHUNK)
                return false;
        if (pipe_peek(s, p, n) < n || XXH3_64bits(p, n) != checksum)
                return false;

        pipe_consume(s, n);
        return true;
}

int source_fd(const Source *s) {
        return s->fd;
}

usec_t source_last_line(const Source *s) {
        return s->last_line;
}

bool source_is_blocked(const Source *s) {
        return s->state == SOURCE_BLOCKED;
}

bool source_is_idle(const Source *s) {
        return !s->carry_refused && !source_has_news(s);
}

bool source_is_discarding(const Source *s) {
        return s->discarding;
}

void source_set_discarding(Source *s, bool discarding) {
        s->discarding = discarding;
}

size_t source_pipe_size(const Source *s) {
        return s->size;
}
