/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One run of rescan: what is gathered, and what is done about it. */

#include "ctl/generated.h"
#include "ctl/states.h"
#include "ctl/workplace.h"

#define SYSTEMD_TIMEOUT (5 * USEC_PER_SEC)

typedef struct Rescan {
        RunDir dir;
        Systemd *systemd;
        Complaints complaints;
        Entries known;
        Scan scan;           /* what should be */
        UnitFiles generated; /* what systemd has */
        Names stalled;       /* to be restarted */
        bool did_something;
} Rescan;

/* Plans, carries it out, and notes what is known then. */
int rescan_act(Rescan *rs);

/* Has tcollector-rescan.path watch the folders that are there now. */
int rescan_watch(Rescan *rs);
