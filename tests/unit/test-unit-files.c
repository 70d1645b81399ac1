/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is made for one collector, whole. Its file is made up: device 1, inode 2, size 3, changed at 4.5. */

#include <stdio.h>

#include <config.h>

#include "conf/instance.h"
#include "conf/unit-files.h"
#include "unit/tap.h"
#include "unit/tree.h"

#define HEAD "# Made by tcollector-generator(8), and made anew at every change.\n"
#define EXEC "ExecStart=\nExecStart=" PKGLIBEXECDIR "/tcollector-exec "
#define SANDBOX                            \
        "Restart=on-success\n"             \
        "RestartSec=15\n"                  \
        "ProtectSystem=full\n"             \
        "ProtectHome=read-only\n"          \
        "ProtectKernelTunables=yes\n"      \
        "ProtectKernelModules=yes\n"       \
        "ProtectKernelLogs=yes\n"          \
        "RestrictNamespaces=yes\n"         \
        "RestrictRealtime=yes\n"           \
        "RestrictSUIDSGID=yes\n"           \
        "LockPersonality=yes\n"            \
        "SystemCallArchitectures=native\n" \
        "SystemCallErrorNumber=EPERM\n"    \
        "SystemCallFilter=@system-service\n"

#define PERIODIC(instance, name, path, interval, more, timer)                                          \
        "== tcollector-col@" instance ".service.d/50-tcollector.conf\n" HEAD                           \
        "[Unit]\nDescription=tcollector Collector " name "\n"                                          \
        "X-Tcollector-File=1:2 3 4.000000005 \"" path "\"\n"                                           \
        "Wants=tcollector-col@%i.timer\n\n[Service]\n" EXEC "\"" path "\"\n"                           \
        "Environment=\"TCOLLECTOR_NAME=" name "\"\nEnvironment=\"TCOLLECTOR_INTERVAL=" interval "\"\n" \
        "Environment=\"PYTHONPATH=/c/lib:/c:/c/..\"\n" more "RuntimeMaxSec=" interval "\n"             \
        "== tcollector-col@" instance ".timer.d/50-tcollector.conf\n" HEAD "[Timer]\n" timer           \
        "== tcollector.service.wants/tcollector-col@" instance ".timer\n"                              \
        "-> " SYSTEMUNITDIR "/tcollector-col@.timer\n"

static const struct {
        const char *name, *path, *config, *want;
        uint64_t interval_sec;
} cases[] = {
        { "df.sh", "/c/15/df.sh", "",
          PERIODIC("df.sh", "df.sh", "/c/15/df.sh", "15", "", "OnActiveSec=4051ms\nOnUnitActiveSec=15\n"),
          15 },
        { "tail.py", "/c/0/tail.py", "",
          "== tcollector-col@tail.py.service.d/50-tcollector.conf\n" HEAD
          "[Unit]\nDescription=tcollector Collector tail.py\n"
          "X-Tcollector-File=1:2 3 4.000000005 \"/c/0/tail.py\"\n\n[Service]\n" EXEC "\"/c/0/tail.py\"\n"
          "Environment=\"TCOLLECTOR_NAME=tail.py\"\nEnvironment=\"TCOLLECTOR_INTERVAL=0\"\n"
          "Environment=\"PYTHONPATH=/c/lib:/c:/c/..\"\n" SANDBOX
          "== tcollector.service.wants/tcollector-col@tail.py.service\n"
          "-> " SYSTEMUNITDIR "/tcollector-col@.service\n",
          0 },
        { "db", "/c/60/db",
          "collector db { user = root memory_max = \"64M\" tasks_max = 8 cpu_quota = \"20%\" align = yes"
          " environment = { \"A=1 %\", 'B=\"$x\"' } }",
          PERIODIC("db", "db", "/c/60/db", "60",
                   "Environment=\"A=1 %%\"\nEnvironment=\"B=\\\"$x\\\"\"\nUser=root\nMemoryMax=67108864\n"
                   "TasksMax=8\nCPUQuota=20%\n",
                   "OnCalendar=*-*-* *:*:00 UTC\n"),
          60 },
        { "week", "/c/604800/week", "collector week { align = yes }",
          PERIODIC("week", "week", "/c/604800/week", "604800", "",
                   "OnActiveSec=6065ms\nOnUnitActiveSec=604800\n"),
          604800 },
        { "as the template", "/c/1/as the template",
          "collector 'as the template' { memory_max = \"256M\" tasks_max = 64 cpu_quota = 0 retry = 3600 }",
          PERIODIC("as\\x20the\\x20template", "as the template", "/c/1/as the template", "1", "",
                   "OnActiveSec=237ms\nOnUnitActiveSec=1\n"),
          1 },
        { "odd%\"$x\\", "/c/0/odd%\"$x\\", "",
          "== tcollector-col@odd\\x25\\x22\\x24x\\x5c.service.d/50-tcollector.conf\n" HEAD
          "[Unit]\nDescription=tcollector Collector odd\\x25\\x22\\x24x\\x5c\n"
          "X-Tcollector-File=1:2 3 4.000000005 \"/c/0/odd%%\\\"$x\\\\\"\n\n[Service]\n" EXEC
          "\"/c/0/odd%%\\\"$$x\\\\\"\n"
          "Environment=\"TCOLLECTOR_NAME=odd%%\\\"$x\\\\\"\nEnvironment=\"TCOLLECTOR_INTERVAL=0\"\n"
          "Environment=\"PYTHONPATH=/c/lib:/c:/c/..\"\n" SANDBOX
          "== tcollector.service.wants/tcollector-col@odd\\x25\\x22\\x24x\\x5c.service\n"
          "-> " SYSTEMUNITDIR "/tcollector-col@.service\n",
          0 },
};

/* A roster of one, whose entry is borrowed from the arguments. */
typedef struct One {
        RosterEntry entry;
        Roster roster;
        Config *config;
} One;

static void one_done(One *o) {
        free(o->entry.instance);
        (void) config_free(o->config);
}

static void make_one(One *ret, const char *name, const char *path, uint64_t interval, const char *config) {
        _cleanup_(buffer_done) Buffer why = {};

        assert_int_equal(config_new(&ret->config), 0);
        config_clear_dirs(ret->config);
        if (config_read_text(ret->config, guarded(config), "f", &why) < 0)
                fail_msg("%s: %s", name, why.data);
        assert_int_equal(instance_from_name(name, &ret->entry.instance), 0);
        ret->entry.item = (DiscoverItem) {
                (char *) name, (char *) path, interval, { 4, 5 }, 1, 2, 3,
        };
        ret->entry.settings = config_collector(ret->config, name);
        ret->roster = (Roster) { &ret->entry, 1 };
}

/* As tree_read() writes it, of what is for this collector. */
static void write_out(const UnitFiles *u, const char *instance, Buffer *out) {
        assert_int_equal(buffer_add_string(out, ""), 0);
        for (size_t i = 0; i < u->n; i++) {
                const UnitFile *f = u->files + i;

                assert_true(i == 0 || strcmp(f[-1].path, f->path) < 0);
                if (strcmp(f->instance, instance) == 0)
                        assert_int_equal(buffer_addf(out, f->is_link ? "== %s\n-> %s\n" : "== %s\n%s",
                                                     f->path, f->content),
                                         0);
        }
}

static void test_collectors(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(unit_files_done) UnitFiles u = {};
                _cleanup_(buffer_done) Buffer got = {};
                _cleanup_(one_done) One one = {};

                make_one(&one, cases[i].name, cases[i].path, cases[i].interval_sec, cases[i].config);
                assert_int_equal(unit_files_make(&one.roster, one.config, "host", &u), 0);
                write_out(&u, one.entry.instance, &got);
                if (strcmp(got.data, cases[i].want) != 0)
                        fail_msg("%s:\n%s", cases[i].name, got.data);
        }
}

static void test_retry(void **state _unused_) {
        _cleanup_(unit_files_done) UnitFiles u = {};
        _cleanup_(buffer_done) Buffer got = {};
        _cleanup_(one_done) One one = {};

        make_one(&one, "x", "/c/0/x", 0, "collector x { retry = \"1.5s\" }");
        assert_int_equal(unit_files_make(&one.roster, one.config, "host", &u), 0);
        write_out(&u, "x", &got);
        assert_non_null(strstr(got.data, "== tcollector-col-retry@x.timer.d/50-tcollector.conf\n" HEAD
                                         "[Timer]\nOnActiveSec=\nOnActiveSec=1500000us\n"));
}

static void test_watches(void **state _unused_) {
        _cleanup_(unit_files_done) UnitFiles u = {};
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(freep) char *dir = NULL;
        _cleanup_(buffer_done) Buffer got = {};
        _cleanup_(tree_done) Tree t = {};

        tree_make(&t, "d a%b/15 d a%b/0 d a%b/lib");
        dir = tree_path(&t, "a%b");
        assert_int_equal(config_new(&c), 0);
        config_clear_dirs(c);
        assert_int_equal(config_add_dir(c, dir), 0);
        assert_int_equal(config_add_dir(c, "/no/such"), 0);

        assert_int_equal(unit_files_make(&(Roster) {}, c, "host", &u), 0);
        assert_int_equal(u.n, 1);
        write_out(&u, "", &got);
        buffer_replace(&got, t.root, "ROOT");
        assert_string_equal(got.data, "== tcollector-rescan.path.d/50-tcollector.conf\n" HEAD "[Path]\n"
                                      "PathChanged=" SYSCONFDIR "/tcollector\n"
                                      "PathChanged=" SYSCONFDIR "/tcollector/conf.d\n"
                                      "PathChanged=ROOT/a%%b\n"
                                      "PathChanged=/no/such\n"
                                      "PathChanged=ROOT/a%%b/0\n"
                                      "PathChanged=ROOT/a%%b/15\n");
}

static uint64_t digest_of(const One *one) {
        _cleanup_(unit_files_done) UnitFiles u = {};

        assert_int_equal(unit_files_make(&one->roster, one->config, "host", &u), 0);
        assert_true(unit_files_digest(&u, "") != unit_files_digest(&u, one->entry.instance));
        assert_true(unit_files_digest(&u, "no") != unit_files_digest(&u, one->entry.instance));
        return unit_files_digest(&u, one->entry.instance);
}

/* What systemd would have to be told changes the digest; what only the agent reads does not. */
static void test_digest(void **state _unused_) {
        static const struct {
                const char *config;
                bool differs;
        } rows[] = {
                { "", false },
                { "max_tags = 5 collector y { user = nobody }", false },
                { "collector x { inactivity = 5 max_series = 5 tags = { \"a=b\" } }", false },
                { "collector x { user = nobody }", true },
                { "collector x { environment = { \"A=\" } }", true },
                { "collector x { retry = 5 }", true },
                { "collector x { align = true }", true },
        };
        uint64_t first = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(one_done) One one = {};

                make_one(&one, "x", "/c/15/x", 15, rows[i].config);
                first = i == 0 ? digest_of(&one) : first;
                if ((digest_of(&one) != first) != rows[i].differs)
                        fail_msg("%s", rows[i].config);

                one.entry.item.mtime.tv_nsec++;
                assert_true(digest_of(&one) != first);
                one.entry.item.mtime.tv_nsec--;
                one.entry.item.interval_sec = 0;
                assert_true(digest_of(&one) != first);
        }
}

/* Read from "OnActiveSec=1234ms". */
static unsigned phase_of(const char *name, uint64_t interval, const char *host) {
        _cleanup_(unit_files_done) UnitFiles u = {};
        _cleanup_(one_done) One one = {};

        make_one(&one, name, "/c/15/x", interval, "");
        assert_int_equal(unit_files_make(&one.roster, one.config, host, &u), 0);
        for (size_t i = 0; i < u.n; i++) {
                const char *phase = strstr(u.files[i].content, "[Timer]\nOnActiveSec=");

                if (phase)
                        return (unsigned) strtoul(phase + strlen("[Timer]\nOnActiveSec="), NULL, 10);
        }

        fail_msg("no phase");
        return 0;
}

/* Hosts, and the collectors of one, are spread over the seconds they may begin in: 600 of them over 15, 40
 * each on average. */
static void test_phases(void **state _unused_) {
        unsigned of_hosts[15] = {}, of_names[15] = {};

        for (unsigned i = 0; i < 600; i++) {
                char text[32];

                (void) snprintf(text, sizeof(text), "web%u.example", i);
                of_hosts[phase_of("df.sh", 60, text) / 1000]++;
                of_names[phase_of(text, 3600, "host") / 1000]++;
                assert_true(phase_of(text, 1, "host") < 1000);
        }
        for (unsigned i = 0; i < 15; i++)
                if (of_hosts[i] < 15 || of_hosts[i] > 80 || of_names[i] < 15 || of_names[i] > 80)
                        fail_msg("second %u: %u hosts, %u collectors", i, of_hosts[i], of_names[i]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_collectors), cmocka_unit_test(test_retry),
                cmocka_unit_test(test_watches),    cmocka_unit_test(test_digest),
                cmocka_unit_test(test_phases),
        };

        return run_tap(tests);
}
