/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Foreign text in log lines. */

#include "basic/slice.h"

#define PRINTABLE_MAX 240

/* Writes `s` so that it can stand in one log line: control bytes and what is no ASCII as \xNN, a backslash
 * as \\, and "..." where it had to be cut. Returns `buf`. */
const char *printable(char buf[static PRINTABLE_MAX], Slice s);
