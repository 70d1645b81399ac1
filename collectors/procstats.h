/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the files of procstats: what --legacy-cpu sets, and the parts that have a file of their own. */

#include "lib/collector.h"

typedef struct ProcStats {
        bool legacy_cpu;
} ProcStats;

int collect_stat(const Round *round);
int collect_interrupts(const Round *round);
int collect_softirqs(const Round *round);
int collect_numa(const Round *round);
int collect_cpufreq(const Round *round);
