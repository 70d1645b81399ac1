# SPDX-License-Identifier: LGPL-2.1-or-later
"""The database is away for as long as it takes to queue five million points, and comes back; then the same again while
the agent is killed every second, in both of it. All arrive, each series in its order, in bounded memory."""
import json
import os
import pathlib
import signal
import sys
import threading
import time

import installed

NUMBERED = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
POINTS = 5_000_001
RATE = 50_000  # lines a second of each collector while the agent is killed, so that it takes a while
RING = 16 << 20
MEMORY = RING + (16 << 20)
PATIENCE = 400  # seconds, for five million points on a machine that has other things to do
AT_ONCE = "[Service]\nRestartSec=100ms\n"


class Watch:
    """A thread that looks at the agent's memory ten times a second, from outside: whatever process is it then."""

    def __init__(self, group):
        self.group = group  # folder of the machine's control group
        self.folder = None
        self.largest = self.n = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pid(self):
        """Of the agent, seen from the host; None: it is not there."""
        self.folder = self.folder or next(self.group.glob("**/tcollector.service"), None)
        try:
            for pid in (self.folder / "cgroup.procs").read_text().split() if self.folder else ():
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "tcollector\n":
                    return int(pid)
        except OSError:
            pass  # gone in the meantime
        return None

    def memory(self):
        """Bytes that are the agent's own, the queue included (libraries are not); 0: it is not there."""
        try:
            rows = pathlib.Path(f"/proc/{self.pid()}/status").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(("RssAnon:", "RssShmem:")))

    def _run(self):
        while not self._ended.wait(0.1):
            memory = self.memory()
            self.n += memory > 0
            self.largest = max(self.largest, memory)

    def take(self):
        """(largest, how often it was looked at) since it was last asked."""
        taken = self.largest, self.n
        self.largest = self.n = 0
        return taken

    def stop(self):
        self._ended.set()
        self._thread.join()


class Kills:
    """One whenever a second has passed since the one before, and the agent has done something since then."""

    def __init__(self, watch, done):
        self.watch = watch
        self.done = done  # a function: a number that grows with what the agent does
        self.n = 0
        self.before = done()
        self.at = time.monotonic()

    def __call__(self):
        pid = self.watch.pid()
        if not pid or time.monotonic() - self.at < 1 or self.done() == self.before:
            return
        self.at = time.monotonic()
        self.before = self.done()
        os.kill(pid, signal.SIGKILL)
        self.n += 1


class Outage(installed.TestCase):
    def start(self, names, rate):
        """Collectors that print five million lines between them."""
        for name in names:
            self.machine.configure(f'collector "{name}" {{ environment = {{ "POINTS={POINTS // len(names)}", '
                                   f'"RATE={rate}" }} }}\n', f"{name}.conf")
            path = self.machine.path(f"{installed.COLLECTORS}/0/{name}")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(NUMBERED.read_bytes())
            path.chmod(0o755)
        self.machine.shell("systemctl daemon-reload; systemctl start tcollector")
        self.addCleanup(self.end, names)
        self.watch = Watch(self.machine.group)
        self.addCleanup(self.watch.stop)

    def end(self, names):
        self.machine.systemctl("stop", "tcollector")
        for name in names:
            self.machine.remove_collector(name, 0)
        self.machine.shell("rm -rf /var/lib/tcollector/spool /etc/systemd/system/tcollector.service.d; "
                           "systemctl daemon-reload")

    def all_written(self, names):
        return sum(self.written(name) for name in names)

    def wait_for_all(self, count, what, kill=None):
        """Until count() says all of them, killing meanwhile; notes how that went, and holds the bound on memory."""
        def complete():
            if kill:
                kill()
            return count() >= POINTS
        self.watch.take()
        took = self.wait_until(complete, f"{POINTS} points to be {what}", PATIENCE)
        largest, n = self.watch.take()
        self.note(f"{POINTS} points {what} in {took:.0f} s, {kill.n if kill else 0} kills, {largest >> 10} KiB "
                  f"at most, of {n} looks")
        self.assertGreater(n, 5)
        self.assertLess(largest, MEMORY)

    def sums(self):
        return json.loads(self.machine.run(["tcollectorctl", "status", "--json"]).stdout)["sums"]

    def status(self):
        return self.machine.show("tcollector.service", "StatusText")

    def assert_arrived(self, numbers, names):
        """All of them, each series in its order, and nothing else."""
        n = POINTS // len(names)
        for name in names:
            self.assertEqual((n, []), (numbers.last(name), numbers.missing(name, n)))
        self.assertEqual({}, numbers.behind, "lines that came for the first time behind a later one")
        self.assertEqual({}, numbers.others, "lines that nobody printed")
        self.wait_until(lambda: " 0 queued;" in self.status(), "the queue to be empty")
        self.assertNotIn("lost", self.status())

    def deliver(self, names, numbers, kill=None):
        tsd = self.tsd(store=numbers)
        self.wait_for_all(lambda: sum(numbers.count(name) for name in names), "delivered", kill)
        self.assert_arrived(numbers, names)
        twice = sum(numbers.repeated(name) for name in names)
        self.note(f"over {tsd.n_connections} connections, {twice} twice")
        return twice

    def test_five_million(self):
        names = ("alpha", "beta", "gamma")
        self.start(names, 0)
        self.wait_for_all(lambda: self.all_written(names), "queued")
        self.wait_until(lambda: self.sums()["received"] == POINTS, "the last of them to be read")
        self.assertGreater(self.sums()["spooled"], POINTS * 3 // 4)
        self.assertEqual(0, self.deliver(names, installed.Numbers()))

    def test_five_million_and_kills(self):
        names = ("delta", "epsilon", "zeta")
        self.machine.drop_in("tcollector.service", AT_ONCE)
        self.start(names, RATE)
        kill = Kills(self.watch, lambda: self.all_written(names))
        self.wait_for_all(lambda: self.all_written(names), "queued", kill)
        self.assertGreater(kill.n, 10)
        numbers = installed.Numbers()
        kill = Kills(self.watch, lambda: sum(numbers.last(name) for name in names))
        self.deliver(names, numbers, kill)
        self.assertGreater(kill.n, 2)


if __name__ == "__main__":
    installed.main()
