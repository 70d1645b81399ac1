/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target over files: each that is named, and each in a folder that is named. That way what the
 * fuzzer once found stays a test, with any compiler. Without a single file it fails, so that a wrong path is
 * noticed. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "basic/file.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX (16u * 1024 * 1024)

/* Exactly as large as the file, so that a sanitizer sees a read behind its end. */
static int run_file(int dir_fd, const char *name) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(freep) uint8_t *exact = NULL;
        int r;

        r = file_read_at(dir_fd, name, INPUT_MAX, &b);
        if (r < 0)
                return r;

        exact = malloc(b.n);
        if (!exact && b.n > 0)
                return -ENOMEM;
        if (b.n > 0)
                memcpy(exact, b.data, b.n);

        (void) LLVMFuzzerTestOneInput(exact, b.n);
        return 0;
}

static void dir_closep(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static int run_dir(DIR *dir, unsigned *n_run) {
        struct dirent *e;
        int r;

        while ((e = readdir(dir))) {
                if (e->d_name[0] == '.')
                        continue;

                r = run_file(dirfd(dir), e->d_name);
                if (r < 0) {
                        (void) fprintf(stderr, "%s: %s\n", e->d_name, strerror(-r));
                        return r;
                }
                (*n_run)++;
        }

        return 0;
}

static int run_path(const char *path, unsigned *n_run) {
        _cleanup_(dir_closep) DIR *dir = opendir(path);
        int r;

        if (dir)
                return run_dir(dir, n_run);

        r = run_file(AT_FDCWD, path);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", path, strerror(-r));
                return r;
        }

        (*n_run)++;
        return 0;
}

int main(int argc, char *argv[]) {
        unsigned n_run = 0;

        for (int i = 1; i < argc; i++)
                if (run_path(argv[i], &n_run) < 0)
                        return EXIT_FAILURE;

        printf("%u inputs\n", n_run);
        return n_run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
