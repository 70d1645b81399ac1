/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all collectors share (collectors/lib): taking text apart, putting lines together, the command line,
 * the schedule, and asking file systems that may be dead. */

#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "basic/log.h"
#include "lib/arguments.h"
#include "lib/emit.h"
#include "lib/fsprobe.h"
#include "lib/text.h"
#include "unit/tap.h"

static const struct {
        const char *text, *lines; /* each line with a '|' behind it */
} line_cases[] = {
        { "", "" },    { "a", "a|" },         { "a\n", "a|" },
        { "\n", "|" }, { "a\n\nb", "a||b|" }, { "a b\nc\n", "a b|c|" },
};

static void test_lines(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(line_cases); i++) {
                Slice rest = guarded(line_cases[i].text), line;
                char got[64] = "";
                size_t n = 0;

                while (text_line(&rest, &line))
                        n += (size_t) snprintf(got + n, sizeof(got) - n, "%.*s|", (int) line.n, line.p);
                assert_string_equal(got, line_cases[i].lines);
                assert_int_equal(rest.n, 0);
        }
}

static const struct {
        const char *text;
        size_t n;
        const char *last; /* of the first three */
} word_cases[] = {
        { "", 0, NULL },        { "  \t\n ", 0, NULL }, { "a", 1, "a" },
        { " a  bc ", 2, "bc" }, { "a\tb\rc", 3, "c" },  { "one two three four", 3, "three" },
};

static void test_words(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(word_cases); i++) {
                Slice words[3];
                size_t n = text_words(guarded(word_cases[i].text), words, 3);

                assert_int_equal(n, word_cases[i].n);
                if (n > 0)
                        assert_true(slice_equal(words[n - 1], slice_from_string(word_cases[i].last)));
        }
}

static void test_numbers(void **state _unused_) {
        Slice rest = guarded(" 7 x 18446744073709551615 18446744073709551616");
        uint64_t v = 0;

        assert_true(text_number(&rest, &v) && v == 7);
        assert_false(text_number(&rest, &v)); /* and is behind the x */
        assert_true(text_number(&rest, &v) && v == UINT64_MAX);
        assert_false(text_number(&rest, &v));
        assert_false(text_number(&rest, &v));
        assert_int_equal(v, UINT64_MAX);
}

static const struct {
        const char *text;
        bool want;
} decimal_cases[] = {
        { "0", true },    { "12", true },  { "0.00", true }, { "1488.14", true }, { "", false },
        { ".", false },   { ".5", false }, { "5.", false },  { "-1", false },     { "1.2.3", false },
        { "1e3", false }, { "1 ", false }, { "x", false },   { "1.x", false },    { "1x", false },
};

static void test_decimals(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(decimal_cases); i++)
                if (text_is_decimal(guarded(decimal_cases[i].text)) != decimal_cases[i].want)
                        fail_msg("'%s'", decimal_cases[i].text);
}

static const struct {
        const char *list, *members; /* of 0 to 9 */
} list_cases[] = {
        { "", "" },    { "0", "0" },    { "0-3,8", "01238" }, { "8,0-1\n", "018" }, { "3-3", "3" },
        { "3-1", "" }, { "x", "" },     { "1,x,2", "1" },     { "1-", "" },         { "-1", "" },
        { ",1", "" },  { "1,,2", "1" }, { "4-65536", "" },    { "7-65535", "789" }, { "0 - 1", "" },
};

static void test_lists(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(list_cases); i++) {
                Slice list = guarded(list_cases[i].list);
                char got[16] = "";

                for (unsigned k = 0, n = 0; k < 10; k++)
                        if (text_list_has(list, k))
                                got[n++] = (char) ('0' + k);
                if (strcmp(got, list_cases[i].members) != 0)
                        fail_msg("'%s' has '%s'", list_cases[i].list, got);
        }
}

static const struct {
        const char *from, *to;
} escape_cases[] = {
        { "", "" },           { "/a", "/a" },      { "a\\040b", "a b" }, { "\\134\\011\\012", "\\\t\n" },
        { "\\04", "\\04" },   { "\\", "\\" },      { "a\\0", "a\\0" },   { "\\400", "\\400" },
        { "\\08x", "\\08x" }, { "\\377", "\xff" }, { "\\\\040", "\\ " },
};

static void test_unescape(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(escape_cases); i++) {
                char buf[32];
                size_t n = text_unescape(guarded(escape_cases[i].from), buf);

                if (!slice_equal((Slice) { buf, n }, slice_from_string(escape_cases[i].to)))
                        fail_msg("'%s'", escape_cases[i].from);
        }
}

/* What has gathered in `e`, as a string. */
static const char *gathered(Emit *e) {
        assert_true(e->n < sizeof(e->data));
        e->data[e->n] = '\0';
        return e->data;
}

static void test_emit(void **state _unused_) {
        _cleanup_(freep) Emit *e = calloc(1, sizeof(*e));
        Tags tags;

        assert_non_null(e);
        e->time_sec = 1700000000;

        tags_reset(&tags);
        tags_add(&tags, "mount", guarded("/a b"));
        tags_add(&tags, "none", guarded(""));
        tags_add_number(&tags, "cpu", 0);
        emit_number(e, "df.", guarded("x:y"), 0, &tags);
        emit_number(e, "a", SLICE(""), INT64_MAX, NULL);
        emit_number(e, "a", SLICE("b"), (uint64_t) INT64_MAX + 1, NULL);
        emit_text(e, "a.", SLICE("b"), guarded("12.50"), NULL);
        emit_fixed(e, "a.", SLICE("c"), 2.0 / 3, NULL);
        emit_fixed(e, "a.", SLICE("c"), -1, NULL);
        emit_fixed(e, "a.", SLICE("c"), 1e300, NULL);
        emit_fixed(e, "a.", SLICE("c"), __builtin_nan(""), NULL);

        assert_string_equal(gathered(e), "df.x_y 1700000000 0 mount=/a_b none=_ cpu=0\n"
                                         "a 1700000000 9223372036854775807\n"
                                         "a.b 1700000000 12.50\n"
                                         "a.c 1700000000 0.67\n");
        assert_int_equal(e->n_lines, 4);
}

/* A line has at most 1023 bytes; a longer one is left out, wherever it is that it grows too long. */
static void test_emit_long(void **state _unused_) {
        static const char a[2 * EMIT_LINE_MAX] = { [0 ... 2 * EMIT_LINE_MAX - 1] = 'a' };
        _cleanup_(freep) Emit *e = calloc(1, sizeof(*e));
        Tags tags;

        assert_non_null(e);
        for (size_t n = 0; n <= sizeof(a); n++) {
                size_t before = e->n_lines;

                e->n = 0;
                emit_number(e, "", guarded_slice((Slice) { a, n }), 1, NULL);
                assert_int_equal(e->n_lines - before, n + strlen(" 0 1\n") < EMIT_LINE_MAX);
                before = e->n_lines;

                tags_reset(&tags);
                tags_add(&tags, "k", guarded_slice((Slice) { a, n }));
                tags_add(&tags, "l", SLICE("m"));
                emit_number(e, "a", SLICE(""), 1, &tags);
                assert_int_equal(e->n_lines - before,
                                 MAX(n, (size_t) 1) + strlen("a 0 1 k= l=m\n") < EMIT_LINE_MAX);
        }
}

/* Every write ends with a line, and only a full buffer makes one before the round's end. */
static void test_emit_writes(void **state _unused_) {
        _cleanup_(freep) char *got = malloc(2 * EMIT_BUFFER_MAX);
        _cleanup_(freep) Emit *e = calloc(1, sizeof(*e));
        uint64_t lines = 0;
        size_t writes = 0;
        int fds[2];

        assert_non_null(got);
        assert_non_null(e);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        e->fd = fds[0];

        for (uint64_t i = 0; i < 5000; i++)
                emit_number(e, "some.metric", SLICE(""), i, NULL);
        assert_int_equal(emit_flush(e), 0);
        assert_int_equal(emit_flush(e), 0);
        close_fd(fds[0]);

        for (ssize_t n; (n = read(fds[1], got, 2 * EMIT_BUFFER_MAX)) > 0; writes++) {
                assert_true(n <= (ssize_t) EMIT_BUFFER_MAX);
                assert_int_equal(got[n - 1], '\n');
                for (ssize_t i = 0; i < n; i++)
                        lines += got[i] == '\n';
        }
        close_fd(fds[1]);
        assert_int_equal(lines, 5000);
        assert_int_equal(writes, 2);
}

static void test_emit_fails(void **state _unused_) {
        _cleanup_(freep) Emit *e = calloc(1, sizeof(*e));

        assert_non_null(e);
        e->fd = -1;
        for (uint64_t i = 0; i < 5000; i++)
                emit_number(e, "some.metric", SLICE(""), i, NULL);
        assert_int_equal(e->error, -EBADF);
        assert_int_equal(emit_flush(e), -EBADF);
}

static const struct {
        usec_t begin, interval, now, want;
} round_cases[] = {
        { 100, 15, 100, 115 }, { 100, 15, 101, 115 }, { 100, 15, 114, 115 },
        { 100, 15, 115, 130 }, { 100, 15, 131, 145 }, { 0, 1, 7, 8 }, /* overran two: none is made up for */
};

static void test_rounds(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(round_cases); i++)
                assert_int_equal(
                        round_next(round_cases[i].begin, round_cases[i].interval, round_cases[i].now),
                        round_cases[i].want);
}

typedef struct OwnState {
        bool flag;
        const char *word;
} OwnState;

static int set_flag(void *state, const char *value) {
        ((OwnState *) state)->flag = !value;
        return 0;
}

static int set_word(void *state, const char *value) {
        ((OwnState *) state)->word = value;
        return strcmp(value, "bad") == 0 ? -EINVAL : 0;
}

static const CollectorOption own_options[] = {
        { "flag", NULL, "a flag", set_flag },
        { "word", "WORD", "a word", set_word },
};
static const CollectorSpec spec = {
        .name = "one",
        .interval_sec = 15,
        .options = own_options,
        .n_options = ELEMENTSOF(own_options),
};

static const struct {
        const char *name, *environment, *interval; /* $ONE_OPTIONS, $TCOLLECTOR_INTERVAL; NULL: unset */
        const char *words[4];
        int want;
        Arguments arguments; /* where `want` is 0 */
        OwnState own;
} argument_cases[] = {
        { "none", NULL, NULL, {}, 0, { .interval = 15 * USEC_PER_SEC }, {} },
        { "service", NULL, "0", {}, 0, { .interval = 15 * USEC_PER_SEC }, {} },
        { "periodic", NULL, "60", {}, 0, { .once = true, .interval = 15 * USEC_PER_SEC }, {} },
        { "no interval", NULL, "soon", {}, 0, { .interval = 15 * USEC_PER_SEC }, {} },
        { "all",
          NULL,
          NULL,
          { "--once", "--interval=0.5", "--time", "7" },
          0,
          { .once = true, .interval = 500000, .time_given = true, .time_sec = 7 },
          {} },
        { "roots",
          NULL,
          NULL,
          { "--root", "a", "--root=b" },
          0,
          { .interval = 15 * USEC_PER_SEC, .roots = { "a", "b" }, .n_roots = 2 },
          {} },
        { "own", NULL, NULL, { "--flag", "--word=x" }, 0, { .interval = 15 * USEC_PER_SEC }, { true, "x" } },
        { "environment",
          "  --flag\t--word y\n",
          NULL,
          {},
          0,
          { .interval = 15 * USEC_PER_SEC },
          { true, "y" } },
        { "command line wins",
          "--word=y --interval=1",
          NULL,
          { "--word=z" },
          0,
          { .interval = USEC_PER_SEC },
          { false, "z" } },
        { "empty environment", "", NULL, {}, 0, { .interval = 15 * USEC_PER_SEC }, {} },
        { "bad environment", "--nonsense", NULL, {}, -EINVAL, {}, {} },
        { "bad own value", NULL, NULL, { "--word=bad" }, -EINVAL, {}, {} },
        { "no value", NULL, NULL, { "--word" }, -EINVAL, {}, {} },
        { "unknown", NULL, NULL, { "--flags" }, -EINVAL, {}, {} },
        { "bad interval", NULL, NULL, { "--interval=-1" }, -EINVAL, {}, {} },
        { "no end", NULL, NULL, { "--interval=infinity" }, -EINVAL, {}, {} },
        { "no year", NULL, NULL, { "--interval=367d" }, -EINVAL, {}, {} },
        { "word", NULL, NULL, { "word" }, -EINVAL, {}, {} },
};

static void set_environment(const char *name, const char *value) {
        assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void ignore_log(void *userdata _unused_, int level _unused_, const char *line _unused_) {
}

static void test_arguments(void **state _unused_) {
        log_set_sink(ignore_log, NULL);

        for (size_t i = 0; i < ELEMENTSOF(argument_cases); i++) {
                const Arguments *want = &argument_cases[i].arguments;
                char *words[6] = { (char *) "one" };
                OwnState own = {};
                Arguments a = {};
                int argc = 1, r;

                set_environment("ONE_OPTIONS", argument_cases[i].environment);
                set_environment("TCOLLECTOR_INTERVAL", argument_cases[i].interval);
                for (size_t k = 0; k < 4 && argument_cases[i].words[k]; k++)
                        words[argc++] = (char *) argument_cases[i].words[k];

                r = arguments_parse(&spec, argc, words, &own, &a);
                if (r != argument_cases[i].want)
                        fail_msg("%s: %d", argument_cases[i].name, r);
                if (a.once != want->once || a.interval != want->interval ||
                    a.time_given != want->time_given || a.time_sec != want->time_sec ||
                    a.n_roots != want->n_roots)
                        fail_msg("%s", argument_cases[i].name);
                for (size_t k = 0; k < a.n_roots; k++)
                        assert_string_equal(a.roots[k], want->roots[k]);
                if (r == 0) {
                        assert_int_equal(own.flag, argument_cases[i].own.flag);
                        assert_string_equal(own.word ? own.word : "", argument_cases[i].own.word ?: "");
                }
                arguments_done(&a);
        }

        log_set_sink(NULL, NULL);
        set_environment("ONE_OPTIONS", NULL);
        set_environment("TCOLLECTOR_INTERVAL", NULL);
}

/* Answers with the path's length, unless its name says otherwise. */
static int ask(const void *userdata _unused_, const char *path, FsNumbers *ret) {
        if (strncmp(path, "/dead", 5) == 0)
                for (;;)
                        (void) pause();
        if (strcmp(path, "/crash") == 0)
                _exit(1);
        if (strcmp(path, "/refuse") == 0)
                return -EACCES;

        *ret = (FsNumbers) { .block_size = strlen(path) };
        return 0;
}

/* As long as a machine that is busy may take for what takes a microsecond; dead ones take it every time. */
#define DEADLINE (2 * USEC_PER_SEC)

static void expect_round(FsProbe *p, const char *const *paths, const int *results, size_t n) {
        const FsQuestion q = { ask, NULL, DEADLINE };
        FsAnswer answers[8];

        assert_true(n <= ELEMENTSOF(answers));
        assert_int_equal(fsprobe_round(p, &q, paths, n, answers), 0);
        for (size_t i = 0; i < n; i++) {
                if (answers[i].result != results[i])
                        fail_msg("%s: %d", paths[i], answers[i].result);
                if (results[i] == 0)
                        assert_int_equal(answers[i].numbers.block_size, strlen(paths[i]));
        }
}

static void test_fsprobe(void **state _unused_) {
        static const char *const paths[] = { "/a", "/refuse", "/bc", "/crash", "/def" };
        static const int results[] = { 0, -EACCES, 0, -EIO, 0 };
        FsProbe p = {};

        for (size_t i = 0; i < 3; i++)
                expect_round(&p, paths, results, ELEMENTSOF(paths));
        expect_round(&p, NULL, NULL, 0);
        assert_int_equal(p.n_dead, 0);
        fsprobe_done(&p);
}

/* A mount that hangs is given up, left out, asked again, and forgotten when it is unmounted. */
static void test_fsprobe_dead(void **state _unused_) {
        static const char *const paths[] = { "/a", "/dead", "/bc" };
        static const int given_up[] = { 0, -ETIMEDOUT, 0 }, left_out[] = { 0, -EAGAIN, 0 };
        static const char *const without[] = { "/a", "/bc" };
        static const int fine[] = { 0, 0 };
        FsProbe p = {};
        pid_t child;

        expect_round(&p, paths, given_up, 3);
        assert_int_equal(p.n_dead, 1);
        child = p.dead[0].child;
        assert_true(child > 0);
        assert_int_equal(waitpid(child, NULL, 0), child); /* it has been killed */

        expect_round(&p, paths, left_out, 3);
        assert_int_equal(p.dead[0].child, 0);
        expect_round(&p, paths, given_up, 3);
        for (size_t i = 0; i < 3; i++)
                expect_round(&p, paths, left_out, 3);

        (void) waitpid(p.dead[0].child, NULL, 0);
        expect_round(&p, without, fine, 2);
        assert_int_equal(p.n_dead, 0);
        fsprobe_done(&p);
}

/* While its child still hangs, a mount is not asked again, however long ago that was. */
static void test_fsprobe_child(void **state _unused_) {
        static const char *const paths[] = { "/b" };
        static const int left_out[] = { -EAGAIN }, fine[] = { 0 };
        FsProbe p = {};
        pid_t child = fork();

        if (child == 0)
                for (;;)
                        (void) pause();
        assert_true(child > 0);

        p.dead = calloc(1, sizeof(*p.dead));
        assert_non_null(p.dead);
        p.dead[0] = (FsDead) { .path = strdup("/b"), .child = child, .failures = 1 };
        p.n_dead = 1;
        p.n_rounds = 1000;

        expect_round(&p, paths, left_out, 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t) child, &(siginfo_t) {}, WEXITED | WNOWAIT), 0);
        expect_round(&p, paths, fine, 1);
        assert_int_equal(p.n_dead, 0);
        fsprobe_done(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),         cmocka_unit_test(test_words),
                cmocka_unit_test(test_numbers),       cmocka_unit_test(test_decimals),
                cmocka_unit_test(test_lists),         cmocka_unit_test(test_unescape),
                cmocka_unit_test(test_emit),          cmocka_unit_test(test_emit_long),
                cmocka_unit_test(test_emit_writes),   cmocka_unit_test(test_emit_fails),
                cmocka_unit_test(test_rounds),        cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_fsprobe),       cmocka_unit_test(test_fsprobe_dead),
                cmocka_unit_test(test_fsprobe_child),
        };

        return run_tap(tests);
}
