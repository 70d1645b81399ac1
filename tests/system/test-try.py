# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody does who has just found this: ./dev try shows what it is to show, and ./dev install installs all that
README, units and manual pages speak of."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import rig

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TCOLLECTOR_BUILD", "build")).resolve()
SECONDS = 250
UNITS = "usr/local/lib/systemd/system"
# Where systemd, the bus and man look, with ./dev install's prefix.
FILES = [
    "usr/local/bin/tcollector", "usr/local/bin/tcollectorctl",
    "usr/local/lib/systemd/system-generators/tcollector-generator",
    "usr/local/lib/sysusers.d/tcollector.conf", "usr/local/lib/tmpfiles.d/tcollector.conf",
    "usr/local/lib/sysctl.d/50-tcollector.conf", "etc/dbus-1/system.d/org.opentsdb.Tcollector1.conf",
    "usr/local/share/man/man8/tcollector.8", "usr/local/share/man/man5/tcollector.conf.5",
    "usr/local/share/man/man1/tcollectorctl.1",
    "usr/local/share/doc/tcollector/examples/tcollector.conf",
    "usr/local/share/doc/tcollector/examples/collector.conf",
]


class Try(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rig.clean_up_when_terminated()
        done = subprocess.run([sys.executable, ROOT / "tests/system/try.py", BUILD], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              check=False)
        cls.status, cls.output = done.returncode, done.stdout

    def shown_by(self, command):
        """What stands behind the command, up to the next one or the next word of its own."""
        found = re.search(rf"^\$ {re.escape(command)}\b.*\n((?:(?!\$ |== ).*\n)*)", self.output, re.M)
        self.assertTrue(found, f"no {command} in\n{self.output}")
        return found[1]

    def test_status(self):
        self.assertEqual(0, self.status, self.output)
        self.assertNotIn("no systemd can be booted", self.output)
        self.assertTrue(self.output.endswith("== throwing it away\n"), self.output)

    def test_service(self):
        shown = self.shown_by("systemctl status")
        self.assertIn("Active: active (running)", shown)
        self.assertRegex(shown, r'Status: "Connected to telnet://127\.0\.0\.1:4242.*; [1-9]\d* points delivered, ')
        self.assertRegex(shown, r"; [1-9]\d* collectors?\b")
        self.assertRegex(self.shown_by("systemctl list-units"), r"tcollector-col@loadavg\.sh\.timer +loaded +active")
        self.assertIn("tcollector-col@loadavg.sh.timer", self.shown_by("systemctl list-timers"))

    def test_collectors(self):
        rows = [line.split() for line in self.shown_by("tcollectorctl collectors").splitlines() if line]
        self.assertEqual("NAME STATE INTERVAL".split(), rows[0][:3], self.output)
        names = {row[0]: row[2] for row in rows[1:]}
        self.assertEqual("5", names.get("loadavg.sh"), names)
        self.assertLessEqual({"loadavg.sh", "procstats", "dfstat", "ifstat", "iostat"}, set(names))
        self.assertEqual([], [row for row in rows[1:] if row[1] == "failed"])

    def test_points(self):
        read = re.search(r"^== read back from the database: (\d+) points in (\d+) series of (\d+) metrics",
                         self.output, re.M)
        self.assertTrue(read, self.output)
        points, series, metrics = map(int, read.groups())
        self.assertTrue(points >= series >= metrics > 10, read[0])
        self.assertRegex(self.output, r"(?m)^   loadavg\.\S+ .*project=try.*: \d+ points, the last is [0-9.]+")


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="tcollector-install-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder.name],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def assert_there(self, names, why):
        self.assertEqual([], [name for name in sorted(names) if not (self.folder / name.lstrip("/")).is_file()], why)

    def units(self):
        return {path.name: path.read_text() for path in (self.folder / UNITS).iterdir()}

    def all_that_is_written(self):
        """README, manual pages and units."""
        pages = [ROOT / "README.md", *(ROOT / "man").glob("*.scd")]
        return " ".join([*(page.read_text().replace("\\", "") for page in pages), *self.units().values()])

    def test_files(self):
        self.assert_there(FILES, "of what is looked for elsewhere")
        for name in FILES:
            executable = name.startswith("usr/local/bin/") or "generator" in name
            self.assertEqual(0o755 if executable else 0o644, (self.folder / name).stat().st_mode & 0o777, name)

    def test_units_that_are_named(self):
        """A collector's is an instance of a template."""
        named = re.findall(r"\b(tcollector(?:-[a-z]+)*@?)\S*?\.(service|timer|target|path|slice)\b",
                           self.all_that_is_written())
        units = {f"{name}.{kind}" for name, kind in named}
        self.assertGreater(len(units), 10)
        self.assert_there({f"{UNITS}/{unit}" for unit in units}, "of what is named")
        units = {path.name.removesuffix(".in") for path in (ROOT / "units").glob("tcollector*.*")}
        self.assert_there({f"{UNITS}/{unit}" for unit in units}, "of the units there are")

    def test_programs_that_are_named(self):
        for name, text in self.units().items():
            programs = set(re.findall(r"^Exec\w+=[-+!@:]*(/\S+)", text, re.M))
            self.assert_there(programs, name)

    def test_pages_that_are_named(self):
        """`Documentation=man:`, and what a manual page refers to of ours."""
        named = set(re.findall(r"\b(tcollector[a-z.]*)\*?\((\d)\)", self.all_that_is_written()))
        self.assertEqual({("tcollector", "8"), ("tcollector.conf", "5"), ("tcollectorctl", "1")}, named)
        self.assert_there({f"usr/local/share/man/man{section}/{page}.{section}" for page, section in named}, named)

    def test_collectors(self):
        """README: those that come with it are in lib/tcollector/collectors, each in an interval's folder."""
        folder = self.folder / "usr/local/lib/tcollector/collectors"
        found = [path for path in folder.glob("[0-9]*/*") if os.access(path, os.X_OK)]
        self.assertLessEqual({"procstats", "dfstat", "ifstat", "iostat"}, {path.name for path in found})
        self.assertEqual([], [path for path in folder.glob("[0-9]*/*") if not os.access(path, os.X_OK)])

    def test_example_is_good(self):
        """./dev install puts it in the place of the configuration."""
        done = subprocess.run([BUILD / "src/tcollectorctl", "check",
                               self.folder / "usr/local/share/doc/tcollector/examples/tcollector.conf"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual(0, done.returncode, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
