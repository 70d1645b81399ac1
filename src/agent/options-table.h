/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options of the command line, a row each, and the help text that is made of them. */

#include <getopt.h>

#include "basic/base.h"

typedef enum OptionEffect {
        OPTION_SETTING, /* sets `key`, of the configuration or of the command line itself */
        OPTION_TAG,
        OPTION_DIR,
        OPTION_HOST,
        OPTION_HOSTS,
        OPTION_CONFIG,
        OPTION_HELP,
        OPTION_VERSION,
} OptionEffect;

typedef struct OptionRow {
        const char *name; /* the long one */
        char letter;      /* the short one; 0: none */
        OptionEffect effect;
        const char *argument; /* what the help calls its value; NULL: it takes none */
        const char *key;
        const char *fixed; /* what an option without a value sets `key` to */
        const char *help;  /* NULL: the row begins a group, `name` is its title */
} OptionRow;

/* Ends at a row without a name. */
extern const OptionRow option_rows[];

#define OPTION_ROWS_MAX 64u
#define OPTION_BASE 256 /* getopt_long() returns this and the row's number for a long option */

static inline bool option_is_title(const OptionRow *row) {
        return !row->help;
}

/* Fills what getopt_long(3) wants: `longs` has room for OPTION_ROWS_MAX and the end, `letters` is a string
 * with room for 2 * OPTION_ROWS_MAX more bytes. */
void options_for_getopt(struct option *longs, char *letters);

int options_print_help(void); /* on standard output; 1, or -EIO */
