/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The agent's status document (JSON), shown to a person. What it lacks is left out, what is new in it is
 * ignored: agent and tool may be of different versions. */

#include <stdio.h>

#include "basic/slice.h"

/* 0; -EBADMSG: this is no such document; -ENOMEM. */
int status_show(Slice document, FILE *f);
int status_show_collectors(Slice document, FILE *f);
int status_print_collectors(Slice document, FILE *f); /* that part of it alone, JSON */
