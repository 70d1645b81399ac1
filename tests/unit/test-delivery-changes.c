/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Another policy, or another number of servers, while one reader of the queue is ahead of the others: no
 * line is left out, whatever becomes of the process in between. */

#include <unistd.h>

#include "unit/delivery-rig.h"

static bool any_waits(const World *w) {
        for (size_t i = 0; i < delivery_n_senders(w->delivery); i++)
                if (delivery_status(w->delivery, i).state == SENDER_WAITING)
                        return true;

        return false;
}

/* As if share or server 0 of `n` had got all of its lines, and the others none. */
static void one_is_ahead(World *w, ConfigPolicy policy, const char *servers) {
        for (size_t i = 0; i < 2; i++)
                if (w->tsd[i].fd >= 0)
                        tsd_kill(&w->tsd[i], false);
        deliver(w, policy, servers);
        put(w, 10000);
        run_until(w, any_waits(w));
        (void) queue_ack(w->queue, 0, queue_head(w->queue));
}

static const struct {
        const char *name;
        ConfigPolicy from;
        const char *before;
        ConfigPolicy to;
        const char *after;
} changes[] = {
        { "spread to failover", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_FAILOVER, "01" },
        { "spread to one", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_SPREAD, "0" },
        { "spread over fewer", CONFIG_POLICY_SPREAD, "0101", CONFIG_POLICY_SPREAD, "10" },
        { "spread over more", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_SPREAD, "011" },
        { "spread to mirror", CONFIG_POLICY_SPREAD, "01", CONFIG_POLICY_MIRROR, "01" },
        { "mirror to failover", CONFIG_POLICY_MIRROR, "01", CONFIG_POLICY_FAILOVER, "10" },
        { "mirror to one", CONFIG_POLICY_MIRROR, "01", CONFIG_POLICY_MIRROR, "1" },
        { "mirror to spread", CONFIG_POLICY_MIRROR, "01", CONFIG_POLICY_SPREAD, "01" },
};

static void test_changes(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                deliver(w, changes[i].to, changes[i].after);
                come_back(w, 0);
                come_back(w, 1);
                put(w, 1000);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                assert_int_equal(delivery_acked(w->delivery), w->written);
                if (changes[i].to == CONFIG_POLICY_MIRROR && changes[i].after[1])
                        assert_int_equal(w->tsd[0].n_taken + w->tsd[1].n_taken, 2 * w->written);
                world_done(w);
        }
}

/* The same over a stop: the queue is on disk, and nobody knows any more who was where. */
static void test_changes_over_a_stop(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                w->delivery = delivery_free(w->delivery);
                assert_int_equal(queue_flush_to_spool(w->queue), 0);
                close_queue(w);
                open_queue(w);

                deliver(w, changes[i].to, changes[i].after);
                assert_int_equal(queue_inherited(w->queue), 10000);
                come_back(w, 0);
                come_back(w, 1);
                put(w, 1000);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                assert_int_equal(delivery_acked(w->delivery), w->written);
                world_done(w);
        }
}

/* The process is killed; the next one finds the ring, and the spool. */
static void next_process(World *w) {
        int fd = dup(ring_fd(w->ring));

        assert_true(fd >= 0);
        w->delivery = delivery_free(w->delivery);
        close_queue(w);
        spool_rig_open(w->rig);
        assert_int_equal(ring_open(&w->ring, fd), 0);
        assert_int_equal(queue_new(&w->queue, w->ring, w->rig->spool), 0);
        w->put = 0;
}

/* Nothing has changed: each goes on where it was. */
static void test_same_again(void **state) {
        for (unsigned i = 0; i < 2; i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                one_is_ahead(w, CONFIG_POLICY_SPREAD, "01");
                if (i == 1)
                        next_process(w);
                deliver(w, CONFIG_POLICY_SPREAD, "10"); /* a share is a share, whoever gets it */
                come_back(w, 0);
                come_back(w, 1);
                finish(w);
                assert_true(n_taken_by_any(w) > 1000 && n_taken_by_any(w) < 9000);
                world_done(w);
        }
}

static void test_changes_over_a_kill(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                World *w = world_new(state, &(TsdRules) { .series = true });

                print_message("# %s\n", changes[i].name);
                one_is_ahead(w, changes[i].from, changes[i].before);
                next_process(w);
                deliver(w, changes[i].to, changes[i].after);
                put(w, 1000);
                next_process(w);
                deliver(w, changes[i].to, changes[i].after);
                come_back(w, 0);
                come_back(w, 1);
                finish(w);
                assert_int_equal(n_taken_by_any(w), w->written);
                world_done(w);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                world_test(test_changes),
                world_test(test_changes_over_a_stop),
                world_test(test_changes_over_a_kill),
                world_test(test_same_again),
        };

        return run_tap(tests);
}
