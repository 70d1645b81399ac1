# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `tcollectorctl rescan` does about changes, by itself and when a person runs it."""
import os
import re
import time

import installed
import rig

LOOP = installed.SHELL + "while :; do echo $TCOLLECTOR_NAME.i $(date +%s) {}; sleep 0.2; done\n"
ONCE = installed.SHELL + "echo $TCOLLECTOR_NAME.i $(date +%s) {}\n"
STALLED = "/run/tcollector/stalled"


def service(name):
    return f"tcollector-col@{name}.service"


def timer(name):
    return f"tcollector-col@{name}.timer"


class Rescan(installed.TestCase):
    """What would look by itself is stopped: what happens is done by the command that the test gives."""

    def setUp(self):
        self.machine.systemctl("start", "tcollector")
        self.do_not_look()
        self.addCleanup(self.clean_up)

    def do_not_look(self):
        """The timer fires a second after the start. So a rescan may be under way, which is stopped when nothing is
        left that could start another."""
        self.machine.shell("systemctl stop tcollector-rescan.path tcollector-rescan.timer;"
                           "systemctl stop tcollector-rescan.service")

    def clean_up(self):
        self.machine.configure(installed.CONFIG)
        self.machine.run(["sh", "-c", f"systemctl stop tcollector; rm -rf {installed.COLLECTORS}/* "
                          "/etc/tcollector/conf.d/*; systemctl unmask 'tcollector-col@*'; tcollectorctl rescan"])

    def rescan(self, *arguments):
        """Lines it printed. A second one straight behind has nothing to do and nothing to say."""
        done = self.machine.run(["tcollectorctl", "rescan", *arguments])
        again = self.machine.run(["tcollectorctl", "rescan"])
        self.assertEqual(("", ""), (again.stdout, again.stderr))
        return sorted((done.stdout + done.stderr).splitlines())

    def known(self):
        return [line.split()[0] for line in self.machine.path("/run/tcollector/known").read_text().splitlines()]

    def fifos(self):
        return sorted(os.listdir(self.machine.path("/run/tcollector/col")))

    def pid(self, name):
        return self.machine.main_pid(service(name))

    def test_life_of_a_collector(self):
        self.assertEqual([], self.rescan())
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 60, ONCE.format(1))
        self.assertEqual([f"loop: found in {installed.COLLECTORS}/0/loop, started",
                          f"once: found in {installed.COLLECTORS}/60/once, started"], self.rescan())
        self.assertEqual(["loop", "once"], self.known())
        self.assertEqual(["loop", "once"], self.fifos())
        self.machine.wait_for_state(service("loop"), "active")
        self.assert_state(timer("once"), "active")
        before = self.pid("loop")

        self.machine.add_collector("loop", 0, LOOP.format(22))
        self.assertEqual(["loop: its file or settings have changed, restarted"], self.rescan())
        self.wait_until(lambda: self.pid("loop") not in (0, before), "another process")
        self.machine.configure('collector "loop" { environment = { "A=1" } }\n', "loop.conf")
        self.assertEqual(["loop: its file or settings have changed, restarted"], self.rescan())

        self.machine.remove_collector("loop", 0)
        self.machine.configure('collector "once" { enabled = false }\n', "once.conf")
        self.assertEqual([f"{name}: removed, or not enabled any more; stopped" for name in ("loop", "once")],
                         self.rescan())
        self.machine.wait_for_state(service("loop"), "inactive")
        self.machine.wait_for_state(timer("once"), "inactive")
        self.assertEqual(([], []), (self.known(), self.fifos()))

    def test_from_long_running_to_periodic_and_back(self):
        self.machine.add_collector("x", 0, LOOP.format(1))
        self.rescan()
        self.machine.wait_for_state(service("x"), "active")
        self.machine.remove_collector("x", 0)
        self.machine.add_collector("x", 3600, ONCE.format(1))
        self.rescan()
        self.machine.wait_for_state(timer("x"), "active")
        self.wait_until(lambda: self.machine.show(service("x"), "Restart") == "no" and
                        self.machine.state(service("x")) == "inactive", "it to have ended")
        self.machine.remove_collector("x", 3600)
        self.machine.add_collector("x", 0, LOOP.format(1))
        self.rescan()
        self.machine.wait_for_state(service("x"), "active")
        self.assert_state(timer("x"), "inactive")

    def test_one_that_is_slow_to_end(self):
        """While it does, it is no news that it was removed."""
        self.machine.add_collector("slow", 0, installed.SHELL + "trap 'sleep 3; exit 0' TERM\n"
                                   "while :; do echo slow.i $(date +%s) 1; sleep 0.2; done\n")
        self.rescan()
        self.machine.wait_for_state(service("slow"), "active")
        self.wait_until(lambda: len(self.machine.processes(service("slow"))) > 1, "its loop to run")
        self.machine.remove_collector("slow", 0)
        self.assertEqual(["slow: removed, or not enabled any more; stopped"], self.rescan())
        self.assert_state(service("slow"), "deactivating")
        self.machine.wait_for_state(service("slow"), "inactive")

    def test_an_odd_name(self):
        name = "we ird%'$"
        self.machine.add_collector(name, 0, LOOP.format(1).replace("$TCOLLECTOR_NAME", "weird"))
        self.assertEqual([f"{name}: found in {installed.COLLECTORS}/0/{name}, started"], self.rescan())
        unit = service(r"we\x20ird\x25\x27\x24")
        self.machine.wait_for_state(unit, "active")
        self.machine.remove_collector(name, 0)
        self.rescan()
        self.machine.wait_for_state(unit, "inactive")

    def test_what_an_administrator_stopped_stays_so(self):
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 60, ONCE.format(1))
        self.machine.add_collector("masked", 0, LOOP.format(1))
        self.machine.systemctl("mask", "--runtime", service("masked"))
        self.assertEqual(2, len(self.rescan()))
        self.machine.wait_for_state(service("loop"), "active")
        self.machine.systemctl("stop", service("loop"), timer("once"))
        for name, interval, text in (("loop", 0, LOOP), ("once", 60, ONCE), ("masked", 0, LOOP)):
            self.machine.add_collector(name, interval, text.format(333))
        self.assertEqual([], self.rescan())
        for unit in (service("loop"), timer("once"), service("masked")):
            self.assert_state(unit, "inactive")

    def test_stalled(self):
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 60, ONCE.format(1))
        self.rescan()
        self.machine.wait_for_state(service("loop"), "active")
        before = self.pid("loop")
        self.machine.shell(f"cd {STALLED}; touch loop once unknown .hidden 'no name'; mkdir folder; "
                           "ln -s /etc/passwd link")
        self.assertEqual(["loop: no data for 600 s, restarted"], self.rescan())
        self.wait_until(lambda: self.pid("loop") not in (0, before), "another process")
        self.assertEqual([], os.listdir(self.machine.path(STALLED)))
        self.assertTrue(self.machine.path("/etc/passwd").exists())

        self.machine.configure(installed.CONFIG + "remove_inactive = true\ninactivity = 42\n")
        self.rescan()
        self.machine.shell(f"touch {STALLED}/loop")
        self.assertEqual(["loop: no data for 42 s, stopped for good"], self.rescan())
        self.machine.wait_for_state(service("loop"), "inactive")

    def test_complaints_are_said_once(self):
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("loop", 60, ONCE.format(1))
        self.machine.configure('collector "other" {\n        nonsense = 1\n}\n', "other.conf")
        told = self.rescan()
        self.assertEqual(3, len(told), told)
        for pattern in ("loop: found in ", r"/etc/tcollector/conf.d/other.conf:2: .*nonsense",
                        f"{installed.COLLECTORS}/60/loop: .*another interval"):
            self.assertEqual(1, len([line for line in told if re.search(pattern, line)]), told)
        self.machine.path("/etc/tcollector/conf.d/other.conf").unlink()
        self.assertEqual([], self.rescan())
        self.machine.configure('collector "other" {\n        nonsense = 1\n}\n', "other.conf")
        self.assertRegex("\n".join(self.rescan()), r"\A[^\n]*other.conf:2: [^\n]*\Z")

    def test_a_broken_main_file_changes_nothing(self):
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.rescan()
        self.machine.wait_for_state(service("loop"), "active")
        before = self.pid("loop")
        self.machine.configure("nonsense = 1\n")
        self.machine.add_collector("new", 0, LOOP.format(1))
        self.assertRegex("\n".join(self.rescan()), r"\A[^\n]*tcollector.conf:1: [^\n]*\Z")
        self.assertEqual(before, self.pid("loop"))
        self.assertEqual(["loop"], self.fifos())

        # which is forgotten, not kept for when it is mended
        self.do_not_look()
        self.machine.shell("touch /run/tcollector/stalled/loop")
        self.rescan()
        self.assertEqual("", self.machine.shell("ls /run/tcollector/stalled"))
        self.assertEqual(before, self.pid("loop"))

    def test_agent_is_down(self):
        self.machine.systemctl("stop", "tcollector")
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 1, ONCE.format(1))
        self.assertEqual([], self.rescan())
        self.assertEqual([], self.known())
        self.assertEqual(["loop", "once"], self.fifos())
        self.assertEqual("inactive", self.machine.state("tcollector.service"))
        self.machine.systemctl("start", "tcollector")
        self.machine.wait_for_state(service("loop"), "active")
        self.assert_state(timer("once"), "active")
        self.assertEqual(["loop", "once"], self.known())
        self.do_not_look()
        self.assertEqual([], self.rescan())

    def test_in_the_midst_of_stops_and_starts(self):
        """Nothing that a rescan starts brings a stopped agent back, or outlives it. (What it stops itself may still be
        ending when it has ended: it waits for no job.)"""
        def left():
            units = self.machine.systemctl("list-units", "--plain", "--no-legend", "tcollector.service",
                                           "tcollector-col*.timer", "tcollector-col@*.service")
            return [u for u in units.splitlines() if " failed " not in u]

        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 1, ONCE.format(1))
        for i in range(10):
            self.machine.systemctl("start", "tcollector")
            self.machine.add_collector("loop", 0, LOOP.format(i + 10))
            self.machine.add_collector(f"new{i}", 1, ONCE.format(1))
            self.machine.shell("tcollectorctl rescan & systemctl stop tcollector; wait $!")
            self.wait_until(lambda: not left(), f"all to be stopped, round {i}")
            self.machine.let_pass(1)
            self.assertEqual([], left(), f"round {i}")

    def test_refused_configuration(self):
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.add_collector("once", 1, ONCE.format(1))
        self.rescan()
        self.machine.systemctl("stop", "tcollector")
        self.machine.configure("nonsense = 1\n")
        self.machine.run(["systemctl", "start", "tcollector"], check=False)
        self.machine.wait_for_state("tcollector.service", "failed")
        for unit in (service("loop"), timer("once"), "tcollector-collectors.target"):
            self.machine.wait_for_state(unit, "inactive")
        self.machine.wait_for_log("refused its configuration", "-u", "tcollector")
        self.machine.systemctl("reset-failed", "tcollector")


class ByItself(installed.TestCase):
    def test_new_changed_and_removed(self):
        self.machine.systemctl("start", "tcollector")
        began = time.monotonic()
        self.machine.add_collector("loop", 0, LOOP.format(1))
        self.machine.wait_for_state(service("loop"), "active")
        self.note(f"started {time.monotonic() - began:.1f} s after it was there")
        self.machine.wait_for_log(r"^loop: found in .*, started$", "-u", service("loop"))

        # five changes in a row are no reason to give up
        for i in range(5):
            before = self.machine.main_pid(service("loop"))
            self.machine.add_collector("loop", 0, LOOP.format(10 ** i))
            self.wait_until(lambda: self.machine.main_pid(service("loop")) not in (0, before), f"change {i}")

        self.machine.add_collector("second", 7, ONCE.format(1))
        self.machine.wait_for_state(timer("second"), "active")
        self.machine.remove_collector("loop", 0)
        self.machine.wait_for_state(service("loop"), "inactive")
        self.machine.wait_for_state("tcollector-rescan.path", "active")
        said = self.machine.journal("-u", "tcollector-rescan", "-u", "tcollector-rescan.path", "-p", "warning")
        self.assertEqual([], re.findall(r".*(?:Start request|start-limit|trigger-limit).*", said))

    def test_stalled(self):
        self.machine.configure('collector "mute" {\n    inactivity = "3s"\n}\n', "mute.conf")
        self.machine.add_collector("mute", 0, installed.SHELL + "exec sleep 1000000\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")
        self.machine.wait_for_state(service("mute"), "active")
        for _ in range(2):
            before = self.machine.main_pid(service("mute"))
            self.wait_until(lambda: self.machine.main_pid(service("mute")) not in (0, before), "mute to be restarted")
        self.machine.wait_for_log("mute: no data for 3 s, restarted", "-u", service("mute"))
        self.wait_until(lambda: self.machine.shell(f"ls {STALLED}") == "", "the folder of the stalled to be empty")


if __name__ == "__main__":
    rig.clean_up_when_terminated()
    installed.main()
