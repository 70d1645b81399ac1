# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine with tcollector installed, a database on its loopback, and what the tests of service mode share.

The build is installed into a folder that is laid over the host's root (rig.Machine), so generator, users, units and
D-Bus policy are there when the machine boots, as after a package's installation and a reboot. Files are written from
outside, by way of /proc/PID/root. The database is a thread of the test whose sockets are the machine's.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import rig

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from scripted_tsd import ScriptedTSD  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TCOLLECTOR_BUILD", "build")).resolve()
COLLECTORS = "/etc/tcollector/collectors"
PORT = 4242
USERS = ("passwd", "group", "shadow", "gshadow")
CLONE_NEWNET = 0x40000000

# Of the collectors that are installed with it, none.
CONFIG = f"""server "test" {{ url = "telnet://127.0.0.1:{PORT}" }}
collector_dirs = {{ "{COLLECTORS}" }}
tags = {{ "host=h" }}
self_stats = false
"""

# What a collector's shell script begins with.
SHELL = "#!/bin/sh\n"
# Not the host's own python3, which may lie where no collector can read.
PYTHON = "#!/usr/bin/python3 -S\n"

# Prints "NAME TIME N" with N = 1, 2, ... at `rate` lines a second, whole lines to a write or not, for ever. How many
# lines are written for sure stands in a file that outlives it.
NUMBERED = PYTHON + """
import mmap, os, time
name, rate = "{name}", {rate}
fd = os.open("/dev/shm/tcollector-test-" + name, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 8)
written = memoryview(mmap.mmap(fd, 8)).cast("Q")
n = written[0]
began, first = time.monotonic(), n
while True:
    due = first + int((time.monotonic() - began) * rate) if rate else n + 500
    due = min(due, n + 500)
    if due > n:
        data = b"".join(b"%s %d %d\\n" % (name.encode(), 1000000000 + i, i) for i in range(n + 1, due + 1))
        while data:
            data = data[os.write(1, data):]
        n = due
        written[0] = n
    if rate:
        time.sleep(0.01)
"""


class Numbers:
    """A store for ScriptedTSD that knows what NUMBERED prints, in a byte a line: how often it came. All else is
    kept as it came."""

    LINE = re.compile(rb"([a-z]+) (\d+) (\d+) host=h")

    def __init__(self):
        self.seen = {}  # name -> bytearray, as long as the highest number that has come
        self.behind = {}  # name -> how many lines came for the first time behind one of a higher number
        self.others = {}
        self._last = (None, None)  # line, what _number() says of it

    def __contains__(self, line):
        return self._number(line) is not None or line in self.others

    def __getitem__(self, line):
        number = self._number(line)
        if number is None:
            return self.others.get(line, 0)
        name, n = number
        seen = self.seen.setdefault(name, bytearray())
        return seen[n] if n < len(seen) else 0

    def __setitem__(self, line, times):
        number = self._number(line)
        if number is None:
            self.others[line] = times
            return
        name, n = number
        seen = self.seen.setdefault(name, bytearray())
        if n >= len(seen):
            seen.extend(bytes(n + 1 - len(seen)))
        elif not seen[n]:
            self.behind[name] = self.behind.get(name, 0) + 1
        seen[n] = min(times, 255)

    def __iter__(self):
        return iter(self.others)

    def __len__(self):
        return len(self.others) + sum(self.count(name) for name in self.seen)

    def _number(self, line):
        # A store is asked three times of each.
        if self._last[0] is not line:
            self._last = (line, self._parse(line))
        return self._last[1]

    def _parse(self, line):
        match = self.LINE.fullmatch(line)
        if not match:
            return None
        n = int(match[3])
        if int(match[2]) != 1000000000 + n or n > 100_000_000:
            return None
        return match[1].decode(), n

    def count(self, name):
        """Lines of that name, each once."""
        seen = self.seen.get(name, b"")
        return len(seen) - seen.count(0)

    def repeated(self, name):
        return sum(times - 1 for times in self.seen.get(name, b"") if times > 1)

    def missing(self, name, n):
        """Of the lines 1 to n, those that have not come."""
        seen = self.seen.get(name, b"")
        found, at = [], seen.find(0, 1, n + 1) if seen else -1
        while at > 0:
            found.append(at)
            at = seen.find(0, at + 1, n + 1)
        return found + list(range(max(len(seen), 1), n + 1))

    def last(self, name):
        return max(len(self.seen.get(name, b"")) - 1, 0)


class InsideTSD(ScriptedTSD):
    """A database on the machine's loopback; the thread that serves it lives here."""

    def __init__(self, machine, **options):
        self.network = f"/proc/{machine.init}/ns/net"
        super().__init__(port=options.pop("port", PORT), **options)

    def _listen(self):
        with open(self.network, "rb") as network:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(network.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
        super()._listen()


def install(layer):
    """`meson install` into a folder, with the users that systemd-sysusers would add on the host."""
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", layer], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    (layer / "etc").mkdir(exist_ok=True)
    for name in USERS:
        shutil.copy2(f"/etc/{name}", layer / "etc" / name)
    subprocess.run(["systemd-sysusers", f"--root={layer}"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Installed(rig.Machine):
    """`before` (called with the folder) may change what is installed before the machine boots."""

    def __init__(self, before=None, config=CONFIG, **options):
        super().__init__(**options)
        self.before = before
        self.config = config

    def boot(self):
        reason = rig.why_not()
        if reason:
            raise rig.RigError(reason)
        self.layer = pathlib.Path(tempfile.mkdtemp(prefix="tcollector-layer-"))
        self.layer.chmod(0o755)
        try:
            install(self.layer)
            for folder in ("etc/tcollector/conf.d", COLLECTORS[1:]):
                (self.layer / folder).mkdir(parents=True, exist_ok=True)
            (self.layer / "etc/tcollector/tcollector.conf").write_text(self.config)
            if self.before:
                self.before(self.layer)
            super().boot()
        except BaseException:
            shutil.rmtree(self.layer, ignore_errors=True)
            raise
        self.shell("systemctl start dbus; sysctl -q --system || true")

    def stop(self):
        try:
            super().stop()
        finally:
            if self.layer:
                shutil.rmtree(self.layer, ignore_errors=True)
                self.layer = None

    # -- what is installed --

    def configure(self, text, name=None):
        """tcollector.conf, or conf.d/NAME."""
        self.write(f"/etc/tcollector/conf.d/{name}" if name else "/etc/tcollector/tcollector.conf", text)

    def add_collector(self, name, interval, text, folder=COLLECTORS, mode=0o755):
        """The folder of the interval is there first, as it is where a package has one."""
        self.write(f"{folder}/{interval}/{name}", text, mode)
        return f"tcollector-col@{name}.service"

    def remove_collector(self, name, interval):
        self.path(f"{COLLECTORS}/{interval}/{name}").unlink()

    def drop_in(self, unit, text, name="90-test.conf"):
        """As `systemctl edit` leaves it, read by systemd when this returns."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}", text)
        self.systemctl("daemon-reload")

    # -- systemd --

    def systemctl(self, *arguments, **options):
        return self.run(["systemctl", *arguments], **options).stdout

    def show(self, unit, *properties):
        """{property: value}, or the value if it is one."""
        told = self.systemctl("show", unit, *(f"--property={p}" for p in properties))
        values = dict(line.partition("=")[::2] for line in told.splitlines())
        return values[properties[0]] if len(properties) == 1 else values

    def state(self, unit):
        return self.show(unit, "ActiveState")

    def main_pid(self, unit="tcollector.service"):
        return int(self.show(unit, "MainPID"))

    def wait_for_state(self, unit, state, seconds=rig.DEADLINE):
        try:
            return rig.wait_until(lambda: self.state(unit) == state, f"{unit} to be {state}", seconds)
        except rig.RigError as error:
            raise AssertionError(f"{error}\n{self.told(unit)}") from None

    def processes(self, unit):
        """The ids (inside) of the processes in its control group."""
        group = self.show(unit, "ControlGroup")
        if not group:
            return []
        found = self.run(["sh", "-c", f"cat $(find /sys/fs/cgroup'{group}' -name cgroup.procs)"], check=False)
        return [int(pid) for pid in found.stdout.split()]

    def log(self, unit, *arguments):
        """[(priority, identifier, message)] of everything the journal has about a unit, as journalctl -u sees it."""
        told = self.run(["journalctl", "--no-pager", "-q", "-o", "json", "-u", unit, *arguments]).stdout
        rows = [json.loads(line) for line in told.splitlines()]
        return [(int(row.get("PRIORITY", -1)), row.get("SYSLOG_IDENTIFIER", ""), str(row.get("MESSAGE", "")))
                for row in rows]

    def wait_for_log(self, pattern, *arguments, seconds=rig.DEADLINE):
        """Waits for the journal to have it; arguments as of journalctl."""
        try:
            return rig.wait_until(lambda: re.search(pattern, self.journal(*arguments)),
                                  f"the journal to say {pattern!r}", seconds)
        except rig.RigError as error:
            raise AssertionError(f"{error}\n{self.journal('-n', '60')}") from None

    def let_pass(self, seconds):
        """Until the machine's systemd has fired a timer of so many seconds: then all that was due earlier has fired."""
        self.write("/etc/systemd/system/later.timer", f"[Timer]\nOnActiveSec={seconds}\nAccuracySec=1ms\n")
        self.write("/etc/systemd/system/later.service",
                   "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
        self.shell("systemctl stop later.timer later.service; systemctl daemon-reload; systemctl start later.timer")
        self.wait_for_state("later.service", "active")

    def told(self, *units):
        """For the report of a failure."""
        parts = [self.run(["systemctl", "status", "-n", "0", "--no-pager", "-l", *units], check=False).stdout]
        parts.append(self.journal("-o", "short-precise", "-n", "60"))
        return "\n".join(parts)


class TestCase(unittest.TestCase):
    """One machine for the tests of a class, with the agent not yet started. `before` as of Installed."""

    before = None
    config = CONFIG
    options = {}

    @classmethod
    def setUpClass(cls):
        before = cls.__dict__.get("before")
        cls.machine = Installed(before=before.__func__ if before else None, config=cls.config, **cls.options)
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.stop)

    def tsd(self, **options):
        tsd = InsideTSD(self.machine, **options)
        self.addCleanup(self._end_tsd, tsd)
        return tsd

    def _end_tsd(self, tsd):
        tsd.stop()
        self.assertEqual([], tsd.defects, "what reached the database was wrong")

    def numbered(self, name, rate, interval=0):
        """Adds a collector that prints numbered lines; 0: as fast as it can."""
        return self.machine.add_collector(name, interval, NUMBERED.format(name=name, rate=rate))

    def written(self, name):
        """Lines it has written for sure."""
        try:
            return int.from_bytes(self.machine.path(f"/dev/shm/tcollector-test-{name}").read_bytes(), "little")
        except FileNotFoundError:
            return 0

    def wait_until(self, condition, what, seconds=rig.DEADLINE, units=("tcollector.service",)):
        """Waits, and returns how long it took."""
        began = time.monotonic()
        try:
            rig.wait_until(condition, what, seconds)
        except rig.RigError as error:
            raise AssertionError(f"{error}\n{self.machine.told(*units)}") from None
        return time.monotonic() - began

    def assert_state(self, unit, state):
        self.assertEqual(state, self.machine.state(unit), self.machine.told(unit))

    def assert_all_came(self, numbers, names):
        """Every line that is written for sure is in the database, and no other than the numbered ones."""
        for name in names:
            n = self.written(name)
            self.wait_until(lambda: numbers.last(name) >= n and not numbers.missing(name, n),
                            f"{n} lines of {name} to be in the database")
        self.assertEqual({}, numbers.others, "lines that nobody printed")

    def note(self, text):
        print(f"{self.id().split('.', 1)[-1]}: {text}", file=sys.stderr, flush=True)


def main():
    unittest.main(module="__main__", verbosity=2)
