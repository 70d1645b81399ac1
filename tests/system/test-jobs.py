# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs of systemd that come in each other's way: one that replaces another, one in the midst of another."""
import installed

LOOP = installed.SHELL + "while :; do echo $TCOLLECTOR_NAME.i $(date +%s) {}; sleep 0.2; done\n"
# Takes its time to end, and then fails.
SLOW = installed.SHELL + "trap 'sleep 0.5; exit 1' TERM\nwhile :; do echo slow.i $(date +%s) {}; sleep 0.1; done\n"


def service(name):
    return f"tcollector-col@{name}.service"


class Jobs(installed.TestCase):
    def setUp(self):
        self.addCleanup(self.clean_up)

    def clean_up(self):
        self.machine.configure(self.config)
        self.machine.run(["sh", "-c", f"systemctl stop tcollector; rm -rf {installed.COLLECTORS}/* "
                          "/etc/tcollector/conf.d/*; systemctl reset-failed; tcollectorctl rescan"])

    def start(self):
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")

    def rescan(self):
        done = self.machine.run(["tcollectorctl", "rescan"])
        return done.stdout + done.stderr

    def failed(self):
        return self.machine.systemctl("--failed", "--plain", "--no-legend")

    def test_removed_while_it_is_restarted(self):
        """The restart is not carried out any more, or it would be with nothing to run."""
        self.start()
        self.machine.systemctl("stop", "tcollector-rescan.path", "tcollector-rescan.timer")
        for i in range(5):
            self.machine.add_collector("slow", 0, SLOW.format(10 * i))
            self.rescan()
            self.machine.wait_for_state(service("slow"), "active")
            self.machine.add_collector("slow", 0, SLOW.format(10 * i + 1000))
            self.assertEqual("slow: its file or settings have changed, restarted\n", self.rescan())
            self.machine.remove_collector("slow", 0)
            self.assertEqual("slow: removed, or not enabled any more; stopped\n", self.rescan())
            self.assertEqual("", self.rescan())
            self.wait_until(lambda: self.machine.state(service("slow")) == "inactive", "it to have ended",
                            units=(service("slow"),))
            self.wait_until(lambda: not self.machine.systemctl("list-units", "--plain", "--no-legend", "--state=activating",
                                                               "tcollector-col*"), "nothing to be done any more")
            self.assertEqual("", self.failed())
            self.assert_state("tcollector-col-retry@slow.timer", "inactive")
            self.assertNotIn("nothing to run", self.machine.journal("-u", service("slow")))
            self.assertEqual("", self.rescan())


if __name__ == "__main__":
    installed.main()
