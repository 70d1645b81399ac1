/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of configuration files do with a row: `label` says which one it is. */

#include "conf/config.h"
#include "unit/tap.h"

/* A file called "f" with this text must be refused for exactly this reason. */
static inline void assert_refused(const char *label, const char *text, const char *why) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(buffer_done) Buffer said = {};

        assert_int_equal(config_new(&c), 0);
        if (config_read_text(c, guarded(text), "f", &said) != -EINVAL)
                fail_msg("%s: taken", label);
        if (!said.data || strcmp(said.data, why) != 0)
                fail_msg("%s: \"%s\"", label, said.data);
}
