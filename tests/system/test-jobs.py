# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs of systemd that come in each other's way: one that replaces another, one in the midst of another."""
import random

import installed

LOOP = installed.SHELL + "while :; do echo $TCOLLECTOR_NAME.i $(date +%s) {}; sleep 0.2; done\n"
# Takes its time to end, and then fails.
SLOW = installed.SHELL + "trap 'sleep 0.5; exit 1' TERM\nwhile :; do echo slow.i $(date +%s) {}; sleep 0.1; done\n"
TIMES = 8


def service(name):
    return f"tcollector-col@{name}.service"


class Jobs(installed.TestCase):
    def setUp(self):
        self.machine.shell("rm -rf /dev/shm/tcollector-test-* /var/lib/tcollector/spool")
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
            self.assertNotIn("there is no collector", self.machine.journal("-u", service("slow")))
            self.assertEqual("", self.rescan())


    # -- a stop in the midst of something else --

    def assert_nothing_runs(self, what):
        running = self.machine.run(["pgrep", "-l", "-u", "tcollector,tcollector-col"], check=False).stdout
        self.assertEqual("", running, f"{what}\n{self.machine.told()}")
        active = self.machine.systemctl("list-units", "--plain", "--no-legend", "--state=active,activating,reloading,"
                                        "deactivating", "tcollector*.service", "tcollector*.timer",
                                        "tcollector*.path", "tcollector*.target")
        self.assertEqual("", active, f"{what}\n{self.machine.told()}")
        self.assertEqual("", self.machine.systemctl("list-jobs", "--plain", "--no-legend", "tcollector*"), what)

    def stop_in_the_midst_of(self, begin, starts_from, longest):
        """Nothing runs on, and nothing comes back: a collector that ends would be started again after 15 s."""
        self.tsd()
        for name in ("one", "two"):
            self.machine.add_collector(name, 0, LOOP.format(1))
        self.machine.add_collector("often", 1, installed.SHELL + "echo often.i $(date +%s) $(date +%N)\n")
        self.machine.systemctl("daemon-reload")
        for i in range(TIMES):
            if starts_from:
                self.machine.systemctl("start", "tcollector")
                for unit in (service("one"), "tcollector-stop.service"):
                    self.machine.wait_for_state(unit, "active")
            delay = random.uniform(0, longest)
            self.machine.shell(f"{begin}; sleep {delay:.4f}; systemctl stop tcollector")
            self.assert_nothing_runs(f"round {i}, {delay:.4f} s behind {begin}")
        self.machine.let_pass(20)
        self.assert_nothing_runs("20 s later")

    def test_stop_behind_restart(self):
        self.stop_in_the_midst_of("systemctl restart --no-block tcollector", True, 0.3)

    def test_stop_behind_reload(self):
        self.stop_in_the_midst_of("systemctl reload --no-block tcollector", True, 0.1)

    def test_stop_behind_start(self):
        self.stop_in_the_midst_of("systemctl start --no-block tcollector", False, 0.3)

    def test_stop_behind_a_crash(self):
        """Before it is started again, a second later."""
        self.stop_in_the_midst_of("systemctl kill --kill-whom=main -s KILL tcollector", True, 1.2)

    def test_stop_behind_reload_loses_nothing(self):
        """The collectors are stopped first, and what they left is read."""
        numbers = installed.Numbers()
        self.tsd(store=numbers)
        self.numbered("red", 20_000)
        self.machine.systemctl("daemon-reload")
        for _ in range(5):
            self.machine.systemctl("start", "tcollector")
            before = numbers.count("red")
            self.wait_until(lambda: numbers.count("red") > before + 1000, "lines of red")
            self.machine.shell(f"systemctl reload --no-block tcollector; sleep {random.uniform(0, 0.1):.4f};"
                               "systemctl stop tcollector")
        self.machine.shell(f"rm -r {installed.COLLECTORS}/0")
        self.start()
        self.assert_all_came(numbers, ["red"])

    # -- a restart that does not come back --

    def test_restart_into_a_broken_configuration(self):
        """What stood in the FIFOs and in the queue is in the spool, and comes when it is mended."""
        numbers = installed.Numbers()
        tsd = self.tsd(store=numbers)
        self.numbered("red", 20_000)
        self.start()
        self.wait_until(lambda: numbers.count("red") > 1000, "lines of red")
        tsd.kill()
        self.wait_until(lambda: self.written("red") > numbers.last("red") + 20_000, "red to write more than was stored")
        self.machine.configure("no_such_key = 1\n")
        self.machine.run(["systemctl", "restart", "tcollector"], check=False)
        self.machine.wait_for_state("tcollector.service", "failed")
        self.assertEqual("", self.machine.run(["pgrep", "-u", "tcollector,tcollector-col"], check=False).stdout)
        self.machine.wait_for_log(r"does not come back.*tcollector\.conf:1: .*no_such_key", "-u", "tcollector")
        self.machine.shell(f"rm -r {installed.COLLECTORS}/0")
        self.machine.configure(self.config)
        tsd.listen()
        self.start()
        self.assert_all_came(numbers, ["red"])

    # -- what runs already --

    def test_reload_of_systemd_beside_a_broken_main_file(self):
        """Those that run keep their settings, and their times."""
        tsd = self.tsd()
        self.machine.configure(self.config + 'collector "one" {\n    memory_max = "77M"\n}\n')
        self.machine.add_collector("one", 0, LOOP.format(1))
        self.machine.add_collector("often", 1, installed.SHELL + "echo often.i $(date +%s) $(date +%N)\n")
        self.start()
        self.machine.wait_for_state(service("one"), "active")
        pid = self.machine.main_pid(service("one"))
        self.machine.configure("no_such_key = 1\n")
        self.machine.systemctl("daemon-reload")
        self.machine.wait_for_log(r"tcollector\.conf:1: .*no_such_key", "-t", "tcollector-generator")
        self.assertEqual(str(77 << 20), self.machine.show(service("one"), "MemoryMax"))
        seen = len([line for line in tsd.lines() if line.startswith("often.")])
        self.wait_until(lambda: len([line for line in tsd.lines() if line.startswith("often.")]) > seen + 2,
                        "the schedule to go on", units=("tcollector-col@often.timer",))
        self.assertEqual(pid, self.machine.main_pid(service("one")))

    def test_replaced_while_the_agent_is_restarted(self):
        """A package's scripts reload systemd and restart the agent, before a rescan has looked at what it brought."""
        self.machine.add_collector("one", 0, LOOP.format(1))
        self.start()
        self.machine.wait_for_state(service("one"), "active")
        self.machine.systemctl("stop", "tcollector-rescan.path", "tcollector-rescan.timer")
        pid = self.machine.main_pid(service("one"))
        self.machine.add_collector("one", 0, LOOP.format(2222))
        self.machine.shell("systemctl daemon-reload; systemctl restart tcollector")
        self.assertEqual("one: its file or settings have changed, restarted\n", self.rescan())
        self.wait_until(lambda: self.machine.main_pid(service("one")) not in (0, pid), "another process")
        self.assertEqual("", self.rescan())

    def test_wanted_while_the_agent_runs(self):
        """A collector that is started does not bring back what was stopped by hand."""
        for name in ("one", "two"):
            self.machine.add_collector(name, 0, LOOP.format(1))
        self.start()
        for name in ("one", "two"):
            self.machine.wait_for_state(service(name), "active")
        self.machine.systemctl("stop", service("one"), service("two"), "tcollector-rescan.timer",
                               "tcollector-wanted.service")
        self.machine.systemctl("start", service("two"))
        self.assert_state("tcollector-wanted.service", "active")
        for unit in (service("one"), "tcollector-rescan.timer"):
            self.assert_state(unit, "inactive")
        self.assertEqual("", self.machine.systemctl("list-jobs", "--plain", "--no-legend", "tcollector*"))

    def test_what_cannot_be_removed_from_stalled(self):
        """It is the agent's folder, who knows what it puts there: nobody is kept busy by it."""
        starts = self.machine.path("/run/tcollector/starts")
        self.machine.drop_in("tcollector-rescan.service",
                             "[Service]\nExecStartPre=sh -c 'echo start >>/run/tcollector/starts'\n")
        self.start()
        self.wait_until(starts.exists, "the first rescan")
        self.machine.shell("mkdir -p /run/tcollector/stalled/full/of")
        self.machine.let_pass(6)
        before = len(starts.read_text())
        self.machine.let_pass(10)
        self.assertLessEqual(len(starts.read_text()) - before, len("start\n"), self.machine.told())
        self.machine.shell("rm -r /run/tcollector/stalled/full /etc/systemd/system/tcollector-rescan.service.d")


if __name__ == "__main__":
    installed.main()
