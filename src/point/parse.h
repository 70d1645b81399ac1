/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What parser and encoder share. */

#include "point/point.h"

/* Parses a text of 1 to POINT_LINE_MAX - 1 bytes as it stands. VERDICT_OK: it is a point, and *ret borrows
 * from it. Another verdict is final only if the text has single spaces, none at either end, and no CHAR_BAD.
 * *ret is written for VERDICT_OK only. */
Verdict parse_tidy(const PointRules *rules, Slice text, Point *ret);
