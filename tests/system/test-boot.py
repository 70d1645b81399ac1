# SPDX-License-Identifier: LGPL-2.1-or-later
"""A boot with tcollector enabled: with a configuration that is good, and with such as is broken."""
import installed

TARGET = """[Unit]
Requires=basic.target
After=basic.target
Wants=tcollector.service
AllowIsolate=yes
"""
STEADY = installed.SHELL + "while :; do i=$((i + 1)); echo steady.i $((1000000000 + i)) $i; sleep 0.1; done\n"
NAMES = ("good", "bad")


def prepare(layer):
    path = layer / "etc/systemd/system/boot-test.target"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TARGET)
    for name in NAMES:
        path = layer / installed.COLLECTORS[1:] / "0" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(STEADY)
        path.chmod(0o755)


def break_conf_d(layer):
    prepare(layer)
    (layer / "etc/tcollector/conf.d/bad.conf").write_text('collector "bad" {\n    interval = "often"\n}\n')


class Boot(installed.TestCase):
    before = staticmethod(prepare)
    options = {"target": "boot-test.target"}

    def overall(self):
        return self.machine.run(["systemctl", "is-system-running"], check=False).stdout.strip()

    def assert_delivers(self, names):
        tsd = self.tsd()
        for name in names:
            self.machine.wait_for_state(f"tcollector-col@{name}.service", "active")
        self.wait_until(lambda: tsd.n_stored() > 5, "points to arrive")

    def test_starts(self):
        self.machine.wait_for_state("tcollector.service", "active")
        self.assertEqual("running", self.overall())
        self.assert_delivers(NAMES)


class BrokenFile(Boot):
    """tcollector.conf is refused: down it stays, and says why; the boot is complete."""
    before = staticmethod(prepare)
    config = installed.CONFIG + "no_such_key = 1\n"

    def test_starts(self):
        self.assertEqual("degraded", self.overall())
        self.machine.wait_for_state("tcollector.service", "failed")
        shown = self.machine.show("tcollector.service", "Result", "ExecMainStatus", "NRestarts")
        self.assertEqual({"Result": "exit-code", "ExecMainStatus": "78", "NRestarts": "0"}, shown)
        self.machine.wait_for_log(r"tcollector\.conf:\d+: .*no_such_key", "-u", "tcollector")
        for name in NAMES:
            self.wait_until(lambda: self.machine.state(f"tcollector-col@{name}.service") in ("inactive", "failed"),
                            f"{name} to be stopped")
        self.machine.configure(installed.CONFIG)
        self.machine.shell("systemctl daemon-reload; systemctl reset-failed; systemctl start tcollector")
        self.assert_delivers(NAMES)
        self.assertEqual("running", self.overall())


class BrokenSection(Boot):
    """A file of conf.d is broken: the collector it is about has no unit, the others have, and the journal says why."""
    before = staticmethod(break_conf_d)

    def test_starts(self):
        self.assertIn(self.overall(), ("running", "degraded"))
        self.machine.wait_for_log(r"conf\.d/bad\.conf:2: ", "-b")
        made = self.machine.shell("ls /run/systemd/generator /run/systemd/generator/tcollector.service.wants")
        self.assertIn("tcollector-col@good.service", made)
        self.assertNotIn("tcollector-col@bad.service", made)
        self.machine.path("/etc/tcollector/conf.d/bad.conf").unlink()
        self.machine.shell("systemctl daemon-reload; systemctl start tcollector")
        self.assert_delivers(NAMES)


if __name__ == "__main__":
    installed.main()
