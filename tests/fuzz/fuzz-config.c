/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configuration files. Whatever the text is:
 * - a refusal is one printable line, "FILE:LINE: cause", whose line the text has;
 * - what was taken is within the bounds of the table, is written and read back, and then is the same. */

#include "conf/config-table.h"
#include "fuzz/fuzz.h"

static size_t count_lines(Slice text) {
        size_t n = 1;

        for (size_t i = 0; i < text.n; i++)
                n += text.p[i] == '\n';

        return n;
}

static void check_refusal(Slice text, Slice why) {
        Slice file, line;
        uint64_t number;

        for (size_t i = 0; i < why.n; i++)
                check(why.p[i] >= 0x20 && why.p[i] < 0x7f);

        check(slice_cut(&why, ':', &file) && slice_equal(file, SLICE("f")));
        check(slice_cut(&why, ':', &line) && slice_to_uint64(line, &number));
        check(number >= 1 && number <= count_lines(text));
        check(why.n > 1);
}

static void check_bounds(const Config *c) {
        check(c->n_tags <= CONFIG_LIST_MAX && c->n_servers <= CONFIG_LIST_MAX);
        check(c->n_collector_dirs <= CONFIG_LIST_MAX);
        check(c->max_tags >= 1 && c->max_tags <= 64);
        check(c->queue_size >= 65536);
        check(c->dedup_interval <= 365 * 86400 * USEC_PER_SEC);
        for (size_t i = 0; i < c->n_servers; i++)
                check(strncmp(c->servers[i].url, "telnet://", 9) == 0);
        for (size_t i = 0; i < c->n_collector_dirs; i++)
                check(c->collector_dirs[i][0] == '/');
}

static void check_round_trip(const Config *c) {
        _cleanup_(buffer_done) Buffer first = {}, second = {}, why = {};
        _cleanup_(config_freep) Config *again = NULL;

        check(config_dump(c, &first) == 0);
        check(config_new(&again) == 0);
        check(config_read_text(again, buffer_slice(&first), "dump", &why) == 0);
        check(config_dump(again, &second) == 0);
        check(slice_equal(buffer_slice(&first), buffer_slice(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(buffer_done) Buffer why = {}, inconsistent = {};
        _cleanup_(config_freep) Config *c = NULL;
        Slice text = { (const char *) data, n };
        int r;

        check(config_new(&c) == 0);
        r = config_read_text(c, text, "f", &why);
        if (r < 0) {
                check(r == -EINVAL);
                check_refusal(text, buffer_slice(&why));
                return 0;
        }

        check(why.n == 0);
        check_bounds(c);
        check_round_trip(c);
        r = config_check(c, &inconsistent);
        check((r == 0 && inconsistent.n == 0) || (r == -EINVAL && inconsistent.n > 0));
        return 0;
}
