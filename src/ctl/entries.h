/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A list of collectors, sorted by instance, and the file it is kept in (/run/tcollector/known): a line
 * "INSTANCE DIGEST KIND" each, the digest in hexadecimal, the kind "service" or "timer", whichever is
 * started with the agent. */

#include "basic/buffer.h"
#include "ctl/plan.h"

typedef struct Entries {
        PlanEntry *entries; /* the instances are the list's */
        size_t n, allocated;
} Entries;

void entries_done(Entries *e);
int entries_set(Entries *e, const PlanEntry *entry); /* copies it, over one of that instance; -ENOMEM */
void entries_remove(Entries *e, const char *instance);
const PlanEntry *entries_find(const Entries *e, const char *instance); /* NULL: none */

int entries_parse(Slice text, Entries *ret); /* lines that cannot be read are left out; -ENOMEM */
int entries_format(const Entries *e, Buffer *out);
