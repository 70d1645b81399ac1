# SPDX-License-Identifier: LGPL-2.1-or-later
"""An agent that hangs (SIGSTOP) is killed and started anew by systemd, and nothing is lost; one that has nothing to do,
or whose database is away, is healthy."""
import installed

RATES = {"one": 2000, "two": 2000}
WATCHDOG = "[Service]\nWatchdogSec={}\nTimeoutAbortSec=1\n"
# Seconds. A healthy agent on a busy machine may have to wait for a processor for longer than the shorter one allows.
SHORT, LONG = 2, 6


class Watchdog(installed.TestCase):
    config = installed.CONFIG + 'queue_size = "1M"\nspool_size = "8M"\n'

    def setUp(self):
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

    def start(self, seconds):
        self.machine.drop_in("tcollector.service", WATCHDOG.format(seconds))
        self.machine.systemctl("start", "tcollector")

    def test_hung(self):
        for name, rate in RATES.items():
            self.numbered(name, rate)
        numbers = installed.Numbers()
        self.tsd(store=numbers)
        self.start(SHORT)
        units = [f"tcollector-col@{name}.service" for name in RATES]
        for name in RATES:
            self.wait_until(lambda: numbers.count(name) > 1000, f"lines of {name}")
        pids = [self.machine.main_pid(unit) for unit in units]
        agent = self.machine.main_pid()
        self.machine.run(["kill", "-STOP", agent])
        took = self.wait_until(lambda: self.machine.main_pid() not in (0, agent), "the watchdog to act")
        self.machine.wait_for_log("Watchdog timeout", "-u", "tcollector")
        before = {name: numbers.last(name) for name in RATES}
        for name in RATES:
            self.wait_until(lambda: numbers.last(name) > before[name], f"new lines of {name}")
        self.assertEqual(pids, [self.machine.main_pid(unit) for unit in units])
        self.machine.systemctl("stop", *units)
        self.assert_all_came(numbers, RATES)
        self.note(f"back {took:.1f} s after SIGSTOP, with WatchdogSec={SHORT} and TimeoutAbortSec=1")
        self.machine.shell(f"rm -r {installed.COLLECTORS}/0")

    def test_idle_is_healthy(self):
        self.start(LONG)
        agent = self.machine.main_pid()
        self.machine.let_pass(2 * LONG + 2)
        self.assertEqual(agent, self.machine.main_pid(), self.machine.told("tcollector"))

    def test_database_away_is_healthy(self):
        """Its queue full, and collectors waiting for it: no fault of the agent's."""
        self.numbered("flood", 0)
        self.start(LONG)
        agent = self.machine.main_pid()
        self.wait_until(lambda: self.written("flood") > 10_000, "the flood")
        self.machine.let_pass(2 * LONG + 2)
        self.assertEqual(agent, self.machine.main_pid(), self.machine.told("tcollector"))
        self.machine.shell(f"rm -r {installed.COLLECTORS}/0")


if __name__ == "__main__":
    installed.main()
