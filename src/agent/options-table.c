/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <string.h>

#include "agent/options-table.h"
#include "basic/buffer.h"

const OptionRow option_rows[] = {
        { .name = "What runs" },
        { "collector-dir", 'c', OPTION_DIR, "DIR", NULL, NULL,
          "run the collectors in DIR (may be repeated, the first wins; default: see tcollector.conf(5))" },
        { "stdin", 's', OPTION_SETTING, NULL, "from_stdin", "true",
          "run no collectors: read data points from standard input to its end, and add no host tag" },
        { "dry-run", 'd', OPTION_SETTING, NULL, "dry_run", "true", "print what would be sent" },
        { "allowed-inactivity-time", 0, OPTION_SETTING, "SPAN", "inactivity", NULL,
          "restart a long-running collector without a line for this time; 0:~never (default:~600)" },
        { "remove-inactive-collectors", 0, OPTION_SETTING, NULL, "remove_inactive", "true",
          "stop such a collector for good" },

        { .name = "Where data points go" },
        { "host", 'H', OPTION_HOST, "HOST", NULL, NULL, "deliver to HOST (default:~localhost)" },
        { "port", 'p', OPTION_SETTING, "PORT", "port", NULL,
          "port of a server named without one (default:~4242)" },
        { "hosts-list", 'L', OPTION_HOSTS, "LIST", NULL, NULL,
          "deliver to one of HOST[:PORT],[V6]:PORT,...; that of --host is one more" },
        { "reconnect-interval", 0, OPTION_SETTING, "SPAN", "reconnect_interval", NULL,
          "choose a server anew after this time; 0:~never (default:~0)" },
        { "flush-timeout", 0, OPTION_SETTING, "SPAN", "flush_timeout", NULL,
          "at the end, give up when nothing queued could be delivered for this time (default:~10, "
          "with --stdin 300)" },
        { "http", 0, OPTION_SETTING, NULL, "http", "true",
          "deliver over HTTP to the servers named here, not by the line protocol" },
        { "http-api-path", 0, OPTION_SETTING, "PATH", "http_api_path", NULL,
          "post to this path (default:~api/put)" },
        { "http-username", 0, OPTION_SETTING, "NAME", "http_username", NULL, "be this user over HTTP" },
        { "http-password", 0, OPTION_SETTING, "PASSWORD", "http_password", NULL,
          "with this password; others can see it here, a configuration file keeps it to itself" },
        { "ssl", 0, OPTION_SETTING, NULL, "ssl", "true", "with --http: over HTTPS" },

        { .name = "What becomes of a data point" },
        { "tag", 't', OPTION_TAG, "KEY=VALUE", NULL, NULL,
          "add this tag where a data point has none of that key (may be repeated; host=<this host> is added "
          "unless given)" },
        { "max-tags", 0, OPTION_SETTING, "N", "max_tags", NULL,
          "a data point with more tags is invalid (default:~8)" },
        { "namespace-prefix", 0, OPTION_SETTING, "PREFIX", "namespace_prefix", NULL,
          "put PREFIX and a dot in front of every metric" },
        { "dedup-interval", 0, OPTION_SETTING, "SPAN", "dedup_interval", NULL,
          "send a value that does not change only once in this time; 0:~send~all (default:~300)" },
        { "dedup-only-zero", 0, OPTION_SETTING, NULL, "dedup_only_zero", "true",
          "hold back repeated zeros only" },
        { "evict-interval", 0, OPTION_SETTING, "SPAN", "evict_interval", NULL,
          "forget a series without a new value for this time; more than --dedup-interval (default:~6000)" },

        { .name = "How it runs" },
        { "config", 0, OPTION_CONFIG, "FILE", NULL, NULL,
          "read this configuration file instead of the system's; see tcollector.conf(5)" },
        { "daemonize", 'D', OPTION_SETTING, NULL, "daemonize", "true", "go to the background" },
        { "pidfile", 'P', OPTION_SETTING, "FILE", "pidfile", NULL, "write the process id to FILE" },
        { "service", 0, OPTION_SETTING, NULL, "service", "true",
          "be tcollector.service: systemd runs the collectors, this process reads what they print" },
        { "help", 'h', OPTION_HELP, NULL, NULL, NULL, "show this help" },
        { "version", 0, OPTION_VERSION, NULL, NULL, NULL, "show the version" },

        { .name = "What it says" },
        { "verbose", 'v', OPTION_SETTING, NULL, "verbose", "true", "log debug messages too" },
        { "logfile", 0, OPTION_SETTING, "FILE", "logfile", NULL,
          "log to FILE (default: standard error; with --daemonize /var/log/tcollector.log)" },
        { "max-bytes", 0, OPTION_SETTING, "SIZE", "max_bytes", NULL,
          "rotate the log file before it is larger; 0:~never (default:~64M)" },
        { "backup-count", 0, OPTION_SETTING, "N", "backup_count", NULL,
          "keep N rotated log files; 0:~never rotate (default:~1)" },
        { "log-stdout", 0, OPTION_SETTING, NULL, "log_stdout", "true",
          "log to standard output, whatever --logfile says" },
        { "no-tcollector-stats", 0, OPTION_SETTING, NULL, "self_stats", "false",
          "send no data points about tcollector itself" },
        { "monitoring-interface", 0, OPTION_SETTING, "ADDRESS", "monitoring_address", NULL,
          "answer HTTP requests at ADDRESS with a JSON list of the collectors" },
        { "monitoring-port", 0, OPTION_SETTING, "PORT", "monitoring_port", NULL,
          "at this port (default:~13280)" },
        {}
};
static_assert(ELEMENTSOF(option_rows) <= OPTION_ROWS_MAX, "make OPTION_ROWS_MAX larger");

void options_for_getopt(struct option *longs, char *letters) {
        size_t n = 0, end = strlen(letters);

        for (const OptionRow *row = option_rows; row->name; row++) {
                if (option_is_title(row))
                        continue;

                longs[n++] = (struct option) {
                        .name = row->name,
                        .has_arg = row->argument ? required_argument : no_argument,
                        .val = OPTION_BASE + (int) (row - option_rows),
                };
                if (row->letter == 0)
                        continue;

                letters[end++] = row->letter;
                if (row->argument)
                        letters[end++] = ':';
        }

        longs[n] = (struct option) {};
        letters[end] = '\0';
}

/* -- help: options to the left, what they do to the right, no line longer than a terminal's 79 columns; a
 * "~" in the text is a space that no line is broken at -- */

#define TEXT_COLUMN 33u
#define LAST_COLUMN 79u

static void print_wrapped(const char *text) {
        size_t column = TEXT_COLUMN;

        while (*text) {
                size_t n = strcspn(text, " ");

                if (column > TEXT_COLUMN && column + 1 + n > LAST_COLUMN) {
                        (void) printf("\n%*s", (int) TEXT_COLUMN, "");
                        column = TEXT_COLUMN;
                }
                if (column > TEXT_COLUMN)
                        column += (size_t) printf(" ");
                for (size_t i = 0; i < n; i++)
                        (void) putchar(text[i] == '~' ? ' ' : text[i]);
                column += n;
                text += n + (text[n] == ' ');
        }

        (void) printf("\n");
}

static void print_row(const OptionRow *row) {
        size_t column;

        if (option_is_title(row)) {
                (void) printf("\n%s:\n", row->name);
                return;
        }

        if (row->letter != 0)
                column = (size_t) printf("  -%c, --%s", row->letter, row->name);
        else
                column = (size_t) printf("      --%s", row->name);
        if (row->argument)
                column += (size_t) printf(" %s", row->argument);

        if (column + 1 > TEXT_COLUMN)
                (void) printf("\n%*s", (int) TEXT_COLUMN, "");
        else
                (void) printf("%*s", (int) (TEXT_COLUMN - column), "");
        print_wrapped(row->help);
}

int options_print_help(void) {
        (void) printf("Usage: tcollector [OPTION...]\n"
                      "Runs collectors and delivers their data points to a time-series database.\n");
        for (const OptionRow *row = option_rows; row->name; row++)
                print_row(row);
        (void) printf("\n"
                      "A SPAN is a number of seconds, or as in \"5min\" or \"1h 30min\"; a SIZE is a\n"
                      "number of bytes, or as in \"64M\".\n\n"
                      "Exit status: 0 done, 1 failed, 2 wrong usage. See tcollector(8).\n");

        return fflush(stdout) < 0 || ferror(stdout) ? -EIO : 1;
}
