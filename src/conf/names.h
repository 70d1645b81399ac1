/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names that the agent and tcollectorctl must agree on. */

#include <config.h>

#define COLLECTOR_PREFIX "tcollector-col@" /* of a collector's service and timer, before its instance */
#define RETRY_PREFIX "tcollector-col-retry@"

/* below RUNDIR */
#define RUN_FIFOS "col"
#define RUN_STALLED "stalled"
#define RUN_RESTARTING "restarting"            /* is there while the agent is stopped only to come back */
#define RUN_GOOD_CONFIG "tcollector.conf.good" /* a copy of the last tcollector.conf that could be used */

#define BUS_NAME "org.opentsdb.Tcollector1"
#define BUS_PATH "/org/opentsdb/Tcollector1"
#define BUS_INTERFACE "org.opentsdb.Tcollector1.Manager"
