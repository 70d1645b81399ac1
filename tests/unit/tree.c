/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "unit/tap.h"
#include "unit/tree.h"

static void make_parents(int dir_fd, const char *path) {
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_(freep) char *parent = strndup(path, (size_t) (slash - path));

                assert_true(mkdirat(dir_fd, parent, 0755) == 0 || errno == EEXIST);
        }
}

static void make_file(int dir_fd, const char *path, mode_t mode) {
        int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

        assert_true(fd >= 0);
        (void) close_fd(fd);
}

static void make_entry(int dir_fd, char type, const char *path, char **words) {
        make_parents(dir_fd, path);
        if (type == 'x')
                make_file(dir_fd, path, 0755);
        else if (type == 'f')
                make_file(dir_fd, path, 0644);
        else if (type == 'd')
                assert_int_equal(mkdirat(dir_fd, path, 0755), 0);
        else if (type == 'p')
                assert_int_equal(mkfifoat(dir_fd, path, 0755), 0);
        else if (type == 'l')
                assert_int_equal(symlinkat(strtok_r(NULL, " ", words), dir_fd, path), 0);
        else
                fail_msg("no such type: %c", type);
}

void tree_make(Tree *ret, const char *words) {
        _cleanup_(freep) char *copy = strdup(words);
        char *rest;

        *ret = (Tree) { .root = "/tmp/test-tree-XXXXXX", .fd = -1 };
        assert_non_null(mkdtemp(ret->root));
        ret->fd = open(ret->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(ret->fd >= 0);

        for (char *type = strtok_r(copy, " ", &rest); type; type = strtok_r(NULL, " ", &rest))
                make_entry(ret->fd, type[0], strtok_r(NULL, " ", &rest), &rest);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                        struct FTW *ftw _unused_) {
        return remove(path);
}

void tree_done(Tree *t) {
        t->fd = close_fd(t->fd);
        assert_int_equal(nftw(t->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

char *tree_path(const Tree *t, const char *path) {
        char *joined;

        assert_true(asprintf(&joined, "%s/%s", t->root, path) > 0);
        return joined;
}

void tree_write(const Tree *t, const char *path, const char *text) {
        _cleanup_(close_fdp) int fd = -1;

        make_parents(t->fd, path);
        fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, slice_from_string(text)), 0);
}

static int is_visible(const struct dirent *e) {
        return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_entry(const Tree *t, const char *path, Buffer *out) {
        char target[512];
        struct stat st;
        ssize_t n;

        assert_int_equal(fstatat(t->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        if (S_ISDIR(st.st_mode)) {
                tree_read(t, path, out);
                return;
        }

        assert_int_equal(buffer_addf(out, "== %s\n", path), 0);
        if (S_ISLNK(st.st_mode)) {
                n = readlinkat(t->fd, path, target, sizeof(target));
                assert_true(n > 0);
                assert_int_equal(buffer_addf(out, "-> %.*s\n", (int) n, target), 0);
        } else
                assert_int_equal(file_read_at(t->fd, path, 1 << 20, out), 0);
}

void tree_read(const Tree *t, const char *path, Buffer *out) {
        struct dirent **entries;
        int n = scandirat(t->fd, path, &entries, is_visible, compare_names);

        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *below = NULL;

                assert_true(asprintf(&below, "%s/%s", path, entries[i]->d_name) > 0);
                read_entry(t, below, out);
                free(entries[i]);
        }
        free(entries);
}

void buffer_replace(Buffer *b, const char *what, const char *with) {
        Buffer result = {};
        const char *rest = b->data, *hit;

        for (; rest && (hit = strstr(rest, what)); rest = hit + strlen(what)) {
                assert_int_equal(buffer_add(&result, (Slice) { rest, (size_t) (hit - rest) }), 0);
                assert_int_equal(buffer_add_string(&result, with), 0);
        }
        assert_int_equal(buffer_add_string(&result, rest), 0);
        buffer_done(b);
        *b = result;
}
