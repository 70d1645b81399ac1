/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <stdio.h>

#include "basic/log.h"
#include "unit/sender-rig.h"

/* Writes what is wanted, as far as the ring has room. */
static void rig_fill(Rig *r) {
        char *p;

        while (r->written < r->wanted && (p = ring_reserve(r->ring, LINE_N))) {
                tsd_line(p, r->written++);
                ring_written(r->ring, LINE_N);
        }
        ring_commit(r->ring, NULL);
        sender_kick(r->sender);
}

void rig_send(Rig *r, unsigned n) {
        r->wanted += n;
        rig_fill(r);
}

unsigned rig_acked(const Rig *r) {
        uint64_t at = ring_acked_at(r->ring, 0);

        assert_int_equal(at % LINE_N, 0);
        return (unsigned) (at / LINE_N);
}

static unsigned rig_proven(const Rig *r) {
        unsigned n = 0;

        for (size_t i = 0; i < r->n_tsd; i++)
                n = MAX(n, r->tsd[i].proven);

        return n;
}

static void on_acked(void *userdata) {
        Rig *r = userdata;

        assert_true(r->trusting || rig_acked(r) <= rig_proven(r));
        rig_fill(r);
}

static void on_closed(void *userdata, int error) {
        ((Rig *) userdata)->closed = error;
}

static void to_diagnostics(void *userdata _unused_, int level, const char *line) {
        if (getenv("TEST_VERBOSE"))
                (void) fprintf(stderr, "# %s: %s\n", log_level_to_string(level), line);
}

int rig_set_up(void **state) {
        Rig *r = calloc(1, sizeof(*r));

        assert_non_null(r);
        log_set_sink(to_diagnostics, NULL);
        log_set_max_level(LOG_DEBUG);
        (void) signal(SIGPIPE, SIG_IGN);
        assert_true(sd_event_new(&r->event) >= 0);
        assert_int_equal(ring_new(&r->ring, 1 << 20), 0);
        assert_int_equal(queue_new(&r->queue, r->ring, NULL), 0);
        *state = r;
        return 0;
}

int rig_tear_down(void **state) {
        Rig *r = *state;

        (void) sender_free(r->sender);
        for (size_t i = 0; i < ELEMENTSOF(r->tsd); i++)
                tsd_done(&r->tsd[i]);
        (void) queue_free(r->queue);
        (void) ring_free(r->ring);
        (void) sd_event_unref(r->event);
        free(r);
        return 0;
}

void rig_again(void **state) {
        (void) rig_tear_down(state);
        (void) rig_set_up(state);
}

Tsd *rig_tsd(Rig *r, const TsdRules *rules) {
        Tsd *t = &r->tsd[r->n_tsd++];

        tsd_open(t, r->event, rules);
        return t;
}

void rig_start(Rig *r, SenderConfig config) {
        static const SenderEvents events = { .acked = on_acked, .closed = on_closed };
        SenderServer servers[ELEMENTSOF(r->tsd)] = {};

        for (size_t i = 0; i < r->n_tsd; i++)
                servers[i].url = r->tsd[i].url;
        if (!config.servers) {
                config.servers = servers;
                config.n_servers = r->n_tsd;
        }
        if (config.backoff.max == 0)
                config.backoff = (Backoff) { .min = USEC_PER_MSEC, .max = 5 * USEC_PER_MSEC };
        if (config.hold_time == 0)
                config.hold_time = 10 * USEC_PER_MSEC;

        assert_int_equal(sender_new(&r->sender, r->event, r->queue, 0, &config, &events, r), 0);
}

bool rig_is_done(const Rig *r) {
        return r->written == r->wanted && sender_is_drained(r->sender);
}

SenderStats rig_stats(const Rig *r) {
        SenderStats sum = {};

        for (size_t i = 0; i < sender_n_servers(r->sender); i++) {
                const SenderStats *s = sender_server_stats(r->sender, i);

                sum.acked += s->acked;
                sum.refused += s->refused;
                sum.bytes += s->bytes;
                sum.reconnects += s->reconnects;
                sum.errors += s->errors;
                sum.latency_usec = MAX(sum.latency_usec, s->latency_usec);
        }

        return sum;
}
