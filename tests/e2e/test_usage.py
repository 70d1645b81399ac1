# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: what is wrong is refused in one line that says what is right, what is right is taken."""
import fcntl
import os
import pathlib
import signal
import socket
import subprocess

import harness

TAG = "KEY=VALUE"
PORT = "1 to 65535"
HELP = "--help"


class Refused(harness.TestCase):
    COUNTS = False

    # arguments, exit status, what the one line on standard error says
    ROWS = [
        (["--nonsense"], 2, "--nonsense.*" + HELP),
        (["-x"], 2, "-x.*" + HELP),
        (["--dedup"], 2, "--dedup.*ambiguous"),
        (["extra"], 2, "extra.*" + HELP),
        (["-s", "extra"], 2, "extra"),
        (["--port"], 2, "--port.*needs a value"),
        (["-p"], 2, "-p.*needs a value"),
        (["--dry-run=yes"], 2, "--dry-run.*takes no value"),
        (["-t", "nokey"], 2, TAG),
        (["-t", "=v"], 2, TAG),
        (["-t", "k="], 2, TAG),
        (["-t", ""], 2, TAG),
        (["-t", "k=a:b"], 2, TAG),
        (["-t", "k=a b"], 2, TAG),
        (["-t", "k=v=w"], 2, TAG),
        (["-t", "a/b=c"], 2, TAG),
        (["-t", "k=\xe4"], 2, TAG),
        (["-t", "k=a\nb"], 2, TAG),
        (["-t", "a=1", "-t", "a=2"], 2, "a=2.*already"),
        (["-t", "a=1", "-t", "a=1"], 2, "a=1.*already"),
        (["-p", "0"], 2, PORT),
        (["-p", "99999"], 2, PORT),
        (["-p", "65536"], 2, PORT),
        (["-p", "abc"], 2, PORT),
        (["-p", "-1"], 2, PORT),
        (["-p", ""], 2, PORT),
        (["-p", "42 42"], 2, PORT),
        (["-p", "18446744073709551617"], 2, PORT),
        (["--max-tags", "0"], 2, "--max-tags.*from 1"),
        (["--max-tags", "many"], 2, "--max-tags.*from 1"),
        (["--dedup-interval", "-1"], 2, "--dedup-interval"),
        (["--dedup-interval", "often"], 2, "--dedup-interval"),
        (["--evict-interval", "300"], 2, "--evict-interval.*more than.*--dedup-interval"),
        (["--evict-interval", "299"], 2, "--evict-interval.*more than.*--dedup-interval"),
        (["--dedup-interval", "6000"], 2, "--evict-interval.*more than.*--dedup-interval"),
        (["--dedup-interval", "50", "--evict-interval", "50"], 2,
         "--evict-interval.*more than.*--dedup-interval"),
        (["--reconnect-interval", "x"], 2, "--reconnect-interval"),
        (["--allowed-inactivity-time", "x"], 2, "--allowed-inactivity-time"),
        (["--flush-timeout", "x"], 2, "--flush-timeout"),
        (["--backup-count", "-1"], 2, "--backup-count"),
        (["--max-bytes", "lots"], 2, "--max-bytes"),
        (["--monitoring-port", "0"], 2, PORT),
        (["--namespace-prefix", "a b"], 2, r"\[-_\./a-zA-Z0-9\]"),
        (["-L", ""], 2, "tsd1"),
        (["-L", "a,,b"], 2, "tsd1"),
        (["-L", "a,"], 2, "tsd1"),
        (["-L", "ho st"], 2, "tsd1"),
        (["-L", "a;b"], 2, "tsd1"),
        (["-L", "host:0"], 2, PORT),
        (["-L", "host:"], 2, PORT),
        (["-L", "host:99999"], 2, PORT),
        (["-L", "host:port"], 2, PORT),
        (["-L", "a:b:c"], 2, PORT),
        (["-L", "::1"], 2, r"in brackets.*\[2001:db8::1\]:4242"),
        (["-L", "2001:db8::1:4242"], 2, "in brackets"),
        (["-L", "[::1"], 2, "brackets"),
        (["-L", "[::1]4242"], 2, "brackets"),
        (["-L", "[::1]:x"], 2, PORT),
        (["-L", "[127.0.0.1]:4242"], 2, "IPv6 address"),
        (["-L", "http://tsd:4242"], 2, PORT),
        (["-H", ""], 2, "tsd1"),
        (["-H", "a b"], 2, "tsd1"),
        (["-H", "host:4242"], 2, "port"),
        (["-c", "{folder}/missing"], 1, "{folder}/missing.*No such file"),
        (["-c", "{folder}/file"], 1, "{folder}/file.*Not a directory"),
        (["--config", "{folder}/missing"], 1, "{folder}/missing.*No such file"),
        (["--config", "{folder}/bad.conf"], 1, "{folder}/bad.conf:2: "),
        (["-D", "-s"], 2, "--stdin"),
        (["-D", "--dry-run"], 2, "--dry-run"),
        (["-s", "-d", "-P", "{folder}/missing/pid"], 1, "{folder}/missing/pid.*No such file"),
        (["-s", "-d", "-P", "{folder}/file/pid"], 1, "{folder}/file/pid.*Not a directory"),
        (["-s", "-d", "-P", "{folder}/mine.pid"], 1, "{pid}"),
        (["-s", "-d", "--logfile", "{folder}/missing/log"], 1, "{folder}/missing/log.*No such file"),
        (["-s", "-d", "--logfile", "{folder}"], 1, "{folder}.*Is a directory"),
        (["-s", "-d", "--monitoring-interface", "127.0.0.1", "--monitoring-port", "{busy}"], 1, "in use"),
        (["-s", "-d", "--monitoring-interface", "no address"], 1, "no address"),
    ]

    def names(self):
        (self.folder / "file").write_text("")
        (self.folder / "bad.conf").write_text("max_tags = 3\nno_such_key = 1\n")
        self.hold(self.folder / "mine.pid")
        busy = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(busy.close)
        return {"folder": str(self.folder), "pid": str(os.getpid()), "busy": str(busy.getsockname()[1])}

    def hold(self, path):
        """A pid file as a running daemon keeps it."""
        held = open(path, "w")
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f"{os.getpid()}\n")
        held.flush()

    def check(self, args, status, pattern):
        agent = self.run_agent(*args)
        self.assertEqual(1, len(agent.log_lines()), "one line on standard error\n" + agent.told())
        self.assertRegex(agent.log_lines()[0], "^tcollector: .*" + pattern)
        self.assertEqual(b"", agent.stdout())
        self.assertEqual(status, agent.status(), agent.told())

    def test_rows(self):
        names = self.names()

        def fill(text):
            for name, value in names.items():
                text = text.replace("{" + name + "}", value)
            return text
        for args, status, pattern in self.ROWS:
            with self.subTest(args=args):
                self.check([fill(a) for a in args], status, fill(pattern))

    def test_without_standard_input(self):
        """Closed, it is as good as empty; its number is not given to something else that is then read."""
        agent = self.run_agent("-s", "-d", preexec_fn=lambda: os.close(0))
        self.assertEqual((0, "", b""), (agent.status(), agent.stderr(), agent.stdout()), agent.told())

    def test_someone_elses_pidfile_stays(self):
        path = self.folder / "pid"
        self.hold(path)
        self.check(["-s", "-d", "-P", path], 1, str(os.getpid()))
        self.assertEqual(f"{os.getpid()}\n", path.read_text())

    def test_stale_pidfile(self):
        """What a crash left behind names a process that is somebody else's by now."""
        path = self.folder / "pid"
        path.write_text(f"{os.getpid()}\n")
        agent = self.run_agent("-s", "-d", "-P", path)
        self.assert_status(agent, 0)
        self.assertFalse(path.exists())


class Taken(harness.TestCase):
    COUNTS = False  # what stands on standard error is looked at

    # Every option, each way it may be written. {folder}, {port}: as above.
    ROWS = [
        ["-c", "{folder}"], ["--collector-dir", "{folder}"], ["--collector-dir={folder}"], ["-c{folder}"],
        ["-d"], ["--dry-run"], ["-H", "localhost"], ["--host", "tsd1.example.com"], ["-H", "192.0.2.1"],
        ["-H", "::1"], ["-H", "[::1]"], ["-L", "a:1,b:2"], ["--hosts-list", "a"],
        ["-L", "[::1]:4242,[2001:db8::1],c:3,192.0.2.1"],
        ["-L", "a:1, b:2"], ["-L", "a:1", "-H", "b", "-p", "2"], ["-p", "4242"],
        ["--port", "1"], ["--port=65535"],
        ["--no-tcollector-stats"], ["-s"], ["--stdin"], ["-v"], ["-v", "-v"], ["-t", "a=b"],
        ["--tag", "a=b", "-t", "A=B/c.d-e_f"], ["-P", "{folder}/pid"], ["--pidfile", "{folder}/pid"],
        ["--dedup-interval", "300"], ["--dedup-interval", "0"], ["--dedup-only-zero"],
        ["--evict-interval", "6000"], ["--dedup-interval", "6000", "--evict-interval", "6001"],
        ["--dedup-interval", "0", "--evict-interval", "1"], ["--logfile", "{folder}/log"],
        ["--max-bytes", "67108864"], ["--backup-count", "0"], ["--backup-count", "5"],
        ["--log-stdout"], ["--reconnect-interval", "0"], ["--reconnect-interval", "60"], ["--max-tags", "8"],
        ["--namespace-prefix", "a.b"], ["--allowed-inactivity-time", "600"],
        ["--remove-inactive-collectors"],
        ["--monitoring-interface", "127.0.0.1", "--monitoring-port", "{port}"],
        ["--monitoring-interface", "::1", "--monitoring-port", "{port}"], ["--config", "{folder}/conf"],
        ["--flush-timeout", "5"], ["--http"], ["--http", "--ssl"], ["--http-api-path", "api/put"],
        ["--http-username", "u", "--http-password", "p"],
    ]

    def test_rows(self):
        (self.folder / "conf").write_text('tags = { "a=b" }\nserver "main" { url = "telnet://tsd1:4242" }\n')
        for args in self.ROWS:
            with self.subTest(args=args):
                port = str(harness.free_port())
                filled = [a.replace("{folder}", str(self.folder)).replace("{port}", port) for a in args]
                agent = self.run_agent("-s", "-d", *filled)
                if "-v" not in args:
                    self.assertEqual("", agent.stderr())
                self.assertEqual(b"", agent.stdout())
                self.assertEqual(0, agent.status(), agent.told())

    def test_help(self):
        agent = self.run_agent("--help")
        self.assertEqual((0, ""), (agent.status(), agent.stderr()))
        words = agent.stdout().decode().replace(",", " ").replace("=", " ").replace("[", " ").split()
        for row in self.ROWS + [["--daemonize"], ["-D"], ["--service"], ["--help"], ["--version"]]:
            for option in row:
                if option.startswith("-") and "{" not in option:
                    self.assertIn(option.partition("=")[0], words, "not in --help")
        for line in agent.lines():
            self.assertLessEqual(len(line), 100)

    def test_version(self):
        agent = self.run_agent("--version")
        self.assertEqual((0, ""), (agent.status(), agent.stderr()))
        self.assertRegex(agent.stdout().decode(), r"^tcollector \d\S*\n$")

    def test_help_and_version_come_first(self):
        for option in ("--help", "--version"):
            agent = self.run_agent("-c", "/nonexistent", option)
            self.assertEqual((0, ""), (agent.status(), agent.stderr()))

    def test_a_configuration_file(self):
        """The command line wins over the file, tag by tag."""
        conf = self.folder / "conf"
        conf.write_text('tags = { "a=file", "b=file" }\nnamespace_prefix = "file"\nmax_tags = 3\n')
        agent = self.run_agent("-s", "-d", "--config", conf, "-t", "b=line",
                               input=b"m 1700000000 1 c=d\nm 1700000001 1 c=d e=f\n")
        self.assertEqual(["put file.m 1700000000 1 c=d a=file b=line"], agent.lines())
        self.assert_status(agent, 0)

    def test_log_to_a_file(self):
        log = self.folder / "log"
        agent = self.agent("-s", "-d", "--logfile", log, stdin=subprocess.PIPE)
        agent.feed(b"no point\n")
        agent.wait_for(lambda: log.exists() and "no point" in log.read_text(), "the log is in the file")
        moved = self.folder / "log.moved"
        log.rename(moved)
        agent.signal(signal.SIGHUP)
        agent.wait_for(log.exists, "the log is a new file after SIGHUP")
        agent.feed(b"no point either\n", end=True)
        self.assert_status(agent, 0)
        self.assertIn("no point either", log.read_text())
        self.assertNotIn("either", moved.read_text())
        self.assertEqual("", agent.stderr())

    def test_rotation(self):
        log = self.folder / "log"
        for i in range(6):
            agent = self.run_agent("-s", "-d", "--logfile", log, "--max-bytes", 200, "--backup-count", 2,
                                   input=b"no point %d\n" % i * 5)
            self.assert_status(agent, 0)
        self.assertEqual(["log", "log.1", "log.2"], sorted(p.name for p in self.folder.glob("log*")))
        for path in self.folder.glob("log*"):
            self.assertLess(path.stat().st_size, 600)
        self.assertIn("no point 5", log.read_text() + (self.folder / "log.1").read_text())

    def test_log_to_standard_output(self):
        tsd = self.tsd()
        agent = self.run_agent("-s", "-H", tsd.host, "-p", tsd.port, "--log-stdout",
                               input=b"no point\nm 1700000000 1\n")
        self.assert_status(agent, 0)
        self.assertIn("no point", agent.stdout().decode())
        self.assertEqual("", agent.stderr())
        self.assert_stored(tsd, {"m 1700000000 1"}, agent)

    def test_pidfile(self):
        path = self.folder / "pid"
        agent = self.agent("-s", "-d", "-P", path, stdin=subprocess.PIPE)
        agent.wait_for(lambda: path.exists() and path.read_text(), "the pidfile is there")
        self.assertEqual(f"{agent.pid}\n", path.read_text())
        agent.end_input()
        self.assert_status(agent, 0)
        self.assertFalse(path.exists())

    def test_a_stale_pidfile(self):
        """Left by a process that is no more."""
        gone = subprocess.Popen(["true"])
        gone.wait()
        path = self.folder / "pid"
        path.write_text(f"{gone.pid}\n")
        self.assert_status(self.run_agent("-s", "-d", "-P", path), 0)

    def test_daemon(self):
        """-D: the parent ends with 0 when the daemon works; the daemon ends by its pidfile's number."""
        tsd = self.tsd()
        c = self.collectors()
        c.shell(0, "one", "echo e2e.one 1700000000 1\nexec sleep 1000\n")
        pidfile, log = self.folder / "pid", self.folder / "log"
        self.addCleanup(self._end_daemon, pidfile)
        agent = self.run_agent("-D", "-P", pidfile, "--logfile", log, "-c", c.path, "-t", "host=h",
                               "-H", tsd.host, "-p", tsd.port)
        self.assertEqual((0, "", b""), (agent.status(), agent.stderr(), agent.stdout()))
        pid = int(pidfile.read_text())
        self.assertNotEqual(agent.pid, pid)
        self.assertEqual(pathlib.Path(harness.executable()).resolve(),
                         pathlib.Path(f"/proc/{pid}/exe").resolve())
        harness.wait_for(lambda: tsd.n_stored() == 1, "the point is stored")
        self.assertNotEqual(os.getsid(0), os.getsid(pid))
        os.kill(pid, signal.SIGTERM)
        harness.wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the daemon has ended")
        self.assertFalse(pidfile.exists())
        self.assert_stored(tsd, {"e2e.one 1700000000 1 host=h"}, agent)

    def _end_daemon(self, pidfile):
        if pidfile.exists():
            os.kill(int(pidfile.read_text()), signal.SIGKILL)

    def test_a_daemon_that_cannot(self):
        """The parent says so, and ends with 1."""
        agent = self.run_agent("-D", "-P", self.folder / "missing" / "pid", "--logfile",
                               self.folder / "log", "-c", self.folder)
        self.assert_status(agent, 1)
        told = agent.stderr() + ((self.folder / "log").read_text() if (self.folder / "log").exists() else "")
        self.assertIn("missing/pid", told)


if __name__ == "__main__":
    harness.main()
