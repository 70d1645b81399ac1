/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcollectorctl: one table of verbs feeds the parser and --help. */

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <config.h>

#include "ctl/say.h"
#include "ctl/verbs.h"

typedef struct Verb {
        const char *name, *operands, *help;
        int (*run)(const VerbArgs *args);
        unsigned flags; /* that it takes */
        int min, max;   /* operands */
        bool root;
} Verb;

static const Verb verbs[] = {
        { "status", NULL, "show how the agent does", verb_status, FLAG_JSON, 0, 0, false },
        { "collectors", NULL, "show the collectors, a row each", verb_collectors, FLAG_JSON, 0, 0, false },
        { "check", "[FILE...]", "read the configuration, or these files, and say what is wrong", verb_check,
          FLAG_QUIET | FLAG_DUMP | FLAG_JSON, 0, 1000, false },
        { "flush", NULL, "deliver at once what is queued", verb_flush, 0, 0, 0, true },
        { "rescan", NULL, "start new collectors, stop removed ones, restart changed and stalled ones",
          verb_rescan, FLAG_SETTLE | FLAG_START, 0, 0, true },
        { .name = "Called by units" },
        { "prepare", NULL, "make what the agent needs below " RUNDIR, verb_prepare, 0, 0, 0, true },
        { "stopping", NULL, "stop the collectors, if the agent is not to come back", verb_stopping, 0, 0, 0,
          true },
        { "stopped", NULL, "stop the collectors, if the agent is not started again", verb_stopped, 0, 0, 0,
          true },
        { "collector-failed", "INSTANCE", "look after a collector that has failed", verb_collector_failed, 0,
          1, 1, true },
};

static const struct {
        const char *name, *help;
        unsigned flag;
} flags[] = {
        { "--json", "print JSON", FLAG_JSON },
        { "--quiet", "say only what is wrong", FLAG_QUIET },
        { "--dump", "print the configuration as it is understood, defaults included", FLAG_DUMP },
        { "--settle", "wait until nothing changes any more", FLAG_SETTLE },
        { "--start", "as the last step of a reload; the same as without", FLAG_START },
};

static void print_help(void) {
        (void) printf("Usage: tcollectorctl VERB [OPTION...]\n\n"
                      "Asks and controls the metrics agent; see tcollectorctl(1).\n\n");

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                const Verb *v = verbs + i;
                char head[40];

                if (!v->run) {
                        (void) printf("\n%s:\n", v->name);
                        continue;
                }
                (void) snprintf(head, sizeof(head), "%s %s", v->name, v->operands ?: "");
                (void) printf("  %-26s %s%s\n", head, v->help, v->root ? " (root)" : "");
        }

        (void) printf("\nOptions:\n");
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                bool first = true;

                (void) printf("  %-26s %s (", flags[i].name, flags[i].help);
                for (size_t k = 0; k < ELEMENTSOF(verbs); k++)
                        if (verbs[k].flags & flags[i].flag) {
                                (void) printf("%s%s", first ? "" : ", ", verbs[k].name);
                                first = false;
                        }
                (void) printf(")\n");
        }
        (void) printf("  %-26s %s\n  %-26s %s\n", "-h, --help", "show this", "--version",
                      "show the version");
}

/* What was typed may have anything in it: it stays one line. */
_printf_(1, 2) static int wrong_usage(const char *format, ...) {
        char line[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        for (char *p = line; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        *p = '?';

        (void) fprintf(stderr, "tcollectorctl: %s; see 'tcollectorctl --help'.\n", line);
        return EXIT_WRONG_USAGE;
}

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (verbs[i].run && strcmp(verbs[i].name, name) == 0)
                        return verbs + i;

        return NULL;
}

/* 0: no such. */
static unsigned find_flag(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                if (strcmp(flags[i].name, word) == 0)
                        return flags[i].flag;

        return 0;
}

/* Sorts words into options and operands; 0, or an exit status. */
static int parse_args(const Verb *verb, char **words, VerbArgs *args) {
        bool only_operands = false;

        for (; *words; words++) {
                unsigned flag;

                if (only_operands || (*words)[0] != '-') {
                        args->operands[args->n_operands++] = *words;
                        continue;
                }
                if (strcmp(*words, "--") == 0) {
                        only_operands = true;
                        continue;
                }

                flag = find_flag(*words);
                if (flag == 0)
                        return wrong_usage("unknown option '%s'", *words);
                if (!(verb->flags & flag))
                        return wrong_usage("this verb does not take '%s'", *words);
                args->flags |= flag;
        }

        if (args->n_operands < verb->min)
                return wrong_usage("it takes the argument %s", verb->operands);
        if (args->n_operands > verb->max)
                return wrong_usage("unexpected argument '%s'", args->operands[verb->max]);
        return 0;
}

static bool has_word(char **words, const char *word, const char *other) {
        for (; *words && strcmp(*words, "--") != 0; words++)
                if (strcmp(*words, word) == 0 || strcmp(*words, other) == 0)
                        return true;

        return false;
}

static int finish_output(int status) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;

        (void) log_error_errno(errno, "Failed to write to standard output: %m");
        return EXIT_FAILURE;
}

static int run(const Verb *verb, char **words, size_t n_words) {
        _cleanup_(freep) char **operands = calloc(n_words + 1, sizeof(char *));
        VerbArgs args = { .operands = operands };
        int status;

        if (!operands) {
                (void) log_oom();
                return EXIT_FAILURE;
        }

        status = parse_args(verb, words, &args);
        if (status != 0)
                return status;
        if (verb->root && geteuid() != 0) {
                log_error("'%s' takes root: run it with sudo.", verb->name);
                return EXIT_FAILURE;
        }

        (void) umask(0022);
        return verb->run(&args);
}

int main(int argc, char **argv) {
        const Verb *verb;

        (void) signal(SIGPIPE, SIG_IGN);
        say_init();

        if (argc > 1 && has_word(argv + 1, "--help", "-h")) {
                print_help();
                return finish_output(EXIT_SUCCESS);
        }
        if (argc > 1 && strcmp(argv[1], "--version") == 0) {
                (void) printf("tcollectorctl %s\n", PROJECT_VERSION);
                return finish_output(EXIT_SUCCESS);
        }
        if (argc < 2)
                return wrong_usage("a verb is needed");

        verb = find_verb(argv[1]);
        if (!verb)
                return wrong_usage("unknown verb '%s'", argv[1]);

        return finish_output(run(verb, argv + 2, (size_t) argc - 2));
}
