/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the agent says of itself: the self-report as lines (SPEC.md section 4), and the list of collectors as
 * JSON (SPEC.md section 6, --monitoring-interface). Pure but for /proc: it reads the agent's parts and
 * changes none. */

#include "agent/census.h"
#include "agent/delivery.h"
#include "agent/pipeline.h"
#include "basic/buffer.h"

typedef struct Report {
        const Census *census; /* NULL: reading standard input, `input` is the one lane */
        const Lane *input;
        const Lane *self; /* the self-report's own lines */
        const Delivery *delivery;
        const Queue *queue;
        int no_spool; /* why the queue has no spool though it is to have one: a negative errno; or 0 */
        usec_t monotonic, realtime, started; /* now, now, and CLOCK_MONOTONIC of the start */
} Report;

/* Lines once accepted that a bound, a bad disk or a server's refusal took. */
uint64_t report_lost(const Report *r);

/* Adds a line "metric timestamp value [tag=value]\n" for every counter. 0, -ENOMEM. */
int report_lines(const Report *r, Buffer *out);

/* Logs the sum that must hold over all (SPEC.md section 4):
 * "in all: 7 sent + 0 inherited = 5 acked + 1 queued + 0 spooled + 1 lost". */
void report_log_sum(const Report *r, int level);

/* Adds a JSON array, an object a collector. 0, -ENOMEM. */
int report_json(const Report *r, Buffer *out);
