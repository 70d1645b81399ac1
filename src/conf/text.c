/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>

#include "conf/text.h"

bool has_control(const char *s) {
        while (*s && (unsigned char) *s >= 0x20 && *s != 0x7f)
                s++;

        return *s != '\0';
}

/* Bytes that follow `lead`, -1: it leads nothing. The least and largest first of them go to `range`. */
static int n_following(unsigned char lead, unsigned char range[2]) {
        range[0] = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        range[1] = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (lead < 0x80)
                return 0;
        if (lead < 0xc2 || lead > 0xf4)
                return -1;

        return lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
}

bool utf8_is_valid(const char *s) {
        while (*s) {
                unsigned char range[2];
                int n = n_following((unsigned char) *s++, range);

                if (n < 0)
                        return false;
                for (; n > 0; n--, s++) {
                        if ((unsigned char) *s < range[0] || (unsigned char) *s > range[1])
                                return false;
                        range[0] = 0x80;
                        range[1] = 0xbf;
                }
        }

        return true;
}

bool collector_name_is_valid(const char *s) {
        return s[0] != '\0' && s[0] != '.' && strlen(s) <= NAME_MAX && !strchr(s, '/') && !has_control(s);
}
