/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue of the service mode, as it begins. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

static void world_new(World *w) {
        Manager *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        *w = (World) { .manager = m };
        logged[0] = '\0';
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

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spool),
                cmocka_unit_test(test_spool_that_cannot_be),
                cmocka_unit_test(test_spool_in_use),
                cmocka_unit_test(test_spool_off),
        };

        log_set_sink(to_text, NULL);
        return run_tap(tests);
}
