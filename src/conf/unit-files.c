/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The templates in units/ say what goes for all collectors; here stands what differs. What would say the
 * same as the template is not written.
 *
 * A short-lived collector gets the template's sandbox, which adds next to nothing to each start; one that
 * runs for ever gets more, as it starts once. Not among it: what would take devices away (ProtectClock=,
 * PrivateDevices=), /tmp, the network, or the sight of other processes, all of which collectors look at. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <config.h>

#include "conf/config-list.h"
#include "conf/text.h"
#include "conf/unit-files.h"
#include "conf/unit-text.h"

#define PHASE_MAX_MSEC UINT64_C(15000)

#define HEAD "# Made by tcollector-generator(8), and made anew at every change.\n"

static const char long_running[] = "Restart=on-success\n"
                                   "RestartSec=15\n"
                                   "ProtectSystem=full\n"
                                   "ProtectHome=read-only\n"
                                   "ProtectKernelTunables=yes\n"
                                   "ProtectKernelModules=yes\n"
                                   "ProtectKernelLogs=yes\n"
                                   "RestrictNamespaces=yes\n"
                                   "RestrictRealtime=yes\n"
                                   "RestrictSUIDSGID=yes\n"
                                   "LockPersonality=yes\n"
                                   "SystemCallArchitectures=native\n"
                                   "SystemCallErrorNumber=EPERM\n"
                                   "SystemCallFilter=@system-service\n";

typedef struct Making {
        UnitFiles units;
        size_t allocated;
        const Config *config;
        const char *host;
} Making;

static void file_done(UnitFile *f) {
        free(f->path);
        free(f->content);
        free(f->instance);
        *f = (UnitFile) {};
}

void unit_files_done(UnitFiles *u) {
        for (size_t i = 0; i < u->n; i++)
                file_done(u->files + i);
        free(u->files);
        *u = (UnitFiles) {};
}

static void making_done(Making *m) {
        unit_files_done(&m->units);
}

/* Takes `f` over, and empties it. -ENOMEM: also where a part of it could not be made. */
static int add_file(Making *m, UnitFile *f) {
        if (!f->path || !f->content || !f->instance)
                return -ENOMEM;
        if (m->units.n == m->allocated) {
                size_t n = MAX(m->allocated * 2, (size_t) 16);
                UnitFile *files = reallocarray(m->units.files, n, sizeof(*files));

                if (!files)
                        return -ENOMEM;
                m->units.files = files;
                m->allocated = n;
        }

        m->units.files[m->units.n++] = TAKE(*f);
        return 0;
}

/* Adds a drop-in for "KIND@INSTANCE.TYPE", or for "KIND.TYPE". */
static int add_drop_in(Making *m, const char *kind, const char *instance, const char *type,
                       Buffer *content) {
        _cleanup_(file_done) UnitFile f = { .content = TAKE(content->data), .instance = strdup(instance) };

        buffer_done(content);
        if (asprintf(&f.path, "%s%s%s.%s.d/50-tcollector.conf", kind, instance[0] ? "@" : "", instance,
                     type) < 0)
                f.path = NULL;

        return add_file(m, &f);
}

static int add_link(Making *m, const char *instance, const char *type) {
        _cleanup_(file_done) UnitFile f = { .instance = strdup(instance), .is_link = true };

        if (asprintf(&f.path, "tcollector.service.wants/tcollector-col@%s.%s", instance, type) < 0)
                f.path = NULL;
        if (asprintf(&f.content, SYSTEMUNITDIR "/tcollector-col@.%s", type) < 0)
                f.content = NULL;

        return add_file(m, &f);
}

/* -- a collector's service -- */

/* <dir> of <dir>/<interval>/<name> */
static Slice folder_of(const char *path) {
        size_t n = strlen(path);

        for (unsigned slashes = 0; n > 0; n--)
                if (path[n - 1] == '/' && ++slashes == 2)
                        break;

        return (Slice) { path, n > 0 ? n - 1 : 0 };
}

static int add_head(Buffer *out, const RosterEntry *e) {
        const DiscoverItem *i = &e->item;
        int r = buffer_add_string(out, HEAD "[Unit]\nDescription=tcollector Collector ");

        /* a backslash at the end would join the next line to it */
        if (r >= 0)
                r = unit_add_bare(out, utf8_is_valid(i->name) && i->name[strlen(i->name) - 1] != '\\' ?
                                               i->name :
                                               e->instance);
        if (r >= 0)
                r = buffer_addf(out, "\nX-Tcollector-File=%ju:%ju %jd %jd.%09ld ", (uintmax_t) i->dev,
                                (uintmax_t) i->inode, (intmax_t) i->size, (intmax_t) i->mtime.tv_sec,
                                i->mtime.tv_nsec);
        if (r >= 0)
                r = unit_add_quoted(out, i->path);
        /* so that a start by hand, or by the retry timer, puts it back on its schedule */
        if (r >= 0 && i->interval_sec > 0)
                r = buffer_add_string(out, "\nWants=tcollector-col@%i.timer");

        return r < 0 ? r : buffer_add_string(out, "\n\n[Service]\n");
}

static int add_variable(Buffer *out, const char *text) {
        int r = buffer_add_string(out, "Environment=");

        if (r >= 0)
                r = unit_add_quoted(out, text);

        return r < 0 ? r : buffer_add_string(out, "\n");
}

/* What the foreground mode gives a collector too, then what its section says. */
static int add_environment(Buffer *out, const RosterEntry *e) {
        _cleanup_(freep) char *name = NULL, *interval = NULL, *path = NULL;
        Slice dir = folder_of(e->item.path);
        int n = (int) dir.n, r;

        if (asprintf(&name, "TCOLLECTOR_NAME=%s", e->item.name) < 0 ||
            asprintf(&interval, "TCOLLECTOR_INTERVAL=%" PRIu64, e->item.interval_sec) < 0 ||
            asprintf(&path, "PYTHONPATH=%.*s/lib:%.*s:%.*s/..", n, dir.p, n, dir.p, n, dir.p) < 0)
                return -ENOMEM;

        r = add_variable(out, name);
        if (r >= 0)
                r = add_variable(out, interval);
        if (r >= 0)
                r = add_variable(out, path);
        for (size_t i = 0; r >= 0 && i < e->settings->n_environment; i++)
                r = add_variable(out, e->settings->environment[i]);

        return r;
}

static int add_limits(Making *m, Buffer *out, const ConfigCollector *s) {
        const ConfigCollector *defaults = &m->config->collector_defaults;
        int r = 0;

        if (s->user[0])
                r = buffer_addf(out, "User=%s\n", s->user);
        if (r >= 0 && s->memory_max != defaults->memory_max)
                r = buffer_addf(out, "MemoryMax=%" PRIu64 "\n", s->memory_max);
        if (r >= 0 && s->tasks_max != defaults->tasks_max)
                r = buffer_addf(out, "TasksMax=%" PRIu64 "\n", s->tasks_max);
        if (r >= 0 && s->cpu_quota > 0)
                r = buffer_addf(out, "CPUQuota=%" PRIu64 "%%\n", s->cpu_quota);

        return r;
}

static int add_service(Making *m, const RosterEntry *e) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = add_head(&b, e);

        if (r >= 0)
                r = buffer_add_string(&b, "ExecStart=\nExecStart=" PKGLIBEXECDIR "/tcollector-exec ");
        if (r >= 0)
                r = unit_add_argument(&b, e->item.path);
        if (r >= 0)
                r = buffer_add_string(&b, "\n");
        if (r >= 0)
                r = add_environment(&b, e);
        if (r >= 0)
                r = add_limits(m, &b, e->settings);
        if (r >= 0 && e->item.interval_sec > 0)
                r = buffer_addf(&b, "RuntimeMaxSec=%" PRIu64 "\n", e->item.interval_sec);
        if (r >= 0 && e->item.interval_sec == 0)
                r = buffer_add_string(&b, long_running);

        return r < 0 ? r : add_drop_in(m, "tcollector-col", e->instance, "service", &b);
}

/* -- its timers -- */

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)

/* FNV-1a, with the NUL behind the string, so that two strings are not one. */
static uint64_t hash_string(uint64_t hash, const char *s) {
        do
                hash = (hash ^ (unsigned char) *s) * UINT64_C(0x100000001b3);
        while (*s++);

        return hash;
}

static uint64_t phase_msec(const Making *m, const RosterEntry *e) {
        uint64_t hash = hash_string(hash_string(FNV_BASIS, m->host), e->instance);

        /* the last bytes have hardly reached the high bits, nor the first the low ones */
        hash ^= hash >> 32;
        hash *= UINT64_C(0x9e3779b97f4a7c15);
        return (hash >> 32) % MIN(e->item.interval_sec * 1000, PHASE_MAX_MSEC);
}

static int add_timer(Making *m, const RosterEntry *e) {
        uint64_t interval = e->item.interval_sec;
        _cleanup_(buffer_done) Buffer b = {};
        int r = buffer_add_string(&b, HEAD "[Timer]\n");

        if (r >= 0 && e->settings->align && unit_can_align(interval))
                r = unit_add_calendar(&b, interval);
        else if (r >= 0)
                r = buffer_addf(&b, "OnActiveSec=%" PRIu64 "ms\nOnUnitActiveSec=%" PRIu64 "\n",
                                phase_msec(m, e), interval);

        return r < 0 ? r : add_drop_in(m, "tcollector-col", e->instance, "timer", &b);
}

static int add_retry_timer(Making *m, const RosterEntry *e) {
        _cleanup_(buffer_done) Buffer b = {};
        int r;

        if (e->settings->retry == m->config->collector_defaults.retry)
                return 0;

        r = buffer_addf(&b, HEAD "[Timer]\nOnActiveSec=\nOnActiveSec=%" PRIu64 "us\n", e->settings->retry);
        return r < 0 ? r : add_drop_in(m, "tcollector-col-retry", e->instance, "timer", &b);
}

static int add_collector(Making *m, const RosterEntry *e) {
        int r = add_service(m, e);

        if (r >= 0 && e->item.interval_sec > 0)
                r = add_timer(m, e);
        if (r >= 0)
                r = add_retry_timer(m, e);

        return r < 0 ? r : add_link(m, e->instance, e->item.interval_sec > 0 ? "timer" : "service");
}

/* -- the folders that are watched -- */

static int add_watch(Buffer *out, const char *path) {
        int r = buffer_add_string(out, "PathChanged=");

        if (r >= 0)
                r = unit_add_bare(out, path);

        return r < 0 ? r : buffer_add_string(out, "\n");
}

static int add_watches(Making *m) {
        const char *const *dirs = (const char *const *) m->config->collector_dirs;
        size_t n_dirs = m->config->n_collector_dirs, n_folders = 0;
        _cleanup_(buffer_done) Buffer b = {};
        char **folders = NULL;
        int r;

        r = discover_folders(dirs, n_dirs, &folders, &n_folders);
        if (r >= 0)
                r = buffer_add_string(&b, HEAD "[Path]\n");
        if (r >= 0)
                r = add_watch(&b, SYSCONFDIR "/tcollector");
        if (r >= 0)
                r = add_watch(&b, SYSCONFDIR "/tcollector/conf.d");
        for (size_t i = 0; r >= 0 && i < n_dirs; i++)
                r = add_watch(&b, dirs[i]);
        for (size_t i = 0; r >= 0 && i < n_folders; i++)
                r = add_watch(&b, folders[i]);
        string_list_clear(&folders, &n_folders);

        return r < 0 ? r : add_drop_in(m, "tcollector-rescan", "", "path", &b);
}

static int compare_files(const void *a, const void *b) {
        const UnitFile *x = a, *y = b;

        return strcmp(x->path, y->path);
}

int unit_files_make(const Roster *roster, const Config *config, const char *host, UnitFiles *ret) {
        _cleanup_(making_done) Making m = { .config = config, .host = host };
        int r = add_watches(&m);

        for (size_t i = 0; r >= 0 && i < roster->n; i++)
                r = add_collector(&m, roster->entries + i);
        if (r < 0)
                return r;

        qsort(m.units.files, m.units.n, sizeof(*m.units.files), compare_files);
        *ret = TAKE(m.units);
        return 0;
}

uint64_t unit_files_digest(const UnitFiles *u, const char *instance) {
        uint64_t hash = FNV_BASIS;

        for (size_t i = 0; i < u->n; i++)
                if (strcmp(u->files[i].instance, instance) == 0)
                        hash = hash_string(hash_string(hash, u->files[i].path), u->files[i].content);

        return hash;
}
