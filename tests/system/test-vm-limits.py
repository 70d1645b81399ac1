# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors that misbehave are held by their own units' limits, and hurt nobody else: not the agent, not their
neighbours, not the machine."""
import os
import pathlib
import re
import unittest

import rig
import vm

BUILD = pathlib.Path(os.environ.get("TCOLLECTOR_BUILD", "build")).resolve()
COLLECTORS = "/etc/tcollector/collectors"
SINK = "/var/sink"
CONFIG = f"""server "test" {{ url = "telnet://127.0.0.1:4242" }}
collector_dirs = {{ "{COLLECTORS}" }}
tags = {{ "host=h" }}
self_stats = false
"""

# "steady.i TIME N" with N = 1, 2, ..., ten a second; a line is counted when it has been written.
STEADY = """#!/usr/bin/python3 -S
import os, time
n = 0
while True:
    n += 1
    os.write(1, b"steady.i %d %d\\n" % (1000000000 + n, n))
    time.sleep(0.1)
"""
# As many processes as it gets, each of which tries the same. How many tries failed is beyond counting: it says once
# that one has.
BOMB = """#!/usr/bin/python3 -S
import os, time
os.write(1, b"bomb.lit 1000000001 1\\n")
told = False
while True:
    try:
        os.fork()
    except BlockingIOError:
        if not told:
            os.write(1, b"bomb.refused %d 1\\n" % (1000000000 + os.getpid()))
        told = True
    time.sleep(0.01)
"""
EATER = """#!/usr/bin/python3 -S
import os
os.write(1, b"eater.hungry 1000000001 1\\n")
x = b"x" * (256 << 20)
os.write(1, b"eater.full 1000000001 1\\n")
"""
BURNER = """#!/usr/bin/python3 -S
import os
os.write(1, b"burner.on 1000000001 1\\n")
while True:
    pass
"""


def unit(name):
    return f"tcollector-col@{name}.service"


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = machine = vm.VirtualMachine()
        machine.boot()
        cls.addClassCleanup(machine.stop)
        machine.install(BUILD)
        machine.write("/etc/tcollector/tcollector.conf", CONFIG)
        machine.write("/usr/lib/vm-sink.py", (pathlib.Path(__file__).parent / "vm-sink.py").read_text())
        machine.write(f"{COLLECTORS}/0/steady", STEADY, 0o755)
        machine.run(["systemd-run", "--unit=sink", "python3", "/usr/lib/vm-sink.py", "4242", SINK])
        machine.run(["systemctl", "daemon-reload"])
        machine.run(["systemctl", "start", "tcollector"])
        cls.wait_for(r"^steady\.i \d+ 3 ")
        cls.agent = machine.property("tcollector", "MainPID")
        cls.steady = machine.property(unit("steady"), "MainPID")

    @classmethod
    def sunk(cls):
        return cls.machine.shell(f"cat {SINK} || true")

    @classmethod
    def wait_for(cls, pattern):
        """Waits for a line in the database, and returns the match."""
        try:
            return rig.wait_until(lambda: re.search(pattern, cls.sunk(), re.M), pattern, vm.DEADLINE)
        except rig.RigError as error:
            told = cls.machine.run(["journalctl", "--no-pager", "-q", "-n", "60"]).stdout
            raise AssertionError(f"{error}\n{told}") from None

    def add(self, name, text, limits):
        """As an administrator would: the limits first, then the collector, then nothing."""
        self.machine.write(f"/etc/tcollector/conf.d/{name}.conf", f'collector "{name}" {{ {limits} }}\n')
        self.machine.write(f"{COLLECTORS}/0/{name}", text, 0o755)
        self.machine.run(["tcollectorctl", "rescan"])

    def remove(self, name):
        self.machine.shell(f"rm {COLLECTORS}/0/{name} /etc/tcollector/conf.d/{name}.conf; tcollectorctl rescan")
        rig.wait_until(lambda: self.machine.property(unit(name), "ActiveState") in ("inactive", "failed"),
                       f"{name} to be gone", vm.DEADLINE)

    def group(self, name, file):
        """A file of the unit's control group."""
        return self.machine.read(f"/sys/fs/cgroup{self.machine.property(unit(name), 'ControlGroup')}/{file}")

    def statistics(self, name, file):
        return {key: int(value) for key, value in (line.split() for line in self.group(name, file).splitlines())}

    def assert_unhurt(self):
        """The agent and the neighbour run on as the processes they were; from now on, too, every line arrives."""
        self.assertEqual(self.agent, self.machine.property("tcollector", "MainPID"))
        self.assertEqual(self.steady, self.machine.property(unit("steady"), "MainPID"))
        last = int(re.findall(r"^steady\.i \d+ (\d+) ", self.sunk(), re.M)[-1])
        self.wait_for(rf"^steady\.i \d+ {last + 10} ")
        numbers = [int(n) for n in re.findall(r"^steady\.i \d+ (\d+) host=h$", self.sunk(), re.M)]
        self.assertEqual(list(range(1, numbers[-1] + 1)), numbers)

    def test_fork_bomb(self):
        self.add("bomb", BOMB, "tasks_max = 16")
        self.wait_for(r"^bomb\.refused ")
        self.assertEqual("16", self.group("bomb", "pids.max").strip())
        self.assertEqual("16", self.group("bomb", "pids.current").strip())
        self.assertGreater(self.statistics("bomb", "pids.events")["max"], 0)
        self.assert_unhurt()
        self.remove("bomb")
        self.assertEqual("0\n", self.machine.run(["pgrep", "-fc", f"{COLLECTORS}/0/bomb"], check=False).stdout)

    def test_memory(self):
        self.add("eater", EATER, 'memory_max = "32M"')
        rig.wait_until(lambda: self.machine.property(unit("eater"), "ActiveState") == "failed", "it to be killed",
                       vm.DEADLINE)
        rig.wait_until(lambda: re.search(r"oom_memcg=\S*/tcollector-col@eater\.service,", self.machine.journal("-k")),
                       "the kernel to say whose memory ran out", vm.DEADLINE)
        self.assertEqual(str(32 << 20), self.machine.property(unit("eater"), "MemoryMax"))
        self.wait_for(r"^eater\.hungry ")
        self.assert_unhurt()
        self.assertNotIn("eater.full", self.sunk())
        rig.wait_until(lambda: self.machine.property("tcollector-col-retry@eater.timer", "ActiveState") == "active",
                       "another try to be due", vm.DEADLINE)
        self.remove("eater")

    def test_processor_share(self):
        """A fifth of a processor, of two, for a loop that would take one: at most a tenth more than its share of any
        number of the scheduler's periods, each of 100 ms."""
        self.add("burner", BURNER, 'cpu_quota = "20%"')
        self.wait_for(r"^burner\.on ")
        self.assertEqual("20000 100000", self.group("burner", "cpu.max").strip())
        first = self.statistics("burner", "cpu.stat")

        def enough():
            now = self.statistics("burner", "cpu.stat")
            return now if now["nr_periods"] >= first["nr_periods"] + 50 else None

        last = rig.wait_until(enough, "fifty periods", vm.DEADLINE)
        periods = last["nr_periods"] - first["nr_periods"]
        share = (last["usage_usec"] - first["usage_usec"]) / periods / 100_000
        self.assertLess(share, 0.22)
        self.assertGreater(last["nr_throttled"] - first["nr_throttled"], periods / 2)
        self.assert_unhurt()
        self.remove("burner")


if __name__ == "__main__":
    unittest.main(verbosity=2)
