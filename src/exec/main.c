/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcollector-exec: becomes a collector, after writing the run mark.
 *
 * A run that was killed can leave half a line in the pipe, and the first line of the next would be glued to it. So every
 * run begins with the mark, a byte no valid line has, and a newline: the half line becomes an invalid one, and what
 * follows is whole (SPEC.md section 1).
 *
 * With --hold=FD it waits for one byte on FD first; where none comes, whoever started it has gone, and so does it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/base.h"

#define RUN_MARK_LINE "\x18\n"

#define EXIT_CANNOT_EXECUTE 126 /* as shells have it: found, but cannot be run */
#define EXIT_NOT_FOUND 127

static int fail(const char *path, const char *what, int status) {
        (void) fprintf(stderr, "tcollector-exec: %s: %s: %s\n", path, what, strerror(errno));
        return status;
}

/* false: nobody will say go. */
static bool wait_for_go(const char *number) {
        char *end;
        int fd = (int) strtol(number, &end, 10);
        ssize_t n;
        char c;

        if (end == number || *end)
                return false;

        do
                n = read(fd, &c, 1);
        while (n < 0 && errno == EINTR);

        (void) close(fd);
        return n == 1;
}

/* A script without a #! line is run by the shell, as execvp(3) and every shell do it. */
static void exec_by_shell(char **argv) {
        size_t n = 0;
        char **with_shell;

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
        int first = 1;

        if (argc > 1 && strncmp(argv[1], "--hold=", 7) == 0) {
                if (!wait_for_go(argv[1] + 7))
                        return EXIT_SUCCESS;
                first = 2;
        }
        if (first >= argc) {
                (void) fprintf(stderr, "Usage: tcollector-exec [--hold=FD] COLLECTOR [ARGUMENT...]\n");
                return 2;
        }

        if (write(STDOUT_FILENO, RUN_MARK_LINE, strlen(RUN_MARK_LINE)) < 0)
                return fail(argv[first], "cannot write to standard output", EXIT_CANNOT_EXECUTE);

        (void) execv(argv[first], argv + first);
        if (errno == ENOEXEC)
                exec_by_shell(argv + first);

        return fail(argv[first], "cannot be run", errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}
