# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody could do who has taken over the agent: agent-probe.c is run in its place, with its unit's settings."""
import pathlib
import sys

import installed

PROBE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
INSIDE = "/usr/local/bin/agent-probe"

# A connected agent has these; all else on the probe's list it has not.
ALLOWED = {"to write in /var/lib/tcollector"}

# What root cannot do either in a container.
NOT_FOR_ROOT = {"to write /proc/sysrq-trigger", "to write /sys/kernel/uevent_helper", "to open /dev/mem",
                "to open /dev/kmsg", "to open /dev/vda", "to make a device", "to trace PID 1",
                "to write in /sys/fs/cgroup", "to write /proc/sys/kernel/core_pattern"}

TARGET = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


class Compromised(installed.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        machine = cls.machine
        for path, mode in ((INSIDE, 0o755), ("/usr/local/bin/probe-set-user-id", 0o4755)):
            machine.path(path).write_bytes(PROBE.read_bytes())
            machine.path(path).chmod(mode)
        machine.write("/etc/systemd/system/probe-target.service", TARGET)
        # open to all, so that nothing but the sandbox is in the way
        machine.shell("for d in /home/probe /root /tmp/probe /var/tmp/probe /run/user/0; do mkdir -p $d; chmod 755 $d;"
                      " echo secret > $d/open-to-all; done; chmod 755 /home; mknod -m 666 /dev/probe c 1 3 || true;"
                      " systemctl daemon-reload")

    def collector(self):
        """The id of a process of the collectors' user."""
        self.machine.write("/etc/systemd/system/probe-collector.service",
                           "[Service]\nUser=tcollector-col\nExecStart=/bin/sleep 1000\n")
        self.machine.shell("systemctl daemon-reload; systemctl start probe-collector")
        return self.machine.main_pid("probe-collector.service")

    def rows_of(self, unit):
        """{attempt: allowed?}. The journal may still be reading when the unit has been started."""
        self.machine.wait_for_log(r"(?m)^done$", "-u", unit)
        found = {}
        for line in self.machine.journal("-u", unit).splitlines():
            word, _, rest = line.partition(" ")
            if word in ("allowed", "denied"):
                found[rest.partition(": ")[0]] = word == "allowed"
        return found

    def as_root(self, pid):
        """The same probe without the unit: what it tries can be done, or it would prove nothing."""
        unit = "probe-as-root.service"
        self.machine.write(f"/etc/systemd/system/{unit}", f"[Service]\nType=notify\nExecStart={INSIDE} {pid}\n"
                                                          "StateDirectory=tcollector\n")
        self.machine.shell(f"systemctl daemon-reload; systemctl start {unit}; systemctl stop {unit} probe-target")
        return self.rows_of(unit)

    def test_sandbox(self):
        pid = self.collector()
        root = self.as_root(pid)
        self.assertGreater(len(root), 40)
        self.assertEqual(set(), {what for what, allowed in root.items() if not allowed} - NOT_FOR_ROOT)
        self.assertEqual("inactive", self.machine.state("probe-target.service"))

        self.machine.drop_in("tcollector.service", f"[Service]\nExecStart=\nExecStart={INSIDE} {pid}\nExecStop=\n")
        self.machine.systemctl("start", "tcollector")
        self.addCleanup(self.machine.systemctl, "stop", "tcollector")
        agent = self.rows_of("tcollector.service")
        self.assertEqual(set(root), set(agent))
        self.assertEqual(ALLOWED, {what for what, allowed in agent.items() if allowed})
        self.assertEqual("inactive", self.machine.state("probe-target.service"))
        self.check_process(self.machine.main_pid())

    def check_process(self, pid):
        status = dict(line.split(":\t", 1) for line in
                      self.machine.path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(0, int(status[key], 16), key)
        self.assertEqual("1", status["NoNewPrivs"])
        self.assertEqual("2", status["Seccomp"])
        self.assertNotIn("0", status["Uid"].split())


if __name__ == "__main__":
    installed.main()
