/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue of the service mode: in memory, where systemd keeps it from one process to the next, and on
 * disk.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/service-internal.h"
#include "basic/clock.h"
#include "basic/log.h"

#define SPOOL_ROUNDS_MAX 100u         /* each is as much as fits into memory */
#define SAVE_MAX ((size_t) 256 << 20) /* bytes; a slow disk takes them in a minute */

static int open_skips(Service *s) {
        int fd = handover_take(s->handover, "skips"), r;

        if (fd >= 0) {
                r = skips_open(&s->skips, fd);
                if (r >= 0)
                        return 0;

                (void) log_error_errno(r, "What the process before noted of over-long lines is no good: %m");
                (void) close_fd(fd);
                handover_forget(s->handover, "skips");
        }

        r = skips_new(&s->skips);
        if (r >= 0)
                r = handover_store(s->handover, "skips", skips_fd(s->skips));
        if (r < 0)
                return log_error_errno(r, "Failed to make a table of over-long lines: %m");

        return 0;
}

/* true: it is as good as new, and a new one would have another size. */
static bool wrong_size(const Ring *ring, size_t wanted) {
        size_t size = ring_size(ring);

        return ring_used(ring) == 0 && (size > wanted + wanted / 8 || size < wanted);
}

static int open_ring(Manager *m) {
        Handover *h = m->service->handover;
        int fd = handover_take(h, "queue"), r;

        if (fd >= 0) {
                r = ring_open(&m->ring, fd);
                if (r < 0 && r != -EBADMSG && r != -EPROTO) {
                        (void) close_fd(fd);
                        return log_error_errno(r, "Failed to open the queue the process before left: %m");
                }
                if (r < 0) {
                        (void) log_error_errno(r, "The queue the process before left is no good, "
                                                  "what was in it is lost: %m");
                        (void) close_fd(fd);
                } else if (!wrong_size(m->ring, (size_t) m->config->queue_size)) {
                        log_debug("Took over a queue of %" PRIu64 " points", ring_lines_queued(m->ring));
                        return 0;
                } else
                        m->ring = ring_free(m->ring);

                handover_forget(h, "queue");
        }

        r = ring_new(&m->ring, (size_t) m->config->queue_size);
        if (r >= 0)
                r = handover_store(h, "queue", ring_fd(m->ring));
        if (r < 0)
                return log_error_errno(r, "Failed to make the queue: %m");

        return 0;
}

/* -- the queue on disk -- */

static void on_loss(void *userdata _unused_, const SpoolLoss *loss) {
        if (loss->why == SPOOL_FOREIGN)
                log_warning("spool: %s is no file of the spool, and is left alone", loss->file);
        else if (loss->lines > 0)
                log_error("spool: %" PRIu64 " points of %s are lost (%s)", loss->lines, loss->file,
                          spool_why_to_string(loss->why));
        else
                log_warning("spool: %" PRIu64 " bytes of %s were of no use (%s)", loss->bytes, loss->file,
                            spool_why_to_string(loss->why));
}

/* The folder's name: without it a power cut takes what is in the folder, however well that is synced. Where
 * it cannot be done the spool is still better than none. */
static void sync_parent(const char *path) {
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(freep) char *parent = NULL;

        if (asprintf(&parent, "%s/..", path) < 0)
                return;

        fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                log_debug("%s could not be synced: %s", parent, strerrordesc_np(errno));
}

static int open_folder(const char *path) {
        int fd;

        if (mkdir(path, 0700) >= 0)
                sync_parent(path);
        else if (errno != EEXIST)
                return -errno;

        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* -ENOENT: there is to be none. */
static int open_spool(const Config *c, Spool **ret) {
        _cleanup_(close_fdp) int fd = -1;

        if (c->spool_size == 0)
                return -ENOENT;

        fd = open_folder(c->spool_dir);
        if (fd < 0)
                return fd;

        return spool_open(ret, fd, &(SpoolLimits) { .size = c->spool_size, .reserve = 50 }, on_loss, NULL);
}

/* What a process with a spool has left, and nobody delivers. */
static void warn_of_segments(const char *path) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0 && spool_has_segments(fd))
                log_warning("There is to be no spool (spool_size = 0): the points that are in %s are not "
                            "delivered",
                            path);
}

/* Without it the agent works from memory: a disk that fails is no reason not to start. One that another
 * process has is: a former one of ours, which cannot take long to go. */
static int make_spool(Manager *m) {
        const Config *c = m->config;
        int r;

        if (c->spool_size == 0) {
                warn_of_segments(c->spool_dir);
                return 0;
        }

        r = open_spool(c, &m->spool);
        if (r == -EBUSY)
                return log_error_errno(r, "The spool %s is still in use by another process", c->spool_dir);
        if (r < 0) {
                m->no_spool = r;
                (void) log_error_errno(r, "The spool %s cannot be used, the queue is in memory only: %m",
                                       c->spool_dir);
        } else if (spool_lines(m->spool) > 0)
                log_info("%" PRIu64 " points are in the spool", spool_lines(m->spool));

        return 0;
}

int service_on_sync(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        int r;

        r = spool_sync(m->spool, USEC_INFINITY);
        if (r < 0)
                log_debug("The spool could not be synced: %s", strerrordesc_np(-r));
        if (spool_is_empty(m->spool))
                return 0;

        (void) sd_event_source_set_time(s, usec + USEC_PER_SEC);
        (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static void say_spilling(Service *s, int r, bool one_waits) {
        uint64_t held_back;

        if (r < 0 && ratelimit_allow(&s->complaints, clock_usec(CLOCK_MONOTONIC), &held_back))
                (void) log_error_errno(r, "The spool cannot be written, the queue is in memory only: %m");
        if (r > 0 && !s->spilling)
                log_notice("%s and memory is full: points go to the spool on disk",
                           one_waits ? "A server is slower than another" : "Nothing is delivered");
        s->spilling = r > 0 || (r == 0 && s->spilling);
}

/* Once it is due it stays so, however often something is spilled. */
static void sync_in_a_second(sd_event_source *e) {
        if (sd_event_source_get_enabled(e, NULL) > 0)
                return;

        (void) sd_event_source_set_time_relative(e, USEC_PER_SEC);
        (void) sd_event_source_set_enabled(e, SD_EVENT_ONESHOT);
}

void service_spill(Manager *m) {
        Service *s = m->service;
        bool one_waits;
        int r;

        if (!m->spool)
                return;

        one_waits = delivery_one_waits(m->delivery);
        r = queue_spill(m->queue, clock_usec(CLOCK_MONOTONIC), one_waits);
        if (r == 0 && s->spilling && spool_is_empty(m->spool)) {
                s->spilling = false;
                log_notice("All that was in the spool is delivered");
        }
        if (r == 0)
                return;

        /* One that fails may have moved something before. */
        say_spilling(s, r, one_waits);
        source_hub_resume(m->hub);
        sync_in_a_second(s->sync);
}

/* What is left goes to the disk, and what the FIFOs still hold after it. Where collectors still write
 * (nobody has stopped them: then this process is started again, and finds it there) it does not wait for
 * their end. */
int service_spool_all(Manager *m) {
        int r = m->spool ? 0 : -ENOENT;
        bool all = false;

        for (unsigned i = 0; r >= 0 && !all && i < SPOOL_ROUNDS_MAX; i++) {
                all = source_hub_drain(m->hub);
                r = queue_flush_to_spool(m->queue);
        }

        return r;
}

/* At its bound the spool would lose for it what is oldest, for sure and not only in that case; and it must
 * not take longer than systemd waits. */
void service_save_queue(Manager *m) {
        size_t used = queue_used(m->queue);
        int r;

        if (!m->spool || used == 0 || used > SAVE_MAX || spool_would_drop(m->spool, used + used / 64))
                return;

        r = queue_flush_to_spool(m->queue);
        if (r < 0)
                (void) log_warning_errno(r,
                                         "What is queued cannot go to the spool, and is kept in memory: %m");
}

int service_open_queue(Manager *m) {
        int r;

        r = open_ring(m);
        if (r < 0)
                return r;

        r = make_spool(m);
        if (r < 0)
                return r;

        return open_skips(m->service);
}

/* -- a start that is refused -- */

static void ignore(void *userdata _unused_, const char *what _unused_) {
}

static int rescue(Ring *ring, const Config *config) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(queue_freep) Queue *queue = NULL;
        int r;

        r = open_spool(config, &spool);
        if (r >= 0)
                r = queue_new(&queue, ring, spool);

        return r < 0 ? r : queue_flush_to_spool(queue);
}

/* systemd lets go of what it keeps when a service is not started again. What is queued consists of finished
 * lines, which are what they are whatever the configuration says. */
void service_rescue(const char *etc) {
        _cleanup_(handover_freep) Handover *handover = NULL;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(ring_freep) Ring *ring = NULL;
        int fd, r;

        if (handover_new(&handover) < 0)
                return;
        fd = handover_take(handover, "queue");
        if (fd < 0)
                return;

        r = ring_open(&ring, fd);
        if (r < 0)
                (void) close_fd(fd);
        else if (ring_lines_queued(ring) == 0)
                return;
        if (r >= 0)
                r = config_load_what_is_good_in(&config, etc, ignore, NULL);
        if (r >= 0)
                r = rescue(ring, config);

        if (r < 0)
                (void) log_error_errno(r, "What is queued cannot go to the spool, and is lost: %m");
        else
                log_notice("What is queued is in the spool %s, and is delivered after the next start",
                           config->spool_dir);
}
