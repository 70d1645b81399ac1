/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Time: what the kernel's clocks say, and how people write a span of it. Only the edges (main, event
 * callbacks) read a clock; everything below them is handed the time. */

#include <time.h>

#include "basic/slice.h"

usec_t clock_usec(clockid_t clock); /* CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME: microseconds */

/* Reads a span as systemd.time(7) writes it: one or more of a decimal number and a unit (us, ms, s, sec,
 * min, m, h, hr, d, w and their long forms), a bare number being seconds: "300", "0.5s", "1h 30min",
 * "infinity". 0, or -EINVAL: not a span; -ERANGE: too long for 64 bits of microseconds. */
int span_parse(Slice text, usec_t *ret);

#define SPAN_MAX 64

/* Writes a span so that span_parse() reads it back: "5min 30s", "1.5s", "0". Returns `buf`. */
const char *span_format(char buf[static SPAN_MAX], usec_t usec);
