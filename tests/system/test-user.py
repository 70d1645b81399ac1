# SPDX-License-Identifier: LGPL-2.1-or-later
"""The foreground mode of a person without privileges: each run in a scope of the person's own systemd, which does the
killing, and delivery of all that is printed."""
import os
import pathlib
import re
import sys
import tempfile

import installed
import rig

TCOLLECTOR = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
NOBODY = 65534
HERE = "/run/person"
ENVIRONMENT = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{NOBODY}"}

PERIODIC = installed.SHELL + """
echo "periodic.run $(date +%s.%3N) $$"
"""
# It and what it starts, in a session of its own, ignore SIGTERM.
OVERSTAYER = installed.SHELL + """
trap '' TERM
setsid sh -c 'trap "" TERM; while :; do sleep 0.2; done' overstayed &
echo "over.run $(date +%s.%3N) $$"
while :; do sleep 0.2; done
"""
# Counts its runs in a file, and ends with a status.
ENDS = installed.SHELL + """
echo run >> /dev/shm/tcollector-test-$TCOLLECTOR_NAME
exit {status}
"""


class Person(installed.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = rig.Machine(bind=[TCOLLECTOR.parents[1]])
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.stop)
        cls.machine.shell(f"systemctl start user@{NOBODY}.service")

    def setUp(self):
        self.numbers = installed.Numbers()
        self.database = self.tsd(store=self.numbers)
        self.machine.shell(f"rm -rf {HERE}; mkdir {HERE}; chown {NOBODY} {HERE}; rm -f /dev/shm/tcollector-test-*")

    def add(self, name, interval, text):
        self.machine.write(f"{HERE}/{interval}/{name}", text, 0o755)

    def start(self):
        self.out = tempfile.NamedTemporaryFile()
        self.addCleanup(self.out.close)
        self.agent = self.machine.start([TCOLLECTOR, "-v", "-t", "host=h", "-H", "127.0.0.1", "-p", installed.PORT,
                                         "--no-tcollector-stats", "-c", HERE], user=NOBODY, env=ENVIRONMENT,
                                        stdout=self.out, stderr=self.out)
        self.addCleanup(self.end)

    def signal(self, name):
        """From inside: what was started here only waits for it."""
        self.machine.run(["pkill", f"-{name}", "-xf", f"{TCOLLECTOR} .* -c {HERE}"], check=False)

    def end(self):
        if self.agent.poll() is None:
            self.signal("KILL")
        self.agent.wait(rig.DEADLINE)

    def told(self):
        return pathlib.Path(self.out.name).read_text(errors="replace")

    def wait_until(self, condition, what, seconds=rig.DEADLINE, units=()):
        def or_ended():
            return condition() or self.agent.poll() is not None
        try:
            rig.wait_until(or_ended, what, seconds)
        except rig.RigError as error:
            raise AssertionError(f"{error}\n{self.told()}") from None
        self.assertTrue(condition(), f"{what}\n{self.told()}")

    def stop(self):
        self.signal("TERM")
        self.assertEqual(0, self.agent.wait(rig.DEADLINE), self.told())
        rig.wait_until(lambda: not self.scopes(), "no scope to be left")

    def systemctl(self, *arguments):
        return self.machine.run(["systemctl", "--user", *arguments], user=NOBODY, env=ENVIRONMENT).stdout

    def scopes(self, name=""):
        """Of the person's systemd, in the order of their names."""
        listed = self.systemctl("list-units", "--plain", "--no-legend", f"tcollector-col-{name}*.scope")
        return [line.split()[0] for line in listed.splitlines()]

    def points(self, metric):
        """The values of it that are in the database, in the order of their coming."""
        return [line.split()[2].decode() for line in list(self.numbers.others)
                if line.startswith(metric.encode() + b" ")]

    def runs(self, name):
        try:
            return self.machine.path(f"/dev/shm/tcollector-test-{name}").read_text().count("run")
        except FileNotFoundError:
            return 0

    def journal(self, scope):
        """What the person's systemd says of it."""
        return self.machine.journal(f"USER_UNIT={scope}")

    def test_steady_and_periodic(self):
        self.add("steady", 0, installed.NUMBERED.format(name="steady", rate=2000))
        self.add("periodic", 1, PERIODIC)
        self.start()
        self.wait_until(lambda: len(self.points("periodic.run")) >= 3 and self.numbers.last("steady") > 5000,
                        "three runs, and 5000 lines of the steady one")
        self.assertEqual(1, len(self.scopes("steady-")))
        self.assertRegex(self.systemctl("show", self.scopes("steady-")[0], "--property=ControlGroup"),
                         rf"/user@{NOBODY}\.service/")
        self.assertEqual("", self.machine.shell("systemctl list-units --plain --no-legend 'tcollector-col-*'"))
        self.stop()
        self.assertEqual(len(set(self.points("periodic.run"))), len(self.points("periodic.run")), "a process for each")
        self.assertGreaterEqual(self.numbers.last("steady"), self.written("steady"))
        self.assertEqual([], self.numbers.missing("steady", self.numbers.last("steady")))
        self.assertEqual((0, {}), (self.numbers.repeated("steady"), self.numbers.behind))

    def test_overstayer(self):
        self.add("over", 3, OVERSTAYER)
        self.start()
        self.wait_until(lambda: self.points("over.run"), "its first point")
        scope = f"tcollector-col-over-{self.points('over.run')[0]}.scope"
        self.assertIn("RuntimeMaxUSec=3s\n", self.systemctl("show", scope))
        self.wait_until(lambda: len(self.points("over.run")) >= 2, "its next run, when the first is gone")
        self.assertNotIn(scope, self.scopes())
        self.wait_until(lambda: "Killing." in self.journal(scope), "systemd to have said so")
        self.note([line for line in self.journal(scope).splitlines() if "ill" in line])
        left = self.machine.run(["kill", "-0", self.points("over.run")[0]], check=False)
        self.assertNotEqual(0, left.returncode, "the first run's process")
        self.stop()
        self.assertEqual("", self.machine.run(["pgrep", "-af", f"overstayed|{HERE}/3/over"], check=False).stdout)

    def test_ends(self):
        """Status 13: left alone; 1: failed, and said so; neither has a second run while another has five."""
        self.add("absent", 1, ENDS.format(status=13))
        self.add("broken", 1, ENDS.format(status=1))
        self.add("lasting", 0, ENDS.format(status=13))
        self.add("periodic", 1, PERIODIC)
        self.start()
        self.wait_until(lambda: len(self.points("periodic.run")) >= 5, "five runs of the other")
        self.assertEqual((1, 1, 1), tuple(self.runs(name) for name in ("absent", "broken", "lasting")), self.told())
        self.assertTrue(re.search(r"^.*broken.*(status|failed).*1.*$", self.told(), re.M), self.told())
        failed = [line for line in self.told().splitlines() if re.search(r"(absent|lasting).*fail", line)]
        self.assertEqual([], failed)
        self.stop()


if __name__ == "__main__":
    installed.main()
