# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors that end as they should not, and what comes of it."""
import installed

# Counts its runs in a file, and ends with the status that stands in another, or else with the one it was made with.
COUNTED = installed.SHELL + """
status={status}
file=/dev/shm/tcollector-test-$TCOLLECTOR_NAME
echo run >> $file
[ ! -e $file.status ] || read status < $file.status
exit $status
"""
RETRY = "[Timer]\nOnActiveSec=\nOnActiveSec=3\n"


class Failures(installed.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.systemctl("start", "tcollector")

    def tearDown(self):
        self.machine.run(["sh", "-c", "systemctl reset-failed; rm -rf /etc/systemd/system/tcollector-col*.d"])

    def add(self, name, interval, status):
        """Returns when it runs, by what rescan does; the name of its unit."""
        self.machine.add_collector(name, interval, COUNTED.format(status=status))
        self.machine.shell("tcollectorctl rescan")
        self.wait_for_runs(name, 1)
        return f"tcollector-col@{name}.service"

    def runs(self, name):
        try:
            return self.machine.path(f"/dev/shm/tcollector-test-{name}").read_text().count("run")
        except FileNotFoundError:
            return 0

    def wait_for_runs(self, name, n):
        return self.wait_until(lambda: self.runs(name) >= n, f"run {n} of {name}",
                               units=(f"tcollector-col@{name}.service",))

    def overall(self):
        return self.machine.run(["systemctl", "is-system-running"], check=False).stdout.strip()

    def failed(self):
        return self.machine.systemctl("--failed", "--plain", "--no-legend")

    def assert_off_quietly(self, name, interval):
        unit = self.add(name, interval, 13)
        states = {unit: "inactive", f"tcollector-col@{name}.timer": "inactive",
                  f"tcollector-col-failed@{name}.service": "inactive", f"tcollector-col-retry@{name}.timer": "active"}

        def quiet():
            return all(self.machine.state(unit) == state for unit, state in states.items()) and \
                not self.failed() and self.overall() == "running"
        took = self.wait_until(quiet, f"{name} to be off the schedule", units=tuple(states))
        # on a busy machine it may have been due again before it was taken off
        n = self.runs(name)
        self.machine.let_pass(3)
        self.assertEqual(n, self.runs(name))
        self.assertEqual("", self.failed())
        self.assertEqual("running", self.overall())
        said = [message for _, _, message in self.machine.log(unit) if "13" in message]
        self.assertLessEqual(len(said), 2 * n, self.machine.log(unit))
        self.note(f"quiet {took:.2f} s after its first run, after {n} runs; the journal: {said}")

    def test_13_periodic(self):
        self.assert_off_quietly("none-here", 1)

    def test_13_long_running(self):
        self.assert_off_quietly("none-for-long", 0)

    def test_failed_is_visible_and_retried(self):
        unit, timer, retry = (f"tcollector-col{part}" for part in
                              ("@flaky.service", "@flaky.timer", "-retry@flaky.timer"))
        self.machine.drop_in(retry, RETRY)
        self.add("flaky", 1, 1)
        self.machine.wait_for_state(unit, "failed")
        self.machine.wait_for_state(retry, "active")
        self.assertIn(unit, self.failed())
        self.assert_state(timer, "inactive")
        self.assertEqual("degraded", self.overall())
        self.machine.wait_for_log(r"status=1/FAILURE", "-u", unit)
        took = self.wait_for_runs("flaky", 2)
        self.note(f"retried {took:.1f} s later, with a retry timer of 3 s instead of an hour")
        # failed again: again off the schedule, until it ends well
        self.machine.write("/dev/shm/tcollector-test-flaky.status", "0\n")
        self.wait_for_runs("flaky", 5)
        self.machine.wait_for_state(timer, "active")
        self.assert_state(retry, "inactive")
        self.assertEqual("", self.failed())
        self.assertEqual("running", self.overall())

    def test_retry_is_an_hour(self):
        self.add("hourly", 1, 1)
        retry = "tcollector-col-retry@hourly.timer"
        self.machine.wait_for_state(retry, "active")
        shown = self.machine.show(retry, "TimersMonotonic")
        self.assertIn("OnActiveUSec=1h", shown)

    def test_started_by_hand_before_the_hour(self):
        unit = self.add("by-hand", 1, 1)
        self.machine.wait_for_state("tcollector-col-retry@by-hand.timer", "active")
        self.machine.write("/dev/shm/tcollector-test-by-hand.status", "0\n")
        self.machine.systemctl("start", unit)
        self.wait_for_runs("by-hand", 4)
        self.assert_state("tcollector-col-retry@by-hand.timer", "inactive")

    def test_long_running_ends_well(self):
        """Again after 15 s, by systemd's own clock."""
        unit = self.add("short", 0, 0)

        def when(event):
            return int(self.machine.show(unit, f"ExecMain{event}TimestampMonotonic")) / 1e6
        self.wait_until(lambda: when("Exit") > when("Start"), "the first run's end", units=(unit,))
        ended = when("Exit")
        self.wait_for_runs("short", 2)
        self.note(f"started again {when('Start') - ended:.1f} s after its end")
        self.assertGreater(when("Start") - ended, 14.5)
        self.assertEqual("", self.failed())

    def test_long_running_fails(self):
        unit = self.add("broken", 0, 7)
        self.machine.wait_for_state(unit, "failed")
        self.machine.wait_for_state("tcollector-col-retry@broken.timer", "active")
        self.assertIn(unit, self.failed())
        self.assertEqual(1, self.runs("broken"))

    def test_unknown_user(self):
        """Costs that one collector."""
        self.machine.configure('collector "stranger" {\n    user = "no-such-user"\n}\n', "stranger.conf")
        self.machine.add_collector("stranger", 0, COUNTED.format(status=0))
        self.machine.shell("tcollectorctl rescan")
        self.machine.wait_for_state("tcollector-col@stranger.service", "failed")
        self.assertEqual("217", self.machine.show("tcollector-col@stranger.service", "ExecMainStatus"))
        self.assert_state("tcollector.service", "active")


if __name__ == "__main__":
    installed.main()
