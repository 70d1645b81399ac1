/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "conf/config.h"

const ConfigCollector *config_collector(const Config *c, const char *name) {
        static const ConfigCollector defaults = {
                .name = (char *) "",
                .user = (char *) "",
                .interval = UINT64_MAX,
                .memory_max = UINT64_C(256) << 20,
                .tasks_max = 64,
                .inactivity = USEC_INFINITY,
                .retry = 3600 * USEC_PER_SEC,
                .enabled = true,
        };

        for (size_t i = 0; i < c->n_collectors; i++)
                if (strcmp(c->collectors[i].name, name) == 0)
                        return c->collectors + i;

        return &defaults;
}
