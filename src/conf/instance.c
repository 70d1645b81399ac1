/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "conf/instance.h"

static bool is_plain(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '.' || c == '-';
}

int instance_from_name(const char *name, char **ret) {
        static const char digits[] = "0123456789abcdef";
        char buf[INSTANCE_MAX + 4], *copy;
        size_t n = 0;

        if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
                return -EINVAL;

        for (; *name && n <= INSTANCE_MAX; name++) {
                unsigned char c = (unsigned char) *name;

                if (is_plain(*name)) {
                        buf[n++] = *name;
                        continue;
                }
                buf[n++] = '\\';
                buf[n++] = 'x';
                buf[n++] = digits[c >> 4];
                buf[n++] = digits[c & 15];
        }
        if (n > INSTANCE_MAX)
                return -ENAMETOOLONG;

        copy = strndup(buf, n);
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

/* -1: no digit of instance_from_name(). */
static int digit_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';

        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one character of the name from the front of `rest`. */
static bool take_char(Slice *rest, char *ret) {
        size_t n = rest->p[0] == '\\' ? 4 : 1;
        char c = rest->p[0];

        if (rest->n < n || (n == 1 && !is_plain(c)))
                return false;

        if (n == 4) {
                int high = digit_value(rest->p[2]), low = digit_value(rest->p[3]);

                if (rest->p[1] != 'x' || high < 0 || low < 0)
                        return false;
                c = (char) (high << 4 | low);
                if (c == '\0' || c == '/' || is_plain(c))
                        return false;
        }

        *rest = (Slice) { rest->p + n, rest->n - n };
        *ret = c;
        return true;
}

/* Writes the name behind `instance` to `buf`, which has room for INSTANCE_MAX bytes and a NUL. */
static bool unescape(Slice instance, char *buf) {
        if (instance.n == 0 || instance.n > INSTANCE_MAX || instance.p[0] == '.')
                return false;

        while (instance.n > 0)
                if (!take_char(&instance, buf++))
                        return false;

        *buf = '\0';
        return true;
}

int instance_to_name(Slice instance, char **ret) {
        char buf[INSTANCE_MAX + 1], *copy;

        if (!unescape(instance, buf))
                return -EINVAL;

        copy = strdup(buf);
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

bool instance_from_unit(const char *unit, const char *prefix, const char *suffix, Slice *ret) {
        Slice s = slice_from_string(unit), before = slice_from_string(prefix);
        Slice behind = slice_from_string(suffix);
        char buf[INSTANCE_MAX + 1];

        if (s.n < before.n + behind.n || !slice_starts_with(s, before) ||
            !slice_equal((Slice) { s.p + s.n - behind.n, behind.n }, behind))
                return false;

        s = (Slice) { s.p + before.n, s.n - before.n - behind.n };
        if (!unescape(s, buf))
                return false;

        *ret = s;
        return true;
}
