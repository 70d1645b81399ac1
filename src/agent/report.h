/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the agent says of itself: the self-report as lines (SPEC.md section 4), and the list of collectors as
 * JSON (SPEC.md section 6, --monitoring-interface). Pure but for /proc: it reads the agent's parts and
 * changes none. */

#include "agent/census.h"
#include "agent/pipeline.h"
#include "basic/buffer.h"
#include "io/sender.h"

typedef struct Report {
        const Census *census; /* NULL: reading standard input, `input` is the one lane */
        const Lane *input;
        const Lane *self; /* the self-report's own lines */
        const Sender *sender;
        const Ring *ring;
        uint64_t inherited;    /* lines found in the queue at the start */
        uint64_t acked_before; /* lines delivered by senders that are no more (a changed configuration) */
        uint64_t lost;         /* lines once accepted that a bound or a server's refusal took */
        usec_t monotonic, realtime, started; /* now, now, and CLOCK_MONOTONIC of the start */
} Report;

/* Adds a line "metric timestamp value [tag=value]\n" for every counter. 0, -ENOMEM. */
int report_lines(const Report *r, Buffer *out);

/* Logs the sum that must hold over all (SPEC.md section 4): "in all: 7 sent = 5 acked + 1 queued + 1 lost".
 */
void report_log_sum(const Report *r, int level);

/* Adds a JSON array, an object a collector. 0, -ENOMEM. */
int report_json(const Report *r, Buffer *out);
