/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The run-time folder as root's verbs find it on this host, and its FIFOs. Says itself what is wrong. */

#include "ctl/rundir.h"
#include "ctl/scan.h"

/* Opens RUNDIR and takes its lock. */
int workplace_open(RunDir *ret);

/* Keeps a copy of tcollector.conf as it was scanned, if it can be used, for the generator to read when it
 * cannot any more. */
void workplace_keep_config(RunDir *d, const Scan *scan, Complaints *complaints);

/* A FIFO for each collector, and none besides. */
void workplace_make_fifos(RunDir *d, const Scan *scan, Complaints *complaints);
