/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration is read strictly, as the agent reads it at its start. What only does not fit this host,
 * a section about a collector that is not here or a user that does not exist, is a warning. */

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include <config.h>

#include "ctl/say.h"
#include "ctl/scan.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

#define DEFAULT_USER "tcollector-col"

static int load_files(char **files, Config **ret, Buffer *why) {
        _cleanup_(config_freep) Config *c = NULL;
        int r = config_new(&c);

        for (; r >= 0 && *files; files++)
                r = config_read_file(c, *files, why);
        if (r >= 0)
                r = config_check(c, why);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

static int load(const VerbArgs *args, Config **ret) {
        _cleanup_(buffer_done) Buffer why = {};
        int r;

        if (args->n_operands > 0)
                r = load_files(args->operands, ret, &why);
        else
                r = config_load_folder(ret, CONFIG_FOLDER, &why);
        if (r < 0)
                say_fault(LOG_ERR, why.data ?: strerrordesc_np(-r));

        return r;
}

/* -- what does not fit this host -- */

static void on_bad_path(void *userdata _unused_, const char *path, const char *what) {
        _cleanup_(freep) char *line = NULL;

        if (asprintf(&line, "%s: %s", path, what) >= 0)
                say_fault(LOG_WARNING, line);
}

static bool is_found(const Discovered *d, const char *name) {
        for (size_t i = 0; i < d->n; i++)
                if (strcmp(d->items[i].name, name) == 0)
                        return true;

        return false;
}

static const char *user_of(const RosterEntry *e) {
        return e->settings->user && e->settings->user[0] ? e->settings->user : DEFAULT_USER;
}

/* systemd takes a number too. */
static bool is_user(const char *user) {
        return user[strspn(user, "0123456789")] == '\0' || getpwnam(user);
}

static int check_host(const Config *c, const Roster *roster) {
        _cleanup_(discovered_done) Discovered found = {};
        int r = discover((const char *const *) c->collector_dirs, c->n_collector_dirs, NULL, NULL, &found);

        if (r < 0)
                return r;

        for (size_t i = 0; i < c->n_collectors; i++)
                if (!is_found(&found, c->collectors[i].name))
                        log_warning("There is a section about a collector \"%s\", but no such collector",
                                    c->collectors[i].name);
        for (size_t i = 0; i < roster->n; i++)
                if (!is_user(user_of(roster->entries + i)))
                        log_warning("The user \"%s\" of the collector \"%s\" does not exist",
                                    user_of(roster->entries + i), roster->entries[i].item.name);

        return 0;
}

/* -- the collectors -- */

static int print_table(const Roster *roster) {
        _cleanup_(table_done) Table t = { .n_columns = 4, .right = 1 << 1 };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < 4; i++)
                r = table_add(&t, "%s", ((const char *const[]) { "NAME", "INTERVAL", "USER", "PATH" })[i]);
        for (size_t i = 0; r >= 0 && i < roster->n; i++) {
                const RosterEntry *e = roster->entries + i;

                r = table_add(&t, "%s", e->item.name);
                if (r >= 0)
                        r = table_add(&t, e->item.interval_sec > 0 ? "%" PRIu64 : "-", e->item.interval_sec);
                if (r >= 0)
                        r = table_add(&t, "%s", user_of(e));
                if (r >= 0)
                        r = table_add(&t, "%s", e->item.path);
        }
        if (r >= 0)
                table_print(&t, stdout);

        return r;
}

static int print_json(const Roster *roster) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = buffer_add_string(&b, "[");

        for (size_t i = 0; r >= 0 && i < roster->n; i++) {
                const RosterEntry *e = roster->entries + i;

                r = buffer_add_string(&b, i > 0 ? ",{\"name\":" : "{\"name\":");
                if (r >= 0)
                        r = buffer_add_json(&b, slice_from_string(e->item.name));
                if (r >= 0)
                        r = buffer_addf(&b, ",\"interval\":%" PRIu64 ",\"user\":", e->item.interval_sec);
                if (r >= 0)
                        r = buffer_add_json(&b, slice_from_string(user_of(e)));
                if (r >= 0)
                        r = buffer_add_string(&b, ",\"path\":");
                if (r >= 0)
                        r = buffer_add_json(&b, slice_from_string(e->item.path));
                if (r >= 0)
                        r = buffer_add_string(&b, "}");
        }
        if (r >= 0)
                (void) printf("%s]\n", b.data);

        return r;
}

static int print_dump(const Config *c) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = config_dump(c, &b);

        if (r >= 0)
                (void) fwrite(b.data, 1, b.n, stdout);
        return r;
}

static int look_around(const Config *c, unsigned flags) {
        _cleanup_(roster_done) Roster roster = {};
        int r;

        r = roster_read(c, on_bad_path, NULL, &roster);
        if (r >= 0)
                r = check_host(c, &roster);
        if (r < 0 || flags & (FLAG_QUIET | FLAG_DUMP))
                return r;

        return flags & FLAG_JSON ? print_json(&roster) : print_table(&roster);
}

int verb_check(const VerbArgs *args) {
        _cleanup_(config_freep) Config *c = NULL;
        int r;

        if (load(args, &c) < 0)
                return EXIT_FAILURE;

        r = args->n_operands > 0 ? 0 : look_around(c, args->flags);
        if (r >= 0 && args->flags & FLAG_DUMP)
                r = print_dump(c);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to look for collectors: %m");
                return EXIT_FAILURE;
        }

        return EXIT_SUCCESS;
}
