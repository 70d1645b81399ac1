/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What should be: the configuration, the collectors it lets run, and the units that are to be written for
 * them. The same as tcollector-generator makes of it. */

#include <config.h>

#include "conf/unit-files.h"
#include "ctl/complaints.h"

#define CONFIG_FOLDER SYSCONFDIR "/tcollector"
#define CONFIG_FILE CONFIG_FOLDER "/tcollector.conf"

typedef struct Scan {
        Config *config;
        Roster roster; /* borrows from the configuration */
        UnitFiles units;
        Buffer main_file; /* its text; data is NULL where there is none */
        /* The main file cannot be used: then nobody knows which folders have the collectors, and what runs
         * is to be left alone. */
        bool is_blind;
} Scan;

int scan_make(Complaints *complaints, Scan *ret); /* -ENOMEM */
void scan_done(Scan *s);
