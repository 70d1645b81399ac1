/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line of a collector: what all of them take, and the options of its own.
 *
 * The agent starts a collector without arguments, so $NAME_OPTIONS (IFSTAT_OPTIONS for ifstat; words between
 * white space, no quoting) is read first, as if it stood in front of them. */

#include "lib/collector.h"

#define ARGUMENTS_ROOTS_MAX 16

typedef struct Arguments {
        bool once;
        usec_t interval; /* microseconds, above 0 */
        bool time_given;
        uint64_t time_sec;
        const char *roots[ARGUMENTS_ROOTS_MAX];
        size_t n_roots;
        char *environment; /* what the options from $NAME_OPTIONS borrow from */
} Arguments;

/* 0: run; 1: --help or --version was answered; -EINVAL: wrong usage, and standard error says what is right;
 * -ENOMEM. The collector's own options are set in `state`, which borrows from `argv` and *ret. */
int arguments_parse(const CollectorSpec *spec, int argc, char **argv, void *state, Arguments *ret);
void arguments_done(Arguments *a);
