# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent as it is installed, and power cuts: with the database away, with it up and far behind, and in between at
ten moments while the spool is written. What was in the spool when it was last synced, as it is every second, is on the
disk, and in the end in the database, whole and in order; what the database has acknowledged, it has. What was in
memory only (the queue's last quarter of a megabyte, the collectors' pipes, the last second of the spool) a power cut
takes: so nothing is said here of newer lines, but that they are not altered, and not before older ones."""
import json
import os
import pathlib
import re
import sys
import tempfile
import unittest

import rig
import vm

BUILD = pathlib.Path(os.environ.get("TCOLLECTOR_BUILD", "build")).resolve()
MOMENTS = 10
SPOOL = "/var/lib/tcollector/spool"
SINKS = "/var/sinks"
# Lines of one collector, of one boot: "power.BOOT SECONDS N host=h" with N = 1, 2, ... and SECONDS = START + N.
START = 1_000_000_000
LINE = re.compile(rb"power\.([0-9a-f]{8}) (\d+) (\d+) host=h")
CONFIG = """server "test" { url = "telnet://127.0.0.1:4242" }
collector_dirs = { "/etc/tcollector/collectors" }
tags = { "host=h" }
queue_size = "256K"
self_stats = false
"""
# 5,000 lines a second, or as many as the machine can.
FAST = f"""#!/usr/bin/python3 -S
import os, time
with open("/proc/sys/kernel/random/boot_id") as file:
    name = b"power." + file.read(8).encode()
n = 0
due = time.monotonic()
while True:
    rest = b"".join(b"%s %d %d\\n" % (name, {START} + n + i, n + i) for i in range(1, 401))
    n += 400
    while rest:
        rest = rest[os.write(1, rest):]
    due = max(due + 0.08, time.monotonic() - 1)
    time.sleep(max(0, due - time.monotonic()))
"""
# Prints the last line of the spool, as it is in its files, and how many seconds passed until the agent, by the kernel's
# word, had synced a file. It is of one thread: so it had written the line before it began to, and the line is durable.
# (The state file would not tell: it is written with each record, synced or not.)
LOOK = f"""
import glob, os, re, sys, time

TRACING = "/sys/kernel/tracing"
EVENT = TRACING + "/events/ext4/ext4_sync_file_exit"


def put(path, text):
    with open(path, "w") as file:
        file.write(text)


put(EVENT + "/filter", "common_pid == " + sys.argv[1] + " && ret == 0")
put(TRACING + "/trace", "")
with open(max(glob.glob("{SPOOL}/*.seg")), "rb") as file:
    file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
    line = re.findall(rb"put ({LINE.pattern.decode()})\\n", file.read())[-1][0].decode()
began = time.monotonic()
put(EVENT + "/enable", "1")
with open(TRACING + "/trace_pipe") as events:
    while "ext4_sync_file_exit" not in events.readline():
        pass
took = time.monotonic() - began
put(EVENT + "/enable", "0")
print(line)
print(took)
"""


class Power(unittest.TestCase):
    def setUp(self):
        self.machine = machine = vm.VirtualMachine()
        machine.boot()
        self.addCleanup(machine.stop)
        machine.install(BUILD)
        machine.write("/etc/tcollector/tcollector.conf", CONFIG)
        machine.write("/etc/tcollector/collectors/0/fast", FAST, 0o755)
        machine.write("/usr/lib/look.py", LOOK)
        machine.write("/usr/lib/vm-sink.py", (pathlib.Path(__file__).parent / "vm-sink.py").read_text())
        machine.shell(f"mkdir {SINKS}; systemctl enable -q tcollector; sync; systemctl start tcollector")
        self.promised = {}  # boot: the numbers up to here are durable, in the spool or in the database
        self.waits = []  # seconds until a line in the spool was durable
        self.n_sinks = 0

    # -- inside --

    def sums(self):
        """The agent's, of one moment. It may be starting, or slow to answer."""
        def ask():
            done = self.machine.run(["tcollectorctl", "status", "--json"], check=False)
            return json.loads(done.stdout)["sums"] if done.status == 0 else None
        return self.wait_until(ask, "the agent to answer")

    def look(self):
        """The number of the last line in the spool, some time before this returns: the spool has been synced since,
        so it and all before it are promised now."""
        agent = self.machine.property("tcollector", "MainPID")
        line, took = self.machine.run(["python3", "-S", "/usr/lib/look.py", agent]).stdout.splitlines()
        boot, seconds, n = LINE.fullmatch(line.encode()).groups()
        self.assertEqual(START + int(n), int(seconds))
        self.promised[boot.decode()] = int(n)
        self.waits.append(float(took))
        return int(n)

    def start_database(self):
        """Each has a file of its own: what a cut tears off the end of one is not to be joined by a line."""
        self.n_sinks += 1
        self.machine.run(["systemd-run", "-q", f"--unit=sink-{self.n_sinks}", "python3", "-S", "/usr/lib/vm-sink.py",
                          "4242", f"{SINKS}/{self.n_sinks}", "--sync"])

    def wait_until(self, condition, what):
        try:
            return rig.wait_until(condition, what, vm.DEADLINE)
        except rig.RigError as error:
            told = self.machine.run(["journalctl", "--no-pager", "-q", "-n", "60"]).stdout
            raise AssertionError(f"{error}\n{told}") from None

    def wait_for_spool(self, more=2000):
        """Until so many lines more have gone to the spool."""
        before = self.sums()["spooled"]
        self.wait_until(lambda: self.sums()["spooled"] > before + more, f"{more} more lines to be spooled")

    def cut(self):
        """And back: the agent takes up what it had by itself."""
        self.machine.power_cut()
        self.machine.boot()
        self.wait_until(lambda: self.machine.property("tcollector", "ActiveState") == "active", "the agent")
        self.assertNotIn("cannot be used", self.machine.journal("-b", "-u", "tcollector"))

    # -- what is left --

    def assert_left(self, n):
        """What a cut at this moment would leave of the spool has the numbers 1 to n, in order."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as there:
            left = self.machine.left_by_cut(SPOOL, there)
            text = b"".join(path.read_bytes() for path in sorted(left.glob("*.seg")))
        numbers = [int(match[3]) for match in re.finditer(rb"put " + LINE.pattern + rb"\n", text)]
        wrong = next((i for i in range(1, n + 1) if numbers[i - 1:i] != [i]), None)
        self.assertIsNone(wrong, f"of the numbers up to {n}, promised, this is the first that is not there")

    def in_database(self):
        """The lines that are on the disk, in the order of their coming, less what was torn off the ends."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as there:
            left = self.machine.left_by_cut(SINKS, there)
            for i in range(1, self.n_sinks + 1):
                yield from (left / str(i)).read_bytes().split(b"\n")[:-1]

    def arrived(self):
        """{boot: its numbers, in the order of their first coming}. No line is altered; numbers grow; where one comes
        again, all that had come behind it do so, too, before the next new one."""
        numbers, seen, last = {}, set(), {}
        for line in self.in_database():
            match = LINE.fullmatch(line)
            self.assertTrue(match, line)
            boot, n = match[1].decode(), int(match[3])
            self.assertEqual(START + n, int(match[2]), line)
            got = numbers.setdefault(boot, [])
            before, last[boot] = last.get(boot, 0), n
            if (boot, n) in seen:
                self.assertTrue(n <= before or n == before + 1 or (boot, before + 1) not in seen, (before, line))
                continue
            self.assertTrue(not got or before == got[-1] < n, (before, line))
            got.append(n)
            seen.add((boot, n))
        return numbers

    # -- the test --

    def cut_while_it_spools(self):
        self.wait_for_spool()
        self.look()
        self.cut()

    def cut_while_it_delivers(self):
        self.wait_for_spool()
        self.look()
        self.start_database()
        def delivering():
            sums = self.sums()
            return sums if sums["acked"] > 10_000 else None
        sums = self.wait_until(delivering, "lines to be acknowledged")
        self.assertGreater(sums["spooled"], 0, "it is still behind")
        self.cut()
        kept = int(self.machine.shell(f"wc -l <{SINKS}/{self.n_sinks}"))
        self.assertGreaterEqual(kept, sums["acked"], "acknowledged is on the disk")

    def deliver_all(self):
        """What is left, and no more."""
        self.wait_for_spool()
        self.start_database()
        self.machine.run(["systemctl", "stop", "tcollector-col@fast.service"])
        self.wait_until(lambda: re.search(r" delivered, 0 queued;", self.machine.property("tcollector", "StatusText")),
                        "all to be delivered")

    def test_power_cuts(self):
        self.wait_until(lambda: self.sums()["spooled"] > 0, "lines to be spooled")
        for _ in range(MOMENTS):
            self.assert_left(self.look())
        # Noise only adds.
        print(f"durable after {', '.join(f'{took:.2f}' for took in self.waits)} s", file=sys.stderr, flush=True)
        self.assertLess(min(self.waits), 2)
        self.cut_while_it_spools()
        self.cut_while_it_spools()
        self.cut_while_it_delivers()
        self.deliver_all()

        numbers = self.arrived()
        self.assertEqual(3, len(self.promised))
        for boot, n in self.promised.items():
            self.assertEqual(n, sum(1 for i in numbers[boot] if i <= n), f"of the numbers up to {n} of {boot}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
