# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real InfluxDB by its telnet listener: delivery is confirmed, and every point is read back from it."""
import json

import installed
import influxdb  # of tests/e2e, where installed.py has made it to be found

N = 200_000
NAME = "alpha"
FETCH = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], data=b"" if sys.argv[2:] else None, timeout=60) as answer:
    print(answer.read().decode())
"""


class InsideInfluxDB(influxdb.InfluxDB):
    """Inside the machine, as a unit of its own."""

    def __init__(self, machine):
        super().__init__("/run/influxdb")
        self.machine = machine

    def spawn(self, program, text):
        self.machine.write(self.folder / "influxdb.conf", text)
        self.machine.run(["systemd-run", "-q", "--unit=influxdb-test", program, "-config",
                          self.folder / "influxdb.conf"])

    def get(self, path, post=None):
        done = self.machine.run(["/usr/bin/python3", "-c", FETCH, f"http://127.0.0.1:{self.http}{path}",
                                 *(["post"] if post is not None else [])], check=False)
        if done.returncode != 0:
            raise OSError(done.stderr)
        return done.stdout

    def stop(self):
        self.machine.run(["systemctl", "stop", "influxdb-test"], check=False)


class Confirmed(installed.TestCase):
    def test_read_back(self):
        db = InsideInfluxDB(self.machine)
        self.addCleanup(db.stop)
        db.start()
        self.machine.configure(installed.CONFIG.replace(f":{installed.PORT}", f":{db.port}"))
        unit = self.numbered(NAME, 20000)
        self.machine.systemctl("daemon-reload")
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        self.machine.systemctl("start", "tcollector")
        self.wait_until(lambda: self.written(NAME) >= N, f"{N} lines to be printed")
        self.machine.systemctl("stop", unit)
        n = self.written(NAME)
        self.wait_until(lambda: db.count(NAME) >= n, f"{n} points to be in the database")

        status = self.machine.run(["tcollectorctl", "status"]).stdout
        self.assertNotIn("unconfirmed", status + self.machine.show("tcollector.service", "StatusText"))
        told = json.loads(self.machine.run(["tcollectorctl", "status", "--json"]).stdout)
        self.assertEqual([True], [server["confirmed"] for server in told["servers"]], status)
        s = told["sums"]
        self.assertEqual(s["sent"] + s["inherited"], s["acked"] + s["queued"] + s["spooled"] + s["lost"], s)
        # Of the last lines some may have been on their way as the collector was stopped: whole ones count.
        got = db.values(NAME)
        wanted = {1000000000 + i: i for i in range(1, len(got) + 1)}
        self.assertEqual([], sorted(wanted.items() ^ got.items())[:10])
        self.assertGreaterEqual(len(got), n)
        self.note(f"{len(got)} points read back; {self.machine.show('tcollector.service', 'StatusText')}")


if __name__ == "__main__":
    installed.main()
