/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Standard output as a server: the dry run prints the finished lines, and what is written is delivered.
 *
 * The descriptor is shared with whoever started us, so it is not made non-blocking. A pipe or a terminal
 * that polls writable takes 4096 bytes without blocking (PIPE_BUF), so that much is written at a time; a
 * socket is written to with MSG_DONTWAIT; what does not poll (a file, /dev/null) never blocks for long.
 * Watched for errors all the time, so that the end of the reader is noticed though there is nothing to
 * write. */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "io/sender-ops.h"

#define TURN_BYTES ((size_t) 64 << 10)
static_assert(PIPE_BUF == 4096, "a pipe that polls writable takes as much");

typedef struct Stdout {
        Link link;
        sd_event_source *source; /* io, or deferred where there is nothing to poll */
        bool polls, is_socket;
        bool lost;
} Stdout;

static void stdout_closed(Stdout *o, int error) {
        o->lost = true;
        (void) sd_event_source_set_enabled(o->source, SD_EVENT_OFF);
        sender_link_closed(&o->link, error);
}

/* Comes back to on_ready() while there is more to write. */
static void stdout_want(Stdout *o, bool more) {
        int r;

        if (o->polls)
                r = sd_event_source_set_io_events(o->source, more ? EPOLLOUT : 0);
        else
                r = sd_event_source_set_enabled(o->source, more ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (r < 0)
                stdout_closed(o, r);
}

static bool is_writable(const Stdout *o) {
        struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

        return !o->polls || poll(&p, 1, 0) > 0;
}

/* What is in the next write: whole lines where they fit. */
static Slice next_write(Stdout *o) {
        Slice run = sender_peek(o->link.sender);
        size_t max = o->polls ? PIPE_BUF : TURN_BYTES;
        const char *end;

        if (run.n <= max)
                return run;

        end = memrchr(run.p, '\n', max);
        return (Slice) { run.p, end ? (size_t) (end - run.p) + 1 : max };
}

/* The bytes written; 0: nothing more for now; negative: standard output is gone. */
static ssize_t stdout_write(Stdout *o) {
        Slice s = next_write(o);
        ssize_t n;

        if (s.n == 0 || !is_writable(o))
                return 0;

        if (o->is_socket)
                n = send(STDOUT_FILENO, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
                n = write(STDOUT_FILENO, s.p, s.n);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0)
                return -errno;

        sender_sent(o->link.sender, (size_t) n);
        sender_acked(o->link.sender, sender_sent_at(o->link.sender), 0);
        return n;
}

static void stdout_run(Stdout *o) {
        ssize_t n = 1;

        for (size_t written = 0; n > 0 && written < TURN_BYTES; written += (size_t) MAX(n, (ssize_t) 0))
                n = stdout_write(o);

        if (n < 0)
                stdout_closed(o, (int) n);
        else
                stdout_want(o, sender_peek(o->link.sender).n > 0);
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t revents, void *userdata) {
        Stdout *o = userdata;

        if (revents & (EPOLLERR | EPOLLHUP))
                stdout_closed(o, -EPIPE);
        else
                stdout_run(o);

        return 0;
}

static int on_ready(sd_event_source *source _unused_, void *userdata) {
        stdout_run(userdata);
        return 0;
}

static int stdout_open(Stdout *o) {
        sd_event *event = sender_event(o->link.sender);
        struct stat st;
        int r;

        if (fstat(STDOUT_FILENO, &st) < 0)
                return -errno;

        o->link.confirmed = true;
        o->is_socket = S_ISSOCK(st.st_mode);
        o->polls = true;
        r = sd_event_add_io(event, &o->source, STDOUT_FILENO, 0, on_io, o);
        if (r == -EPERM) { /* as epoll_ctl(2) says it of files */
                o->polls = false;
                r = sd_event_add_defer(event, &o->source, on_ready, o);
        }
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(o->source, "standard-output");
        return 0;
}

static int stdout_start(Link *l) {
        int r = stdout_open((Stdout *) l);

        if (r < 0)
                sender_link_closed(l, r);
        else
                sender_link_up(l);
        return 0;
}

static void stdout_kick(Link *l) {
        Stdout *o = (Stdout *) l;

        if (!o->lost)
                stdout_want(o, sender_peek(l->sender).n > 0);
}

static void stdout_stop(Link *l) {
        Stdout *o = (Stdout *) l;

        o->source = sd_event_source_disable_unref(o->source);
}

const SenderOps sender_stdout_ops = {
        .scheme = "stdout",
        .name = "standard output",
        .object_size = sizeof(Stdout),
        .start = stdout_start,
        .kick = stdout_kick,
        .stop = stdout_stop,
};
