/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Command lines, split at spaces; "F" in them stands for a configuration file, "E" for a folder that exists.
 * What they say of themselves on standard output and standard error is caught in memory. */

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/options-table.h"
#include "agent/options.h"
#include "basic/clock.h"
#include "basic/file.h"
#include "unit/tap.h"

#define ARGS_MAX 32

typedef struct Outcome {
        int r;
        Options options;
        Buffer out, err;
} Outcome;

static void outcome_done(Outcome *o) {
        options_done(&o->options);
        buffer_done(&o->out);
        buffer_done(&o->err);
}

/* Lets `fd` lead to memory; returns what it led to before. */
static int divert(int fd, int *ret_memory) {
        int kept = dup(fd);

        *ret_memory = memfd_create("diverted", MFD_CLOEXEC);
        assert_true(kept >= 0 && *ret_memory >= 0);
        assert_true(dup2(*ret_memory, fd) >= 0);
        return kept;
}

static void restore(int fd, int kept, int memory, Buffer *ret) {
        char path[64];

        assert_true(dup2(kept, fd) >= 0);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
        assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 20, ret), 0);
        (void) close(kept);
        (void) close(memory);
}

static void parse(const char *line, Outcome *ret) {
        _cleanup_(freep) char *copy = strdup(line);
        char name[] = "tcollector", *argv[ARGS_MAX + 2] = { name }, *words;
        int argc = 1, out, err, kept_out, kept_err;

        for (char *w = strtok_r(copy, " ", &words); w && argc < ARGS_MAX; w = strtok_r(NULL, " ", &words))
                argv[argc++] = w;

        assert_int_equal(fflush(stdout), 0);
        kept_out = divert(STDOUT_FILENO, &out);
        kept_err = divert(STDERR_FILENO, &err);
        ret->r = options_parse_at("etc", argc, argv, &ret->options);
        (void) fflush(stdout);
        restore(STDOUT_FILENO, kept_out, out, &ret->out);
        restore(STDERR_FILENO, kept_err, err, &ret->err);
}

static void write_file(const char *name, const char *text) {
        _cleanup_(close_fdp) int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, slice_from_string(text)), 0);
}

/* Every test begins in a folder of its own with a configuration file F, a broken one B, and an empty folder
 * E. */
static int setup(void **state _unused_) {
        char dir[] = "/tmp/test-options-XXXXXX";

        assert_non_null(mkdtemp(dir));
        assert_int_equal(chdir(dir), 0);
        write_file("F", "tags = { \"a=file\", \"b=file\" }\nmax_tags = 5\ncollector_dirs = { \"/file\" }\n"
                        "server \"x\" { url = \"telnet://file\" }\nself_stats = false\n");
        write_file("B", "\nnonsense = 1\n");
        return mkdir("E", 0755);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                        struct FTW *ftw _unused_) {
        return remove(path);
}

static int teardown(void **state _unused_) {
        char dir[64];

        assert_non_null(getcwd(dir, sizeof(dir)));
        assert_int_equal(chdir("/"), 0);
        return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#define SEE "; see 'tcollector --help'."
#define TAG_SYNTAX ": must be KEY=VALUE, the key of [-_.a-zA-Z0-9], the value of [-_./a-zA-Z0-9]" SEE
#define HOST_SYNTAX ": a host is a name or an address, as in tsd1, 192.0.2.1 or [2001:db8::1]" SEE

static const struct {
        const char *line;
        int status;
        const char *why;
} refused[] = {
        { "--foo", 2, "unknown option '--foo'" SEE },
        { "--foo=1", 2, "unknown option '--foo=1'" SEE },
        { "-x", 2, "unknown option '-x'" SEE },
        { "-dx", 2, "unknown option '-x'" SEE },
        { "--dedup", 2, "option '--dedup' is ambiguous" SEE },
        { "--What", 2, "unknown option '--What'" SEE },
        { "--dry-run=yes", 2, "option '--dry-run' takes no value" SEE },
        { "--port", 2, "option '--port' needs a value" SEE },
        { "-p", 2, "option '-p' needs a value" SEE },
        { "more", 2, "unexpected argument 'more'" SEE },
        { "-d -- -v", 2, "unexpected argument '-v'" SEE },
        { "--port 99999", 2, "--port '99999': must be a number from 1 to 65535" SEE },
        { "-p 0", 2, "--port '0': must be a number from 1 to 65535" SEE },
        { "-p -1", 2, "--port '-1': must be a number from 1 to 65535" SEE },
        { "-p 42x", 2, "--port '42x': must be a number from 1 to 65535" SEE },
        { "--monitoring-port http", 2, "--monitoring-port 'http': must be a number from 1 to 65535" SEE },
        { "--monitoring-interface=", 2, "--monitoring-interface '': must not be empty" SEE },
        { "--pidfile=", 2, "--pidfile '': must not be empty" SEE },
        { "--max-bytes lots", 2, "--max-bytes 'lots': must be a size from 0 to 1T" SEE },
        { "--backup-count 1001", 2, "--backup-count '1001': must be a number from 0 to 1000" SEE },
        { "--max-tags 65", 2, "--max-tags '65': must be a number from 1 to 64" SEE },
        { "--dedup-interval -5", 2, "--dedup-interval '-5': must be a time span from 0 to 365d" SEE },
        { "--evict-interval 300", 2, "--evict-interval must be more than --dedup-interval" SEE },
        { "--dedup-interval 6000", 2, "--evict-interval must be more than --dedup-interval" SEE },
        { "--allowed-inactivity-time soon", 2,
          "--allowed-inactivity-time 'soon': must be a time span from 0 to 365d" SEE },
        { "--reconnect-interval -1", 2,
          "--reconnect-interval '-1': must be a time span from 0 to 365d" SEE },
        { "--namespace-prefix a:b", 2,
          "--namespace-prefix 'a:b': must have no characters but [-_./a-zA-Z0-9]" SEE },
        { "-t a", 2, "--tag 'a'" TAG_SYNTAX },
        { "-t a=", 2, "--tag 'a='" TAG_SYNTAX },
        { "-t a/b=c", 2, "--tag 'a/b=c'" TAG_SYNTAX },
        { "-t a=b:c", 2, "--tag 'a=b:c'" TAG_SYNTAX },
        { "-t a=1 -t b=1 -t a=2", 2, "--tag 'a=2': there is a tag of this key already" SEE },
        { "--max-tags 2 -t a=1 -t b=1", 2,
          "3 tags, that of the host included, are more than max_tags allows (2)" SEE },
        { "-s --max-tags 1 -t a=1 -t b=1", 2, "2 tags are more than --max-tags allows (1)" SEE },
        { "-H h:1", 2, "--host 'h:1': here stands a host alone; its port has an option of its own" SEE },
        { "-H a/b", 2, "--host 'a/b'" HOST_SYNTAX },
        { "-L ::1", 2,
          "--hosts-list '::1': an IPv6 address is written in brackets, as in [2001:db8::1]:4242" SEE },
        { "-L a,,b", 2, "--hosts-list ''" HOST_SYNTAX },
        { "-L a:99999", 2, "--hosts-list 'a:99999': a port is a number from 1 to 65535" SEE },
        { "-L a,b:", 2, "--hosts-list 'b:': a port is a number from 1 to 65535" SEE },
        { "-c nowhere", 1, "no folder of collectors 'nowhere': No such file or directory." },
        { "-c F", 1, "no folder of collectors 'F': Not a directory." },
        { "--ssl", 2, "--ssl goes with --http; a telnets:// server is named in a configuration file" SEE },
        { "--http --http-password x", 2, "--http-password goes with --http-username" SEE },
        { "--http --http-api-path a?b", 2, "server 'http://localhost:4242/a?b': Invalid argument" SEE },
        { "--http-password", 2, "option '--http-password' needs a value" SEE },
        { "--service --stdin", 2, "--service cannot go with --stdin" SEE },
        { "--service --daemonize", 2, "--service cannot go with --daemonize" SEE },
        { "--config nowhere", 1, "nowhere: No such file or directory." },
        { "--config B", 1, "B:2: no such option 'nonsense'." },
};

static void test_refused(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(outcome_done) Outcome o = {};
                char want[512];

                parse(refused[i].line, &o);
                (void) snprintf(want, sizeof(want), "tcollector: %s\n", refused[i].why);
                if (o.r >= 0 || options_exit_status(o.r, 0, NULL) != refused[i].status || o.out.n > 0)
                        fail_msg("%s: %d", refused[i].line, o.r);
                if (!o.err.data || strcmp(o.err.data, want) != 0)
                        fail_msg("%s: %s", refused[i].line, o.err.data);
        }
}

/* The parts of the outcome that are not as they are without any option. */
static void describe(const Options *o, Buffer *b) {
        static const struct {
                const char *name;
                size_t offset;
        } flags[] = {
                { "dry_run", offsetof(Options, dry_run) },
                { "stdin", offsetof(Options, from_stdin) },
                { "daemonize", offsetof(Options, daemonize) },
                { "verbose", offsetof(Options, verbose) },
                { "log_stdout", offsetof(Options, log_stdout) },
                { "remove", offsetof(Options, remove_inactive) },
                { "service", offsetof(Options, service) },
        };
        const Config *c = o->config;

        assert_int_equal(buffer_add_string(b, ""), 0);
        for (size_t i = 0; i < c->n_servers; i++)
                (void) buffer_addf(b, "%s%s%s ", c->servers[i].username,
                                   c->servers[i].username[0] ? "!" : "", c->servers[i].url);
        for (size_t i = 0; i < c->n_tags; i++)
                (void) buffer_addf(b, "%s=%s ", c->tags[i].key, c->tags[i].value);
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                if (*(const bool *) ((const char *) o + flags[i].offset))
                        (void) buffer_addf(b, "%s ", flags[i].name);
        if (o->pidfile)
                (void) buffer_addf(b, "pid:%s ", o->pidfile);
        if (o->logfile)
                (void) buffer_addf(b, "log:%s ", o->logfile);
        if (o->monitoring_address)
                (void) buffer_addf(b, "monitor:%s:%" PRIu64 " ", o->monitoring_address, o->monitoring_port);
        if (o->max_bytes != 64 * 1024 * 1024 || o->backup_count != 1)
                (void) buffer_addf(b, "rotate:%" PRIu64 "/%" PRIu64 " ", o->max_bytes, o->backup_count);
}

static void describe_config(const Config *c, Buffer *b) {
        _cleanup_(config_freep) Config *plain = NULL;
        char text[SPAN_MAX];

        assert_int_equal(config_new(&plain), 0);
        if (strcmp(c->collector_dirs[0], plain->collector_dirs[0]) != 0)
                for (size_t i = 0; i < c->n_collector_dirs; i++)
                        (void) buffer_addf(b, "dir:%s ", strrchr(c->collector_dirs[i], '/'));
        if (c->dedup_interval != 300 * USEC_PER_SEC)
                (void) buffer_addf(b, "dedup:%s ", span_format(text, c->dedup_interval));
        if (c->evict_interval != 6000 * USEC_PER_SEC)
                (void) buffer_addf(b, "evict:%s ", span_format(text, c->evict_interval));
        if (c->inactivity != 600 * USEC_PER_SEC)
                (void) buffer_addf(b, "inactivity:%s ", span_format(text, c->inactivity));
        if (c->reconnect_interval != 0)
                (void) buffer_addf(b, "reconnect:%s ", span_format(text, c->reconnect_interval));
        if (c->max_tags != 8)
                (void) buffer_addf(b, "max_tags:%" PRIu64 " ", c->max_tags);
        if (c->namespace_prefix[0] != '\0')
                (void) buffer_addf(b, "prefix:%s ", c->namespace_prefix);
        if (c->dedup_only_zero)
                (void) buffer_add_string(b, "only_zero ");
        if (!c->self_stats)
                (void) buffer_add_string(b, "no_stats ");
}

static const struct {
        const char *line, *want;
} taken[] = {
        { "", "telnet://localhost:4242 " },
        { "-d -s -v", "telnet://localhost:4242 dry_run stdin verbose " },
        { "-dsv", "telnet://localhost:4242 dry_run stdin verbose " },
        { "--dry-run --stdin --verbose", "telnet://localhost:4242 dry_run stdin verbose " },
        { "-H h", "telnet://h:4242 " },
        { "-p 1 -H h", "telnet://h:1 " },
        { "-p 1", "telnet://localhost:1 " },
        { "--http", "http://localhost:4242/api/put " },
        { "--http --ssl -p 443", "https://localhost:443/api/put " },
        { "--http --http-api-path x/y -L a,[::1]:5 -H b",
          "http://a:4242/x/y http://[::1]:5/x/y http://b:4242/x/y " },
        { "--http --http-api-path /x", "http://localhost:4242/x " },
        { "--http --http-username u --http-password p", "u!http://localhost:4242/api/put " },
        { "--http-username u", "telnet://localhost:4242 " },
        { "-H ::1", "telnet://[::1]:4242 " },
        { "-H [::1] -p 5", "telnet://[::1]:5 " },
        { "-L a,b:1,[::1]:2,[::2] -p 7", "telnet://a:7 telnet://b:1 telnet://[::1]:2 telnet://[::2]:7 " },
        { "-L a -H h", "telnet://a:4242 telnet://h:4242 " },
        { "-L a,a:4242 -H a", "telnet://a:4242 " },
        { "--hosts-list=a:1 --host=b --port=2", "telnet://a:1 telnet://b:2 " },
        { "-t a=1 -t B.x_y-z=/p", "telnet://localhost:4242 a=1 B.x_y-z=/p " },
        { "--tag project=monitor -thost=www", "telnet://localhost:4242 project=monitor host=www " },
        { "-D", "telnet://localhost:4242 daemonize log:/var/log/tcollector.log " },
        { "-D --logfile l -P p", "telnet://localhost:4242 daemonize pid:p log:l " },
        { "-D --log-stdout --logfile l", "telnet://localhost:4242 daemonize log_stdout " },
        { "--logfile l --max-bytes 1M --backup-count 5", "telnet://localhost:4242 log:l rotate:1048576/5 " },
        { "--max-bytes 1000 --backup-count 0", "telnet://localhost:4242 rotate:1000/0 " },
        { "--monitoring-interface 127.0.0.1", "telnet://localhost:4242 monitor:127.0.0.1:13280 " },
        { "--monitoring-interface :: --monitoring-port 80", "telnet://localhost:4242 monitor::::80 " },
        { "--remove-inactive-collectors", "telnet://localhost:4242 remove " },
        { "--allowed-inactivity-time 60", "telnet://localhost:4242 inactivity:1min " },
        { "--reconnect-interval 1h", "telnet://localhost:4242 reconnect:1h " },
        { "--dedup-interval=0", "telnet://localhost:4242 dedup:0 " },
        { "--dedup-interval 7000 --evict-interval 7001",
          "telnet://localhost:4242 dedup:1h 56min 40s evict:1h 56min 41s " },
        { "--evict-interval 301", "telnet://localhost:4242 evict:5min 1s " },
        { "--dedup-only-zero --no-tcollector-stats", "telnet://localhost:4242 only_zero no_stats " },
        { "--max-tags 3 -t a=1 -t b=1", "telnet://localhost:4242 a=1 b=1 max_tags:3 " },
        { "--max-tags 1 -t host=a", "telnet://localhost:4242 host=a max_tags:1 " },
        { "-s --max-tags 2 -t a=1 -t b=1", "telnet://localhost:4242 a=1 b=1 stdin max_tags:2 " },
        { "--namespace-prefix team", "telnet://localhost:4242 prefix:team " },
        { "-c E -c /", "telnet://localhost:4242 dir:/E dir:/ " },
        { "-c E/../E", "telnet://localhost:4242 dir:/E " },
        { "--config F", "telnet://file:4242 a=file b=file dir:/file max_tags:5 no_stats " },
        { "--config F -t a=line -c E", "telnet://file:4242 b=file a=line dir:/E max_tags:5 no_stats " },
        { "-H h --max-tags 6 --config F", "telnet://h:4242 a=file b=file dir:/file max_tags:6 no_stats " },
        { "-p 5 --config F", "telnet://localhost:5 a=file b=file dir:/file max_tags:5 no_stats " },
        { "--config B --config F", "telnet://file:4242 a=file b=file dir:/file max_tags:5 no_stats " },
        { "--dry --stdi", "telnet://localhost:4242 dry_run stdin " },
};

static void test_taken(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(taken); i++) {
                _cleanup_(buffer_done) Buffer got = {};
                _cleanup_(outcome_done) Outcome o = {};

                parse(taken[i].line, &o);
                if (o.r != 0 || o.out.n > 0 || o.err.n > 0)
                        fail_msg("%s: %s", taken[i].line, o.err.data);

                describe(&o.options, &got);
                describe_config(o.options.config, &got);
                if (strcmp(got.data, taken[i].want) != 0)
                        fail_msg("%s: %s", taken[i].line, got.data);
        }
}

/* Without --config the system's files are read where there are any; a broken one is said, and is no wrong
 * usage. */
static void test_system_files(void **state _unused_) {
        _cleanup_(outcome_done) Outcome both = {}, drop_in = {}, broken = {}, named = {}, help = {};
        char name[] = "tcollector", option[] = "--service", *service[] = { name, option, NULL };

        assert_int_equal(mkdir("etc", 0755), 0);
        assert_int_equal(mkdir("etc/conf.d", 0755), 0);
        write_file("etc/conf.d/a.conf", "max_tags = 3");
        parse("", &drop_in);
        assert_int_equal(drop_in.r, 0);
        assert_int_equal(drop_in.options.config->max_tags, 3);

        write_file("etc/tcollector.conf", "max_tags = 2 namespace_prefix = x");
        parse("", &both);
        assert_int_equal(both.r, 0);
        assert_int_equal(both.options.config->max_tags, 3);
        assert_string_equal(both.options.config->namespace_prefix, "x");

        write_file("etc/conf.d/b.conf", "max_tags = none");
        parse("-v", &broken);
        assert_int_equal(options_exit_status(broken.r, 0, NULL), 1);
        assert_int_equal(options_exit_status(broken.r, 2, service), 78);
        assert_int_equal(options_exit_status(-ENOMEM, 2, service), 1);
        assert_string_equal(broken.err.data, "tcollector: etc/conf.d/b.conf:1: max_tags = \"none\": "
                                             "must be a number from 1 to 64.\n");
        parse("--config F", &named);
        assert_int_equal(named.r, 0);
        assert_int_equal(named.options.config->max_tags, 5);
        parse("--help", &help);
        assert_int_equal(help.r, 1);
}

static void check_help_line(const char *line, size_t n) {
        if (n > 79)
                fail_msg("too wide: %.*s", (int) n, line);
        if (n > 0 && (line[n - 1] == ' ' || memchr(line, '\t', n)))
                fail_msg("white space: %.*s", (int) n, line);
}

/* Every option stands in the help, with its letter and what its value is called. */
static void test_help(void **state _unused_) {
        _cleanup_(outcome_done) Outcome o = {}, short_one = {};

        parse("-d --help --http", &o);
        assert_int_equal(o.r, 1);
        assert_int_equal(options_exit_status(o.r, 0, NULL), 0);
        assert_int_equal(o.err.n, 0);
        parse("-h", &short_one);
        assert_string_equal(o.out.data, short_one.out.data);

        for (const OptionRow *row = option_rows; row->name; row++) {
                char letter[] = { ' ', ' ', '-', row->letter, ',', ' ', '\0' }, want[128];

                if (option_is_title(row))
                        (void) snprintf(want, sizeof(want), "\n%s:\n", row->name);
                else
                        (void) snprintf(want, sizeof(want), "\n%s--%s%s%s", row->letter ? letter : "      ",
                                        row->name, row->argument ? " " : "", row->argument ?: "");
                if (!strstr(o.out.data, want))
                        fail_msg("not in the help: %s", want);
        }
        for (char *line = o.out.data; *line; line += strcspn(line, "\n") + 1)
                check_help_line(line, strcspn(line, "\n"));
}

static void test_version(void **state _unused_) {
        _cleanup_(outcome_done) Outcome o = {};

        parse("--version", &o);
        assert_int_equal(o.r, 1);
        assert_true(strncmp(o.out.data, "tcollector ", 11) == 0 && o.out.data[o.out.n - 1] == '\n');
        assert_int_equal(o.err.n, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_system_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_help, setup, teardown),
                cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        };

        return run_tap(tests);
}
