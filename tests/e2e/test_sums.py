# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two sums that hold at any time: what becomes of every line received, and of every line sent."""
import re
import subprocess

import harness

BASE = 1700000000
N = 50000
PER_COLLECTOR = re.compile(r"^tcollector: debug: (\S+): (\d+) received = (\d+) sent - (\d+) replayed \+ "
                           r"(\d+) suppressed \+ (\d+) invalid", re.M)
IN_ALL = re.compile(r"^tcollector: debug: in all: (\d+) sent \+ 0 inherited = (\d+) acked \+ (\d+) queued \+ 0 spooled \+ (\d+) lost$", re.M)


def points():
    """Some repeated, some bad: the first sum has something of each."""
    return "".join(f"sum.i {BASE + i} {i // 3}\n" if i % 10 else "sum.i soon 1\n" for i in range(N)).encode()


class Sums(harness.TestCase):
    def check(self, agent):
        """Both sums, from the last lines of its log; returns what is in the second."""
        sent = 0
        for name, *numbers in PER_COLLECTOR.findall(agent.stderr()):
            received, n_sent, replayed, suppressed, invalid = map(int, numbers)
            self.assertEqual(received, n_sent - replayed + suppressed + invalid, f"{name}\n{agent.told()}")
            sent += n_sent
        found = IN_ALL.findall(agent.stderr())
        self.assertEqual(1, len(found), agent.told())
        total, acked, queued, lost = map(int, found[0])
        self.assertEqual(total, acked + queued + lost, agent.told())
        self.assertLessEqual(sent, total, agent.told())  # the self-report's lines may come on top
        return total, acked, queued, lost

    def test_all_is_well(self):
        tsd = self.tsd()
        agent = self.run_agent("-v", "-s", "-p", tsd.port, "-H", "127.0.0.1", input=points())
        self.assert_status(agent, 0)
        total, acked, queued, lost = self.check(agent)
        self.assertEqual((total, 0, 0), (acked, queued, lost))
        self.assertEqual(total, tsd.n_stored())

    def test_cut_connections_and_refused_points(self):
        tsd = self.tsd()
        tsd.complaint = lambda line: b"put: illegal argument: no sevens" if line.split()[2].endswith(b"7") else None
        tsd.cut(3, lambda: 200000)
        agent = self.run_agent("-v", "-s", "-p", tsd.port, "-H", "127.0.0.1", input=points())
        self.assert_status(agent, 0)
        _, acked, queued, lost = self.check(agent)
        self.assertEqual(0, queued)
        self.assertEqual(tsd.n_stored(), acked)
        self.assertEqual(len(tsd.complained), lost)

    def test_the_server_is_away(self):
        agent = self.run_agent("-v", "-s", "-p", harness.free_port(), "--flush-timeout", 1, input=points())
        self.assert_status(agent, 1)
        total, acked, queued, lost = self.check(agent)
        self.assertEqual((0, total, 0), (acked, queued, lost))

    def test_collectors(self):
        tsd = self.tsd()
        c = self.collectors()
        c.shell(1, "tick", "echo tick.i $(date +%s) $$\necho half a\nprintf 'half a'\n")
        c.shell(0, "seq", "i=0; while :; do i=$((i + 1)); echo seq.i $((1700000000 + i)) $((i / 2)); sleep 0.01; done\n")
        agent = self.agent("-v", "-c", c.path, "-p", tsd.port, "-H", "127.0.0.1", stdin=subprocess.DEVNULL)
        agent.wait_for(lambda: len([line for line in tsd.lines() if line.startswith("tick.i")]) >= 3, "three ticks")
        self.assert_status_after_stop(agent)
        total, acked, queued, lost = self.check(agent)
        self.assertEqual((total, 0, 0), (acked, queued, lost))
        self.assertEqual(total, tsd.n_stored())

    def assert_status_after_stop(self, agent):
        self.assertEqual(0, agent.stop(), agent.told())


if __name__ == "__main__":
    harness.main()
