/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Standard input as the one collector (-s). A last line without its newline counts, as everywhere in Unix.
 */

#include "agent/pipeline.h"
#include "io/source.h"

typedef struct Input Input;

/* `lane` is borrowed. `ended` is called once, when the last line is in the queue. -errno of source_new(). */
int input_new(Input **ret, SourceHub *hub, Lane *lane, void (*ended)(void *userdata), void *userdata);
Input *input_free(Input *i); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(Input *, input_free);

void input_resume(Input *i);           /* the queue has room again */
void input_stop(Input *i);             /* reads no more; `ended` is not called any more */
bool input_is_blocked(const Input *i); /* it has lines the queue had no room for */
