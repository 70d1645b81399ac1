# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scopes of the foreground mode under a real systemd: what scope-probe.c does is done inside a booted machine."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

import rig

PROBE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
NOBODY = 65534


def words(output, first):
    """What follows on the lines that begin with `first`."""
    return [line.split(" ", 1)[1].strip() for line in output.splitlines() if line.startswith(first + " ")]


class Scopes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = rig.Machine(bind=[PROBE.parents[2]])
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.stop)

    def probe(self, *arguments, **options):
        done = self.machine.run([PROBE, *arguments], check=False, **options)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def assert_killed(self, output):
        self.assertEqual(["0"], words(output, "ready"), output)
        self.assertEqual([str(signal.SIGKILL.value)], words(output, "end"), output)

    def assert_none_left(self):
        rig.wait_until(lambda: not self.units(), "no scope to be left", seconds=20)

    def units(self):
        return self.machine.shell("systemctl list-units --all --plain --no-legend 'tcollector-col-*'")

    def test_overstayer_is_killed_with_all_it_started(self):
        """The probe ends when the last of the three, all of whom ignore SIGTERM, has closed its output."""
        output = self.probe("run", 1)
        self.assertEqual(["0 system"], words(output, "open"))
        self.assert_killed(output)
        scope = words(output, "scope")[0]
        rig.wait_until(lambda: "Stopping timed out. Killing." in self.machine.journal("-u", scope), "systemd to say so")
        self.assert_none_left()

    def test_scope_is_seen_while_it_runs(self):
        probe = self.machine.start([PROBE, "run", 600], stdout=subprocess.PIPE)
        try:
            scope = None
            for line in probe.stdout:
                scope = line.split()[1] if line.startswith("scope ") else scope
                if line.startswith("ready "):
                    self.assertEqual("ready 0", line.strip())
                    break
            self.assertRegex(scope, r"^tcollector-col-probe\\x401-[0-9]+\.scope$")
            self.assertIn(scope, self.units())
            self.check_properties(scope)
        finally:
            self.machine.shell("systemctl stop 'tcollector-col-*.scope'")
            self.assertEqual(0, probe.wait(rig.DEADLINE))
            probe.stdout.close()

    def check_properties(self, scope):
        shown = self.machine.run(["systemctl", "show", scope]).stdout
        want = {"RuntimeMaxUSec": "10min", "TimeoutStopUSec": "1s", "KillMode": "control-group", "SendSIGHUP": "no",
                "CollectMode": "inactive-or-failed", "Description": "A probe", "SubState": "running"}
        for key, value in want.items():
            self.assertIn(f"{key}={value}\n", shown)
        group = re.search(r"^ControlGroup=(.*)$", shown, re.MULTILINE).group(1)
        members = ["cat", f"/sys/fs/cgroup{group}/cgroup.procs"]
        rig.wait_until(lambda: len(self.machine.run(members).stdout.split()) == 3,
                       "the collector and its two children to be in the scope")

    def test_stop(self):
        self.assert_killed(self.probe("stop"))

    def test_gone_before_its_scope(self):
        """Ended, whether reaped or not: nothing to be put under a scope, and no failure."""
        for verb in ("zombie", "reaped"):
            with self.subTest(verb):
                self.assertEqual(["0"], words(self.probe(verb), "ready"))
                self.assert_none_left()

    def test_connection_is_made_again(self):
        output = self.probe("reexec")
        self.assertEqual(["0", "0"], words(output, "ready"), output)
        self.assertEqual([str(signal.SIGKILL.value)] * 2, words(output, "end"), output)

    def test_a_person_asks_the_own_manager(self):
        self.machine.shell(f"systemctl start user@{NOBODY}.service")
        environment = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{NOBODY}"}
        output = self.probe("run", 1, user=NOBODY, env=environment)
        self.assertEqual(["0 user"], words(output, "open"))
        self.assert_killed(output)

    def test_a_person_without_a_manager(self):
        output = self.probe("open", user=NOBODY, env={**os.environ, "XDG_RUNTIME_DIR": "/nowhere"})
        self.assertEqual([f"{-2}"], words(output, "open"))


class NoSystemd(unittest.TestCase):
    def test_open_fails_where_there_is_none(self):
        """With the socket's folder empty, as in a container without systemd."""
        script = 'mount -t tmpfs none /run && exec "$1" open'
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", PROBE], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=rig.DEADLINE, check=True)
        self.assertEqual([f"{-2}"], words(done.stdout, "open"), done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
