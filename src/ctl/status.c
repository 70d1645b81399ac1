/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include <jansson.h>

#include "basic/clock.h"
#include "basic/printable.h"
#include "ctl/status.h"
#include "ctl/table.h"

#define SIZE_MAX_TEXT 32

static json_t *parse(Slice document) {
        json_t *root = json_loadb(document.p, document.n, 0, NULL);

        if (json_is_object(root))
                return root;

        json_decref(root);
        return NULL;
}

static bool has(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        return value && !json_is_null(value);
}

static uint64_t number(const json_t *object, const char *key) {
        json_int_t n = json_integer_value(json_object_get(object, key));

        return n > 0 ? (uint64_t) n : 0;
}

static const char *text(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

static const char *size_format(char buf[static SIZE_MAX_TEXT], uint64_t bytes) {
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        uint64_t tenths = bytes * 10;
        size_t i = 0;

        if (bytes > UINT64_MAX / 10)
                return "a lot";
        for (; tenths >= 10240 && i + 1 < ELEMENTSOF(units); i++)
                tenths /= 1024;

        if (i == 0)
                (void) snprintf(buf, SIZE_MAX_TEXT, "%" PRIu64 " B", bytes);
        else
                (void) snprintf(buf, SIZE_MAX_TEXT, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                                units[i]);
        return buf;
}

/* -- one screen -- */

static void show_servers(const json_t *root, FILE *f) {
        const json_t *servers = json_object_get(root, "servers"), *s;
        size_t i;

        json_array_foreach(servers, i, s) {
                char url[PRINTABLE_MAX], error[PRINTABLE_MAX];

                (void) fprintf(f, "%12s %s: %s%s; %" PRIu64 " points delivered, %" PRIu64 " refused\n",
                               i == 0 ? "Servers:" : "",
                               printable(url, slice_from_string(text(s, "url") ?: "?")),
                               text(s, "state") ?: "?",
                               json_is_false(json_object_get(s, "confirmed")) && text(s, "state") &&
                                               strcmp(text(s, "state"), "connected") == 0 ?
                                       ", unconfirmed" :
                                       "",
                               number(s, "acked"), number(s, "refused"));
                if (has(s, "last_error"))
                        (void) fprintf(f, "%12s   last error: %s\n", "",
                                       printable(error, slice_from_string(text(s, "last_error"))));
        }
}

static void show_queue(const json_t *root, FILE *f) {
        const json_t *queue = json_object_get(root, "queue"), *spool = json_object_get(root, "spool");
        char used[SIZE_MAX_TEXT], size[SIZE_MAX_TEXT], error[PRINTABLE_MAX];

        if (json_is_object(queue))
                (void) fprintf(f, "%12s %" PRIu64 " points, %s of %s\n", "Queue:", number(queue, "lines"),
                               size_format(used, number(queue, "bytes")),
                               size_format(size, number(queue, "size")));
        if (json_is_object(spool))
                (void) fprintf(f, "%12s %s in %" PRIu64 " files, %" PRIu64 " points lost\n",
                               "Spool:", size_format(used, number(spool, "bytes")),
                               number(spool, "segments"), number(spool, "lines_lost"));
        if (json_is_object(spool) && text(spool, "error"))
                (void) fprintf(f, "%12s   cannot be written: %s\n", "",
                               printable(error, slice_from_string(text(spool, "error"))));
}

static void show_sums(const json_t *root, FILE *f) {
        const json_t *sums = json_object_get(root, "sums");
        const char *key;
        json_t *value;
        bool first = true;

        if (!json_is_object(sums))
                return;

        (void) fprintf(f, "%12s ", "Points:");
        json_object_foreach((json_t *) (uintptr_t) sums, key, value) {
                if (json_is_integer(value)) {
                        (void) fprintf(f, "%s%" PRIu64 " %s", first ? "" : ", ", number(sums, key), key);
                        first = false;
                }
        }
        (void) fputc('\n', f);
}

static void show_collectors_line(const json_t *root, FILE *f) {
        const json_t *collectors = json_object_get(root, "collectors"), *c;
        size_t i, failed = 0, n = json_array_size(collectors);

        if (!json_is_array(collectors))
                return;

        json_array_foreach(collectors, i, c) failed +=
                text(c, "state") && strcmp(text(c, "state"), "failed") == 0;

        (void) fprintf(f, "%12s %zu, %zu failed\n", "Collectors:", n, failed);
        json_array_foreach(collectors, i, c) {
                char name[PRINTABLE_MAX];

                if (text(c, "state") && strcmp(text(c, "state"), "failed") == 0)
                        (void) fprintf(f, "%12s   failed: %s\n", "",
                                       printable(name, slice_from_string(text(c, "name") ?: "?")));
        }
}

int status_show(Slice document, FILE *f) {
        _cleanup_(json_decrefp) json_t *root = parse(document);
        char version[PRINTABLE_MAX], state[PRINTABLE_MAX], span[SPAN_MAX];

        if (!root)
                return -EBADMSG;

        (void) fprintf(f, "tcollector %s, up %s\n",
                       printable(version, slice_from_string(text(root, "version") ?: "?")),
                       span_format(span, MIN(number(root, "uptime_sec"), UINT64_C(1) << 40) * USEC_PER_SEC));
        if (has(root, "state"))
                (void) fprintf(f, "%12s %s\n",
                               "State:", printable(state, slice_from_string(text(root, "state"))));
        show_servers(root, f);
        show_queue(root, f);
        show_sums(root, f);
        show_collectors_line(root, f);
        return 0;
}

/* -- collectors -- */

static const struct {
        const char *title, *key;
        enum { CELL_TEXT, CELL_STATE, CELL_NUMBER, CELL_INTERVAL, CELL_AGO } kind;
} columns[] = {
        { "NAME", "name", CELL_TEXT },
        { "STATE", "state", CELL_STATE },
        { "INTERVAL", "interval", CELL_INTERVAL },
        { "RUNS", "runs", CELL_NUMBER },
        { "FAILED", "failures", CELL_NUMBER },
        { "RECEIVED", "received", CELL_NUMBER },
        { "SENT", "sent", CELL_NUMBER },
        { "SUPPRESSED", "suppressed", CELL_NUMBER },
        { "INVALID", "invalid", CELL_NUMBER },
        { "SERIES", "series", CELL_NUMBER },
        { "LAST LINE", "last_line_sec_ago", CELL_AGO },
};

/* systemd's word for a unit says little of a collector: between two runs it is "inactive". */
static const char *state_of(const json_t *c) {
        const char *state = text(c, "state") ?: "?";
        bool periodic = has(c, "interval") && number(c, "interval") > 0;

        if (strcmp(state, "active") == 0)
                return "running";
        if (strcmp(state, "activating") == 0)
                return "starting";
        if (strcmp(state, "deactivating") == 0)
                return "stopping";
        if (strcmp(state, "inactive") == 0)
                return periodic ? "waiting" : "stopped";

        return state;
}

static int add_cell(Table *t, const json_t *c, size_t column) {
        const char *key = columns[column].key;
        char span[SPAN_MAX];

        if (!has(c, key))
                return table_add(t, "-");

        switch (columns[column].kind) {
        case CELL_TEXT:
                return table_add(t, "%s", text(c, key) ?: "?");
        case CELL_STATE:
                return table_add(t, "%s", state_of(c));
        case CELL_INTERVAL:
                if (number(c, key) == 0)
                        return table_add(t, "-");
                return table_add(t, "%" PRIu64, number(c, key));
        case CELL_NUMBER:
                return table_add(t, "%" PRIu64, number(c, key));
        case CELL_AGO:
                if (number(c, key) == 0)
                        return table_add(t, "now");
                return table_add(t, "%s ago",
                                 span_format(span, MIN(number(c, key), UINT64_C(1) << 40) * USEC_PER_SEC));
        }

        abort();
}

int status_show_collectors(Slice document, FILE *f) {
        _cleanup_(table_done) Table t = { .n_columns = ELEMENTSOF(columns), .right = ~3u };
        _cleanup_(json_decrefp) json_t *root = parse(document);
        const json_t *collectors = json_object_get(root, "collectors"), *c;
        size_t i;
        int r = 0;

        if (!json_is_array(collectors))
                return -EBADMSG;

        for (size_t k = 0; r >= 0 && k < ELEMENTSOF(columns); k++)
                r = table_add(&t, "%s", columns[k].title);
        json_array_foreach(collectors, i, c) for (size_t k = 0; r >= 0 && k < ELEMENTSOF(columns); k++) r =
                add_cell(&t, c, k);
        if (r >= 0)
                table_print(&t, f);

        return r;
}

int status_print_collectors(Slice document, FILE *f) {
        _cleanup_(json_decrefp) json_t *root = parse(document);
        const json_t *collectors = json_object_get(root, "collectors");

        if (!json_is_array(collectors))
                return -EBADMSG;
        if (json_dumpf(collectors, f, JSON_COMPACT) < 0)
                return -EIO;

        (void) fputc('\n', f);
        return 0;
}
