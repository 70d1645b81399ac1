/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>

#include "basic/clock.h"

usec_t clock_usec(clockid_t clock) {
        struct timespec ts;

        if (clock_gettime(clock, &ts) < 0)
                abort(); /* a clock the kernel has always had */

        return (usec_t) ts.tv_sec * USEC_PER_SEC + (usec_t) ts.tv_nsec / NSEC_PER_USEC;
}

static const struct {
        const char *name;
        usec_t usec;
} span_units[] = {
        { "us", 1 },
        { "usec", 1 },
        { "ms", USEC_PER_MSEC },
        { "msec", USEC_PER_MSEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "seconds", USEC_PER_SEC },
        { "", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC },
        { "minutes", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC },
        { "d", 86400 * USEC_PER_SEC },
        { "day", 86400 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC },
        { "w", 7 * 86400 * USEC_PER_SEC },
        { "week", 7 * 86400 * USEC_PER_SEC },
        { "weeks", 7 * 86400 * USEC_PER_SEC },
};

/* How many bytes at the front of `s` lie between `first` and `last`. */
static size_t count_range(Slice s, char first, char last) {
        size_t i = 0;

        while (i < s.n && s.p[i] >= first && s.p[i] <= last)
                i++;

        return i;
}

static Slice skip(Slice s, size_t n) {
        return (Slice) { s.p + n, s.n - n };
}

/* Takes one number off the front of `s`: its whole part, and its fraction in millionths. */
static int take_number(Slice *s, uint64_t *ret_whole, uint64_t *ret_millionths) {
        size_t n = count_range(*s, '0', '9'), f = 0;
        uint64_t whole = 0, millionths = 0;

        if (n > 0 && !slice_to_uint64((Slice) { s->p, n }, &whole))
                return -ERANGE;
        *s = skip(*s, n);

        if (s->n > 0 && s->p[0] == '.') {
                *s = skip(*s, 1);
                f = count_range(*s, '0', '9');
                for (size_t i = 0, unit = 100000; i < f && i < 6; i++, unit /= 10)
                        millionths += (uint64_t) (s->p[i] - '0') * unit;
                *s = skip(*s, f);
        }
        if (n + f == 0)
                return -EINVAL;

        *ret_whole = whole;
        *ret_millionths = millionths;
        return 0;
}

static int take_unit(Slice *s, usec_t *ret) {
        size_t n;

        *s = slice_strip(*s);
        n = count_range(*s, 'a', 'z');
        for (size_t i = 0; i < ELEMENTSOF(span_units); i++)
                if (slice_equal((Slice) { s->p, n }, slice_from_string(span_units[i].name))) {
                        *s = slice_strip(skip(*s, n));
                        *ret = span_units[i].usec;
                        return 0;
                }

        return -EINVAL;
}

int span_parse(Slice text, usec_t *ret) {
        usec_t sum = 0;

        text = slice_strip(text);
        if (slice_equal(text, SLICE("infinity"))) {
                *ret = USEC_INFINITY;
                return 0;
        }
        if (text.n == 0)
                return -EINVAL;

        while (text.n > 0) {
                uint64_t whole, millionths;
                usec_t unit, part;
                int r;

                r = take_number(&text, &whole, &millionths);
                if (r < 0)
                        return r;
                r = take_unit(&text, &unit);
                if (r < 0)
                        return r;
                if (__builtin_mul_overflow(whole, unit, &part) || __builtin_add_overflow(sum, part, &sum) ||
                    __builtin_add_overflow(sum,
                                           millionths * (unit / USEC_PER_SEC) +
                                                   millionths * (unit % USEC_PER_SEC) / USEC_PER_SEC,
                                           &sum))
                        return -ERANGE;
        }
        if (sum == USEC_INFINITY)
                return -ERANGE;

        *ret = sum;
        return 0;
}

const char *span_format(char buf[static SPAN_MAX], usec_t usec) {
        static const struct {
                const char *suffix;
                usec_t usec;
        } parts[] = { { "d", 86400 * USEC_PER_SEC },
                      { "h", 3600 * USEC_PER_SEC },
                      { "min", 60 * USEC_PER_SEC } };
        size_t n = 0;

        if (usec == USEC_INFINITY || usec == 0) {
                (void) snprintf(buf, SPAN_MAX, "%s", usec == 0 ? "0" : "infinity");
                return buf;
        }

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (usec >= parts[i].usec) {
                        n += (size_t) snprintf(buf + n, SPAN_MAX - n, "%s%" PRIu64 "%s", n > 0 ? " " : "",
                                               usec / parts[i].usec, parts[i].suffix);
                        usec %= parts[i].usec;
                }
        if (usec == 0)
                return buf;

        n += (size_t) snprintf(buf + n, SPAN_MAX - n, "%s%" PRIu64, n > 0 ? " " : "", usec / USEC_PER_SEC);
        if (usec % USEC_PER_SEC != 0) {
                n += (size_t) snprintf(buf + n, SPAN_MAX - n, ".%06" PRIu64, usec % USEC_PER_SEC);
                while (buf[n - 1] == '0')
                        n--;
        }
        (void) snprintf(buf + n, SPAN_MAX - n, "s");
        return buf;
}
