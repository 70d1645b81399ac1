/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue of the service mode, as it begins, as it goes to the disk, and as it is left to the next
 * process. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/service-internal.h"
#include "basic/log.h"
#include "unit/tap.h"

#define SEGMENT "0000000000000001.seg"

typedef struct World {
        char dir[64], spool[96];
        Config *config;
        Manager *manager;
} World;

static char logged[4096];

static void to_text(void *userdata _unused_, int level _unused_, const char *line) {
        size_t n = strlen(logged);

        (void) snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

/* -- what is synced -- */

static struct stat synced[8];
static size_t n_synced;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd) {
        if (n_synced < ELEMENTSOF(synced))
                (void) fstat(fd, &synced[n_synced++]);

        return __real_fsync(fd);
}

static bool was_synced(const char *path) {
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        for (size_t i = 0; i < n_synced; i++)
                if (synced[i].st_ino == st.st_ino && synced[i].st_dev == st.st_dev)
                        return true;

        return false;
}

/* -- the world -- */

static void world_new(World *w) {
        Manager *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        *w = (World) { .manager = m };
        logged[0] = '\0';
        n_synced = 0;
        assert_true(snprintf(w->dir, sizeof(w->dir), "/tmp/test-service-queue-XXXXXX") > 0);
        assert_non_null(mkdtemp(w->dir));
        (void) snprintf(w->spool, sizeof(w->spool), "%s/spool", w->dir);
        assert_int_equal(config_new(&w->config), 0);
        w->config->queue_size = 64 << 10;
        free(w->config->spool_dir);
        w->config->spool_dir = strdup(w->spool);
        assert_non_null(w->config->spool_dir);

        m->config = w->config;
        m->service = calloc(1, sizeof(*m->service));
        assert_non_null(m->service);
        m->service->complaints = (RateLimit) { .interval = 60 * USEC_PER_SEC, .burst = 1 };
        assert_int_equal(handover_new(&m->service->handover), 0);
}

static void world_done(World *w) {
        char command[128];

        manager_free(w->manager);
        config_free(w->config);
        (void) snprintf(command, sizeof(command), "rm -r '%s'", w->dir);
        assert_int_equal(system(command), 0); /* NOLINT */
}

/* -- the spool at the start -- */

static void test_spool(void **state _unused_) {
        _cleanup_(world_done) World w;

        world_new(&w);
        assert_int_equal(service_open_queue(w.manager), 0);
        assert_non_null(w.manager->spool);
        assert_int_equal(w.manager->no_spool, 0);
        assert_string_equal(logged, "");
        assert_true(was_synced(w.dir)); /* it has a new folder in it */
}

static int make_file(const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return close_fd(fd);
}

/* The disk fails: it starts, and remembers why. */
static void test_spool_that_cannot_be(void **state _unused_) {
        _cleanup_(world_done) World w;

        world_new(&w);
        (void) make_file(w.spool);
        assert_int_equal(service_open_queue(w.manager), 0);
        assert_null(w.manager->spool);
        assert_int_equal(w.manager->no_spool, -ENOTDIR);
        assert_non_null(strstr(logged, "cannot be used"));
}

/* The process before still has it: the next start finds it free, and what is queued as it is. */
static void test_spool_in_use(void **state _unused_) {
        _cleanup_(spool_freep) Spool *other = NULL;
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(world_done) World w;

        world_new(&w);
        assert_int_equal(mkdir(w.spool, 0700), 0);
        fd = open(w.spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(spool_open(&other, fd, &(SpoolLimits) { .size = 1 << 20 }, NULL, NULL), 0);
        assert_int_equal(service_open_queue(w.manager), -EBUSY);
        assert_non_null(strstr(logged, "still in use"));
}

/* There is to be none, but there has been: what is in it is not delivered, which is said. */
static void test_spool_off(void **state _unused_) {
        static const struct {
                const char *file;
                bool said;
        } rows[] = { { NULL, false }, { "state", false }, { SEGMENT, true } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(world_done) World w;
                char path[160];

                world_new(&w);
                w.config->spool_size = 0;
                if (rows[i].file) {
                        assert_int_equal(mkdir(w.spool, 0700), 0);
                        (void) snprintf(path, sizeof(path), "%s/%s", w.spool, rows[i].file);
                        (void) make_file(path);
                }
                assert_int_equal(service_open_queue(w.manager), 0);
                assert_null(w.manager->spool);
                assert_int_equal(w.manager->no_spool, 0);
                assert_int_equal(!!strstr(logged, "are not delivered"), rows[i].said);
        }
}

/* -- spilling -- */

typedef struct Reading {
        Source *source;
        unsigned offers;
        bool full;
} Reading;

static size_t on_lines(void *userdata, Slice lines) {
        Reading *r = userdata;

        r->offers++;
        return r->full ? 0 : lines.n;
}

static void on_too_long(void *userdata _unused_, Slice beginning _unused_) {
}

/* A source that the queue had no room for. */
static void read_blocked(const World *w, Reading *r) {
        static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long };
        int fds[2];

        *r = (Reading) { .full = true };
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "a 1 1\n", 6), 6);
        assert_int_equal(source_new(&r->source, w->manager->hub, fds[0], SOURCE_FIFO, "a", &ops, r), 0);
        while (!source_is_blocked(r->source))
                assert_true(sd_event_run(w->manager->event, UINT64_MAX) >= 0);
        (void) close_fd(fds[1]);
}

static int on_time(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata _unused_) {
        return 0;
}

static void put_lines(const World *w) {
        Ring *ring = w->manager->ring;
        char *p;

        while ((p = ring_reserve(ring, 100))) {
                memset(p, 'x', 99);
                p[99] = '\n';
                ring_written(ring, 100);
        }
        ring_commit(ring, NULL);
}

/* A queue that is found full, so that it spills at once. */
static void world_fill(const World *w) {
        static const SenderEvents events = {};
        Manager *m = w->manager;

        assert_int_equal(service_open_queue(m), 0);
        put_lines(w);
        assert_int_equal(queue_new(&m->queue, m->ring, m->spool), 0);
        assert_true(sd_event_new(&m->event) >= 0);
        assert_int_equal(source_hub_new(&m->hub, m->event), 0);
        assert_int_equal(config_add_server(w->config, "a", "telnet://localhost:1"), 0);
        assert_int_equal(
                delivery_new(&m->delivery, m->event,
                             &(DeliverySpec) { .queue = m->queue, .ring = m->ring, .config = w->config },
                             &events, NULL),
                0);
        assert_true(sd_event_add_time(m->event, &m->service->sync, CLOCK_MONOTONIC, UINT64_MAX, 0, on_time,
                                      NULL) >= 0);
        assert_true(sd_event_source_set_enabled(m->service->sync, SD_EVENT_OFF) >= 0);
}

/* It moves something, all of it or until the disk refuses: there is room, and it is to be synced. */
static void test_spill(void **state _unused_) {
        static const struct {
                rlim_t file_size;
                bool fails;
        } rows[] = { { RLIM_INFINITY, false }, { 20000, true } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(world_done) World w;
                struct rlimit before, limit;
                Reading reading;

                world_new(&w);
                world_fill(&w);
                read_blocked(&w, &reading);
                reading.full = false;
                assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
                limit = before;
                limit.rlim_cur = MIN(before.rlim_cur, rows[i].file_size);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
                service_spill(w.manager);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

                assert_true(queue_lines_spooled(w.manager->queue) > 0);
                assert_int_equal(!!strstr(logged, "cannot be written"), rows[i].fails);
                assert_int_equal(sd_event_source_get_enabled(w.manager->service->sync, NULL), 1);
                for (unsigned k = 0; k < 500 && reading.offers < 2; k++)
                        assert_true(sd_event_run(w.manager->event, 10 * USEC_PER_MSEC) >= 0);
                assert_int_equal(reading.offers, 2);
                reading.source = source_free(reading.source);
        }
}

/* -- a restart -- */

/* Whether the next process gets the ring or not: it has all lines, in flight or not, and none twice. */
static void test_save(void **state _unused_) {
        for (unsigned keep = 0; keep < 2; keep++) {
                _cleanup_(world_done) World w;
                uint64_t lines;
                Manager *m;

                world_new(&w);
                world_fill(&w);
                m = w.manager;
                queue_sent(m->queue, 0, 5050);
                assert_int_equal(queue_ack(m->queue, 0, 3000), 30);
                lines = queue_lines(m->queue);
                service_save_queue(m);
                assert_int_equal(queue_lines_queued(m->queue), 0);
                assert_int_equal(queue_lines_spooled(m->queue), lines);

                m->delivery = delivery_free(m->delivery);
                m->queue = queue_free(m->queue);
                m->spool = spool_free(m->spool);
                m->service->skips = skips_free(m->service->skips);
                if (keep == 0) {
                        m->ring = ring_free(m->ring);
                        assert_int_equal(service_open_queue(m), 0);
                } else {
                        _cleanup_(ring_freep) Ring *ring = TAKE(m->ring);

                        assert_int_equal(service_open_queue(m), 0);
                        ring_free(m->ring);
                        m->ring = TAKE(ring);
                }
                assert_int_equal(queue_new(&m->queue, m->ring, m->spool), 0);
                assert_int_equal(queue_inherited(m->queue), lines);
                put_lines(&w);
                lines += queue_used(m->queue) / 100;
                assert_int_equal(queue_lines(m->queue), lines);
                assert_int_equal(queue_ack(m->queue, 0, queue_head(m->queue)), lines);
        }
}

/* A spool at its bound is left alone: it would lose its oldest lines for that. */
static void test_save_nothing(void **state _unused_) {
        _cleanup_(world_done) World w;
        Manager *m;

        world_new(&w);
        w.config->spool_size = 2 << 20;
        world_fill(&w);
        m = w.manager;
        while (!spool_would_drop(m->spool, 64 << 10)) {
                assert_int_equal(queue_flush_to_spool(m->queue), 0);
                put_lines(&w);
        }
        service_save_queue(m);
        assert_true(queue_lines_queued(m->queue) > 0);
        assert_int_equal(queue_lost(m->queue), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spool),        cmocka_unit_test(test_spool_that_cannot_be),
                cmocka_unit_test(test_spool_in_use), cmocka_unit_test(test_spool_off),
                cmocka_unit_test(test_spill),        cmocka_unit_test(test_save),
                cmocka_unit_test(test_save_nothing),
        };

        (void) signal(SIGXFSZ, SIG_IGN);
        log_set_sink(to_text, NULL);
        return run_tap(tests);
}
