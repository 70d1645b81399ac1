/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Folders are read in the caller's order, the intervals of one in numeric order, the files of one interval
 * by name; so whoever comes first is entitled to the name, and whoever comes later is overridden (by an
 * earlier folder: as it should be) or a mistake (in the same folder: a complaint). A mask is an item like
 * any other until the end, when masks are dropped.
 *
 * A folder whose name is no number is not ours (lib, etc, __pycache__), but one that only begins with a
 * digit was meant to be. Leading zeros mean nothing: 015 is 15. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "conf/config-list.h"
#include "conf/discover.h"
#include "conf/text.h"

#define INTERVAL_MAX_SEC (365u * 86400)
#define ITEMS_MAX 4096u /* as many as systemd keeps descriptors for, see FileDescriptorStoreMax= */

typedef struct Found {
        DiscoverItem item;
        size_t rank; /* of the folder it is in */
        bool is_mask;
} Found;

typedef struct Search {
        Found *found; /* by name */
        size_t n, allocated;
        DiscoverComplaint complain;
        void *userdata;
        const char *dir; /* at hand */
        size_t rank;
        char **folders; /* of intervals, where these are what is looked for */
        size_t n_folders;
        bool want_folders;
} Search;

typedef struct Interval {
        uint64_t sec;
        char *name; /* of the folder */
} Interval;

static void item_done(DiscoverItem *i) {
        free(i->name);
        free(i->path);
        *i = (DiscoverItem) {};
}

void discovered_done(Discovered *d) {
        for (size_t i = 0; i < d->n; i++)
                item_done(d->items + i);
        free(d->items);
        *d = (Discovered) {};
}

static void search_done(Search *s) {
        for (size_t i = 0; i < s->n; i++)
                item_done(&s->found[i].item);
        free(s->found);
        string_list_clear(&s->folders, &s->n_folders);
}

static void complain(const Search *s, const char *path, const char *what) {
        if (s->complain)
                s->complain(s->userdata, path, what);
}

static void complain_errno(const Search *s, const char *path, int error) {
        complain(s, path, strerrordesc_np(error) ?: "unknown error");
}

/* The place of `name` in s->found; *ret_is_there: it is taken by an item of that name. */
static size_t find_place(const Search *s, const char *name, bool *ret_is_there) {
        size_t low = 0, high = s->n;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                int order = strcmp(s->found[mid].item.name, name);

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

static int insert(Search *s, size_t place, Found *f) {
        if (s->n == s->allocated) {
                size_t n = MAX(s->allocated * 2, (size_t) 16);
                Found *found = reallocarray(s->found, n, sizeof(*found));

                if (!found)
                        return -ENOMEM;
                s->found = found;
                s->allocated = n;
        }

        memmove(s->found + place + 1, s->found + place, (s->n - place) * sizeof(*s->found));
        s->found[place] = TAKE(*f);
        s->n++;
        return 0;
}

static bool is_null_device(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Is `name` a collector or a mask? Fills `st` with what it leads to. */
static bool is_wanted(const Search *s, int dir_fd, const char *name, const char *path, struct stat *st) {
        struct stat link;

        if (fstatat(dir_fd, name, st, 0) < 0) {
                int error = errno;

                if (fstatat(dir_fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
                        return false; /* gone in the meantime */

                if (error == ENOENT)
                        complain(s, path, "a link that leads nowhere");
                else
                        complain_errno(s, path, error);
                return false;
        }

        return is_null_device(st) || (S_ISREG(st->st_mode) && (st->st_mode & 0111));
}

static int add_file(Search *s, const Interval *interval, int dir_fd, const char *name) {
        _cleanup_(freep) char *path = NULL, *copy = NULL;
        struct stat st;
        bool is_there;
        size_t place;
        Found f;
        int r;

        if (asprintf(&path, "%s/%s/%s", s->dir, interval->name, name) < 0)
                return -ENOMEM;
        if (!is_wanted(s, dir_fd, name, path, &st))
                return 0;
        if (has_control(name)) {
                complain(s, path, "a control character in its name");
                return 0;
        }

        place = find_place(s, name, &is_there);
        if (is_there) {
                if (s->found[place].rank == s->rank)
                        complain(s, path, "there is one of this name under another interval");
                return 0;
        }
        if (s->n >= ITEMS_MAX) {
                complain(s, path, "these are too many collectors");
                return 0;
        }

        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        f = (Found) {
                .item = { TAKE(copy), TAKE(path), interval->sec, st.st_mtim, st.st_dev, st.st_ino,
                          st.st_size },
                .rank = s->rank,
                .is_mask = is_null_device(&st),
        };
        r = insert(s, place, &f);
        item_done(&f.item); /* emptied, where it was taken */
        return r;
}

static int is_visible(const struct dirent *e) {
        return e->d_name[0] != '.';
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

/* The visible entries of `dir_fd`, by name; < 0: -errno. */
static int list(int dir_fd, struct dirent ***ret) {
        int n = scandirat(dir_fd, ".", ret, is_visible, compare_names);

        return n < 0 ? -errno : n;
}

static int add_interval(Search *s, const Interval *interval, int parent_fd) {
        _cleanup_(close_fdp) int fd = openat(parent_fd, interval->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(freep) struct dirent **entries = NULL;
        _cleanup_(freep) char *path = NULL;
        int n = fd < 0 ? -errno : list(fd, &entries), r = 0;

        if (n == -ENOTDIR || n == -ENOENT)
                return 0;
        if (n < 0) {
                if (asprintf(&path, "%s/%s", s->dir, interval->name) < 0)
                        return -ENOMEM;

                complain_errno(s, path, -n);
                return 0;
        }

        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = add_file(s, interval, fd, entries[i]->d_name);
                free(entries[i]);
        }

        return r;
}

static int add_folder(Search *s, const Interval *interval, int parent_fd) {
        _cleanup_(freep) char *path = NULL;
        struct stat st;
        int r;

        if (fstatat(parent_fd, interval->name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
                return 0;
        if (asprintf(&path, "%s/%s", s->dir, interval->name) < 0)
                return -ENOMEM;

        r = string_list_add(&s->folders, &s->n_folders, path);
        return r == -E2BIG ? 0 : r;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Is `name` that of an interval? Complains of one that was meant to be. */
static bool parse_interval(const Search *s, int dir_fd, const char *name, uint64_t *ret) {
        _cleanup_(freep) char *path = NULL;
        bool is_number = name[strspn(name, "0123456789")] == '\0';
        struct stat st;

        if (!is_digit(name[0]))
                return false;
        if (slice_to_uint64(slice_from_string(name), ret) && *ret <= INTERVAL_MAX_SEC)
                return true;

        if (fstatat(dir_fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode) &&
            asprintf(&path, "%s/%s", s->dir, name) >= 0)
                complain(s, path,
                         is_number ? "an interval of more than 365 days" :
                                     "an interval is a number of seconds, without a unit");
        return false;
}

static int compare_intervals(const void *a, const void *b) {
        const Interval *x = a, *y = b;

        if (x->sec != y->sec)
                return x->sec < y->sec ? -1 : 1;

        return strcmp(x->name, y->name);
}

static int add_dir(Search *s) {
        _cleanup_(close_fdp) int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(freep) struct dirent **entries = NULL;
        _cleanup_(freep) Interval *intervals = NULL;
        int n = fd < 0 ? -errno : list(fd, &entries), r = 0;
        size_t n_intervals = 0;

        if (n < 0) {
                if (n != -ENOENT)
                        complain_errno(s, s->dir, -n);
                return n == -ENOMEM ? n : 0;
        }

        intervals = calloc((size_t) n + 1, sizeof(*intervals));
        for (int i = 0; intervals && i < n; i++) {
                Interval *v = intervals + n_intervals;

                v->name = entries[i]->d_name;
                if (parse_interval(s, fd, v->name, &v->sec))
                        n_intervals++;
        }
        if (n_intervals > 0)
                qsort(intervals, n_intervals, sizeof(*intervals), compare_intervals);
        for (size_t i = 0; r >= 0 && i < n_intervals; i++)
                r = s->want_folders ? add_folder(s, intervals + i, fd) : add_interval(s, intervals + i, fd);

        for (int i = 0; i < n; i++)
                free(entries[i]);
        return intervals ? r : -ENOMEM;
}

static int hand_over(Search *s, Discovered *ret) {
        Discovered d = { .items = calloc(s->n + 1, sizeof(*d.items)) };

        if (!d.items)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++)
                if (!s->found[i].is_mask)
                        d.items[d.n++] = TAKE(s->found[i].item);

        *ret = d;
        return 0;
}

int discover(const char *const *dirs, size_t n_dirs, DiscoverComplaint complaint, void *userdata,
             Discovered *ret) {
        _cleanup_(search_done) Search s = { .complain = complaint, .userdata = userdata };
        int r;

        for (s.rank = 0; s.rank < n_dirs; s.rank++) {
                s.dir = dirs[s.rank];
                r = add_dir(&s);
                if (r < 0)
                        return r;
        }

        return hand_over(&s, ret);
}

int discover_folders(const char *const *dirs, size_t n_dirs, char ***ret, size_t *ret_n) {
        _cleanup_(search_done) Search s = { .want_folders = true };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n_dirs; i++) {
                s.dir = dirs[i];
                r = add_dir(&s);
        }
        if (r < 0)
                return r;

        *ret = TAKE(s.folders);
        *ret_n = TAKE(s.n_folders);
        return 0;
}

bool discover_same_file(const DiscoverItem *a, const DiscoverItem *b) {
        return a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
               a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}
