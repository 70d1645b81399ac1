/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What may stand in a name or a value. */

#include "basic/slice.h"

bool has_control(const char *s);   /* below 0x20, or 0x7f */
bool utf8_is_valid(const char *s); /* RFC 3629, section 4 */

/* Can a collector's file be called so? Not empty, not hidden, no "/", no control character. */
bool collector_name_is_valid(const char *s);
