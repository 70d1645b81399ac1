/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "conf/unit-text.h"
#include "unit/tap.h"

static const struct {
        const char *text, *quoted, *argument, *bare;
} texts[] = {
        { "", "\"\"", "\"\"", "" },
        { "/a/b.sh", "\"/a/b.sh\"", "\"/a/b.sh\"", "/a/b.sh" },
        { "a b", "\"a b\"", "\"a b\"", "a b" },
        { "50% %i", "\"50%% %%i\"", "\"50%% %%i\"", "50%% %%i" },
        { "$HOME ${x} $", "\"$HOME ${x} $\"", "\"$$HOME $${x} $$\"", "$HOME ${x} $" },
        { "\"'", "\"\\\"'\"", "\"\\\"'\"", "\"'" },
        { "a\\n\\", "\"a\\\\n\\\\\"", "\"a\\\\n\\\\\"", "a\\n\\" },
        { "caf\xc3\xa9", "\"caf\\xc3\\xa9\"", "\"caf\\xc3\\xa9\"", "caf\xc3\xa9" },
        { "a\nb\x7f\xff", "\"a\\x0ab\\x7f\\xff\"", "\"a\\x0ab\\x7f\\xff\"", "a\nb\x7f\xff" },
        { "; #", "\"; #\"", "\"; #\"", "; #" },
};

static void test_texts(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(buffer_done) Buffer quoted = {}, argument = {}, bare = {};

                assert_int_equal(unit_add_quoted(&quoted, texts[i].text), 0);
                assert_int_equal(unit_add_argument(&argument, texts[i].text), 0);
                assert_int_equal(buffer_add_string(&bare, ""), 0);
                assert_int_equal(unit_add_bare(&bare, texts[i].text), 0);
                assert_string_equal(quoted.data, texts[i].quoted);
                assert_string_equal(argument.data, texts[i].argument);
                assert_string_equal(bare.data, texts[i].bare);
        }
}

static const struct {
        unsigned interval;
        const char *lines;
} calendars[] = {
        { 1, "OnCalendar=*-*-* *:*:00/1 UTC\n" },
        { 15, "OnCalendar=*-*-* *:*:00/15 UTC\n" },
        { 60, "OnCalendar=*-*-* *:*:00 UTC\n" },
        { 300, "OnCalendar=*-*-* *:00/5:00 UTC\n" },
        { 90, "OnCalendar=*-*-* *:00/3:00 UTC\nOnCalendar=*-*-* *:01/3:30 UTC\n" },
        { 3600, "OnCalendar=*-*-* *:00:00 UTC\n" },
        { 5400, "OnCalendar=*-*-* 00/3:00:00 UTC\nOnCalendar=*-*-* 01/3:30:00 UTC\n" },
        { 7200, "OnCalendar=*-*-* 00/2:00:00 UTC\n" },
        { 86400, "OnCalendar=*-*-* 00:00:00 UTC\n" },
};

static void test_calendars(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(calendars); i++) {
                _cleanup_(buffer_done) Buffer b = {};

                assert_true(unit_can_align(calendars[i].interval));
                assert_int_equal(unit_add_calendar(&b, calendars[i].interval), 0);
                assert_string_equal(b.data, calendars[i].lines);
        }
        assert_false(unit_can_align(0));
        assert_false(unit_can_align(7));
        assert_false(unit_can_align(86401));
        assert_false(unit_can_align(172800));
}

/* One field of a calendar: "*", "07", "07/10". */
static void read_field(Slice s, unsigned limit, bool *hits) {
        uint64_t first = 0, step = limit;
        Slice head = s;

        if (slice_equal(s, SLICE("*")))
                step = 1;
        else {
                if (slice_cut(&s, '/', &head))
                        assert_true(slice_to_uint64(s, &step) && step > 0 && step < limit);
                assert_true(slice_to_uint64(head, &first) && first < limit);
        }
        for (; first < limit; first += step)
                hits[first] = true;
}

/* Marks the seconds of a day a line elapses at; none is meant by two lines. */
static void read_line(Slice line, bool *day) {
        bool hour[24] = {}, minute[60] = {}, second[60] = {};
        Slice head = {}, h = {}, m = {};

        assert_true(slice_starts_with(line, SLICE("OnCalendar=*-*-* ")));
        line = (Slice) { line.p + 17, line.n - 17 };
        assert_true(slice_cut(&line, ' ', &head));
        assert_true(slice_equal(line, SLICE("UTC")));
        assert_true(slice_cut(&head, ':', &h));
        assert_true(slice_cut(&head, ':', &m));
        read_field(h, 24, hour);
        read_field(m, 60, minute);
        read_field(head, 60, second);

        for (unsigned t = 0; t < 86400; t++)
                if (hour[t / 3600] && minute[t / 60 % 60] && second[t % 60]) {
                        assert_false(day[t]);
                        day[t] = true;
                }
}

static void test_every_divisor(void **state _unused_) {
        unsigned n = 0;

        for (unsigned interval = 1; interval <= 86400; interval++) {
                _cleanup_(freep) bool *day = calloc(86400, sizeof(bool));
                _cleanup_(buffer_done) Buffer b = {};
                Slice rest, line;

                assert_non_null(day);
                if (!unit_can_align(interval))
                        continue;

                assert_int_equal(unit_add_calendar(&b, interval), 0);
                for (rest = buffer_slice(&b); slice_cut(&rest, '\n', &line);)
                        read_line(line, day);
                assert_int_equal(rest.n, 0);
                for (unsigned t = 0; t < 86400; t++)
                        if (day[t] != (t % interval == 0))
                                fail_msg("%u: at %u s it does%s elapse", interval, t, day[t] ? "" : " not");
                n++;
        }
        assert_int_equal(n, 96);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_calendars),
                cmocka_unit_test(test_every_divisor),
        };

        return run_tap(tests);
}
