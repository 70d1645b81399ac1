/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ours are, in the folders there whose names begin with "tcollector": links, and files called as our
 * drop-ins are. Other generators may write to the same folders. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "conf/instance.h"
#include "ctl/generated.h"
#include "ctl/say.h"

#define DROP_IN "50-tcollector.conf"
#define WANTS "tcollector.service.wants/"
#define CONTENT_MAX (1024u * 1024)
#define LINK_MAX_BYTES 4096

typedef struct Read {
        UnitFiles files;
        size_t allocated;
} Read;

static void read_done(Read *r) {
        unit_files_done(&r->files);
}

/* Takes over what `file` has. */
static int add(Read *rd, UnitFile *file) {
        if (rd->files.n == rd->allocated) {
                size_t n = MAX(rd->allocated * 2, (size_t) 16);
                UnitFile *files = reallocarray(rd->files.files, n, sizeof(*files));

                if (!files)
                        return -ENOMEM;
                rd->files.files = files;
                rd->allocated = n;
        }

        rd->files.files[rd->files.n++] = TAKE(*file);
        return 0;
}

/* As unit_files_make() has it. The caller frees it; NULL: no memory. */
static char *instance_of(const char *path) {
        static const struct {
                const char *prefix, *suffix;
        } shapes[] = {
                { COLLECTOR_PREFIX, ".service.d/" DROP_IN }, { COLLECTOR_PREFIX, ".timer.d/" DROP_IN },
                { RETRY_PREFIX, ".timer.d/" DROP_IN },       { WANTS COLLECTOR_PREFIX, ".service" },
                { WANTS COLLECTOR_PREFIX, ".timer" },
        };
        Slice instance = SLICE("");

        for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
                if (instance_from_unit(path, shapes[i].prefix, shapes[i].suffix, &instance))
                        break;

        return strndup(instance.p, instance.n);
}

/* Takes `content` over, which may be NULL: no memory. */
static int add_file(Read *rd, const char *path, char *content, bool is_link) {
        UnitFile file = { strdup(path), content, instance_of(path), is_link };
        int r = file.path && file.content && file.instance ? add(rd, &file) : -ENOMEM;

        free(file.path);
        free(file.content);
        free(file.instance);
        return r;
}

static int add_link(Read *rd, int dir_fd, const char *name, const char *path) {
        char target[LINK_MAX_BYTES];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

        if (n < 0)
                return -errno;

        return add_file(rd, path, strndup(target, (size_t) n), true);
}

static int add_drop_in(Read *rd, int dir_fd, const char *name, const char *path) {
        _cleanup_(buffer_done) Buffer b = {};
        int r = file_read_at(dir_fd, name, CONTENT_MAX, &b);

        return r < 0 ? r : add_file(rd, path, TAKE(b.data), false);
}

static int add_any(Read *rd, int dir_fd, const char *folder, const char *name) {
        _cleanup_(freep) char *path = NULL;
        struct stat st;
        int r = 0;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;

        if (S_ISLNK(st.st_mode))
                r = add_link(rd, dir_fd, name, path);
        else if (S_ISREG(st.st_mode) && strcmp(name, DROP_IN) == 0)
                r = add_drop_in(rd, dir_fd, name, path);

        return r == -ENOENT ? 0 : r; /* it is being written anew */
}

/* Opens a folder; NULL with errno. */
static DIR *open_dir_at(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir)
                (void) close_fd(fd);
        return dir;
}

static void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

static int add_folder(Read *rd, int parent_fd, const char *folder) {
        _cleanup_(closedirp) DIR *dir = open_dir_at(parent_fd, folder);
        struct dirent *e;

        if (!dir)
                return errno == ENOTDIR || errno == ENOENT ? 0 : -errno;

        while ((e = readdir(dir))) {
                int r = e->d_name[0] == '.' ? 0 : add_any(rd, dirfd(dir), folder, e->d_name);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int compare_paths(const void *a, const void *b) {
        const UnitFile *x = a, *y = b;

        return strcmp(x->path, y->path);
}

int generated_read(const char *path, UnitFiles *ret) {
        _cleanup_(closedirp) DIR *dir = open_dir_at(AT_FDCWD, path);
        _cleanup_(read_done) Read rd = {};
        struct dirent *e;

        if (!dir && errno != ENOENT)
                return -errno;

        while (dir && (e = readdir(dir))) {
                int r = strncmp(e->d_name, "tcollector", 10) == 0 ? add_folder(&rd, dirfd(dir), e->d_name) :
                                                                    0;

                if (r < 0)
                        return r;
        }

        if (rd.files.n > 0)
                qsort(rd.files.files, rd.files.n, sizeof(*rd.files.files), compare_paths);
        *ret = TAKE(rd.files);
        return 0;
}

bool generated_equal(const UnitFiles *a, const UnitFiles *b) {
        if (a->n != b->n)
                return false;

        for (size_t i = 0; i < a->n; i++) {
                const UnitFile *x = a->files + i, *y = b->files + i;

                if (x->is_link != y->is_link || strcmp(x->path, y->path) != 0 ||
                    strcmp(x->content, y->content) != 0)
                        return false;
        }

        return true;
}

int generated_entries(const UnitFiles *u, Entries *ret) {
        _cleanup_(entries_done) Entries entries = {};

        for (size_t i = 0; i < u->n; i++) {
                _cleanup_(freep) char *instance = NULL;
                PlanEntry entry = { .kind = PLAN_LONG_RUNNING };
                Slice found;
                int r;

                if (!u->files[i].is_link)
                        continue;
                if (instance_from_unit(u->files[i].path, WANTS COLLECTOR_PREFIX, ".timer", &found))
                        entry.kind = PLAN_PERIODIC;
                else if (!instance_from_unit(u->files[i].path, WANTS COLLECTOR_PREFIX, ".service", &found))
                        continue;

                instance = strndup(found.p, found.n);
                if (!instance)
                        return -ENOMEM;

                entry.instance = instance;
                entry.digest = unit_files_digest(u, instance);
                r = entries_set(&entries, &entry);
                if (r < 0)
                        return r;
        }

        *ret = TAKE(entries);
        return 0;
}

const char *generated_content(const UnitFiles *u, const char *path) {
        for (size_t i = 0; i < u->n; i++)
                if (strcmp(u->files[i].path, path) == 0)
                        return u->files[i].content;

        return NULL;
}
