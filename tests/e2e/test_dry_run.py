# SPDX-License-Identifier: LGPL-2.1-or-later
"""--dry-run prints what would be sent: what a line becomes, from standard input and from collectors."""
import os
import re
import socket
import subprocess

import harness

BASE = 1700000000

# The example worked by hand in the contract: value @ seconds; what of it is sent, deduplicated over 300 s.
HAND = [(5, 0), (5, 15), (5, 30), (7, 45), (7, 60), (7, 360), (8, 375)]
HAND_SENT = [(5, 0), (5, 30), (7, 45), (7, 360), (8, 375)]


def lines(points, prefix=""):
    return "".join(f"{prefix}m {BASE + at} {value}\n" for value, at in points)


class StandardInput(harness.TestCase):
    # name, options, input, output
    ROWS = [
        ("the example by hand", [], lines(HAND), lines(HAND_SENT, "put ")),
        ("dedup off", ["--dedup-interval", "0"], lines(HAND), lines(HAND, "put ")),
        ("dedup off, a time twice", ["--dedup-interval=0"],
         "m 1700000000 5\nm 1700000000 5\nm 1600000000 5\n",
         "put m 1700000000 5\nput m 1700000000 5\nput m 1600000000 5\n"),
        ("a time twice", [], "m 1700000000 5\nm 1700000000 6\nm 1600000000 7\n", "put m 1700000000 5\n"),
        ("a shorter interval", ["--dedup-interval", "30"],
         lines([(1, 0), (1, 29), (1, 30), (1, 31), (2, 32)]),
         lines([(1, 0), (1, 30), (1, 31), (2, 32)], "put ")),
        ("only zeros", ["--dedup-only-zero"], lines([(0, 0), (0, 1), (7, 2), (7, 3), (0, 4), (0, 5)]),
         lines([(0, 0), (0, 1), (7, 2), (7, 3), (0, 4)], "put ")),
        ("zero in other clothes", ["--dedup-only-zero"],
         "m 1700000000 0.0\nm 1700000001 0.0\nm 1700000002 0e5\n",
         "put m 1700000000 0.0\nput m 1700000001 0.0\nput m 1700000002 0e5\n"),
        ("two series", [],
         "m 1700000000 1 a=x\nm 1700000000 1 a=y\nm 1700000001 1 a=x\nm 1700000001 1 a=y\n",
         "put m 1700000000 1 a=x\nput m 1700000000 1 a=y\n"),
        ("tags in the order of their keys", ["-t", "z=1", "--tag", "b=2", "--tag=m=3"],
         "m 1700000000 5 k=v a=w\n", "put m 1700000000 5 k=v a=w b=2 m=3 z=1\n"),
        ("the line's tags win", ["-t", "z=1", "-t", "b=2"], "m 1700000000 5 b=own\n",
         "put m 1700000000 5 b=own z=1\n"),
        ("a tag in any case", ["-t", "Rack-1.a_b=X/y.z"], "m 1700000000 5\n",
         "put m 1700000000 5 Rack-1.a_b=X/y.z\n"),
        ("no host tag", [], "m 1700000000 5\n", "put m 1700000000 5\n"),
        ("a host tag that was asked for", ["-t", "host=www"], "m 1700000000 5\n",
         "put m 1700000000 5 host=www\n"),
        ("a prefix", ["--namespace-prefix", "here"], "m 1700000000 5\n", "put here.m 1700000000 5\n"),
        ("a prefix with a dot", ["--namespace-prefix", "here."], "m 1700000000 5\n",
         "put here.m 1700000000 5\n"),
        ("no newline at the end", [], "m 1700000000 5\nm 1700000001 6",
         "put m 1700000000 5\nput m 1700000001 6\n"),
        ("nothing but half a line", [], "m 1700000000 5", "put m 1700000000 5\n"),
        ("white space", [], " \t m\t\t1700000000  5   a=b \r\n\r\n \n", "put m 1700000000 5 a=b\n"),
        ("values as they are sent", [],
         "m1 1700000000 +7\nm2 1700000000 TRUE\nm3 1700000000 false\nm4 1700000000 -.5e3\n",
         "put m1 1700000000 7\nput m2 1700000000 1\nput m3 1700000000 0\nput m4 1700000000 -.5e3\n"),
        ("times as they are written", [], "a 1700000000.123 1\nb 1700000000123 1\nc 17 1\n",
         "put a 1700000000.123 1\nput b 1700000000123 1\nput c 17 1\n"),
        ("bad lines among good ones", [],
         "m now 5\nm 1700000000 nan\na:b 1700000000 1\nm 1700000000 5 k\nm 1700000000 5\n",
         "put m 1700000000 5\n"),
        ("too many tags", ["-t", "z=1"], "m 1700000000 5" + "".join(f" t{i}=x" for i in range(8)) + "\n" +
         "m 1700000001 5" + "".join(f" t{i}=x" for i in range(7)) + "\n",
         "put m 1700000001 5 t0=x t1=x t2=x t3=x t4=x t5=x t6=x z=1\n"),
        ("more tags allowed", ["--max-tags", "9", "-t", "z=1"],
         "m 1700000000 5" + "".join(f" t{i}=x" for i in range(8)) + "\n",
         "put m 1700000000 5 t0=x t1=x t2=x t3=x t4=x t5=x t6=x t7=x z=1\n"),
        ("nothing", [], "", ""),
    ]

    def test_rows(self):
        for name, options, given, wanted in self.ROWS:
            with self.subTest(name):
                agent = self.run_agent("-s", "--dry-run", *options, input=given.encode())
                self.assertEqual(wanted, agent.stdout().decode(), agent.told())
                self.assert_status(agent, 0)

    def test_short_options(self):
        agent = self.run_agent("-sdt", "a=b", input=b"m 1700000000 5\n")
        self.assertEqual("put m 1700000000 5 a=b\n", agent.stdout().decode(), agent.told())

    def test_from_a_file(self):
        path = self.path("input")
        path.write_text(lines(HAND))
        with open(path, "rb") as f:
            agent = self.run_agent("-s", "--dry-run", stdin=f)
        self.assertEqual(lines(HAND_SENT, "put "), agent.stdout().decode(), agent.told())
        self.assert_status(agent, 0)

    def test_from_a_large_file(self):
        n = 200000
        path = self.path("input")
        path.write_text("".join(f"m {BASE + i} {i}\n" for i in range(n)))
        with open(path, "rb") as f:
            agent = self.run_agent("-s", "--dry-run", stdin=f)
        self.assertEqual([f"put m {BASE + i} {i}" for i in range(n)], agent.lines(), "all lines, in order")
        self.assert_status(agent, 0)

    def test_from_dev_null(self):
        agent = self.run_agent("-s", "--dry-run", stdin=subprocess.DEVNULL)
        self.assertEqual(b"", agent.stdout(), agent.told())
        self.assert_status(agent, 0)

    def test_from_a_terminal(self):
        """A person types; each line is printed before the next is typed."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        agent = self.agent("-s", "--dry-run", stdin=theirs)
        os.close(theirs)
        for i in range(3):
            os.write(ours, f"m {BASE + i} {i}\n".encode())
            agent.wait_for(lambda: len(agent.lines()) == i + 1, f"line {i} is printed")
        os.write(ours, b"\x04")
        self.assert_status(agent, 0)
        self.assertEqual([f"put m {BASE + i} {i}" for i in range(3)], agent.lines())

    def test_from_a_socket(self):
        """As inetd and ssh hand it over."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            agent = self.agent("-s", "--dry-run", stdin=theirs)
            theirs.close()
            ours.sendall(b"m 1700000000 5\nm 1700000001 6\n")
            ours.shutdown(socket.SHUT_WR)
            self.assert_status(agent, 0)
        self.assertEqual(["put m 1700000000 5", "put m 1700000001 6"], agent.lines(), agent.told())

    def test_a_line_comes_out_before_the_end(self):
        agent = self.agent("-s", "--dry-run", stdin=subprocess.PIPE)
        agent.feed(b"m 1700000000 5\nm 17000")
        agent.wait_for(lambda: agent.stdout() == b"put m 1700000000 5\n", "the whole line is printed")
        agent.feed(b"00001 6\n", end=True)
        self.assert_status(agent, 0)
        self.assertEqual(b"put m 1700000000 5\nput m 1700000001 6\n", agent.stdout(), agent.told())

    def test_into_head(self):
        """`| head -1` is an end, not a failure: whether the rest is short or more than any pipe holds."""
        for n in (2, 200000):
            with self.subTest(n=n):
                path = self.path("input")
                path.write_text("".join(f"m {BASE + i} {i}\n" for i in range(n)))
                with open(path, "rb") as f, subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE,
                                                             stdout=subprocess.PIPE) as head:
                    agent = self.agent("-s", "--dry-run", stdin=f, stdout=head.stdin, counts=False)
                    head.stdin.close()
                    self.assertEqual(b"put m 1700000000 0\n", head.stdout.read(), agent.told())
                self.assert_status(agent, 0)
                self.assertEqual("", agent.stderr())

    def test_a_reader_that_pauses(self):
        """Standard output that takes nothing for a while holds the input up, and loses nothing."""
        n = 500000
        path = self.path("input")
        path.write_text("".join(f"m {BASE + i} {i}\n" for i in range(n)))
        read_end, write_end = os.pipe()
        with open(path, "rb") as f, os.fdopen(read_end, "rb") as out:
            agent = self.agent("-s", "--dry-run", stdin=f, stdout=write_end)
            os.close(write_end)
            first = out.readline()
            agent.wait_until_idle()
            self.assertIsNone(agent.status(), agent.told())
            got = first + out.read()
        self.assert_status(agent, 0)
        self.assertEqual(b"".join(b"put m %d %d\n" % (BASE + i, i) for i in range(n)), got)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            agent = self.run_agent("-s", "--dry-run", input=b"m 1700000000 5\n", stdout=full)
        self.assert_status(agent, 1)
        self.assertRegex(agent.stderr(), "No space left on device")


class FromCollectors(harness.TestCase):
    def test_put_lines_within_seconds(self):
        c = self.collectors()
        c.shell(60, "periodic", "echo a.b 1700000000 5 x=y\n")
        c.shell(0, "longrunning.sh", "echo c.d 1700000000 6\nexec sleep 1000\n")
        agent = self.agent("--dry-run", "-c", c.path, "-t", "project=monitor", "-t", "host=www.example.com")
        wanted = {"put a.b 1700000000 5 x=y host=www.example.com project=monitor",
                  "put c.d 1700000000 6 host=www.example.com project=monitor"}
        agent.wait_for(lambda: set(agent.lines()) == wanted, "both collectors' lines are printed", 20)
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(wanted, set(agent.lines()))

    def test_host_tag(self):
        c = self.collectors()
        c.shell(60, "one", "echo a.b 1700000000 5\necho a.c 1700000000 5 host=own\n")
        agent = self.agent("-d", "-c", c.path)
        agent.wait_for(lambda: len(agent.lines()) == 2, "two lines are printed")
        host = re.sub(r"[^-_./a-zA-Z0-9]", "_", socket.gethostname())
        self.assertEqual([f"put a.b 1700000000 5 host={host}", "put a.c 1700000000 5 host=own"],
                         agent.lines())
        self.assertEqual(0, agent.stop(), agent.told())

    def test_what_is_no_collector(self):
        c = self.collectors()
        c.shell(60, "good", "echo a.b 1700000000 5\n")
        c.shell(60, ".hidden", "echo hidden 1700000000 5\n")
        c.shell("x60", "nonumber", "echo no.number 1700000000 5\n")
        (c.path / "60" / "README").write_text("no execute bit\n")
        (c.path / "60" / "folder").mkdir()
        (c.path / "lib").mkdir()
        agent = self.agent("-d", "-c", c.path, "-t", "host=h")
        agent.wait_for(lambda: agent.lines(), "the good one's line is printed")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(["put a.b 1700000000 5 host=h"], agent.lines())

    def test_environment(self):
        c = self.collectors()
        c.shell(60, "env.sh", 'echo "interval 1700000000 $TCOLLECTOR_INTERVAL name=$TCOLLECTOR_NAME"\n')
        (c.path / "lib").mkdir()
        (c.path / "lib" / "utils.py").write_text("VALUE = 42\n")
        (c.path / "lib" / "__init__.py").write_text("")
        c.python(60, "old.py", "import lib.utils\nprint('python', 1700000000, lib.utils.VALUE)\n")
        agent = self.agent("-d", "-c", c.path, "-t", "host=h")
        agent.wait_for(lambda: len(agent.lines()) == 2, "two lines are printed")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual({"put interval 1700000000 60 name=env.sh host=h",
                          "put python 1700000000 42 host=h"}, set(agent.lines()))

    def test_ends_and_stderr(self):
        """Exit 13 is quiet, another status and what is on stderr are in the log, half a line is no point."""
        c = self.collectors()
        c.shell(0, "nothere", "echo not.here 1700000000 1\nexit 13\n")
        c.shell(60, "broken", "echo 'what went wrong' >&2\nexit 3\n")
        c.shell(60, "half", "echo whole 1700000000 1; printf 'half 1700000000 1'\n")
        agent = self.agent("-v", "-d", "-c", c.path, "-t", "host=h")
        agent.wait_for_log("nothere: .*exit status 13")
        agent.wait_for_log("broken: what went wrong")
        agent.wait_for_log("broken: failed with exit status 3")
        agent.wait_for_log(r"half: invalid line \(unfinished\)")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual({"put not.here 1700000000 1 host=h", "put whole 1700000000 1 host=h"},
                         set(agent.lines()))
        self.assertFalse(re.search("warning.*nothere", agent.stderr()), agent.told())

    def test_a_collector_comes_changes_and_goes(self):
        c = self.collectors()
        agent = self.agent("-d", "-c", c.path, "-t", "host=h")
        c.shell(0, "late", "echo late 1700000000 1\nexec sleep 1000\n")
        agent.wait_for(lambda: "put late 1700000000 1 host=h" in agent.lines(), "the new one has printed")
        c.shell(0, "late", "echo late 1700000001 2\nexec sleep 1000\n")
        agent.wait_for(lambda: "put late 1700000001 2 host=h" in agent.lines(), "it runs as changed")
        (c.path / "0" / "late").unlink()
        agent.wait_for(lambda: not harness.processes_naming("sleep 1000") or
                       self._children(agent.pid) == [], "the removed one is stopped")
        agent.wait_for_log("late: removed")
        self.assertEqual(0, agent.stop(), agent.told())

    def _children(self, pid):
        return open(f"/proc/{pid}/task/{pid}/children").read().split()

    def test_children_of_a_run_go_with_it(self):
        """A periodic run that overstays, ignores SIGTERM and has a child that does so too."""
        c = self.collectors()
        c.shell(1, "stubborn", "trap '' TERM\n"
                "sh -c \"trap '' TERM; echo child 1700000000 $$; while :; do sleep 1; done\" "
                f"{c.path}/mark &\nwhile :; do sleep 1; done\n")
        agent = self.agent("-v", "-d", "-c", c.path, "-t", "host=h")
        agent.wait_for_log("stubborn: still running after its interval of 1 s")
        agent.wait_for(lambda: agent.lines(), "its child printed")
        agent.wait_for_log("stubborn: still there .* sending SIGKILL")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual([], harness.processes_naming(f"{c.path}/mark"))


if __name__ == "__main__":
    harness.main()
