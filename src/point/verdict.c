/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "point/verdict.h"
#include "basic/base.h"

static const char *const verdict_table[] = {
        [VERDICT_OK] = "ok",
        [VERDICT_EMPTY] = "empty",
        [VERDICT_MARK] = "mark",
        [VERDICT_TOO_LONG] = "too-long",
        [VERDICT_BAD_CHAR] = "bad-char",
        [VERDICT_BAD_METRIC] = "bad-metric",
        [VERDICT_BAD_TIME] = "bad-time",
        [VERDICT_BAD_VALUE] = "bad-value",
        [VERDICT_BAD_TAG] = "bad-tag",
        [VERDICT_DUPLICATE_TAG] = "duplicate-tag",
        [VERDICT_TOO_MANY_TAGS] = "too-many-tags",
        [VERDICT_OUT_OF_ORDER] = "out-of-order",
        [VERDICT_UNFINISHED] = "unfinished",
};
static_assert(ELEMENTSOF(verdict_table) == _VERDICT_MAX, "name every verdict");

const char *verdict_to_string(Verdict v) {
        return (int) v >= 0 && v < _VERDICT_MAX ? verdict_table[v] : NULL;
}
