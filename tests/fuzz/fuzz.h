/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every fuzz target includes. A target is tests/fuzz/fuzz-NAME.c with this one function; it ends the
 * program (abort()) where something is wrong. libFuzzer or replay.c calls it. */

#include "basic/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Unlike assert() it stands in every build. */
#define check(condition)          \
        do                        \
                if (!(condition)) \
                        abort();  \
        while (0)
