/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/log.h"
#include "config.h"
#include "lib/arguments.h"
#include "lib/text.h"

#define NAME_MAX_CHARS 32
#define WORDS_MAX 64u
#define INTERVAL_MAX (366 * 86400 * USEC_PER_SEC)

enum {
        OPTION_HELP = 'h',
        OPTION_VERSION = 0x100,
        OPTION_ONCE,
        OPTION_INTERVAL,
        OPTION_ROOT,
        OPTION_TIME,
        OPTION_OWN, /* and up: the collector's own, in order */
};

static const struct option common_options[] = {
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "once", no_argument, NULL, OPTION_ONCE },
        { "interval", required_argument, NULL, OPTION_INTERVAL },
        { "root", required_argument, NULL, OPTION_ROOT },
        { "time", required_argument, NULL, OPTION_TIME },
};

/* "ifstat" -> "IFSTAT_OPTIONS" */
static const char *environment_name(const CollectorSpec *spec, char buf[static NAME_MAX_CHARS]) {
        size_t n = (size_t) snprintf(buf, NAME_MAX_CHARS, "%s_OPTIONS", spec->name);

        for (size_t i = 0; i < MIN(n, (size_t) NAME_MAX_CHARS - 1); i++)
                if (buf[i] >= 'a' && buf[i] <= 'z')
                        buf[i] -= 'a' - 'A';

        return buf;
}

static const char help_head[] = "Usage: %s [OPTION...]\n"
                                "%s\n"
                                "\n"
                                "  -h, --help                show this\n"
                                "      --version             show the version\n"
                                "      --once                one round, then exit\n"
                                "      --interval=SEC        a round every SEC seconds (default %u)\n"
                                "      --root=DIR            read from DIR instead of /\n";

static const char help_tail[] =
        "\n"
        "For tests: --time=SEC is the time of the first round, in seconds since the epoch; with --root\n"
        "given again, the next round reads from the next folder, and --once runs one round on each.\n"
        "\n"
        "Options are also taken from $%s; with $TCOLLECTOR_INTERVAL above 0, --once is implied.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 13 nothing to report on this host.\n";

static void help(const CollectorSpec *spec) {
        char name[NAME_MAX_CHARS], left[64];

        (void) printf(help_head, spec->name, spec->summary, spec->interval_sec);
        for (const CollectorOption *o = spec->options; o < spec->options + spec->n_options; o++) {
                (void) snprintf(left, sizeof(left), o->value ? "--%s=%s" : "--%s", o->name, o->value);
                (void) printf("      %-21s %s\n", left, o->help);
        }
        (void) printf(help_tail, environment_name(spec, name));
}

static int wrong(const char *what, const char *option, const char *value) {
        log_error("%s '%s%s%s'; --help lists the options.", what, option, value ? "=" : "",
                  value ? value : "");
        return -EINVAL;
}

static int set_common(Arguments *a, int option, const char *value) {
        switch (option) {
        case OPTION_ONCE:
                a->once = true;
                return 0;
        case OPTION_INTERVAL:
                if (span_parse(slice_from_string(value), &a->interval) < 0 || a->interval == 0 ||
                    a->interval > INTERVAL_MAX)
                        return wrong("Not a number of seconds above 0:", "--interval", value);
                return 0;
        case OPTION_ROOT:
                if (a->n_roots == ELEMENTSOF(a->roots))
                        return wrong("One too many:", "--root", value);
                a->roots[a->n_roots++] = value;
                return 0;
        case OPTION_TIME:
                if (!slice_to_uint64(slice_from_string(value), &a->time_sec))
                        return wrong("Not a number of seconds:", "--time", value);
                a->time_given = true;
                return 0;
        default:
                assert(false);
                return -EINVAL;
        }
}

/* `words` is argv as getopt wants it, words[0] the name. */
static int parse_words(const CollectorSpec *spec, int n, char **words, void *state, Arguments *a) {
        struct option all[ELEMENTSOF(common_options) + COLLECTOR_OPTIONS_MAX + 1] = {};
        int option, r;

        memcpy(all, common_options, sizeof(common_options));
        for (size_t i = 0; i < spec->n_options; i++)
                all[ELEMENTSOF(common_options) + i] = (struct option) {
                        spec->options[i].name,
                        spec->options[i].value ? required_argument : no_argument,
                        NULL,
                        OPTION_OWN + (int) i,
                };

        opterr = 0;
        optind = 0;
        while ((option = getopt_long(n, words, "+:h", all, NULL)) >= 0) {
                const CollectorOption *own =
                        option >= OPTION_OWN ? &spec->options[option - OPTION_OWN] : NULL;

                if (option == OPTION_HELP) {
                        help(spec);
                        return 1;
                }
                if (option == OPTION_VERSION) {
                        (void) printf("%s (tcollector) %s\n", spec->name, PROJECT_VERSION);
                        return 1;
                }
                if (option == '?' || option == ':')
                        return wrong(option == ':' ? "A value is missing:" : "Unknown option",
                                     words[optind - 1], NULL);

                r = own ? own->set(state, optarg) : set_common(a, option, optarg);
                if (r == -EINVAL && own)
                        return wrong("Not a value of that option:", own->name, optarg);
                if (r < 0)
                        return r;
        }
        if (optind < n)
                return wrong("Unexpected argument", words[optind], NULL);

        return 0;
}

/* The name, the words of $NAME_OPTIONS, and argv without its first. */
static int gather_words(const CollectorSpec *spec, Arguments *a, int argc, char **argv, char **words) {
        size_t n = 0;

        words[n++] = (char *) spec->name;
        for (char *save, *w = a->environment ? strtok_r(a->environment, " \t\n", &save) : NULL; w;
             w = strtok_r(NULL, " \t\n", &save)) {
                if (n == WORDS_MAX)
                        return -E2BIG;
                words[n++] = w;
        }
        for (int i = 1; i < argc; i++) {
                if (n == WORDS_MAX)
                        return -E2BIG;
                words[n++] = argv[i];
        }

        words[n] = NULL;
        return (int) n;
}

int arguments_parse(const CollectorSpec *spec, int argc, char **argv, void *state, Arguments *ret) {
        Arguments a = { .interval = spec->interval_sec * USEC_PER_SEC };
        char name[NAME_MAX_CHARS], *words[WORDS_MAX + 1];
        const char *e = getenv(environment_name(spec, name)), *period = getenv("TCOLLECTOR_INTERVAL");
        uint64_t sec;
        int n, r;

        assert(spec->n_options <= COLLECTOR_OPTIONS_MAX);

        if (period && slice_to_uint64(slice_from_string(period), &sec))
                a.once = sec > 0;
        if (e) {
                a.environment = strdup(e);
                if (!a.environment)
                        return log_oom();
        }

        n = gather_words(spec, &a, argc, argv, words);
        r = n < 0 ? log_error_errno(n, "Too many arguments.") : parse_words(spec, n, words, state, &a);
        if (r != 0) {
                arguments_done(&a);
                return r == -E2BIG ? -EINVAL : r;
        }

        *ret = a;
        return 0;
}

void arguments_done(Arguments *a) {
        free(a->environment);
        *a = (Arguments) {};
}
