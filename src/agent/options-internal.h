/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between options.c, the command line as a whole, and options-servers.c, what it says of servers. */

#include "agent/options.h"

typedef struct Parse {
        Options options;
        Config *given; /* the lists of the command line */
        const char *host, *hosts;
        bool has_port;
} Parse;

/* One line on standard error; wrong usage (-EINVAL) is told where to look. Return `r`. */
int options_refuse(int r, const char *format, ...) _printf_(2, 3);
int options_refuse_oom(void);

/* -L, -H and -p name the servers; without any of them the files do, and without these it is the local
 * host. */
int options_add_servers(Parse *p);

/* --http-username is for every server that has no other way to say who we are. */
int options_set_user(Options *o);
