/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcollector-exec: becomes a collector, after writing the run mark.
 *
 * A run that was killed can leave half a line in the pipe, and the first line of the next would be glued
 * to it. So every run begins with the mark, a byte no valid line has, and a newline: the half line
 * becomes an invalid one, and what follows is whole (SPEC.md section 1).
 *
 * With --hold=FD it waits for one byte on FD first; where none comes, whoever started it has gone, and so
 * does it. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "point/point.h"

#define MARK_LINE RUN_MARK "\n"

#define EXIT_WRONG_USAGE 2
#define EXIT_CANNOT_EXECUTE 126 /* as shells have it: found, but cannot be run */
#define EXIT_NOT_FOUND 127

static int fail(const char *path, const char *what, int status) {
        (void) fprintf(stderr, "tcollector-exec: %s: %s: %s\n", path, what, strerror(errno));
        return status;
}

/* What the template of the units says, where the generator has said nothing. */
static int nothing_to_run(const char *instance) {
        (void) fprintf(
                stderr,
                "tcollector-exec: there is no collector '%s': none is in the collector folders, or it is "
                "not enabled; see 'tcollectorctl check'\n",
                instance);
        return EXIT_NOT_FOUND;
}

static int usage(void) {
        (void) fprintf(stderr, "Usage: tcollector-exec [--hold=FD] COLLECTOR [ARGUMENT...]\n");
        return EXIT_WRONG_USAGE;
}

/* -1: not a descriptor's number. */
static int fd_from_string(const char *s) {
        char *end;
        long n = strtol(s, &end, 10);

        return end != s && *end == '\0' && n >= 0 && n <= INT32_MAX ? (int) n : -1;
}

/* false: nobody will say go. */
static bool wait_for_go(int fd) {
        ssize_t n;
        char c;

        do
                n = read(fd, &c, 1);
        while (n < 0 && errno == EINTR);

        (void) close(fd);
        return n == 1;
}

static bool write_mark(void) {
        ssize_t n;

        do
                n = write(STDOUT_FILENO, MARK_LINE, sizeof(MARK_LINE) - 1);
        while (n < 0 && errno == EINTR);

        return n == sizeof(MARK_LINE) - 1;
}

/* A NUL in what it begins with: a program for another kind of machine, say. The shell would make nonsense
 * of it. */
static bool is_binary(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        char begin[256];
        ssize_t n = fd < 0 ? -1 : read(fd, begin, sizeof(begin));

        (void) close_fd(fd);
        return n > 0 && memchr(begin, '\0', (size_t) n);
}

/* A script without a #! line is run by the shell, as execvp(3) and every shell do it. Returns only where
 * that cannot be, with errno. */
static void exec_by_shell(char **argv) {
        char **with_shell;
        size_t n = 0;

        if (is_binary(argv[0])) {
                errno = ENOEXEC;
                return;
        }

        while (argv[n])
                n++;

        with_shell = calloc(n + 2, sizeof(char *));
        if (!with_shell)
                return;

        with_shell[0] = (char *) "/bin/sh";
        memcpy(with_shell + 1, argv, n * sizeof(char *));
        (void) execv(with_shell[0], with_shell);
        free(with_shell);
}

int main(int argc, char **argv) {
        int first = argc > 1 && strncmp(argv[1], "--hold=", 7) == 0 ? 2 : 1;

        if (argc == 3 && strcmp(argv[1], "--nothing-to-run") == 0)
                return nothing_to_run(argv[2]);
        if (first >= argc || argv[first][0] == '-')
                return usage();

        if (first == 2) {
                int hold = fd_from_string(argv[1] + 7);

                if (hold < 0)
                        return usage();
                if (!wait_for_go(hold))
                        return EXIT_SUCCESS;
        }

        if (!write_mark())
                return fail(argv[first], "cannot write to standard output", EXIT_CANNOT_EXECUTE);

        (void) execv(argv[first], argv + first);
        if (errno == ENOEXEC)
                exec_by_shell(argv + first);

        return fail(argv[first], "cannot be run",
                    errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}
