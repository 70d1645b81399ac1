# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units as systemd-analyze sees them, those of collectors as the generator has completed them at boot."""
import re

import installed

FOLDER = "/usr/local/lib/systemd/system"
SECURE_ENOUGH = 2.0  # of 10; "OK" in systemd-analyze security


def add_collectors(layer):
    for name, interval in (("periodic.sh", 60), ("steady", 0)):
        path = layer / installed.COLLECTORS[1:] / str(interval) / name
        path.parent.mkdir()
        path.write_text(installed.SHELL + "exec sleep 1000\n")
        path.chmod(0o755)


class Units(installed.TestCase):
    before = staticmethod(add_collectors)

    def units(self):
        """What is installed, templates as units of the two collectors."""
        found = self.machine.shell(f"ls {FOLDER}").split()
        self.assertGreater(len(found), 8)
        for unit in found:
            kind, at, suffix = unit.partition("@")
            if not at:
                yield unit
            elif suffix == ".timer":
                yield f"{kind}@periodic.sh{suffix}"
            else:
                yield f"{kind}@periodic.sh{suffix}"
                yield f"{kind}@steady{suffix}"

    def verify(self, *units):
        return self.machine.run(["systemd-analyze", "verify", "--man=no", "--generators=yes", *units], check=False)

    def test_verify(self):
        units = list(self.units())
        done = self.verify(*units)
        self.assertEqual(("", ""), (done.stdout, done.stderr), units)
        self.assertEqual(0, done.returncode)

    def test_verify_finds_a_fault(self):
        self.machine.drop_in("tcollector.service", "[Service]\nRestrt=always\n", "99-fault.conf")
        try:
            self.assertIn("Restrt", self.verify("tcollector.service").stderr)
        finally:
            self.machine.shell("rm /etc/systemd/system/tcollector.service.d/99-fault.conf; systemctl daemon-reload")

    def exposure(self, unit):
        told = self.machine.run(["systemd-analyze", "security", "--no-pager", unit], check=False).stdout
        return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", told).group(1))

    def test_security(self):
        exposure = self.exposure("tcollector.service")
        self.note(f"tcollector.service: exposure {exposure}")
        self.assertLessEqual(exposure, SECURE_ENOUGH)
        for unit in ("tcollector-rescan.service", "tcollector-col-failed@steady.service",
                     "tcollector-col@periodic.sh.service", "tcollector-col@steady.service"):
            self.note(f"{unit}: exposure {self.exposure(unit)}")

    def test_security_is_of_these_settings(self):
        """Without a part of them the figure is another."""
        self.machine.drop_in("tcollector.service", "[Service]\nSystemCallFilter=\nPrivateUsers=no\nUser=root\n",
                             "99-fault.conf")
        try:
            self.assertGreater(self.exposure("tcollector.service"), SECURE_ENOUGH)
        finally:
            self.machine.shell("rm /etc/systemd/system/tcollector.service.d/99-fault.conf; systemctl daemon-reload")

    def test_generated_at_boot(self):
        """A person sees everything in `systemctl cat`, and what the agent pulls in."""
        shown = self.machine.systemctl("cat", "tcollector-col@periodic.sh.service")
        self.assertIn(f"{FOLDER}/tcollector-col@.service", shown)
        self.assertIn(f"{installed.COLLECTORS}/60/periodic.sh", shown)
        self.assertEqual("1min", self.machine.show("tcollector-col@periodic.sh.service", "RuntimeMaxUSec"))
        wants = self.machine.show("tcollector.service", "Wants").split()
        for unit in ("tcollector-col@periodic.sh.timer", "tcollector-col@steady.service", "tcollector-rescan.path"):
            self.assertIn(unit, wants)
        self.assertNotIn("tcollector-col@periodic.sh.service", wants)


if __name__ == "__main__":
    installed.main()
