/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "conf/unit-text.h"

static int add_char(Buffer *out, char c, const char *doubled) {
        unsigned char u = (unsigned char) c;

        if (u < 0x20 || u >= 0x7f)
                return buffer_addf(out, "\\x%02x", u);
        if (strchr(doubled, c))
                return buffer_addf(out, "%c%c", c, c);

        return buffer_addf(out, c == '"' ? "\\%c" : "%c", c);
}

/* `doubled`: what stands for itself only when it is written twice. */
static int add_quoted(Buffer *out, const char *s, const char *doubled) {
        int r = buffer_add_string(out, "\"");

        for (; r >= 0 && *s; s++)
                r = add_char(out, *s, doubled);

        return r < 0 ? r : buffer_add_string(out, "\"");
}

int unit_add_quoted(Buffer *out, const char *s) {
        return add_quoted(out, s, "\\%");
}

int unit_add_argument(Buffer *out, const char *s) {
        return add_quoted(out, s, "\\%$");
}

int unit_add_bare(Buffer *out, const char *s) {
        int r = 0;

        for (; r >= 0 && *s; s++)
                r = buffer_addf(out, *s == '%' ? "%%%c" : "%c", *s);

        return r;
}

/* -- multiples of an interval -- */

#define MINUTE 60u
#define HOUR 3600u
#define DAY 86400u

static uint64_t least_common_multiple(uint64_t a, uint64_t b) {
        uint64_t x = a, y = b;

        while (y != 0) {
                uint64_t rest = x % y;

                x = y;
                y = rest;
        }
        return a / x * b;
}

bool unit_can_align(uint64_t interval) {
        return interval > 0 && DAY % interval == 0;
}

/* "07", or "07/10" where it comes again every 10 below `limit`. */
static int add_field(Buffer *out, uint64_t first, uint64_t step, uint64_t limit) {
        return step < limit ? buffer_addf(out, "%02" PRIu64 "/%" PRIu64, first, step) :
                              buffer_addf(out, "%02" PRIu64, first);
}

/* A line for each multiple below the period after which minute and second are the same again, in steps of
 * hours: an interval of 90 min has two, 00/3:00:00 and 01/3:30:00. */
static int add_in_day(Buffer *out, uint64_t interval) {
        uint64_t period = least_common_multiple(interval, HOUR);
        int r = 0;

        for (uint64_t t = 0; r >= 0 && t < period; t += interval) {
                r = buffer_add_string(out, "OnCalendar=*-*-* ");
                if (r >= 0)
                        r = add_field(out, t / HOUR, period / HOUR, DAY / HOUR);
                if (r >= 0)
                        r = buffer_addf(out, ":%02" PRIu64 ":%02" PRIu64 " UTC\n", t % HOUR / MINUTE,
                                        t % MINUTE);
        }

        return r;
}

/* The same where it divides an hour, in steps of minutes. */
static int add_in_hour(Buffer *out, uint64_t interval) {
        uint64_t period = least_common_multiple(interval, MINUTE);
        int r = 0;

        for (uint64_t t = 0; r >= 0 && t < period; t += interval) {
                r = buffer_add_string(out, "OnCalendar=*-*-* *:");
                if (r >= 0)
                        r = add_field(out, t / MINUTE, period / MINUTE, HOUR / MINUTE);
                if (r >= 0)
                        r = buffer_addf(out, ":%02" PRIu64 " UTC\n", t % MINUTE);
        }

        return r;
}

int unit_add_calendar(Buffer *out, uint64_t interval) {
        int r;

        assert(unit_can_align(interval));

        if (HOUR % interval != 0)
                return add_in_day(out, interval);
        if (MINUTE % interval != 0)
                return add_in_hour(out, interval);

        r = buffer_add_string(out, "OnCalendar=*-*-* *:*:");
        if (r >= 0)
                r = add_field(out, 0, interval, MINUTE);

        return r < 0 ? r : buffer_add_string(out, " UTC\n");
}
