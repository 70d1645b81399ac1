# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two sums (sums.py) where each of their parts has something. Every other test has them checked by the way."""
import subprocess

import harness

BASE = 1700000000
N = 50000


def points():
    """Some repeated, some bad: the first sum has something of each."""
    return "".join(f"sum.i {BASE + i} {i // 3}\n" if i % 10 else "sum.i soon 1\n" for i in range(N)).encode()


class Sums(harness.TestCase):
    def test_all_is_well(self):
        tsd = self.tsd()
        agent = self.run_agent("-v", "-s", "-p", tsd.port, "-H", "127.0.0.1", input=points())
        self.assert_status(agent, 0)
        s = self.assert_sums(agent)
        self.assertEqual((tsd.n_stored(), 0, 0), (s.acked, s.queued, s.lost))

    def test_cut_connections_and_refused_points(self):
        tsd = self.tsd()
        tsd.complaint = lambda line: b"put: illegal argument: no sevens" if line.split()[2].endswith(b"7") else None
        tsd.cut(3, lambda: 200000)
        agent = self.run_agent("-v", "-s", "-p", tsd.port, "-H", "127.0.0.1", input=points())
        self.assert_status(agent, 0)
        s = self.assert_sums(agent)
        self.assertEqual((tsd.n_stored(), 0, len(tsd.complained)), (s.acked, s.queued, s.lost))

    def test_the_server_is_away(self):
        agent = self.run_agent("-v", "-s", "-p", harness.free_port(), "--flush-timeout", 1, input=points())
        self.assert_status(agent, 1)
        s = self.assert_sums(agent)
        self.assertEqual((0, s.sent, 0), (s.acked, s.queued, s.lost))

    def test_collectors(self):
        tsd = self.tsd()
        c = self.collectors()
        c.shell(1, "tick", "echo tick.i $(date +%s) $$\necho half a\nprintf 'half a'\n")
        c.shell(0, "seq", "i=0; while :; do i=$((i + 1)); echo seq.i $((1700000000 + i)) $((i / 2)); sleep 0.01; done\n")
        agent = self.agent("-v", "-c", c.path, "-p", tsd.port, "-H", "127.0.0.1", stdin=subprocess.DEVNULL)
        agent.wait_for(lambda: len([line for line in tsd.lines() if line.startswith("tick.i")]) >= 3, "three ticks")
        self.assert_status_after_stop(agent)
        s = self.assert_sums(agent)
        self.assertEqual((tsd.n_stored(), 0, 0), (s.acked, s.queued, s.lost))

    def assert_status_after_stop(self, agent):
        self.assertEqual(0, agent.stop(), agent.told())


if __name__ == "__main__":
    harness.main()
