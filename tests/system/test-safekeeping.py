# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is queued when the agent goes outlives a refused configuration, a short TimeoutStopSec= and impatience; and
what is refused while it runs is said once."""
import json

import installed

N = 500
PRINT = installed.SHELL + f"""
i=0
while [ $i -lt {N} ]; do i=$((i + 1)); echo "kept $((1000000000 + i)) $i"; done
exec sleep 1000000
"""
REFUSED = installed.CONFIG + "no_such_key = 1\n"
PATIENT = installed.CONFIG + 'flush_timeout = "8s"\n'
VERY_PATIENT = installed.CONFIG + 'flush_timeout = "600s"\n'
HURRY = "[Service]\nTimeoutStopSec=2\n"


class Safekeeping(installed.TestCase):
    def setUp(self):
        self.machine.configure(installed.CONFIG)
        self.machine.add_collector("kept", 0, PRINT)
        self.machine.systemctl("daemon-reload")
        self.numbers = installed.Numbers()
        self.database = self.tsd(store=self.numbers)
        self.addCleanup(self.machine.run, ["systemctl", "reset-failed"], check=False)
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

    def sums(self):
        """{} where the agent does not answer: its name on the bus comes a little after it is ready."""
        done = self.machine.run(["tcollectorctl", "status", "--json"], check=False)
        return json.loads(done.stdout)["sums"] if done.returncode == 0 else {}

    def start(self):
        """Until all that is printed is queued."""
        self.machine.systemctl("start", "tcollector")
        self.wait_until(lambda: self.sums().get("received") == N, f"{N} lines to be read")

    def assert_kept(self):
        """Nobody prints them again: what comes now was kept."""
        self.machine.remove_collector("kept", 0)
        self.machine.configure(installed.CONFIG)
        self.machine.shell("rm -rf /etc/systemd/system/tcollector.service.d; systemctl daemon-reload; "
                           "systemctl reset-failed; systemctl start tcollector")
        self.wait_until(lambda: not self.numbers.missing("kept", N), f"{N} lines to be in the database")
        self.assertEqual({}, self.numbers.others)

    def test_refused_configuration(self):
        self.database.kill()
        self.start()
        self.machine.configure(REFUSED)
        self.machine.run(["systemctl", "restart", "tcollector"], check=False)
        self.machine.wait_for_state("tcollector.service", "failed")
        self.assertEqual("78", self.machine.show("tcollector.service", "ExecMainStatus"))
        self.database.listen()
        self.assert_kept()

    def test_stop_takes_longer_than_systemd_waits(self):
        self.database.hang()
        self.machine.configure(PATIENT)
        self.machine.drop_in("tcollector.service", HURRY)
        self.start()
        self.machine.systemctl("stop", "tcollector")
        self.assertEqual("success", self.machine.show("tcollector.service", "Result"),
                         self.machine.told("tcollector.service"))
        self.database.resume()
        self.assert_kept()

    def test_told_to_stop_twice(self):
        self.database.hang()
        self.machine.configure(VERY_PATIENT)
        self.start()
        pid = self.machine.main_pid()
        self.machine.systemctl("stop", "--no-block", "tcollector")
        self.wait_until(lambda: self.machine.show("tcollector.service", "SubState") == "stop-sigterm",
                        "the agent to be told to stop")
        self.machine.run(["kill", pid], check=False)
        self.machine.wait_for_state("tcollector.service", "inactive")
        self.database.resume()
        self.assert_kept()

    def test_refused_is_said_once(self):
        self.start()
        self.machine.configure(REFUSED)
        self.machine.wait_for_log("configuration is refused", "-u", "tcollector")
        for _ in range(2):
            self.machine.run(["touch", "/etc/tcollector/tcollector.conf"])
            self.machine.let_pass(2)
        self.assertEqual(1, self.machine.journal("-u", "tcollector").count("The configuration is refused"))
        self.machine.configure(installed.CONFIG)


if __name__ == "__main__":
    installed.main()
