/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcollector-generator NORMAL-DIR EARLY-DIR LATE-DIR, run by systemd as root at boot and daemon-reload,
 * before any unit: no bus, maybe no journal, nothing mounted but what the initrd has mounted. It never fails
 * a boot: whatever goes wrong, it says so and exits with 0. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <config.h>

#include "basic/file.h"
#include "basic/log.h"
#include "conf/names.h"
#include "generator/generator.h"

#define IDENTIFIER "tcollector-generator"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static int log_to_journal(int level, const char *line) {
        if (access(JOURNAL_SOCKET, W_OK) < 0)
                return -errno;

        return sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", level, "SYSLOG_IDENTIFIER=" IDENTIFIER,
                               NULL);
}

static int log_to_kernel(int level, const char *line) {
        _cleanup_(close_fdp) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        char text[900]; /* the kernel takes a little less than 1024 */
        struct stat st;
        int n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
                return -ENXIO;

        n = snprintf(text, sizeof(text), "<%d>" IDENTIFIER "[%d]: %s\n", LOG_DAEMON | level, (int) getpid(),
                     line);
        return fd_write_all(fd, (Slice) { text, MIN((size_t) n, sizeof(text) - 1) });
}

static void log_anywhere(void *userdata _unused_, int level, const char *line) {
        if (log_to_journal(level, line) < 0 && log_to_kernel(level, line) < 0)
                (void) fprintf(stderr, IDENTIFIER ": %s\n", line);
}

int main(int argc, char **argv) {
        if (argc != 4) {
                (void) fprintf(stderr, "Usage: " IDENTIFIER " NORMAL-DIR EARLY-DIR LATE-DIR\n");
                return 2;
        }

        log_set_sink(log_anywhere, NULL);
        (void) umask(0022);
        (void) generator_run(SYSCONFDIR "/tcollector", RUNDIR "/" RUN_GOOD_CONFIG, argv[1]);
        return EXIT_SUCCESS;
}
