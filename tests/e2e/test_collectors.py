# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors in the foreground mode: well-behaved, badly behaved, coming, changing and going."""
import json
import os
import re
import signal
import socket
import time

import harness

FOREVER = "while :; do sleep 60; done\n"


class Collectors(harness.TestCase):
    def start(self, collectors, *args, **options):
        return self.agent("-c", collectors.path, "--dry-run", "--dedup-interval", "0", "-t", "host=h", *args, **options)

    def values(self, agent, metric):
        found = re.findall(rf"^put {re.escape(metric)} \d+ (\S+) ", agent.stdout().decode(), re.M)
        return found

    def wait_for_values(self, agent, metric, n):
        return agent.wait_for(lambda: len(self.values(agent, metric)) >= n and self.values(agent, metric),
                              f"{n} points of {metric}")


class Behaviour(Collectors):
    def steady(self, collectors):
        """A well-behaved neighbour: numbered lines, ten a second, that must all arrive whatever the others do."""
        collectors.shell(0, "steady", "i=0\nwhile :; do i=$((i + 1)); echo steady.i 17000$((10000 + i)) $i; sleep 0.1; "
                                      "done\n")

    def assert_undisturbed(self, agent, n):
        values = self.wait_for_values(agent, "steady.i", n)
        self.assertEqual([str(i + 1) for i in range(len(values))], values)

    def test_flood(self):
        c = self.collectors()
        self.steady(c)
        # Deduplicated, or the dry run's output would fill the disk: the same time again is out of order.
        c.python(0, "flood", "import os\nline = b'flood.x 1700000000 1\\n' * 4000\nwhile True: os.write(1, line)\n")
        agent = self.agent("-c", c.path, "--dry-run", "-t", "host=h", "-v")
        self.assert_undisturbed(agent, 30)
        self.assertEqual(0, agent.stop())
        received = int(re.search(r"flood: (\d+) received = 1 sent", agent.stderr()).group(1))
        self.assertGreater(received, 100000)
        self.assertLess(len(agent.log_lines()), 100, "what it floods is not logged line by line")

    def test_no_newline(self):
        c = self.collectors()
        self.steady(c)
        c.python(0, "endless", "import os\nos.write(1, b'endless.before 1700000000 1\\n')\n"
                               "for i in range(5000): os.write(1, b'x' * 1000)\n"
                               "os.write(1, b' and its end\\nendless.after 1700000000 2\\n')\n"
                               "import time; time.sleep(1000)\n")
        agent = self.start(c, "-v")
        self.wait_for_values(agent, "endless.after", 1)
        agent.wait_for_log(r"endless: invalid line \(too-long\): xxxxx")
        self.assertEqual(["1"], self.values(agent, "endless.before"))
        self.assert_undisturbed(agent, 10)
        self.assertEqual(0, agent.stop())
        self.assertIn("endless: 3 received = 2 sent - 0 replayed + 0 suppressed + 1 invalid (too-long 1)",
                      agent.stderr())

    def test_binary(self):
        c = self.collectors()
        self.steady(c)
        c.python(0, "binary", "import os, random, time\nr = random.Random(7)\n"
                              "for i in range(300): os.write(1, bytes(r.randrange(256) for _ in range(4000)))\n"
                              "os.write(1, b'\\nbinary.after 1700000000 1\\n')\ntime.sleep(1000)\n")
        agent = self.start(c, "-v")
        self.wait_for_values(agent, "binary.after", 1)
        self.assert_undisturbed(agent, 10)
        self.assertTrue(all(" " <= ch < "\x7f" or ch == "\n" for ch in agent.stderr()), "the log is plain text")
        self.assertEqual(0, agent.stop())
        self.assertRegex(agent.stderr(), r"binary: \d+ received = 1 sent .* invalid \(.*bad-char \d+")

    def test_dies_mid_line(self):
        c = self.collectors()
        self.steady(c)
        # What it leaves would be a point of its own if it were taken for a line.
        c.python(1, "dies", "import os\nos.write(1, b'dies.whole 1700000000 1\\ndies.half 1700000000 12')\n"
                            "os.kill(os.getpid(), 9) if os.path.exists('never') else None\n")
        agent = self.start(c, "-v")
        self.wait_for_values(agent, "dies.whole", 3)
        agent.wait_for_log(r"dies: invalid line \(unfinished\): dies.half 1700000000 12$")
        self.assert_undisturbed(agent, 10)
        self.assertEqual(0, agent.stop())
        self.assertEqual([], self.values(agent, "dies.half"))

    def test_killed_mid_line(self):
        c = self.collectors()
        c.python(0, "killed", "import os\ni = 0\nos.write(2, b'pid %d\\n' % os.getpid())\n"
                              "import time\nwhile True:\n    i += 1\n    os.write(1, b'killed.i 1700000000 %d\\nkilled.i 1700' % i)\n"
                              "    time.sleep(0.0002)\n    os.write(1, b'000000 %d\\n' % i)\n")
        agent = self.start(c)
        for n in range(1, 6):
            pid = int(agent.wait_for(lambda: re.findall(r"killed: pid (\d+)", agent.stderr())[n - 1:n],
                                     f"run {n} begins")[0])
            before = len(self.values(agent, "killed.i"))
            self.wait_for_values(agent, "killed.i", before + 1000)
            os.kill(pid, signal.SIGTERM)
            if n < 5:
                # A success by systemd's book, so it would be 15 s: the changed file brings it back at once.
                text = (c.path / "0" / "killed").read_text()
                agent.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the old run is gone")
                c.add(0, "killed", text + f"# {n}\n")
        self.assertTrue(all(v.isdigit() for v in self.values(agent, "killed.i")))

    def test_ignores_sigterm(self):
        c = self.collectors()
        self.steady(c)
        c.shell(1, "stubborn", "trap '' TERM\n(trap '' TERM; echo stubborn.child 1700000000 1; while :; do sleep 0.1; done) &\n"
                               "echo stubborn.i $(date +%s) 1\nwhile :; do sleep 0.1; done\n")
        agent = self.start(c)
        agent.wait_for_log("stubborn: still running after its interval of 1 s, stopping it")
        agent.wait_for_log("stubborn: still there 5 s after SIGTERM, sending SIGKILL")
        self.wait_for_values(agent, "stubborn.i", 2)  # and it has its next run all the same
        self.assert_undisturbed(agent, 50)

    def test_stop_waits_for_last_words(self):
        """However little patience there is for the database: collectors have their five seconds."""
        c = self.collectors()
        c.shell(0, "slow", "trap 'sleep 2; echo slow.last 1700000002 2; exit' TERM\necho slow.up 1700000001 1\n"
                           "while :; do sleep 0.1; done\n")
        agent = self.start(c, "--flush-timeout", "1")
        self.wait_for_values(agent, "slow.up", 1)
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(["2"], self.values(agent, "slow.last"))

    def test_stop_leaves_nobody(self):
        c = self.collectors()
        c.shell(0, "family", "trap '' TERM\nfor i in 1 2 3; do (trap '' TERM; while :; do sleep 0.1; done) & done\n"
                             "echo family.up 1700000000 1\n" + FOREVER)
        agent = self.start(c)
        self.wait_for_values(agent, "family.up", 1)
        self.assertEqual(0, agent.stop())
        self.assertEqual([], harness.processes_naming(str(c.path)))


class Schedule(Collectors):
    def test_exit_13(self):
        c = self.collectors()
        c.shell(0, "not-here", "exit 13\n")
        agent = self.start(c)
        agent.wait_for_log(r"not-here: not for this host \(exit status 13\), left out for an hour")
        self.assertNotIn("warning", agent.stderr())
        c.shell(0, "not-here", "echo here.now 1700000000 1\n" + FOREVER)
        self.wait_for_values(agent, "here.now", 1)

    def test_fails(self):
        c = self.collectors()
        c.shell(1, "fails", "echo 'no such database' >&2\nexit 3\n")
        c.shell(1, "crashes", "kill -SEGV $$\n")
        c.add(1, "no-interpreter", "#!/no/such/thing\n")
        agent = self.start(c)
        agent.wait_for_log("warning: fails: no such database")
        agent.wait_for_log("fails: failed with exit status 3, next try in an hour")
        agent.wait_for_log("crashes: killed by signal 11")
        agent.wait_for_log("no-interpreter: .*/no-interpreter: .*No such file")
        c.shell(1, "fails", "echo fails.no.more $(date +%s) 1\n")
        self.wait_for_values(agent, "fails.no.more", 2)

    def test_changes_while_it_fails(self):
        """The failure was the old file's: the new one is not silenced for an hour."""
        c = self.collectors()
        c.shell(30, "fails", "echo fails.old 1700000000 1\nsleep 2\nexit 1\n")
        agent = self.start(c)
        self.wait_for_values(agent, "fails.old", 1)
        c.shell(30, "fails", "echo fails.new 1700000001 1\n")
        agent.wait_for_log("fails: failed with exit status 1, its new file is tried at once")
        self.wait_for_values(agent, "fails.new", 1)

    def test_complaints_are_made_once(self):
        c = self.collectors()
        c.shell(0, "runs", "echo runs.i 1700000000 1\n" + FOREVER)
        os.symlink("/no/such/file", c.path / "0" / "dangling")
        agent = self.start(c)
        agent.wait_for_log("dangling")
        for n in range(3):
            c.shell(0, f"more-{n}", f"echo more.{n} 1700000000 1\n" + FOREVER)
            self.wait_for_values(agent, f"more.{n}", 1)
        self.assertEqual(1, agent.said().count("dangling"), agent.stderr())

    def test_periodic(self):
        c = self.collectors()
        c.shell(1, "tick", 'echo tick.i $(date +%s) $$ "interval=$TCOLLECTOR_INTERVAL" "name=$TCOLLECTOR_NAME"\n')
        c.add(1, "no-shebang", "echo plain.sh $(date +%s) 1\n")
        agent = self.start(c)
        values = self.wait_for_values(agent, "tick.i", 3)
        self.assertEqual(len(values), len(set(values)), "every run is a process of its own")
        self.wait_for_values(agent, "plain.sh", 2)
        self.assertIn(" interval=1 name=tick host=h", agent.stdout().decode())

    def test_come_change_go(self):
        c = self.collectors()
        agent = self.start(c)
        agent.wait_for_log("There is no collector in")
        c.shell(0, "new", "echo new.version 1700000000 1\n" + FOREVER)
        self.wait_for_values(agent, "new.version", 1)
        c.shell(0, "new", "echo new.version 1700000000 2\n" + FOREVER)
        self.assertEqual(["1", "2"], self.wait_for_values(agent, "new.version", 2))

        (c.path / "0" / "new").chmod(0o644)
        agent.wait_for_log("new: removed")
        (c.path / "0" / "new").chmod(0o755)
        self.wait_for_values(agent, "new.version", 3)
        (c.path / "0" / "new").unlink()
        agent.wait_for(lambda: agent.stderr().count("new: removed") == 2, "it is removed again")
        agent.wait_for(lambda: not harness.processes_naming(str(c.path / "0" / "new")), "its process is gone")

    def test_moves_to_another_interval(self):
        c = self.collectors()
        c.shell(0, "moves", "echo moves.i 1700000000 0\n" + FOREVER)
        agent = self.start(c)
        self.wait_for_values(agent, "moves.i", 1)
        (c.path / "1").mkdir()
        c.shell(1, ".ready", "echo moves.i $(date +%s) 1\n")
        os.rename(c.path / "1" / ".ready", c.path / "1" / "moves")
        agent.wait_for_log("moves.*twice|moves.*already|moves.*interval")
        (c.path / "0" / "moves").unlink()
        self.assertIn("1", self.wait_for_values(agent, "moves.i", 3))

    def test_inactivity(self):
        c = self.collectors()
        c.shell(0, "silent", "echo silent.begins $(date +%s) $$\n" + FOREVER)
        agent = self.start(c, "--allowed-inactivity-time", "1")
        agent.wait_for_log("silent: no line for 1 s, restarting it")
        values = self.wait_for_values(agent, "silent.begins", 3)
        self.assertEqual(len(values), len(set(values)))

    def test_inactivity_for_good(self):
        c = self.collectors()
        c.shell(0, "silent", "echo silent.begins $(date +%s) $$\n" + FOREVER)
        c.shell(1, "tick", "echo tick.i $(date +%s) 1\n")
        agent = self.start(c, "--allowed-inactivity-time", "1", "--remove-inactive-collectors")
        agent.wait_for_log("silent: no line for 1 s, stopping it for good")
        self.wait_for_values(agent, "tick.i", len(self.values(agent, "tick.i")) + 3)
        self.assertEqual(1, len(self.values(agent, "silent.begins")))


class Python(Collectors):
    def test_imports_of_the_reference(self):
        c = self.collectors()
        package = c.path.parent / "collectors"
        c.path.rename(package)
        c.path = package
        for folder in ("lib", "etc"):
            (c.path / folder).mkdir()
            (c.path / folder / "__init__.py").touch()
        (c.path / "__init__.py").touch()
        (c.path / "lib" / "utils.py").write_text("def name(): return 'utils'\n")
        (c.path / "etc" / "some_conf.py").write_text("def get(): return 7\n")
        c.python(0, "uses.py", "import time\nfrom collectors.lib import utils\nfrom collectors.etc import some_conf\n"
                               "print('uses.conf %d %d module=%s' % (time.time(), some_conf.get(), utils.name()), flush=True)\n"
                               "time.sleep(1000)\n")
        agent = self.start(c)
        self.assertEqual(["7"], self.wait_for_values(agent, "uses.conf", 1))


class Monitoring(Collectors):
    def get(self, port, request=b"GET / HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE) as s:
            s.sendall(request)
            parts = []
            while part := s.recv(65536):
                parts.append(part)
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
        return head.decode(), body

    def listed(self, port):
        return {entry["name"]: entry for entry in json.loads(self.get(port)[1])}

    def test_list(self):
        c = self.collectors()
        port = harness.free_port()
        c.shell(0, "runs", "echo runs.i 1700000000 1\necho bad line\n" + FOREVER)
        c.shell(60, "not-here", "exit 13\n")
        began = int(time.time())
        agent = self.start(c, "--monitoring-interface", "127.0.0.1", "--monitoring-port", port)
        self.wait_for_values(agent, "runs.i", 1)
        agent.wait_for_log("not-here: not for this host")
        agent.wait_for(lambda: self.listed(port)["runs"]["lines_received"] == 2, "its second line, too, is counted")
        head, _ = self.get(port)
        self.assertRegex(head, r"^HTTP/1\.[01] 200 ")
        self.assertRegex(head, r"(?i)content-type: application/json")
        listed = self.listed(port)
        self.assertEqual({"runs", "not-here"}, set(listed))
        runs = listed["runs"]
        self.assertEqual({"name", "mtime", "lastspawn", "killstate", "nextkill", "lines_sent", "lines_received",
                          "lines_invalid", "last_datapoint", "dead"}, set(runs))
        self.assertEqual((1, 2, 1, 0, False), (runs["lines_sent"], runs["lines_received"], runs["lines_invalid"],
                                               runs["killstate"], runs["dead"]))
        self.assertTrue(listed["not-here"]["dead"])
        for key in ("mtime", "lastspawn", "last_datapoint"):
            self.assertTrue(began - 60 <= runs[key] <= time.time(), key)

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            agent = self.start(self.collectors(), "--monitoring-interface", "127.0.0.1", "--monitoring-port",
                               s.getsockname()[1], counts=False)
            self.assert_status(agent, 1)
        self.assertEqual(1, len(agent.log_lines()), agent.stderr())
        self.assertIn("in use", agent.stderr())


class Daemon(Collectors):
    def test_daemon(self):
        c = self.collectors()
        c.shell(0, "runs", "echo runs.i 1700000000 1\n" + FOREVER)
        tsd = self.tsd()
        pidfile, logfile = self.path("pid"), self.path("log")
        args = ["-c", c.path, "-H", "127.0.0.1", "-p", tsd.port, "-t", "host=h", "-D", "-P", pidfile, "--logfile", logfile]
        self.assert_status(self.agent(*args, counts=False), 0)
        pid = int(pidfile.read_text())
        try:
            harness.wait_for(lambda: tsd.n_stored() >= 1, "the daemon delivers")
            second = self.agent(*args, counts=False)
            self.assert_status(second, 1)
            self.assertIn(f"names process {pid}, which is running", logfile.read_text() + second.stderr())
            os.kill(pid, 0)
        finally:
            os.kill(pid, signal.SIGTERM)
        harness.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon ends")
        self.assertFalse(pidfile.exists())
        self.assertRegex(logfile.read_text(), r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info: runs: found in ")


if __name__ == "__main__":
    harness.main()
