# SPDX-License-Identifier: LGPL-2.1-or-later
"""The spool and power cuts, at ten moments while it is written: what a sync had promised is there, in order and
whole; and once more with the machine's own boot in between."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import rig
import vm

PROBE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
MOMENTS = 10
FOLDER = "/var/probe"
LAST = "tail -n 1 /run/probe.out 2>/dev/null || true"


class Spool(unittest.TestCase):
    def promised(self):
        """The number that the last sync to return had promised, or 0."""
        return int(self.machine.shell(LAST) or 0)

    def assert_kept(self, promised, told):
        first, last = (int(number) for number in told.split())
        self.assertGreaterEqual(last, promised)
        self.assertGreaterEqual(first, 1)
        return first, last

    def test_power_cuts(self):
        self.machine = vm.VirtualMachine()
        self.machine.boot()
        self.addCleanup(self.machine.stop)
        self.machine.run(["sh", "-c", "cat > /usr/bin/spool-probe; chmod 755 /usr/bin/spool-probe"],
                         given=PROBE.read_bytes())
        self.machine.shell(f"mkdir {FOLDER}; sync; systemd-run -q --unit=probe -p StandardOutput=file:/run/probe.out "
                           f"/usr/bin/spool-probe write {FOLDER}")
        promised, firsts = 0, []
        for _ in range(MOMENTS):
            before = promised
            rig.wait_until(lambda: self.promised() > before + 1000, "a thousand more lines", vm.DEADLINE)
            promised = self.promised()
            with tempfile.TemporaryDirectory(dir="/var/tmp") as there:
                left = self.machine.left_by_cut(FOLDER, there)
                done = subprocess.run([PROBE, "read", left], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual(0, done.returncode, f"{promised} were promised; {done.stdout}")
                firsts.append(self.assert_kept(promised, done.stdout.splitlines()[-1])[0])
        self.assertGreater(firsts[-1], firsts[0], "what is acknowledged does not come again")

        promised = self.promised()
        self.machine.power_cut()
        self.machine.boot()
        done = self.machine.run(["/usr/bin/spool-probe", "read", FOLDER])
        self.assert_kept(promised, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
