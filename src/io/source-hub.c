/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When sources are served.
 *
 * An armed source is in epoll, edge-triggered. Its event serves it and takes it out of there; from then
 * on one timer serves all such sources together, every tick, until one has brought nothing new for a
 * whole tick and is armed again. To be armed with half a line, or with a hang-up that means nothing,
 * costs one event that finds nothing. Who has more than its budget is served again at the loop's next
 * turn, behind all others that are due. Where a pipe is found half full at a tick, its writer may have to
 * wait for us, and ticks follow each other faster.
 *
 * The edge of an armed source with half a line may never come: a write(2) that fills the rest of the pipe
 * waits for room without having woken anybody, as the kernel's pipe_write() does that only where it found
 * the pipe empty. So such sources are looked at, soon after they are armed and then ever less often. */

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "io/source-internal.h"

/* The next turn is behind all others that have something to do, and they may always have. So those that are
 * due are served at the next tick, if not before. */
static void hub_schedule(SourceHub *h) {
        bool due = !TAILQ_EMPTY(&h->lists[SOURCE_DUE]);

        if (due)
                (void) sd_event_source_set_enabled(h->turn, SD_EVENT_ONESHOT);
        if (!due && TAILQ_EMPTY(&h->lists[SOURCE_GATHERING])) {
                h->ticking = h->ticking && sd_event_source_set_enabled(h->tick, SD_EVENT_OFF) < 0;
                return;
        }
        if (h->ticking)
                return;

        h->ticking = sd_event_source_set_time_relative(h->tick, h->interval) >= 0 &&
                     sd_event_source_set_enabled(h->tick, SD_EVENT_ONESHOT) >= 0;
}

/* false: epoll does not take it now; then it is looked at every tick. */
static bool source_arm(Source *s, bool on) {
        return s->io && sd_event_source_set_enabled(s->io, on ? SD_EVENT_ON : SD_EVENT_OFF) >= 0;
}

static void hub_watch_halves(SourceHub *h, usec_t interval) {
        if (h->halves_interval == interval)
                return; /* is being watched so: others that come do not put it off */

        h->halves_interval = interval;
        (void) sd_event_source_set_time_relative(h->halves, interval);
        (void) sd_event_source_set_enabled(h->halves, SD_EVENT_ONESHOT);
}

static void source_set_state(Source *s, SourceState state) {
        if (state == SOURCE_ARMED && !source_arm(s, true))
                state = SOURCE_GATHERING;
        if (s->state == SOURCE_ARMED && state != SOURCE_ARMED)
                (void) source_arm(s, false);
        if (state == SOURCE_GATHERING)
                s->fresh = s->hub->ticking;
        if (state == SOURCE_ARMED && s->left > 0)
                hub_watch_halves(s->hub, SOURCE_HALVES_MIN);

        TAILQ_REMOVE(&s->hub->lists[s->state], s, list);
        TAILQ_INSERT_TAIL(&s->hub->lists[state], s, list);
        s->state = state;
}

/* true: there are such that have nothing new. */
static bool hub_look_at_halves(SourceHub *h) {
        bool any = false;
        Source *next;

        for (Source *s = TAILQ_FIRST(&h->lists[SOURCE_ARMED]); s; s = next) {
                next = TAILQ_NEXT(s, list);
                if (s->left == 0)
                        continue;
                if (source_survey(s) == s->left)
                        any = true;
                else
                        source_set_state(s, SOURCE_DUE);
        }

        return any;
}

void source_hub_look(SourceHub *h) {
        usec_t interval = TAKE(h->halves_interval);

        if (hub_look_at_halves(h))
                hub_watch_halves(h, MIN(interval * 2, SOURCE_HALVES_MAX));
        hub_schedule(h);
}

static int on_halves(sd_event_source *e _unused_, uint64_t usec _unused_, void *userdata) {
        SourceHub *h = userdata;

        h->wakeups++;
        source_hub_look(h);
        return 0;
}

static void hub_move_all(SourceHub *h, SourceState from, SourceState to) {
        while (!TAILQ_EMPTY(&h->lists[from]))
                source_set_state(TAILQ_FIRST(&h->lists[from]), to);
}

static SourceState state_after(const Source *s, Served served, bool resumed) {
        switch (served) {
        case SERVED_REFUSED:
                return resumed ? SOURCE_DUE : SOURCE_BLOCKED;
        case SERVED_MORE:
                return SOURCE_DUE;
        case SERVED_SOME:
                return s->io ? SOURCE_GATHERING : SOURCE_DUE;
        case SERVED_NOTHING:
                return s->fresh ? SOURCE_GATHERING : SOURCE_ARMED;
        default:
                return SOURCE_ENDED;
        }
}

static Served hub_serve(SourceHub *h, Source *s, size_t budget) {
        uint64_t resumes = h->resumes;
        Served served = source_serve(s, budget);

        if (served != SERVED_GONE && !(served == SERVED_NOTHING && s->state == SOURCE_ARMED))
                source_set_state(s, state_after(s, served, resumes != h->resumes));

        return served;
}

static void hub_adapt(SourceHub *h) {
        if (h->crowded)
                h->interval = MAX(h->interval / 2, SOURCE_TICK_MIN);
        else if (h->roomy)
                h->interval = MIN(h->interval * 2, SOURCE_TICK_MAX);

        h->crowded = false;
        h->roomy = true;
}

void source_hub_turn(SourceHub *h, bool tick) {
        hub_move_all(h, SOURCE_DUE, SOURCE_IN_TURN);
        if (tick) {
                hub_move_all(h, SOURCE_GATHERING, SOURCE_IN_TURN);
                h->ticking = false;
        }

        while (!TAILQ_EMPTY(&h->lists[SOURCE_IN_TURN]))
                (void) hub_serve(h, TAILQ_FIRST(&h->lists[SOURCE_IN_TURN]), SOURCE_BUDGET);

        if (tick)
                hub_adapt(h);
        hub_schedule(h);
}

static int on_tick(sd_event_source *e _unused_, uint64_t usec _unused_, void *userdata) {
        SourceHub *h = userdata;

        h->wakeups++;
        source_hub_turn(h, true);
        return 0;
}

static int on_turn(sd_event_source *e _unused_, void *userdata) {
        SourceHub *h = userdata;

        h->wakeups++;
        source_hub_turn(h, false);
        return 0;
}

static int on_event(sd_event_source *e _unused_, int fd _unused_, uint32_t revents, void *userdata) {
        Source *s = userdata;
        SourceHub *h = s->hub;

        h->wakeups++;
        if (s->is_pipe && s->type == SOURCE_PIPE && (revents & EPOLLHUP))
                s->hangup = true;

        (void) hub_serve(h, s, SOURCE_BUDGET);
        hub_schedule(h);
        return 0;
}

static void hub_resume_those(SourceHub *h, bool took) {
        Source *next;

        for (Source *s = TAILQ_FIRST(&h->lists[SOURCE_BLOCKED]); s; s = next) {
                next = TAILQ_NEXT(s, list);
                if (s->took == took)
                        source_set_state(s, SOURCE_DUE);
        }
}

void source_hub_resume(SourceHub *h) {
        h->resumes++;

        /* Who got nothing goes first, or a little room at a time would always go to the same ones. */
        hub_resume_those(h, false);
        hub_resume_those(h, true);
        hub_schedule(h);
}

bool source_hub_drain(SourceHub *h) {
        static const SourceState all[] = { SOURCE_BLOCKED, SOURCE_DUE, SOURCE_GATHERING, SOURCE_ARMED };
        bool clean = true;

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                hub_move_all(h, all[i], SOURCE_IN_TURN);

        while (!TAILQ_EMPTY(&h->lists[SOURCE_IN_TURN])) {
                Source *s = TAILQ_FIRST(&h->lists[SOURCE_IN_TURN]);
                Served served = hub_serve(h, s, source_survey(s));

                if (served == SERVED_REFUSED || served == SERVED_MORE)
                        clean = false;
        }

        hub_schedule(h);
        return clean;
}

/* Looks at one source, and notes what it finds. false: it should have been served since the last look. */
static bool source_progresses(Source *s) {
        bool was = s->unserved;

        s->unserved = source_has_news(s);
        if (s->unserved && s->state == SOURCE_ARMED && s->left > 0)
                source_set_state(s, SOURCE_DUE); /* its edge may never come */

        return !was || !s->unserved;
}

bool source_hub_progresses(SourceHub *h) {
        /* The armed ones last, as some of them move. */
        static const SourceState served[] = { SOURCE_DUE, SOURCE_GATHERING, SOURCE_ARMED };
        bool all = true;
        Source *next;

        for (size_t i = 0; i < ELEMENTSOF(served); i++)
                for (Source *s = TAILQ_FIRST(&h->lists[served[i]]); s; s = next) {
                        next = TAILQ_NEXT(s, list);
                        all = source_progresses(s) && all;
                }

        hub_schedule(h);
        return all;
}

void source_hub_add(SourceHub *h, Source *s) {
        s->state = SOURCE_DUE;
        TAILQ_INSERT_TAIL(&h->lists[SOURCE_DUE], s, list);
        hub_schedule(h);
}

void source_hub_remove(SourceHub *h, Source *s) {
        s->io = sd_event_source_disable_unref(s->io);
        TAILQ_REMOVE(&h->lists[s->state], s, list);
}

int source_hub_watch(SourceHub *h, Source *s, const char *name) {
        int r;

        r = sd_event_add_io(h->event, &s->io, s->fd, EPOLLIN | EPOLLET, on_event, s);
        if (r == -EPERM)
                return 0;
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(s->io, name);
        return sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
}

static int hub_open(SourceHub *h) {
        h->chunk = malloc(SOURCE_CHUNK);
        if (!h->chunk)
                return -ENOMEM;
        if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;

        (void) pipe_grow(h->pipe[0], SOURCE_PIPE_SIZE);
        h->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return h->null_fd < 0 ? -errno : 0;
}

int source_hub_new(SourceHub **ret, sd_event *event) {
        _cleanup_(source_hub_freep) SourceHub *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;

        *h = (SourceHub) {
                .event = sd_event_ref(event),
                .interval = SOURCE_TICK_MAX,
                .pipe = { -1, -1 },
                .null_fd = -1,
        };
        for (size_t i = 0; i < ELEMENTSOF(h->lists); i++)
                TAILQ_INIT(&h->lists[i]);

        r = hub_open(h);
        if (r < 0)
                return r;

        r = sd_event_add_time_relative(event, &h->tick, CLOCK_MONOTONIC, SOURCE_TICK_MAX,
                                       SOURCE_TICK_ACCURACY, on_tick, h);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(h->tick, "source-tick");
        (void) sd_event_source_set_enabled(h->tick, SD_EVENT_OFF);

        r = sd_event_add_time_relative(event, &h->halves, CLOCK_MONOTONIC, SOURCE_HALVES_MIN,
                                       SOURCE_HALVES_MIN / 10, on_halves, h);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(h->halves, "source-halves");
        (void) sd_event_source_set_enabled(h->halves, SD_EVENT_OFF);

        r = sd_event_add_defer(event, &h->turn, on_turn, h);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(h->turn, "source-turn");
        /* A defer source counts as pending since it was made, so among its equals it always goes first: one
         * that is armed again by each of its turns would be all that runs. */
        (void) sd_event_source_set_priority(h->turn, SD_EVENT_PRIORITY_NORMAL + 1);
        (void) sd_event_source_set_enabled(h->turn, SD_EVENT_OFF);

        *ret = TAKE(h);
        return 0;
}

SourceHub *source_hub_free(SourceHub *h) {
        if (!h)
                return NULL;

        for (size_t i = 0; i < ELEMENTSOF(h->lists); i++)
                assert(TAILQ_EMPTY(&h->lists[i]));

        sd_event_source_disable_unref(h->tick);
        sd_event_source_disable_unref(h->halves);
        sd_event_source_disable_unref(h->turn);
        sd_event_unref(h->event);
        close_fdp(&h->pipe[0]);
        close_fdp(&h->pipe[1]);
        close_fdp(&h->null_fd);
        free(h->chunk);
        free(h);
        return NULL;
}

uint64_t source_hub_wakeups(const SourceHub *h) {
        return h->wakeups;
}
