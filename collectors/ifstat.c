/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ifstat: the counters of the network interfaces, from /proc/net/dev.
 *
 * Names are those of tcollector's ifstat.py in the releases up to 1.3.3.1; --names=new has those of 2024.
 *
 * Which interfaces: physical ones, and bonds, bridges and VLANs; the loopback, veth and Docker's are left
 * out. An interface counts as such when its name is one that udev, the kernel or the old collector give to
 * such a thing (in a container eth0 is a veth and is wanted all the same), or else when sysfs says so.
 * --interfaces replaces all of that by patterns, the first of which that matches decides; one that begins
 * with '!' keeps out. */

#include <fnmatch.h>
#include <stdio.h>

#include "lib/collector.h"
#include "lib/text.h"

#define INTERFACE_MAX 64u
#define N_COUNTERS 16u

typedef struct State {
        bool new_names;
        const char *interfaces; /* NULL: the default */
} State;

static const char default_names[] =
        "!lo,!veth*,!docker*,!br-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]*,"
        "eth*,em[0-9]*,p[0-9]*p[0-9]*,en*,sl*,wl*,ww*,bond*,team*,br[0-9]*,vlan*";

static const char *const old_names[N_COUNTERS] = {
        "bytes", "packets", "errs", "dropped", "fifo.errs", "frame.errs", "compressed",   "multicast",
        "bytes", "packets", "errs", "dropped", "fifo.errs", "collisions", "carrier.errs", "compressed",
};
static const char *const new_names[N_COUNTERS] = {
        "bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast",
        "bytes", "packets", "errs", "drop", "fifo", "colls", "carrier",    "compressed",
};

/* 1: a pattern takes it in, 0: one keeps it out, -1: none matches. */
static int patterns_say(const char *patterns, const char *name) {
        Slice rest = slice_from_string(patterns), item;
        char pattern[256];

        while (rest.n > 0) {
                bool out;

                if (!slice_cut(&rest, ',', &item))
                        item = TAKE(rest);
                out = item.n > 0 && item.p[0] == '!';
                (void) snprintf(pattern, sizeof(pattern), "%.*s", (int) item.n, item.p);
                if (fnmatch(pattern + out, name, 0) == 0)
                        return !out;
        }

        return -1;
}

static bool sysfs_says(const Round *round, const char *name) {
        static const char *const types[] = { "DEVTYPE=bond", "DEVTYPE=bridge", "DEVTYPE=vlan" };
        char path[INTERFACE_MAX + 64], buf[1024];
        Slice uevent, line;

        (void) snprintf(path, sizeof(path), "sys/class/net/%s/device", name);
        if (round_has(round, path))
                return true;

        (void) snprintf(path, sizeof(path), "sys/class/net/%s/uevent", name);
        if (round_read_small(round, path, buf, sizeof(buf), &uevent) < 0)
                return false;
        while (text_line(&uevent, &line))
                for (size_t i = 0; i < ELEMENTSOF(types); i++)
                        if (slice_equal(line, slice_from_string(types[i])))
                                return true;

        return false;
}

static bool is_wanted(const Round *round, Slice interface) {
        const State *state = round->state;
        char name[INTERFACE_MAX];
        int said;

        if (interface.n == 0 || interface.n >= sizeof(name) || memchr(interface.p, '/', interface.n))
                return false;

        (void) snprintf(name, sizeof(name), "%.*s", (int) interface.n, interface.p);
        said = patterns_say(state->interfaces ? state->interfaces : default_names, name);
        if (said < 0 && !state->interfaces)
                return sysfs_says(round, name);

        return said > 0;
}

static int emit_interface(const Round *round, Slice interface, Slice counters) {
        const State *state = round->state;
        const char *const *names = state->new_names ? new_names : old_names;
        uint64_t v[N_COUNTERS];
        Tags tags;
        size_t n;

        for (size_t i = 0; i < N_COUNTERS; i++)
                if (!text_number(&counters, &v[i]))
                        return -EBADMSG;

        tags_reset(&tags);
        tags_add(&tags, "iface", interface);
        n = tags.n;
        for (size_t i = 0; i < N_COUNTERS; i++) {
                tags.n = n;
                tags_add(&tags, "direction", i < N_COUNTERS / 2 ? SLICE("in") : SLICE("out"));
                emit_number(round->out, "proc.net.", slice_from_string(names[i]), v[i], &tags);
        }

        return 0;
}

static int collect_interfaces(const Round *round) {
        Slice text, line, interface;
        int r, bad = 0;

        r = round_read(round, "proc/net/dev", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                if (!slice_cut(&line, ':', &interface))
                        continue; /* one of the two lines of heading */
                interface = slice_strip(interface);
                if (is_wanted(round, interface) && emit_interface(round, interface, line) < 0)
                        bad = -EBADMSG;
        }

        return bad;
}

static int set_names(void *state, const char *value) {
        State *s = state;

        s->new_names = strcmp(value, "new") == 0;
        return s->new_names || strcmp(value, "old") == 0 ? 0 : -EINVAL;
}

static int set_interfaces(void *state, const char *value) {
        State *s = state;

        s->interfaces = value;
        return value[0] != '\0' ? 0 : -EINVAL;
}

static const CollectorOption options[] = {
        { "names", "old|new", "metric names as up to 1.3.3.1 (default) or as of 2024", set_names },
        { "interfaces", "PATTERNS", "e.g. 'eth*,!veth*,*' instead of physical, bond, bridge, VLAN",
          set_interfaces },
};

static const CollectorPart parts[] = { { .path = "proc/net/dev", .collect = collect_interfaces } };

static const CollectorSpec spec = {
        .name = "ifstat",
        .summary = "Traffic and errors of the network interfaces, from /proc/net/dev.",
        .interval_sec = 15,
        .parts = parts,
        .n_parts = ELEMENTSOF(parts),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .state_size = sizeof(State),
};

COLLECTOR_MAIN(spec);
