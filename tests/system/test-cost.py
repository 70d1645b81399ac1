# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a run of a periodic collector costs: the processor time of PID 1 and of its children until they are gone, with a
program that does next to nothing itself, beside a unit that has next to no settings. Machines are noisy: the ratio is
judged, and generously, and beside it a bound that only a much dearer run would reach; the figures are reported."""
import pathlib
import sys

import installed

TINY = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
RUNS = 200
RATIO = 3
BOUND = 8  # milliseconds
MEASUREMENTS = 3  # noise only adds: the least is the one

AT_ONCE = "[Timer]\nOnActiveSec=\nOnUnitActiveSec=\nOnActiveSec=0\nOnUnitInactiveSec=1ms\nAccuracySec=1us\n"
PLAIN = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=/usr/local/bin/plain
StandardOutput=null
LogLevelMax=notice
"""


class Cost(installed.TestCase):
    def spent(self):
        """Seconds of processor time of PID 1, and of what it has waited for."""
        fields = pathlib.Path(f"/proc/{self.machine.init}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(n) for n in fields[11:15]) / 100

    def runs(self, name):
        try:
            return self.machine.path(f"/dev/shm/tcollector-test-{name}").stat().st_size
        except FileNotFoundError:
            return 0

    def measure(self, name, timer):
        """Milliseconds a run. systemd starts it again as soon as it has ended; nobody else asks anything of it."""
        self.machine.drop_in(timer, AT_ONCE)
        self.machine.systemctl("restart", timer)
        self.wait_until(lambda: self.runs(name) > 10, f"runs of {name}", units=(timer,))
        first, before = self.runs(name), self.spent()
        self.wait_until(lambda: self.runs(name) >= first + RUNS, f"{RUNS} runs of {name}", units=(timer,))
        n, spent = self.runs(name) - first, self.spent() - before
        self.machine.systemctl("stop", timer)
        return spent / n * 1000

    def test_of_a_periodic_run(self):
        self.machine.path("/usr/local/bin/plain").write_bytes(TINY.read_bytes())
        self.machine.path("/usr/local/bin/plain").chmod(0o755)
        self.machine.write("/etc/systemd/system/plain.service", PLAIN)
        self.machine.write("/etc/systemd/system/plain.timer", "[Unit]\nDescription=Plain\n")
        path = self.machine.path(f"{installed.COLLECTORS}/60/tiny")
        path.parent.mkdir(parents=True)
        path.write_bytes(TINY.read_bytes())
        path.chmod(0o755)
        self.tsd()
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        self.machine.shell("systemctl daemon-reload; systemctl start tcollector")

        plain = min(self.measure("plain", "plain.timer") for _ in range(MEASUREMENTS))
        tiny = min(self.measure("tiny", "tcollector-col@tiny.timer") for _ in range(MEASUREMENTS))
        self.note(f"a run costs {tiny:.2f} ms of processor time, of a plain unit {plain:.2f} ms")
        self.assertLess(tiny, RATIO * plain)
        self.assertLess(tiny, BOUND)


if __name__ == "__main__":
    installed.main()
