/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is said of a line, in the order of SPEC.md section 1: with several faults the first one counts. */

typedef enum Verdict {
        VERDICT_OK,    /* a data point */
        VERDICT_EMPTY, /* nothing but white space: ignored, not counted */
        VERDICT_MARK,  /* the run mark alone: a new run, not a line */

        /* Faults; every one below is counted as invalid. */
        VERDICT_TOO_LONG,
        VERDICT_BAD_CHAR,
        VERDICT_BAD_METRIC,
        VERDICT_BAD_TIME,
        VERDICT_BAD_VALUE,
        VERDICT_BAD_TAG,
        VERDICT_DUPLICATE_TAG,
        VERDICT_TOO_MANY_TAGS,
        VERDICT_OUT_OF_ORDER, /* given by dedup, never by the parser */
        VERDICT_UNFINISHED,   /* half a line at the end of a run: the pipe was closed before its newline */
        _VERDICT_MAX,
        _VERDICT_FIRST_FAULT = VERDICT_TOO_LONG,
} Verdict;

/* "ok", "too-long", ..., as SPEC.md names them; NULL for what is no verdict. */
const char *verdict_to_string(Verdict v);
