/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The collectors of the foreground mode: found in folders, run on schedule, followed as files come, change
 * and go. */

#include "agent/census.h"
#include "agent/collector.h"

typedef struct Runner Runner;

/* Looks for collectors in `dirs` (borrowed for the runner's life; see discover()) and starts what is due at
 * the loop's next turn. `context` is copied, its over and userdata aside. -errno. */
int runner_new(Runner **ret, const char *const *dirs, size_t n_dirs, const CollectorContext *context);
Runner *runner_free(Runner *r); /* NULL-safe, returns NULL; kills what is still running */
DEFINE_CLEANUP(Runner *, runner_free);

void runner_rescan(Runner *r);

/* Stops all collectors for good; `stopped` is called when the last is gone and read to the end (perhaps at
 * once). */
void runner_stop(Runner *r, void (*stopped)(void *userdata), void *userdata);

void runner_evict(Runner *r, int64_t before_ms); /* dedup_evict() for every collector */

size_t runner_n_collectors(const Runner *r);
void runner_log_counters(const Runner *r, int level);        /* a line a collector */
int runner_census(const Runner *r, usec_t now, Census *ret); /* `now` is CLOCK_MONOTONIC; -ENOMEM */
