/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcollector: from the command line to the running agent. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include <config.h>

#include "agent/daemon.h"
#include "agent/logfile.h"
#include "agent/manager.h"
#include "agent/service.h"
#include "basic/log.h"

static void log_to_stdout(void *userdata _unused_, int level, const char *line) {
        (void) fprintf(stdout, "tcollector: %s: %s\n", log_level_to_string(level), line);
        (void) fflush(stdout);
}

static int set_up_log(const Options *o, LogFile **ret) {
        int r;

        log_set_max_level(o->verbose ? LOG_DEBUG : LOG_INFO);
        if (o->log_stdout) {
                log_set_sink(log_to_stdout, NULL);
                return 0;
        }
        if (!o->logfile)
                return 0;

        r = logfile_open(ret, o->logfile, o->max_bytes, o->backup_count);
        if (r < 0)
                return log_error_errno(r, "Failed to open the log file %s: %m", o->logfile);

        log_set_sink(logfile_sink, *ret);
        return 0;
}

/* Where one lives already there is no second: said before anything is started. */
static int claim_pidfile(const char *path, int *ret_fd) {
        pid_t pid = 0;
        int r;

        r = pidfile_write(path, ret_fd, &pid);
        if (r == -EEXIST) {
                log_error("%s names process %d, which is running; stop it first", path, (int) pid);
                return r;
        }
        if (r < 0)
                return log_error_errno(r, "Failed to write the pid file %s: %m", path);

        return 0;
}

/* A descriptor 0, 1 or 2 that is closed would be given to the first thing that is opened. */
static void ensure_standard_fds(void) {
        for (int fd = 0; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void) open("/dev/null", O_RDWR);
}

static int run(const Options *o, LogFile *log) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int ready = -1, pidfile = -1, status;

        if (o->daemonize) {
                int r = daemon_start(&ready);

                if (r < 0) {
                        (void) log_error_errno(r, "Failed to become a daemon: %m");
                        return EXIT_FAILURE;
                }
        }
        if (o->pidfile && claim_pidfile(o->pidfile, &pidfile) < 0)
                return EXIT_FAILURE;
        if (manager_new(&m, o, log) < 0)
                status = EXIT_FAILURE;
        else {
                if (o->daemonize)
                        daemon_ready(ready);
                status = manager_run(m);
        }

        if (o->pidfile)
                pidfile_remove(o->pidfile, pidfile);
        return status;
}

int main(int argc, char **argv) {
        _cleanup_(options_done) Options options = {};
        _cleanup_(logfile_freep) LogFile *log = NULL;
        int r, status;

        ensure_standard_fds();
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGCHLD,
                      SIG_DFL); /* a parent may have left it ignored: no exit status would be seen */

        r = options_parse(argc, argv, &options);
        if (r < 0 && r != -ENOMEM)
                service_rescue(SYSCONFDIR "/tcollector");
        if (r != 0)
                return options_exit_status(r, argc, argv);
        if (set_up_log(&options, &log) < 0)
                return EXIT_FAILURE;

        status = run(&options, log);
        log_set_sink(NULL, NULL);
        return status;
}
