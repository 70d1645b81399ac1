/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files a configuration consists of: one, then those of a folder by name. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "conf/config-list.h"
#include "conf/config-prepare.h"

/* What lies in a folder of the configuration is read unasked, some of it at boot, so nothing is opened there
 * that could make the reader wait: a FIFO, a terminal. /dev/null is where a link may lead. */
static bool is_plain(const char *path) {
        struct stat st, null;

        if (stat(path, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
                return true; /* open(2) or read(2) will say what is wrong */

        return S_ISCHR(st.st_mode) && stat("/dev/null", &null) >= 0 && st.st_rdev == null.st_rdev;
}

int config_read_plain(const char *path, Buffer *text, Buffer *why) {
        int r;

        if (!is_plain(path)) {
                (void) buffer_addf(why, "%s: this is no plain file", path);
                return -EINVAL;
        }

        r = file_read_at(AT_FDCWD, path, CONFIG_FILE_MAX, text);
        if (r < 0) {
                errno = -r;
                (void) buffer_addf(why, "%s: %m", path);
        }
        return r;
}

static int read_plain_file(Config *c, const char *path, Buffer *why) {
        _cleanup_(buffer_done) Buffer text = {};
        int r = config_read_plain(path, &text, why);

        return r < 0 ? r : config_read_text(c, buffer_slice(&text), path, why);
}

int config_try(const char *path, Buffer *text, Buffer *why) {
        _cleanup_(config_freep) Config *c = NULL;
        int r = config_new(&c);

        if (r >= 0)
                r = config_read_plain(path, text, why);

        return r < 0 ? r : config_read_text(c, buffer_slice(text), path, why);
}

static int is_drop_in(const struct dirent *e) {
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

/* -- the files, by path in the order they are read -- */

typedef struct Files {
        struct {
                char *path;
                bool is_broken;
        } * items;
        size_t n;
} Files;

static void files_done(Files *f) {
        for (size_t i = 0; i < f->n; i++)
                free(f->items[i].path);
        free(f->items);
}

static int add_path(Files *f, const char *dir, const char *name) {
        void *grown = reallocarray(f->items, f->n + 1, sizeof(*f->items));
        char *path = NULL;

        if (!grown)
                return -ENOMEM;
        f->items = grown;
        if (asprintf(&path, "%s%s%s", dir ?: "", dir ? "/" : "", name) < 0)
                return -ENOMEM;

        f->items[f->n].path = path;
        f->items[f->n++].is_broken = false;
        return 0;
}

static int add_drop_ins(Files *f, const char *dir, Buffer *why) {
        struct dirent **entries;
        int n = scandir(dir, &entries, is_drop_in, compare_names), r = 0;

        if (n < 0 && errno == ENOENT)
                return 0;
        if (n < 0) {
                r = -errno;
                (void) buffer_addf(why, "%s: %m", dir);
                return r;
        }

        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = add_path(f, dir, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return r;
}

int config_load(Config **ret, const char *file, const char *dropin_dir, Buffer *why) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(files_done) Files files = {};
        int r = config_new(&c);

        if (r >= 0 && file && !dropin_dir)
                r = config_read_file(c, file, why); /* named by a person, who may name a pipe */
        if (r >= 0 && file && dropin_dir)
                r = add_path(&files, NULL, file);
        if (r >= 0 && dropin_dir)
                r = add_drop_ins(&files, dropin_dir, why);
        for (size_t i = 0; r >= 0 && i < files.n; i++)
                r = read_plain_file(c, files.items[i].path, why);
        if (r >= 0)
                r = config_check(c, why);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

/* The configuration's files below a folder. */
typedef struct Places {
        char *file, *drop_ins;
} Places;

static void places_done(Places *p) {
        free(p->file);
        free(p->drop_ins);
}

static int find_places(const char *etc, Places *ret) {
        if (asprintf(&ret->file, "%s/tcollector.conf", etc) < 0)
                ret->file = NULL;
        if (asprintf(&ret->drop_ins, "%s/conf.d", etc) < 0)
                ret->drop_ins = NULL;

        return ret->file && ret->drop_ins ? 0 : -ENOMEM;
}

int config_load_folder(Config **ret, const char *etc, Buffer *why) {
        _cleanup_(places_done) Places p = {};
        int r = find_places(etc, &p);

        return r < 0 ? r : config_load(ret, access(p.file, F_OK) == 0 ? p.file : NULL, p.drop_ins, why);
}

/* -- what is good of them -- */

typedef struct Broken {
        char **items;
        size_t n;
} Broken;

static void broken_done(Broken *b) {
        string_list_clear(&b->items, &b->n);
}

/* Notes what the file is about, as far as that can be told. */
static int note_broken(Broken *b, const char *path) {
        _cleanup_(buffer_done) Buffer text = {}, why = {};
        const char *slash = strrchr(path, '/');
        int r = string_list_add(&b->items, &b->n, slash ? slash + 1 : path);

        if (r >= 0 && config_read_plain(path, &text, &why) >= 0)
                r = config_find_collectors(buffer_slice(&text), &b->items, &b->n);

        return r == -E2BIG ? 0 : r;
}

/* Reads all files that are not known to be broken. 0: *ret has them; 1: one more is broken now, and said so;
 * -ENOMEM. */
static int read_good(Config **ret, Files *f, Broken *b, ConfigComplaint complain, void *userdata) {
        _cleanup_(config_freep) Config *c = NULL;
        int r = config_new(&c);

        for (size_t i = 0; r >= 0 && i < f->n; i++) {
                _cleanup_(buffer_done) Buffer why = {};

                if (f->items[i].is_broken)
                        continue;
                r = read_plain_file(c, f->items[i].path, &why);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        complain(userdata, why.data ?: f->items[i].path);
                        f->items[i].is_broken = true;
                        r = note_broken(b, f->items[i].path);
                        return r < 0 ? r : 1;
                }
        }
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

/* A file leaves nothing behind, as all of them are read again without it. */
int config_load_what_is_good(Config **ret, const char *file, const char *dropin_dir,
                             ConfigComplaint complain, void *userdata) {
        _cleanup_(buffer_done) Buffer why = {};
        _cleanup_(broken_done) Broken broken = {};
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(files_done) Files files = {};
        int r = 0;

        if (file && access(file, F_OK) == 0)
                r = add_path(&files, NULL, file);
        if (r >= 0 && dropin_dir) {
                r = add_drop_ins(&files, dropin_dir, &why);
                if (r < 0 && r != -ENOMEM) {
                        complain(userdata, why.data ?: dropin_dir);
                        r = 0;
                }
        }
        if (r < 0)
                return r;

        do
                r = read_good(&c, &files, &broken, complain, userdata);
        while (r > 0);
        if (r < 0)
                return r;

        buffer_done(&why);
        if (config_check(c, &why) < 0)
                complain(userdata, why.data ?: "the settings do not go together");

        c->broken = TAKE(broken.items);
        c->n_broken = TAKE(broken.n);
        *ret = TAKE(c);
        return 0;
}

int config_load_what_is_good_in(Config **ret, const char *etc, ConfigComplaint complain, void *userdata) {
        _cleanup_(places_done) Places p = {};
        int r = find_places(etc, &p);

        return r < 0 ? r : config_load_what_is_good(ret, p.file, p.drop_ins, complain, userdata);
}
