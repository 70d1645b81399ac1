/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Found by discover(), which settles who is entitled to a name; here it is only decided what becomes of
 * each. Entries take their item over, so a name or path is never copied. */

#include "conf/roster.h"
#include "conf/instance.h"

static void entry_done(RosterEntry *e) {
        free(e->instance);
        free(e->item.name);
        free(e->item.path);
        *e = (RosterEntry) {};
}

void roster_done(Roster *r) {
        for (size_t i = 0; i < r->n; i++)
                entry_done(r->entries + i);
        free(r->entries);
        *r = (Roster) {};
}

/* Makes `item` the last entry where it is to run; it is emptied then. */
static int add(Roster *roster, DiscoverItem *item, const ConfigCollector *settings, const char **ret_fault) {
        RosterEntry *e = roster->entries + roster->n;
        int r;

        r = instance_from_name(item->name, &e->instance);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                *ret_fault = "its name is too long for a unit";
                return 0;
        }

        e->item = TAKE(*item);
        e->settings = settings;
        if (settings->interval != UINT64_MAX)
                e->item.interval_sec = settings->interval;
        roster->n++;
        return 0;
}

int roster_read(const Config *config, DiscoverComplaint complain, void *userdata, Roster *ret) {
        _cleanup_(discovered_done) Discovered found = {};
        _cleanup_(roster_done) Roster roster = {};
        int r;

        r = discover((const char *const *) config->collector_dirs, config->n_collector_dirs, complain,
                     userdata, &found);
        if (r < 0)
                return r;

        roster.entries = calloc(found.n + 1, sizeof(*roster.entries));
        if (!roster.entries)
                return -ENOMEM;

        for (size_t i = 0; i < found.n; i++) {
                const ConfigCollector *settings = config_collector(config, found.items[i].name);
                const char *fault = NULL;

                if (!settings->enabled)
                        continue;
                r = add(&roster, found.items + i, settings, &fault);
                if (r < 0)
                        return r;
                if (fault && complain)
                        complain(userdata, found.items[i].path, fault);
        }

        *ret = TAKE(roster);
        return 0;
}

const RosterEntry *roster_find(const Roster *r, const char *instance) {
        for (size_t i = 0; i < r->n; i++)
                if (strcmp(r->entries[i].instance, instance) == 0)
                        return r->entries + i;

        return NULL;
}
