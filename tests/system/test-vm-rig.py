# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine itself: that limits are enforced in it, and that a power cut takes what it has to and no more.
Without this, the tests that rely on it would prove nothing."""
import unittest

import rig
import vm

# Prints the name, then takes 256 MiB.
EATER = "import os; print('eating', flush=True); x = b'x' * (256 << 20); print('full', flush=True)"
# Prints how many processes it could start, of forty.
FORKER = """
import os, time
started = 0
try:
    for i in range(40):
        if os.fork() == 0:
            time.sleep(600)
        started += 1
except BlockingIOError:
    pass
print("started", started, flush=True)
"""
BURN = "while True: pass"


class Rig(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = vm.VirtualMachine()
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.stop)

    def start(self, unit, program, *properties):
        options = [f"--property={each}" for each in (f"StandardOutput=file:/run/{unit}.out", *properties)]
        self.machine.run(["systemd-run", "--quiet", f"--unit={unit}", *options, "python3", "-c", program])

    def wait_for(self, unit, name, value):
        rig.wait_until(lambda: self.machine.property(unit, name) == value, f"{unit}: {name}={value}", vm.DEADLINE)

    def leave_it_alone(self):
        """No flush but those asked for: the file system's own, every five seconds, would keep what is to be lost."""
        self.machine.shell("mount -o remount,commit=600 /")

    def test_commands(self):
        self.assertEqual("running\n", self.machine.shell("systemctl is-system-running"))
        self.assertEqual("65534\n", self.machine.run(["id", "-u"], user=65534).stdout)
        done = self.machine.run(["sh", "-c", "cat; echo bad >&2; exit 7"], check=False, given=b"a\nb")
        self.assertEqual((7, "a\nb", "bad\n"), (done.status, done.stdout, done.stderr))
        self.assertRaises(rig.RigError, self.machine.shell, "false; true")
        self.assertRaisesRegex(rig.RigError, "took too long", self.machine.run, ["sleep", "600"], timeout=0.1)
        self.assertEqual(127, self.machine.run(["/no/such/program"], check=False).status)

    def test_memory(self):
        self.start("eater", EATER, "MemoryMax=32M")
        self.wait_for("eater", "Result", "oom-kill")
        self.assertEqual("eating\n", self.machine.read("/run/eater.out"))

    def test_tasks(self):
        self.start("forker", FORKER, "TasksMax=16")
        rig.wait_until(lambda: "started" in self.machine.read("/run/forker.out"), "the forks", vm.DEADLINE)
        self.assertEqual("started 15\n", self.machine.read("/run/forker.out"))

    def test_processor_share(self):
        """Of 25 periods and more, a loop with a fifth of a processor is held up in nearly each."""
        self.start("burn", BURN, "CPUQuota=20%")
        group = "/sys/fs/cgroup/system.slice/burn.service/cpu.stat"

        def stat():
            return {key: int(value) for key, value in (line.split() for line in self.machine.read(group).splitlines())}

        rig.wait_until(lambda: stat()["nr_throttled"] > 25, "a loop to be held up", vm.DEADLINE)
        self.machine.run(["systemctl", "stop", "burn"])

    def test_power_cut(self):
        """A shutdown in good order keeps all. A cut takes a file left to the kernel and one written past it without a
        flush; it leaves what was flushed."""
        self.machine.write("/var/cut/before", "as is\n", 0o600)
        self.machine.shell("dd if=/dev/zero of=/var/cut/direct bs=4k count=1 2>&1")
        self.machine.shut_down()
        self.machine.boot()
        self.assertEqual("600 6\n", self.machine.shell("cd /var/cut; stat -c '%a %s' before; rm before; sync"))
        self.leave_it_alone()
        self.machine.shell("""cd /var/cut
            echo left > left
            yes direct | head -c 4096 > /run/block
            dd if=/run/block of=direct oflag=direct conv=notrunc bs=4k 2>&1""")
        self.assertEqual("direct", self.machine.read("/var/cut/direct")[:6])
        self.machine.power_cut()
        self.machine.boot()
        self.assertEqual("direct\n", self.machine.shell("ls /var/cut"))
        self.assertEqual("\0" * 4096, self.machine.read("/var/cut/direct"))

        self.leave_it_alone()
        self.machine.shell("""cd /var/cut
            yes direct | head -c 4096 > /run/block
            dd if=/run/block of=direct oflag=direct conv=notrunc,fsync bs=4k 2>&1
            echo kept > kept; sync kept; echo lost > lost""")
        self.machine.power_cut()
        self.machine.boot()
        self.assertEqual("direct\nkept\n", self.machine.shell("ls /var/cut"))
        self.assertEqual("kept\n", self.machine.read("/var/cut/kept"))
        self.assertEqual("direct", self.machine.read("/var/cut/direct")[:6])


if __name__ == "__main__":
    unittest.main(verbosity=2)
