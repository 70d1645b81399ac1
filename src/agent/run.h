/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One run of one collector in foreground mode, from the fork to the last line.
 *
 * A run is over when its process is gone, nobody of its process group is left, and its output has been read
 * to the end. What it leaves behind when its process ends is told to go too, as systemd does with a
 * service's control group. Where a systemd manager answers, the run has a transient scope, and systemd does
 * the killing, of everything, whatever session it fled to; where none does, its process group gets SIGTERM
 * and 5 s later SIGKILL. */

#include "agent/pipeline.h"
#include "io/source.h"
#include "io/units.h"

typedef struct Run Run;

typedef struct RunContext {
        sd_event *event; /* all borrowed, for the run's life */
        SourceHub *hub;
        Units *units;       /* NULL: no systemd here */
        const char *helper; /* tcollector-exec */
} RunContext;

typedef struct RunSpec {
        const char *path;
        const char *const *environ; /* NULL-terminated, added to this process's */
        Lane *lane;                 /* where its lines go; names it in the log */
        usec_t runtime_max;         /* microseconds; USEC_INFINITY: as long as it likes */

        /* The run is over. `wait_status` as of waitpid(2). The callee frees the run. */
        void (*over)(void *userdata, int wait_status);
        void *userdata;
} RunSpec;

/* 0, or -errno: what spawn_collector(), source_new() or sd-event said. `context` is borrowed, `spec` is
 * copied (what it points to is not needed afterwards, but for lane and userdata). */
int run_start(Run **ret, const RunContext *context, const RunSpec *spec);
Run *run_free(Run *r); /* NULL-safe, returns NULL; kills what is left of it with SIGKILL */
DEFINE_CLEANUP(Run *, run_free);

/* SIGTERM to all of it, SIGKILL 5 s later to what is left. Asking twice changes nothing. */
void run_stop(Run *r);

pid_t run_pid(const Run *r);
bool run_is_stopping(const Run *r);
bool run_has_exited(const Run *r); /* its process is gone; output may still be on its way */
usec_t run_last_active(
        const Run *r); /* CLOCK_MONOTONIC: its last line, or now while the queue has no room for it */
