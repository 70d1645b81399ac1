# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real InfluxDB by its telnet listener, which answers `version` without a newline: its answer is the proof, and
what is printed is read back. That its status says so too is looked at in tests/system/test-influxdb.py; its
/api/put in test_http.py."""
import harness
import influxdb
import sums
from test_tsd import BASE, series

N = 200000


class Telnet(harness.TestCase):
    def test_read_back(self):
        db = influxdb.InfluxDB(self.path("influxdb"))
        self.addCleanup(db.stop)
        db.start()
        c = self.collectors()
        c.python(0, "series", series(N, burst=2000, pause=0.02))
        agent = self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats", "-L", f"127.0.0.1:{db.port}")
        harness.wait_for(lambda: db.count("e2e.n") >= N, lambda: f"all are stored; {db.count('e2e.n')} are")
        self.assertEqual(0, agent.stop(), agent.told())
        wanted = {BASE + i: i for i in range(N)}
        got = db.values("e2e.n")
        self.assertEqual([], sorted(wanted.items() ^ got.items())[:10], agent.told())
        self.assertEqual(sums.InAll(N, 0, N, 0, 0, 0), self.assert_sums(agent), agent.told())
        self.assertNotIn("does not answer", agent.stderr(), "delivery is confirmed")
        self.note(f"{len(got)} points read back, delivery confirmed")


if __name__ == "__main__":
    harness.main()
