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

typedef struct Tags {
        AgentTag *tags;
        size_t n;
} Tags;

static bool has_tag(const Tags *t, Slice key) {
        for (size_t i = 0; i < t->n; i++)
                if (slice_equal(t->tags[i].key, key))
                        return true;

        return false;
}

/* Those added first win. */
static void add_tag(Tags *t, Slice key, Slice value) {
        if (!has_tag(t, key))
                t->tags[t->n++] = (AgentTag) { key, value };
}

static void add_tags(Tags *t, const ConfigTag *tags, size_t n) {
        for (size_t i = 0; i < n; i++)
                add_tag(t, slice_from_string(tags[i].key), slice_from_string(tags[i].value));
}

int agent_tags_rules(PointRules **ret, const Config *c, bool add_host, const ConfigCollector *own) {
        size_t n_own = own ? own->n_tags : 0;
        _cleanup_(freep) AgentTag *room = calloc(n_own + c->n_tags + 1, sizeof(*room));
        Tags tags = { .tags = room };
        char host[HOST_MAX] = "";
        Slice host_tag;
        int r;

        if (!room)
                return log_oom();

        if (own)
                add_tags(&tags, own->tags, n_own);
        add_tags(&tags, c->tags, c->n_tags);
        if (add_host) {
                r = host_value(host, &host_tag);
                if (r < 0)
                        return log_error_errno(r, "Failed to find out the host's name: %m");
                add_tag(&tags, SLICE("host"), host_tag);
        }

        r = point_rules_new(ret, slice_from_string(c->namespace_prefix), tags.tags, tags.n,
                            (unsigned) c->max_tags,
                            c->replace_bad_chars ? BAD_CHARS_REPLACE : BAD_CHARS_REJECT);
        if (r < 0)
                return log_error_errno(r,
                                       "The tags or the namespace prefix cannot stand in a data point: %m");

        return 0;
}
