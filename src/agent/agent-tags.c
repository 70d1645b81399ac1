/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent/agent-tags.h"
#include "basic/log.h"

#define HOST_MAX 256u

/* The host's name as a tag value: what the character set does not have becomes '_'. */
static int host_value(char buf[static HOST_MAX], Slice *ret) {
        if (gethostname(buf, HOST_MAX - 1) < 0)
                return -errno;

        buf[HOST_MAX - 1] = '\0';
        for (char *p = buf; *p; p++)
                if (!name_is_valid((Slice) { p, 1 }))
                        *p = '_';

        *ret = slice_from_string(buf);
        return 0;
}

int agent_tags_rules(PointRules **ret, const Config *c, bool add_host) {
        _cleanup_(freep) AgentTag *tags = calloc(c->n_tags + 1, sizeof(*tags));
        char host[HOST_MAX] = "";
        size_t n = 0;
        int r;

        if (!tags)
                return log_oom();

        for (; n < c->n_tags; n++) {
                tags[n].key = slice_from_string(c->tags[n].key);
                tags[n].value = slice_from_string(c->tags[n].value);
                add_host = add_host && !slice_equal(tags[n].key, SLICE("host"));
        }
        if (add_host) {
                tags[n].key = SLICE("host");
                r = host_value(host, &tags[n++].value);
                if (r < 0)
                        return log_error_errno(r, "Failed to find out the host's name: %m");
        }

        r = point_rules_new(ret, slice_from_string(c->namespace_prefix), tags, n, (unsigned) c->max_tags,
                            c->replace_bad_chars ? BAD_CHARS_REPLACE : BAD_CHARS_REJECT);
        if (r < 0)
                return log_error_errno(r,
                                       "The tags or the namespace prefix cannot stand in a data point: %m");

        return 0;
}
