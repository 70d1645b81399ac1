# SPDX-License-Identifier: LGPL-2.1-or-later
"""A periodic collector that does not end, with children that flee and ignore SIGTERM."""
import json

import installed

INTERVAL = 2  # seconds

# Each run leaves its number, and two children in sessions of their own.
OVERSTAYER = installed.SHELL + """
echo run >> /dev/shm/tcollector-test-runs
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
        return [at for at, message in self.journal() if text in message]

    def test_killed_with_all_its_children(self):
        self.machine.add_collector("over", INTERVAL, OVERSTAYER)
        self.machine.systemctl("daemon-reload")
        self.tsd()
        self.machine.systemctl("start", "tcollector")
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

        runs = self.machine.path("/dev/shm/tcollector-test-runs")
        self.wait_until(lambda: runs.exists() and len(self.machine.processes(UNIT)) >= 3, "the first run", units=[UNIT])
        first = set(self.machine.processes(UNIT))
        self.wait_until(lambda: self.when("Killing"), "systemd to kill the first run", units=[UNIT])
        self.wait_until(lambda: runs.read_text().count("run") >= 2, "the second run", units=[UNIT])
        self.assertEqual(set(), first & set(self.machine.processes(UNIT)))
        alive = self.machine.run(["ps", "-o", "pid=", "-p", ",".join(map(str, first))], check=False).stdout
        self.assertEqual("", alive, "processes of the first run")

        asked, killed = self.when("Service reached runtime time limit"), self.when("Killing.")
        self.assertTrue(asked and killed, self.journal())
        grace = (killed[0] - asked[0]) / 1e6
        begins = self.times_of_runs()
        self.note(f"SIGTERM, {grace:.1f} s later SIGKILL; the next run {begins:.2f} s after")
        self.assertGreater(grace, 4.5)

        self.assertEqual("active", self.machine.state("tcollector-col@over.timer"), "it stays on its schedule")
        self.wait_until(lambda: runs.read_text().count("run") >= 3, "the third run", units=[UNIT])
        self.assertEqual("", self.machine.systemctl("--failed", "--plain", "--no-legend"))
        self.assertEqual("running", self.machine.run(["systemctl", "is-system-running"], check=False).stdout.strip())

    def times_of_runs(self):
        """Seconds from the end of the first run to the begin of the second."""
        ends = self.when("Failed with result 'timeout'")
        started = int(self.machine.show(UNIT, "ExecMainStartTimestampMonotonic"))
        return (started - ends[-1]) / 1e6


if __name__ == "__main__":
    installed.main()
