# SPDX-License-Identifier: LGPL-2.1-or-later
"""The database is away while five million points come, and the agent is killed whenever it has lived for a
second."""
import time

import installed

POINTS = 5_000_000
RATE = 120_000  # lines a second of each collector, as far as the machine can
RING = 16 << 20
NAMES = ("alpha", "beta", "gamma")
MEMORY = RING + (16 << 20)


class Outage(installed.TestCase):
    def memory(self):
        """Bytes of memory that are the agent's own, the queue included (libraries are not); 0: it is not there."""
        pid = self.machine.main_pid()
        told = self.machine.run(["sh", "-c", f"grep -E '^Rss(Anon|Shmem):' /proc/{pid}/status"], check=False).stdout
        return sum(int(line.split()[1]) * 1024 for line in told.splitlines())

    def fill(self):
        """Kills the agent whenever it has lived for a second, until all are written; how often, and its largest size."""
        kills, largest, known, born = 0, 0, 0, 0
        while sum(self.written(name) for name in NAMES) < POINTS:
            pid = self.machine.main_pid()
            if pid != known:
                known, born = pid, time.monotonic()
            elif pid and time.monotonic() - born > 1:
                largest = max(largest, self.memory())
                self.machine.run(["kill", "-9", str(pid)], check=False)
                kills += 1
            time.sleep(0.1)
        return kills, largest

    def test_five_million(self):
        units = [self.numbered(name, RATE) for name in NAMES]
        self.machine.systemctl("start", "tcollector")
        began = time.monotonic()
        kills, largest = self.fill()
        self.machine.systemctl("stop", *units)
        self.note(f"{sum(self.written(name) for name in NAMES)} points in {time.monotonic() - began:.0f} s, "
                  f"{kills} kills, {largest >> 10} KiB at most")
        self.assertGreater(kills, 10)
        self.assertLess(largest, MEMORY)

        numbers = installed.Numbers()
        tsd = self.tsd(store=numbers)
        took = self.wait_until(lambda: all(numbers.last(name) >= self.written(name) for name in NAMES),
                               "the last points to be in the database", 300)
        self.assert_all_came(numbers, NAMES)
        self.note(f"delivered in {took:.0f} s over {tsd.n_connections} connections, "
                  f"{sum(numbers.repeated(name) for name in NAMES)} twice")
        self.wait_until(lambda: "0 queued" in self.machine.show("tcollector.service", "StatusText"),
                        "the queue to be empty")
        self.assertNotIn("lost", self.machine.show("tcollector.service", "StatusText"))


if __name__ == "__main__":
    installed.main()
