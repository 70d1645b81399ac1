/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/printable.h"

static const char hex[] = "0123456789abcdef";

/* Writes one byte of text at `out` (room for 4); returns the bytes written. */
static size_t write_byte(char *out, unsigned char c) {
        if (c == '\\') {
                memcpy(out, "\\\\", 2);
                return 2;
        }
        if (c >= 0x20 && c < 0x7f) {
                *out = (char) c;
                return 1;
        }

        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        return 4;
}

const char *printable(char buf[static PRINTABLE_MAX], Slice s) {
        size_t n = 0;

        for (size_t i = 0; i < s.n; i++) {
                if (n + 4 + sizeof("...") > PRINTABLE_MAX) {
                        memcpy(buf + n, "...", 3);
                        n += 3;
                        break;
                }
                n += write_byte(buf + n, (unsigned char) s.p[i]);
        }

        buf[n] = '\0';
        return buf;
}
