# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several servers: one after the other, everything to each, each series to one of them."""
import collections
import signal
import subprocess

import harness
import sums
from scripted_http import ScriptedHTTP

BASE = 1700000000
N = 200000
N_SERIES = 200
PART = 20000


def point(i):
    return f"policy.m{i % 10} {BASE + i} {i} series=s{i % N_SERIES}"


def part(begin, n):
    """As text to be read, and as it is stored."""
    lines = [point(i) for i in range(begin, begin + n)]
    return "".join(line + "\n" for line in lines).encode(), set(lines)


def series_of(line):
    metric, _, _, tags = line.split(" ", 3)
    return metric, tags


class Policies(harness.TestCase):
    def start(self, policy, *servers, urls=()):
        config = self.folder / "conf"
        config.write_text(f'policy = "{policy}"\nqueue_size = "64M"\nself_stats = false\ndedup_interval = "0"\n' +
                          "".join(f'server "s{i}" {{ url = "{url}" }}\n' for i, url in enumerate(
                              urls or (f"telnet://{s.host}:{s.port}" for s in servers))))
        return self.agent("-v", "-s", "--config", config, stdin=subprocess.PIPE)

    def assert_sum(self, agent, total, queued=0, lost=0):
        self.assertEqual(sums.InAll(total, 0, total - queued - lost, queued, 0, lost), self.assert_sums(agent),
                         agent.told())

    def end(self, agent, total):
        agent.end_input()
        self.assert_status(agent, 0)
        self.assert_sum(agent, total)

    def test_mirror(self):
        """One is away while all of it passes: the other is current all along, and it is complete in the end."""
        away, there = self.tsd(listening=False), self.tsd()
        agent = self.start("mirror", away, there)
        stored = set()
        for begin in range(0, N, PART):
            given, lines = part(begin, PART)
            agent.feed(given)
            stored |= lines
            agent.wait_for(lambda: there.n_stored() == len(stored), "the other one has it")
        self.assertEqual(0, away.n_stored())
        away.listen()
        self.end(agent, N)
        self.assert_stored(there, stored, agent)
        self.assert_stored(away, stored, agent)
        self.assertEqual({1}, set(there.store.values()), "sent twice, though all was well")

    def test_mirror_both_well(self):
        servers = [self.tsd(), self.tsd(answer="influxdb"), self.tsd(answer="never")]
        agent = self.start("mirror", *servers)
        given, stored = part(0, N)
        agent.feed(given)
        self.end(agent, N)
        for tsd in servers:
            self.assert_stored(tsd, stored, agent)

    def where(self, servers, lines):
        """Series -> numbers of the servers that have some of its lines."""
        found = collections.defaultdict(set)
        for i, tsd in enumerate(servers):
            for line in tsd.lines() & lines:
                found[series_of(line)].add(i)
        return found

    def assert_everywhere_once(self, servers, lines, agent):
        found = self.where(servers, lines)
        self.assertEqual(N_SERIES, len(found))
        self.assertEqual({1}, {len(on) for on in found.values()}, agent.told())
        self.assertEqual(set(range(len(servers))), set().union(*found.values()), "a server has nothing")
        self.assertEqual(len(lines), sum(len(tsd.lines() & lines) for tsd in servers), agent.told())

    def assert_all_there(self, servers, lines, agent):
        got = set().union(*(tsd.lines() for tsd in servers))
        missing, extra = lines - got, got - lines
        if missing or extra:
            self.fail(f"missing {harness.some(missing)}; never printed {harness.some(extra)}\n{agent.told()}")

    def test_spread(self):
        for n in (2, 3):
            with self.subTest(n=n):
                servers = [self.tsd() for _ in range(n)]
                agent = self.start("spread", *servers)
                given, stored = part(0, N)
                agent.feed(given)
                self.end(agent, N)
                self.assert_everywhere_once(servers, stored, agent)

    def test_spread_with_one_killed(self):
        servers = [self.tsd(), self.tsd()]
        agent = self.start("spread", *servers)
        given, first = part(0, PART)
        agent.feed(given)
        agent.wait_for(lambda: sum(s.n_stored() for s in servers) == PART, "the first part is there")
        self.assert_everywhere_once(servers, first, agent)

        # In the midst of the stream; its share goes to the other one meanwhile.
        given, second = part(PART, 3 * PART)
        agent.feed(given[:len(given) // 2])
        servers[0].kill()
        agent.feed(given[len(given) // 2:])
        agent.wait_for(lambda: len(set().union(*(s.lines() for s in servers))) == 4 * PART, "all of it is there")

        servers[0].listen()
        servers[1].kill()
        given, third = part(4 * PART, PART)
        agent.feed(given)
        agent.wait_for(lambda: servers[0].lines() >= third, "the one that came back has the last part")
        servers[1].listen()
        self.end(agent, 5 * PART)
        self.assert_all_there(servers, first | second | third, agent)

    def test_spread_with_cuts(self):
        servers = [self.tsd(), self.tsd()]
        for tsd in servers:
            tsd.cut(20, lambda: self.random.randrange(1, 300000))
        agent = self.start("spread", *servers)
        given, stored = part(0, N)
        agent.feed(given)
        self.end(agent, N)
        self.assert_all_there(servers, stored, agent)
        self.assertGreater(sum(tsd.n_cut for tsd in servers), 10)

    def test_spread_throttled(self):
        servers = [self.tsd(), self.tsd()]
        left = [1000, 1000]

        def throttle(i):
            def complain(_):
                if left[i] == 0 or self.random.random() < 0.5:
                    return None
                left[i] -= 1
                return b"put: Please throttle writes: 10000 RPCs waiting on [AsyncHBase]"
            return complain
        for i, tsd in enumerate(servers):
            tsd.complaint = throttle(i)
        agent = self.start("spread", *servers)
        given, stored = part(0, PART)
        agent.feed(given)
        self.end(agent, PART)
        self.assertEqual([0, 0], left)
        self.assert_everywhere_once(servers, stored, agent)

    def test_spread_refused(self):
        servers = [self.tsd(), self.tsd()]
        for tsd in servers:
            tsd.complaint = lambda line: b"put: illegal argument: no sevens" if line.split()[2].endswith(b"7") else None
        agent = self.start("spread", *servers)
        given, stored = part(0, PART)
        agent.feed(given, end=True)
        self.assert_status(agent, 0)
        lost = PART // 10
        self.assert_sum(agent, PART, lost=lost)
        self.assert_all_there(servers, {line for line in stored if not line.split()[2].endswith("7")}, agent)

    def test_spread_over_protocols(self):
        """One server by lines, one by HTTP: dies in the midst, and the other takes its share meanwhile."""
        servers = [self.tsd(), ScriptedHTTP()]
        self.addCleanup(servers[1].stop)
        agent = self.start("spread", *servers, urls=(f"telnet://{servers[0].host}:{servers[0].port}",
                                                     f"http://{servers[1].host}:{servers[1].port}"))
        given, first = part(0, PART)
        agent.feed(given)
        agent.wait_for(lambda: sum(s.n_stored() for s in servers) == PART, "the first part is there")
        self.assert_everywhere_once(servers, first, agent)
        servers[1].kill()
        given, second = part(PART, PART)
        agent.feed(given)
        agent.wait_for(lambda: servers[0].lines() >= second, "the second part is there")
        servers[1].listen()
        self.end(agent, 2 * PART)
        self.assert_all_there(servers, first | second, agent)
        self.assertEqual([], servers[1].defects)

    def test_spread_with_one_series(self):
        """One server has nothing to do, and holds up nothing; it is not even connected to."""
        servers = [self.tsd(), self.tsd()]
        agent = self.start("spread", *servers)
        for i in range(20):
            agent.feed(f"policy.one {BASE + i} {i} a=b\n".encode())
            agent.wait_for(lambda: sum(s.n_stored() for s in servers) == i + 1, "it is there")
        self.end(agent, 20)
        self.assertEqual([0, 1], sorted(s.n_connections for s in servers))

    def test_failover(self):
        """All to one; when it dies, all to the next; when that dies, to the first again."""
        servers = [self.tsd(), self.tsd()]
        agent = self.start("failover", *servers)
        given, first = part(0, PART)
        agent.feed(given)
        agent.wait_for(lambda: sum(s.n_stored() for s in servers) == PART, "the first part is there")
        one, other = sorted(servers, key=lambda s: -s.n_stored())
        self.assertEqual((PART, 0, 0), (one.n_stored(), other.n_stored(), other.n_connections))

        one.kill()
        given, second = part(PART, PART)
        agent.feed(given)
        agent.wait_for(lambda: other.lines() >= second, "the other one has the second part")
        one.listen()
        given, third = part(2 * PART, PART)
        agent.feed(given)
        agent.wait_for(lambda: other.lines() >= third, "it goes on with the one that works")
        self.assertEqual(PART, one.n_stored())

        other.kill()
        given, fourth = part(3 * PART, PART)
        agent.feed(given)
        agent.wait_for(lambda: one.lines() >= fourth, "the first one has the fourth part")
        self.end(agent, 4 * PART)
        self.assert_all_there(servers, first | second | third | fourth, agent)

    def test_stopped_with_one_away(self):
        """Without a spool the points of one that is away are left behind, and it is said how many."""
        away, there = self.tsd(listening=False), self.tsd()
        agent = self.start("mirror", away, there)
        given, stored = part(0, PART)
        agent.feed(given)
        agent.wait_for(lambda: there.n_stored() == PART, "the other one has it")
        agent.signal(signal.SIGTERM)
        self.assert_status(agent, 1)
        self.assert_sum(agent, PART, queued=PART)
        self.assert_stored(there, stored, agent)


if __name__ == "__main__":
    harness.main()
