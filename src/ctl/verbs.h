/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tcollectorctl can do: a function each, a file each. They return the exit status. */

#include "basic/base.h"

#define EXIT_WRONG_USAGE 2

typedef enum VerbFlag {
        FLAG_SETTLE = 1 << 0,
        FLAG_START = 1 << 1,
        FLAG_QUIET = 1 << 2,
        FLAG_DUMP = 1 << 3,
        FLAG_JSON = 1 << 4,
} VerbFlag;

typedef struct VerbArgs {
        unsigned flags;  /* those given */
        char **operands; /* what is no option, NULL at the end */
        int n_operands;
} VerbArgs;

int verb_check(const VerbArgs *args);
int verb_collector_failed(const VerbArgs *args);
int verb_collectors(const VerbArgs *args);
int verb_flush(const VerbArgs *args);
int verb_prepare(const VerbArgs *args);
int verb_rescan(const VerbArgs *args);
int verb_status(const VerbArgs *args);
int verb_stopped(const VerbArgs *args);
int verb_stopping(const VerbArgs *args);
