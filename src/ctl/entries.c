/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <string.h>

#include "conf/instance.h"
#include "ctl/entries.h"

#define ENTRIES_MAX 100000u

static const char *const kind_table[] = {
        [PLAN_LONG_RUNNING] = "service",
        [PLAN_PERIODIC] = "timer",
};

void entries_done(Entries *e) {
        for (size_t i = 0; i < e->n; i++)
                free((char *) (uintptr_t) e->entries[i].instance);
        free(e->entries);
        *e = (Entries) {};
}

/* Where `instance` is or belongs. */
static size_t find_place(const Entries *e, const char *instance, bool *ret_is_there) {
        size_t low = 0, high = e->n;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                int order = strcmp(e->entries[mid].instance, instance);

                if (order == 0) {
                        *ret_is_there = true;
                        return mid;
                }
                if (order < 0)
                        low = mid + 1;
                else
                        high = mid;
        }

        *ret_is_there = false;
        return low;
}

int entries_set(Entries *e, const PlanEntry *entry) {
        bool is_there;
        size_t place = find_place(e, entry->instance, &is_there);
        PlanEntry copy = *entry;

        if (is_there) {
                copy.instance = e->entries[place].instance;
                e->entries[place] = copy;
                return 0;
        }

        if (e->n >= ENTRIES_MAX)
                return -ENOMEM;
        if (e->n == e->allocated) {
                size_t n = MAX(e->allocated * 2, (size_t) 16);
                PlanEntry *entries = reallocarray(e->entries, n, sizeof(*entries));

                if (!entries)
                        return -ENOMEM;
                e->entries = entries;
                e->allocated = n;
        }

        copy.instance = strdup(entry->instance);
        if (!copy.instance)
                return -ENOMEM;

        memmove(e->entries + place + 1, e->entries + place, (e->n - place) * sizeof(*e->entries));
        e->entries[place] = copy;
        e->n++;
        return 0;
}

void entries_remove(Entries *e, const char *instance) {
        bool is_there;
        size_t place = find_place(e, instance, &is_there);

        if (!is_there)
                return;

        free((char *) (uintptr_t) e->entries[place].instance);
        e->n--;
        memmove(e->entries + place, e->entries + place + 1, (e->n - place) * sizeof(*e->entries));
}

const PlanEntry *entries_find(const Entries *e, const char *instance) {
        bool is_there;
        size_t place = find_place(e, instance, &is_there);

        return is_there ? e->entries + place : NULL;
}

static bool parse_digest(Slice s, uint64_t *ret) {
        uint64_t v = 0;

        if (s.n != 16)
                return false;

        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];

                if (c >= '0' && c <= '9')
                        v = v << 4 | (uint64_t) (c - '0');
                else if (c >= 'a' && c <= 'f')
                        v = v << 4 | (uint64_t) (c - 'a' + 10);
                else
                        return false;
        }

        *ret = v;
        return true;
}

static bool parse_kind(Slice s, PlanKind *ret) {
        for (size_t i = 0; i < ELEMENTSOF(kind_table); i++)
                if (slice_equal(s, slice_from_string(kind_table[i]))) {
                        *ret = (PlanKind) i;
                        return true;
                }

        return false;
}

/* 0: no such line; 1: `e` has it now. */
static int parse_line(Slice line, Entries *e) {
        _cleanup_(freep) char *instance = NULL, *name = NULL;
        Slice first, digest;
        PlanEntry entry;
        int r;

        if (!slice_cut(&line, ' ', &first) || !slice_cut(&line, ' ', &digest) ||
            !parse_digest(digest, &entry.digest) || !parse_kind(line, &entry.kind))
                return 0;

        r = instance_to_name(first, &name);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        instance = strndup(first.p, first.n);
        if (!instance)
                return -ENOMEM;

        entry.instance = instance;
        r = entries_set(e, &entry);
        return r < 0 ? r : 1;
}

int entries_parse(Slice text, Entries *ret) {
        _cleanup_(entries_done) Entries e = {};
        Slice line;

        while (slice_cut(&text, '\n', &line)) {
                int r = parse_line(line, &e);

                if (r < 0)
                        return r;
        }

        *ret = TAKE(e);
        return 0;
}

int entries_format(const Entries *e, Buffer *out) {
        for (size_t i = 0; i < e->n; i++) {
                const PlanEntry *entry = e->entries + i;
                int r = buffer_addf(out, "%s %016" PRIx64 " %s\n", entry->instance, entry->digest,
                                    kind_table[entry->kind]);

                if (r < 0)
                        return r;
        }

        return 0;
}
