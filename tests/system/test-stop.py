# SPDX-License-Identifier: LGPL-2.1-or-later
"""`systemctl stop tcollector`: what collectors had written is delivered or kept, and nothing runs on."""
import time

import installed

FLOODS = ("red", "green", "blue")
TIMES = 10
N_TIMERS = 8
BESIDE = ("tcollector-rescan.service", "tcollector-wanted.service")

TICK = installed.SHELL + 'echo "tick.$TCOLLECTOR_NAME $(date +%s) $(date +%N)"\n'


class Stop(installed.TestCase):
    def setUp(self):
        self.machine.shell(f"rm -rf {installed.COLLECTORS}/*; rm -f /dev/shm/tcollector-test-*")
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

    def start(self):
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")

    def at_work(self, *units):
        """Those that run, or are about to."""
        return self.machine.systemctl("list-units", "--plain", "--no-legend", "--state=active,activating,reloading,"
                                      "deactivating", *units) + \
            self.machine.systemctl("list-jobs", "--plain", "--no-legend", *units)

    def assert_nothing_runs(self):
        # These two are stopped with the agent, but its own stop does not wait for theirs.
        self.wait_until(lambda: not self.at_work(*BESIDE), "its helpers to be stopped", units=BESIDE)
        self.assertEqual("", self.machine.run(["pgrep", "-u", "tcollector,tcollector-col"], check=False).stdout)
        self.assertEqual("", self.at_work("tcollector*.service", "tcollector*.timer", "tcollector*.path",
                                          "tcollector*.target"))

    def flood(self, tsd, numbers, enough):
        for name in FLOODS:
            self.numbered(name, 0)
        self.start()
        for name in FLOODS:
            self.wait_until(lambda: numbers.count(name) > enough, f"lines of {name}")
        return tsd

    def test_at_full_speed(self):
        numbers = installed.Numbers()
        self.flood(self.tsd(store=numbers), numbers, 20_000)
        self.machine.systemctl("stop", "tcollector")
        self.assert_nothing_runs()
        at_once = sum(self.written(name) - len(numbers.missing(name, self.written(name))) for name in FLOODS)
        total = sum(self.written(name) for name in FLOODS)
        self.check_the_rest(numbers)
        self.note(f"{total} lines written, {at_once} delivered when it had stopped, the rest after the next start")

    def test_with_the_database_away(self):
        numbers = installed.Numbers()
        tsd = self.flood(self.tsd(store=numbers), numbers, 20_000)
        tsd.kill()
        for name in FLOODS:
            self.wait_until(lambda: self.written(name) > numbers.last(name), f"{name} to write more than was stored")
        self.machine.systemctl("stop", "tcollector")
        self.assert_nothing_runs()
        missing = sum(len(numbers.missing(name, self.written(name))) for name in FLOODS)
        self.assertGreater(missing, 0, "the database was not away")
        tsd.listen()
        self.check_the_rest(numbers)
        self.note(f"{missing} lines kept over the stop")

    def check_the_rest(self, numbers):
        """Nobody prints any more: what comes now was kept."""
        self.machine.shell(f"rm -r {installed.COLLECTORS}/0")
        self.start()
        self.assert_all_came(numbers, FLOODS)

    def test_no_timer_fires_into_it(self):
        """Timers of one second with their phases spread: some are always about to fire."""
        self.tsd()
        for i in range(N_TIMERS):
            self.machine.add_collector(f"tick{i}", 1, TICK)
        self.machine.systemctl("daemon-reload")
        for _ in range(TIMES):
            self.machine.shell("systemctl start tcollector 'tcollector-col@*.timer'; systemctl stop tcollector")
            self.assert_nothing_runs()
            self.machine.let_pass(1.5)
            self.assert_nothing_runs()

    def test_with_a_rescan_under_way(self):
        """It takes more than a second; ended with the agent, it has not failed."""
        self.start()
        self.machine.systemctl("start", "--no-block", "tcollector-rescan.service")
        self.wait_until(lambda: self.machine.main_pid("tcollector-rescan.service"), "a rescan", units=BESIDE)
        self.machine.systemctl("stop", "tcollector")
        self.assert_nothing_runs()
        self.assertEqual("", self.machine.systemctl("list-units", "--failed", "--plain", "--no-legend", "tcollector*"))

    def test_beside_one_that_is_started_again_at_once(self):
        """A collector that systemd is just starting again, here at nearly any moment, wants the agent."""
        self.tsd()
        unit = self.machine.add_collector("hasty", 0, TICK)
        self.machine.drop_in(unit, "[Service]\nRestart=always\nRestartSec=0\n")
        for _ in range(TIMES):
            self.start()
            self.wait_until(lambda: int(self.machine.show(unit, "NRestarts")) > 10, "it to have been started again")
            began = time.monotonic()
            self.machine.systemctl("stop", "tcollector")
            self.assertLess(time.monotonic() - began, 15, "something was waited for in vain")
            self.assert_nothing_runs()
            self.machine.let_pass(0.5)
            self.assert_nothing_runs()


if __name__ == "__main__":
    installed.main()
