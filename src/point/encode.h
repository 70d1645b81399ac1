/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Finished lines, and what HTTP makes of them. Pure. */

#include "point/point.h"

/* Writes "put <metric> <timestamp> <value>[ <tags>][ <agent tags>]\n" (SPEC.md section 2, "Sent"): exactly
 * p->finished_n bytes at `out`, which is returned advanced by as many. */
char *encode_telnet(const PointRules *rules, const Point *p, char *out);

#define ENCODE_JSON_MAX 2048u

/* Turns one finished line ("put ...", with or without its newline) into one object of OpenTSDB's /api/put
 * array: {"metric":"m","timestamp":1700000000,"value":5,"tags":{"host":"a"}}. The timestamp becomes an
 * integer (milliseconds where the line has a fraction or 12 digits and more), the value a JSON number (RFC
 * 8259: ".5" is written 0.5, "007" is written 7). Returns the bytes written, at most ENCODE_JSON_MAX; 0: not
 * a finished line. */
size_t encode_json(Slice finished, char *out);
