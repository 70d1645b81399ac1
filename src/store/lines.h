/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs of whole lines, each ended by its newline. */

#include "basic/slice.h"

size_t lines_count(Slice s); /* the newlines in it */
