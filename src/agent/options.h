/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line of the foreground mode (SPEC.md section 6, tcollector(8)), over the configuration files.
 * --config FILE is read, or else the system's configuration where there is one; then the command line is
 * applied on top: it replaces what the files say, its tags key by key, its servers and its folders all
 * together. */

#include "conf/config.h"

typedef struct Options {
        Config *config;      /* files and command line together; at least one server, "host" not added */
        char *pidfile;       /* NULL: none */
        char *logfile;       /* NULL: not to a file */
        char *http_api_path; /* of the servers of the command line, with --http */
        char *http_username; /* NULL: none; of the servers over HTTP that have none */
        char *http_password; /* of these; "": none */
        char *monitoring_address; /* NULL: no endpoint */
        uint64_t monitoring_port;
        uint64_t port;         /* --port: of a server that is named without one */
        usec_t flush_timeout;  /* at the end, how long delivery may stand still; 0: as --help says */
        uint64_t max_bytes;    /* of the logfile before it is rotated; 0: never */
        uint64_t backup_count; /* rotated files that are kept; 0: never rotated */
        bool http, ssl;
        bool dry_run;
        bool from_stdin;
        bool daemonize;
        bool verbose;
        bool log_stdout;
        bool remove_inactive;
        bool service;
        const char *etc; /* where all this was read from, for options_reread(); borrowed */
        int argc;
        char **argv;
} Options;

/* 0: go on, *ret is the caller's; 1: done, help or version is on standard output; < 0: refused, and said why
 * in one line on standard error. *ret is written for 0 only. */
int options_parse(int argc, char **argv, Options *ret);

/* The same with the folder of the system's configuration ("/etc/tcollector"). */
int options_parse_at(const char *etc, int argc, char **argv, Options *ret);

/* Reads it all once more: the files may have changed. What is refused is said on standard error; < 0. */
int options_reread(const Options *o, Options *ret);

void options_done(Options *o);

/* What to exit with for a result that is not 0: 0 done, 1 failed, 2 wrong usage; with --service 78
 * (EX_CONFIG of sysexits.h) for configuration files that are refused. */
int options_exit_status(int r, int argc, char **argv);
