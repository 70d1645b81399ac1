# SPDX-License-Identifier: LGPL-2.1-or-later
"""A periodic collector that does not end, with children that flee and ignore SIGTERM."""
import json

import installed

INTERVAL = 2  # seconds
SLACK = 3  # seconds, for a machine that has other things to do

# Each run leaves the time at which it began, and two children in sessions of their own.
OVERSTAYER = installed.SHELL + """
read up rest < /proc/uptime
echo $up >> /dev/shm/tcollector-test-runs
for i in 1 2; do setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 0.2; done' fugitive & done
echo over.up $(date +%s) $$
trap '' TERM
while :; do sleep 0.2; done
"""
UNIT = "tcollector-col@over.service"


class Overstayer(installed.TestCase):
    def journal(self):
        """[(microseconds, message)] of systemd about the unit."""
        told = self.machine.run(["journalctl", "-q", "-o", "json", "-u", UNIT]).stdout
        rows = [json.loads(line) for line in told.splitlines()]
        return [(int(row["__MONOTONIC_TIMESTAMP"]), row["MESSAGE"]) for row in rows if row.get("_PID") == "1"]

    def when(self, text):
        return [at / 1e6 for at, message in self.journal() if text in message]

    def begins(self):
        """When the runs began, by the same clock as the journal's."""
        try:
            return [float(at) for at in self.machine.path("/dev/shm/tcollector-test-runs").read_text().split()]
        except FileNotFoundError:
            return []

    def test_killed_with_all_its_children(self):
        self.machine.add_collector("over", INTERVAL, OVERSTAYER)
        self.machine.systemctl("daemon-reload")
        self.tsd()
        self.machine.systemctl("start", "tcollector")
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

        self.wait_until(lambda: self.begins() and len(self.machine.processes(UNIT)) >= 3, "the first run", units=[UNIT])
        first = set(self.machine.processes(UNIT))
        self.wait_until(lambda: self.when("Killing"), "systemd to kill the first run", units=[UNIT])
        self.wait_until(lambda: self.when("Failed with result 'timeout'"), "the end of the first run", units=[UNIT])
        self.wait_until(lambda: len(self.begins()) >= 2, "the second run", units=[UNIT])
        self.assertEqual(set(), first & set(self.machine.processes(UNIT)))
        alive = self.machine.run(["ps", "-o", "pid=", "-p", ",".join(map(str, first))], check=False).stdout
        self.assertEqual("", alive, "processes of the first run")

        self.check_times()
        self.assertEqual("active", self.machine.state("tcollector-col@over.timer"), "it stays on its schedule")
        self.wait_until(lambda: len(self.begins()) >= 3, "the third run", units=[UNIT])
        self.assertEqual("", self.machine.systemctl("--failed", "--plain", "--no-legend"))
        self.assertEqual("running", self.machine.run(["systemctl", "is-system-running"], check=False).stdout.strip())

    def check_times(self):
        """Of the first run, and of the begin of the second, which is due as soon as the first has ended."""
        asked, killed = self.when("Service reached runtime time limit"), self.when("Killing.")
        ended, begins = self.when("Failed with result 'timeout'"), self.begins()
        self.assertTrue(asked and killed and ended, self.journal())
        lasted, grace, pause = asked[0] - begins[0], killed[0] - asked[0], begins[1] - ended[0]
        self.note(f"SIGTERM after {lasted:.1f} s, {grace:.1f} s later SIGKILL; the next run {pause:.2f} s after")
        self.assertTrue(lasted < INTERVAL + SLACK, self.journal())
        self.assertTrue(4.5 < grace < 7, self.journal())
        self.assertLess(pause, INTERVAL + SLACK, self.journal())


if __name__ == "__main__":
    installed.main()
