# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restarts and kills of the agent, fifty of each, while three collectors print 20,000 lines a second: every line
arrives, none is altered, and the collectors do not notice."""
import random
import time

import installed

TIMES = 100
RATES = {"one": 6667, "two": 6667, "three": 6666}


class Restart(installed.TestCase):
    def setUp(self):
        for name, rate in RATES.items():
            self.numbered(name, rate)
        self.machine.systemctl("daemon-reload")
        self.numbers = installed.Numbers()
        self.tsd(store=self.numbers)
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        self.machine.systemctl("start", "tcollector")
        for name in RATES:
            self.wait_until(lambda: self.numbers.count(name) > 1000, f"lines of {name}")

    def pids(self):
        return {name: self.machine.main_pid(f"tcollector-col@{name}.service") for name in RATES}

    def restart(self):
        self.machine.systemctl("restart", "tcollector")

    def kill(self):
        before = self.machine.main_pid()
        self.machine.run(["kill", "-9", before])
        self.wait_until(lambda: self.machine.main_pid() not in (0, before) and
                        self.machine.state("tcollector.service") == "active", "the agent to be back")

    def test_restart_and_kill(self):
        pids = self.pids()
        offered, began = sum(self.written(name) for name in RATES), time.monotonic()
        seed = random.SystemRandom().randrange(1 << 32)
        choice = random.Random(seed)
        for i in range(TIMES):
            before = {name: self.numbers.last(name) for name in RATES}
            (self.restart if i % 2 else self.kill)()
            # at any moment of a run: while it starts, before anything of it has arrived, or long after
            if choice.random() < 0.7:
                for name in RATES:
                    self.wait_until(lambda: self.numbers.last(name) > before[name] + choice.randrange(2000),
                                    f"new lines of {name} after {i + 1} restarts (seed {seed})")
        self.assertEqual(pids, self.pids(), self.machine.told())
        took, offered = time.monotonic() - began, sum(self.written(name) for name in RATES) - offered

        self.machine.systemctl("stop", *(f"tcollector-col@{name}.service" for name in RATES))
        total = sum(self.written(name) for name in RATES)
        self.assert_all_came(self.numbers, RATES)
        twice = sum(self.numbers.repeated(name) for name in RATES)
        self.note(f"{total} lines, {offered / took:.0f}/s in {took:.0f} s, over {TIMES} restarts and kills, "
                  f"{twice} came more than once; seed {seed}")
        # of what they are to print, so much at least on a machine that is too slow for all of it
        self.assertGreater(offered, sum(RATES.values()) * took / 2)


if __name__ == "__main__":
    installed.main()
