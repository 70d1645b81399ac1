/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The self-report and the list of collectors, from real parts that have not run yet: a collector whose file
 * is there but which the loop has not started. */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/report.h"
#include "agent/runner.h"
#include "agent/status.h"
#include "basic/log.h"
#include "unit/tap.h"

#define NAME "my collector\".sh"

typedef struct Fixture {
        char dir[64];
        char path[192];
        const char *dirs[1];
        sd_event *event;
        Ring *ring;
        Queue *queue;
        PointRules *rules;
        SourceHub *hub;
        Config *config;
        Delivery *delivery;
        Lane *input;
        Runner *runner;
        Census census;
} Fixture;

static void no_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static void make_collector(Fixture *f) {
        char interval[128];
        FILE *file;

        assert_true(snprintf(f->dir, sizeof(f->dir), "/tmp/test-report-XXXXXX") > 0);
        assert_non_null(mkdtemp(f->dir));
        assert_true(snprintf(interval, sizeof(interval), "%s/15", f->dir) > 0);
        assert_int_equal(mkdir(interval, 0755), 0);
        assert_true(snprintf(f->path, sizeof(f->path), "%s/%s", interval, NAME) > 0);
        file = fopen(f->path, "we");
        assert_non_null(file);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(chmod(f->path, 0755), 0);
}

static Fixture *fixture_new(void) {
        static const SenderEvents events = {};
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        make_collector(f);
        f->dirs[0] = f->dir;
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(ring_new(&f->ring, 1 << 20), 0);
        assert_int_equal(queue_new(&f->queue, f->ring, NULL), 0);
        assert_int_equal(point_rules_new(&f->rules, SLICE(""), NULL, 0, 8, BAD_CHARS_REJECT), 0);
        assert_int_equal(source_hub_new(&f->hub, f->event), 0);
        assert_int_equal(config_new(&f->config), 0);
        assert_int_equal(config_add_server(f->config, "main", "telnet://tsd1.example.com:4242"), 0);
        assert_int_equal(
                delivery_new(&f->delivery, f->event,
                             &(DeliverySpec) { .queue = f->queue, .ring = f->ring, .config = f->config },
                             &events, NULL),
                0);
        assert_int_equal(lane_new(&f->input, "stdin", f->ring, f->rules, &(DedupLimits) {}), 0);
        assert_int_equal(
                runner_new(&f->runner, f->dirs, 1,
                           &(CollectorContext) {
                                   .run = { .event = f->event, .hub = f->hub, .helper = "/bin/false" },
                                   .ring = f->ring,
                                   .rules = f->rules,
                           }),
                0);
        assert_int_equal(runner_census(f->runner, 5000 * USEC_PER_SEC, &f->census), 0);
        return f;
}

static void fixture_free(Fixture *f) {
        census_done(&f->census);
        runner_free(f->runner);
        lane_free(f->input);
        delivery_free(f->delivery);
        config_free(f->config);
        source_hub_free(f->hub);
        point_rules_free(f->rules);
        queue_free(f->queue);
        ring_free(f->ring);
        sd_event_unref(f->event);
        assert_int_equal(unlink(f->path), 0);
        *strrchr(f->path, '/') = '\0';
        assert_int_equal(rmdir(f->path), 0);
        assert_int_equal(rmdir(f->dir), 0);
        free(f);
}

static Report report_of(const Fixture *f, bool with_runner) {
        return (Report) {
                .census = with_runner ? &f->census : NULL,
                .input = f->input,
                .self = with_runner ? f->input : NULL, /* any lane will do */
                .delivery = f->delivery,
                .queue = f->queue,
                .monotonic = 5000 * USEC_PER_SEC,
                .started = 4000 * USEC_PER_SEC,
                .realtime = 1700000000 * USEC_PER_SEC,
        };
}

static const char *const fixed_lines[] = {
        "tcollector.reader.lines_dropped 1700000000 0\n",
        "tcollector.agent.uptime_sec 1700000000 1000\n",
        "tcollector.queue.bytes 1700000000 0\n",
        "tcollector.sender.points_acked 1700000000 0 server=tsd1.example.com_4242\n",
        "tcollector.sender.latency_ms 1700000000 0 server=tsd1.example.com_4242\n",
};

static const char *const collector_lines[] = {
        "tcollector.collector.lines_sent 1700000000 0 collector=my_collector_.sh\n",
        "tcollector.collector.replayed 1700000000 0 collector=my_collector_.sh\n",
        "tcollector.collector.lines_sent 1700000000 1 collector=stdin\n",
        "tcollector.collector.runs 1700000000 0 collector=my_collector_.sh\n",
        "tcollector.collector.cpu_usec 1700000000 0 collector=my_collector_.sh\n",
};

static void assert_lines(const Buffer *b, const char *const *lines, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!strstr(b->data, lines[i]))
                        fail_msg("missing: %s", lines[i]);
}

/* Every line must be a data point by the agent's own rules: nothing of it is ever refused. */
static void assert_valid(const Fixture *f, const Buffer *b) {
        Slice rest = buffer_slice(b), line;

        while (slice_cut(&rest, '\n', &line)) {
                char scratch[POINT_LINE_MAX];
                Point p;

                assert_int_equal(point_parse(f->rules, line, scratch, &p), VERDICT_OK);
        }
        assert_int_equal(rest.n, 0);
}

static void test_lines(void **state _unused_) {
        Fixture *f = fixture_new();

        assert_int_equal(lane_lines(f->input, SLICE("a.b 1700000000 1\nbad\n")), 21);
        for (int with_runner = 0; with_runner < 2; with_runner++) {
                _cleanup_(buffer_done) Buffer b = {};
                Report r = report_of(f, with_runner);

                ring_ack(f->ring, 0, ring_head(f->ring));
                assert_int_equal(report_lines(&r, &b), 0);
                assert_lines(&b, fixed_lines, ELEMENTSOF(fixed_lines));
                assert_lines(&b, collector_lines, with_runner ? ELEMENTSOF(collector_lines) : 0);
                assert_non_null(strstr(b.data, with_runner ? "reader.lines_collected 1700000000 0\n" :
                                                             "reader.lines_collected 1700000000 2\n"));
                assert_valid(f, &b);
        }

        fixture_free(f);
}

static void test_json(void **state _unused_) {
        _cleanup_(buffer_done) Buffer with = {}, without = {};
        Fixture *f = fixture_new();
        Report r = report_of(f, true), none = report_of(f, false);

        assert_int_equal(report_json(&r, &with), 0);
        assert_non_null(strstr(with.data, "[{\"name\":\"my collector\\\".sh\",\"mtime\":"));
        assert_non_null(strstr(with.data, ",\"lastspawn\":0,\"killstate\":0,\"nextkill\":0,\"lines_sent\":0,"
                                          "\"lines_received\":0,\"lines_invalid\":0,\"last_datapoint\":0,"
                                          "\"dead\":false}]\n"));
        assert_int_equal(report_json(&none, &without), 0);
        assert_string_equal(without.data, "[]\n");
        fixture_free(f);
}

/* That there is to be a spool, and there is none, is a state like others of the disk. */
static void test_no_spool(void **state _unused_) {
        static const struct {
                int error;
                const char *line, *json;
        } rows[] = {
                { 0, "0 collectors", NULL },
                { -EACCES, "0 collectors; the spool cannot be used (Permission denied)",
                  ",\"spool\":{\"bytes\":0,\"lines\":0,\"segments\":0,\"lines_lost\":0,"
                  "\"error\":\"Permission denied\"}" },
        };
        Fixture *f = fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(buffer_done) Buffer b = {};
                Report r = report_of(f, false);
                char line[STATUS_LINE_MAX];

                r.no_spool = rows[i].error;
                assert_string_equal(strstr(status_line(&r, line), "0 collectors"), rows[i].line);
                assert_int_equal(status_json(&r, &b), 0);
                if (rows[i].json)
                        assert_non_null(strstr(b.data, rows[i].json));
                else
                        assert_null(strstr(b.data, "\"spool\""));
        }

        fixture_free(f);
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines), cmocka_unit_test(test_json),
                                                   cmocka_unit_test(test_no_spool) };

        log_set_sink(no_log, NULL);
        return run_tap(tests);
}
