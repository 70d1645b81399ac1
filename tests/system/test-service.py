# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an administrator does with tcollector and its collectors, by systemctl and journalctl."""
import re

import installed

STEADY = installed.SHELL + """
echo "steady begins in $TCOLLECTOR_NAME" >&2
while :; do i=$((i + 1)); echo steady.i $((1000000000 + i)) $i; sleep 0.1; done
"""
PERIODIC = installed.SHELL + """
echo "a complaint" >&2
echo periodic.i $(date +%s) $(date +%N)
"""
STEADY_UNIT = "tcollector-col@steady.service"
TIMER = "tcollector-col@periodic.sh.timer"


class Service(installed.TestCase):
    def setUp(self):
        self.machine.configure(self.config)
        self.machine.add_collector("steady", 0, STEADY)
        # two seconds rather than one: a run that takes longer than its interval is stopped, and that is said
        self.machine.add_collector("periodic.sh", 2, PERIODIC)
        self.machine.systemctl("daemon-reload")
        self.db = self.tsd()
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        self.machine.systemctl("start", "tcollector")
        self.wait_for_point(r"steady\.i \d+ \d+ host=h")

    def points(self, pattern):
        return {line for line in self.db.lines() if re.fullmatch(pattern, line)}

    def wait_for_point(self, pattern, but=frozenset()):
        self.wait_until(lambda: self.points(pattern) - but, f"a new point like {pattern}")

    def test_status(self):
        shown = self.machine.systemctl("status", "tcollector")
        self.assertRegex(shown, r"Active: active \(running\)")
        self.assertRegex(shown, r'Status: ".*127\.0\.0\.1:4242.*"')
        self.wait_until(lambda: re.search(r"[1-9]\d* points delivered", self.machine.systemctl("status", "tcollector")),
                        "the status to say that points are delivered")
        self.note(self.machine.show("tcollector.service", "StatusText"))

    def test_collector_status_and_journal(self):
        self.wait_for_point(r"periodic\.i \d+ \d+ host=h")
        shown = self.machine.systemctl("status", STEADY_UNIT)
        self.assertIn("active (running)", shown)
        self.assertIn("tcollector Collector steady", shown)
        self.assertEqual({(4, "steady", "steady begins in steady")}, set(self.machine.log(STEADY_UNIT)))

    def test_periodic_runs_make_no_noise(self):
        """Standard error comes as warnings; of a run's begin and end there is no word."""
        unit = "tcollector-col@periodic.sh.service"
        self.wait_until(lambda: len(self.points(r"periodic\.i \d+ \d+ host=h")) >= 4, "four runs")
        rows = self.machine.log(unit)
        self.assertGreaterEqual(len(rows), 4)
        self.assertEqual({(4, "periodic.sh", "a complaint")}, set(rows))
        noise = [line for line in self.machine.journal("-b").splitlines() if "periodic.sh" in line]
        self.assertEqual([], [line for line in noise if ".timer" not in line], "of the whole journal")

    def test_list_timers(self):
        def listed():
            """Not while a run is under way: then the next is not planned yet."""
            shown = self.machine.systemctl("list-timers", "tcollector-col@*")
            return "1 timers listed" in shown and \
                re.search(rf"left .* {re.escape(TIMER)} +tcollector-col@periodic\.sh\.service", shown)
        self.wait_until(listed, "the next run to be listed", units=(TIMER,))

    def test_restart_keeps_the_collectors(self):
        agent, steady = self.machine.main_pid(), self.machine.main_pid(STEADY_UNIT)
        self.machine.systemctl("restart", "tcollector")
        self.assertNotEqual(agent, self.machine.main_pid())
        self.assertEqual(steady, self.machine.main_pid(STEADY_UNIT), self.machine.told(STEADY_UNIT))
        before = self.points(r"steady\.i .*")
        self.wait_for_point(r"steady\.i \d+ \d+ host=h", but=before)

    def test_stop_and_start(self):
        self.machine.systemctl("stop", "tcollector")
        for unit in ("tcollector.service", STEADY_UNIT, TIMER, "tcollector-rescan.path", "tcollector-rescan.timer",
                     "tcollector-collectors.target"):
            self.assert_state(unit, "inactive")
        self.assertEqual("", self.machine.run(["pgrep", "-u", "tcollector,tcollector-col"], check=False).stdout)
        self.machine.systemctl("start", "tcollector")
        for unit in ("tcollector.service", STEADY_UNIT, TIMER, "tcollector-rescan.path"):
            self.machine.wait_for_state(unit, "active")

    def test_reload(self):
        agent, steady = self.machine.main_pid(), self.machine.main_pid(STEADY_UNIT)
        self.machine.configure(self.config.replace("host=h", "host=other"))
        self.machine.systemctl("reload", "tcollector")
        self.wait_for_point(r"steady\.i \d+ \d+ host=other")
        self.assertEqual((agent, steady), (self.machine.main_pid(), self.machine.main_pid(STEADY_UNIT)))

    def test_reload_refuses_what_is_broken(self):
        agent = self.machine.main_pid()
        self.machine.configure(self.config + "no_such_key = 1\n")
        done = self.machine.run(["systemctl", "reload", "tcollector"], check=False)
        self.assertNotEqual(0, done.returncode)
        self.machine.wait_for_log(r"tcollector\.conf:\d+: .*no_such_key", "-u", "tcollector")
        self.assert_state("tcollector.service", "active")
        before = self.points(r"steady\.i .*")
        self.wait_for_point(r"steady\.i \d+ \d+ host=h", but=before)
        self.assertEqual(agent, self.machine.main_pid())

    def test_stop_and_start_a_collector(self):
        self.machine.systemctl("stop", STEADY_UNIT)
        self.assert_state(STEADY_UNIT, "inactive")
        self.assert_state("tcollector.service", "active")
        self.machine.systemctl("start", STEADY_UNIT)
        self.assert_state(STEADY_UNIT, "active")
        first = self.machine.main_pid(STEADY_UNIT)
        self.machine.systemctl("restart", STEADY_UNIT)
        self.assertNotIn(self.machine.main_pid(STEADY_UNIT), (0, first))
        self.machine.systemctl("stop", TIMER)
        self.assert_state(TIMER, "inactive")
        self.machine.systemctl("start", TIMER)
        before = self.points(r"periodic\.i .*")
        self.wait_for_point(r"periodic\.i \d+ \d+ host=h", but=before)

    def test_collector_brings_the_agent(self):
        """Started by hand while the agent is down."""
        self.machine.systemctl("stop", "tcollector")
        before = self.points(r"steady\.i .*")
        self.machine.systemctl("start", STEADY_UNIT)
        self.assert_state("tcollector.service", "active")
        self.wait_for_point(r"steady\.i .*", but=before)
        self.assert_state(STEADY_UNIT, "active")

    def test_mask(self):
        """For good: neither a start of the agent nor a rescan brings it back, and neither fails by it."""
        self.addCleanup(self.machine.run, ["systemctl", "unmask", STEADY_UNIT, TIMER])
        self.machine.shell(f"systemctl stop {STEADY_UNIT} {TIMER}; systemctl mask {STEADY_UNIT} {TIMER}")
        self.machine.shell("tcollectorctl rescan; systemctl restart tcollector; systemctl stop tcollector;"
                           "systemctl start tcollector; tcollectorctl rescan")
        for unit in (STEADY_UNIT, TIMER):
            self.assert_state(unit, "inactive")
        self.assertEqual("", self.machine.systemctl("--failed", "--plain", "--no-legend"))
        self.machine.shell(f"systemctl unmask {STEADY_UNIT}; systemctl start {STEADY_UNIT}")
        self.assert_state(STEADY_UNIT, "active")

    def test_edit(self):
        """The administrator's drop-in wins over the generator's."""
        self.machine.drop_in(STEADY_UNIT, "[Service]\nEnvironment=TCOLLECTOR_NAME=edited\nMemoryMax=77M\n")
        self.addCleanup(self.machine.shell, f"rm -r /etc/systemd/system/{STEADY_UNIT}.d; systemctl daemon-reload")
        self.machine.systemctl("restart", STEADY_UNIT)
        self.machine.wait_for_log("steady begins in edited", "-u", STEADY_UNIT)
        self.assertEqual(str(77 << 20), self.machine.show(STEADY_UNIT, "MemoryMax"))
        self.assertIn("90-test.conf", self.machine.systemctl("cat", STEADY_UNIT))


if __name__ == "__main__":
    installed.main()
