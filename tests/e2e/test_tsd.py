# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors to a database that misbehaves: what was printed arrives, all of it and nothing else."""
import time
import unittest

import harness

BASE = 1700000000

# Prints `n` points in bursts, as fast as they are taken, then stays.
SERIES = """
import sys, time
for begin in range(0, {n}, {burst}):
    sys.stdout.write("".join("{name} %d %d i=%d\\n" % ({base} + i, i, i % 7)
                             for i in range(begin, min(begin + {burst}, {n}))))
    sys.stdout.flush()
    time.sleep({pause})
time.sleep(1e6)
"""


def series(n, name="e2e.n", burst=1000, pause=0.0):
    return SERIES.format(n=n, name=name, burst=burst, pause=pause, base=BASE)


def stored_series(n, name="e2e.n"):
    return {f"{name} {BASE + i} {i} i={i % 7} host=h" for i in range(n)}


# Prints twenty new points a run, and keeps a list of what it printed; a run is not to be cut short.
PERIODIC = """
trap '' TERM
begin=$(cat {list} 2>/dev/null | wc -l)
for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
    echo "e2e.p $(({base} + begin + i)) $((begin + i)) run=$begin"
done | tee -a {list}
"""

COMMON = ["-t", "host=h", "--no-tcollector-stats"]


class Case(harness.TestCase):
    def start(self, collectors, *options):
        return self.agent("-c", collectors.path, *COMMON, *options)

    def hosts(self, *servers):
        """-L for these; -H would add the local host's port 4242."""
        return ["-L", ",".join(f"[{s.host}]:{s.port}" if ":" in s.host else f"{s.host}:{s.port}"
                               for s in servers)]

    def wait_for_n(self, agent, tsd, n):
        agent.wait_for(lambda: tsd.n_stored() >= n,
                       lambda: f"{n} points are stored; they are {tsd.n_stored()}")

    def finish(self, agent, tsd, stored):
        """All has arrived; the agent stops, and that is all that ever arrives."""
        self.wait_for_n(agent, tsd, len(stored))
        self.assertEqual(0, agent.stop(), agent.told())
        self.assert_stored(tsd, stored, agent)


class Chaos(Case):
    N = 200000

    def chaos(self, agent, servers, n_kills):
        """Kills one server or another as points come in, and starts it again a little later."""
        for at in sorted(self.random.randrange(self.N) for _ in range(n_kills)):
            self.wait_for_n(agent, servers[0], at)
            tsd = self.random.choice(servers)
            tsd.kill()
            time.sleep(self.random.random() * 0.7)
            tsd.listen()

    def periodic(self, c):
        printed = self.path("printed")
        c.shell(1, "periodic", PERIODIC.format(list=printed, base=BASE))
        return printed

    def end_periodic(self, agent, c, printed):
        """What it has printed by then."""
        (c.path / "1" / "periodic").unlink()
        agent.wait_for_log("periodic: removed")
        return {line + " host=h" for line in printed.read_text().splitlines()}

    def run_chaos(self, servers, n_cuts, n_kills):
        c = self.collectors()
        c.python(0, "series", series(self.N, burst=500, pause=0.01))
        printed = self.periodic(c)
        for tsd in servers:
            tsd.cut(n_cuts, lambda: self.random.randrange(40000, 600000))
        agent = self.start(c, *self.hosts(*servers))
        self.chaos(agent, servers, n_kills)
        self.wait_for_n(agent, servers[0], self.N)
        agent.wait_for(lambda: sum(s.startswith(b"e2e.n ") for s in list(servers[0].store)) == self.N,
                       "all of the series is stored")
        stored = stored_series(self.N) | self.end_periodic(agent, c, printed)
        self.assertEqual(0, agent.stop(), agent.told())
        self.assert_stored(servers[0], stored, agent)
        self.note(f"{len(stored)} points over {sum(t.n_connections for t in servers)} connections, "
                  f"{sum(t.n_cut for t in servers)} cut, {n_kills} kills; "
                  f"{sum(servers[0].store.values()) - len(stored)} came more than once")
        self.assertGreater(sum(t.n_cut for t in servers), 0)

    def test_one_server(self):
        self.run_chaos([self.tsd()], n_cuts=4, n_kills=3)

    def test_three_servers(self):
        first = self.tsd()
        self.run_chaos([first, self.tsd(store=first.store), self.tsd(store=first.store)], n_cuts=5,
                       n_kills=6)


class Answers(Case):
    N = 20000

    def deliver(self, tsd, log=None):
        c = self.collectors()
        c.python(0, "series", series(self.N, burst=2000, pause=0.05))
        agent = self.start(c, *self.hosts(tsd))
        self.wait_for_n(agent, tsd, self.N)
        if log:
            agent.wait_for_log(log)
        self.finish(agent, tsd, stored_series(self.N))
        return agent

    def test_opentsdb(self):
        tsd = self.tsd()
        self.deliver(tsd)
        self.assertGreater(tsd.n_versions, 0)
        self.assertEqual(self.N, sum(tsd.store.values()), "nothing came twice")

    def test_influxdb(self):
        """An answer without a newline."""
        tsd = self.tsd(answer="influxdb")
        self.deliver(tsd)
        self.assertGreater(tsd.n_versions, 1)
        self.assertEqual(1, tsd.n_connections)

    def test_never(self):
        """Asked once, then never again: what the kernel on the other side has is taken for delivered."""
        tsd = self.tsd(answer="never")
        agent = self.deliver(tsd)
        self.assertEqual((1, 1), (tsd.n_connections, tsd.n_versions), agent.told())

    def test_refused_points(self):
        """Complaints are counted and logged, the points they name are gone, their neighbours are not."""
        tsd = self.tsd()
        text = b"put: illegal argument: not this one"
        tsd.complaint = lambda line: text if line.split()[2].endswith(b"13") else None
        c = self.collectors()
        c.python(0, "series", series(self.N))
        agent = self.start(c, *self.hosts(tsd))
        wanted = {s for s in stored_series(self.N) if not s.split()[2].endswith("13")}
        self.finish(agent, tsd, wanted)
        self.assertEqual(self.N - len(wanted), len(tsd.complained))
        self.assertRegex(agent.stderr(), "says: put: illegal argument: not this one")
        self.assertLess(agent.said().count("not this one"), 20, "the log is bounded")

    def test_throttled_points(self):
        """They are sent again, later, and none is lost for it."""
        tsd = self.tsd()
        left = [1500]

        def throttle(line):
            if left[0] == 0 or tsd.n_stored() < self.N // 4 or self.random.random() < 0.5:
                return None
            left[0] -= 1
            return b"put: Please throttle writes: 10000 RPCs waiting on [AsyncHBase]"
        tsd.complaint = throttle
        agent = self.deliver(tsd, log="Please throttle writes")
        self.assertEqual(0, left[0])
        self.note(f"1500 throttled, {sum(tsd.store.values()) - self.N} came twice, "
                  f"{tsd.n_connections} connections")
        self.assertIsNone(agent.sanitizer_said())

    def test_ipv6(self):
        for name, options in (("-L", ["-L", "[::1]:{0}"]), ("-H", ["-H", "::1", "-p", "{0}"]),
                              ("-H with brackets", ["-H", "[::1]", "-p", "{0}"])):
            with self.subTest(name):
                tsd = self.tsd(host="::1")
                c = self.collectors()
                c.shell(0, "one", f"echo e2e.one {BASE} 1\nexec sleep 1000\n")
                agent = self.start(c, *(o.format(tsd.port) for o in options))
                self.finish(agent, tsd, {f"e2e.one {BASE} 1 host=h"})

    def test_localhost(self):
        """A name, whichever of its addresses the server listens on."""
        tsd = self.tsd()
        c = self.collectors()
        c.shell(0, "one", f"echo e2e.one {BASE} 1\nexec sleep 1000\n")
        self.finish(self.start(c, "-p", tsd.port), tsd, {f"e2e.one {BASE} 1 host=h"})


class Servers(Case):
    def test_one_of_two_is_away(self):
        n = 5000
        away, tsd = self.tsd(listening=False), self.tsd()
        c = self.collectors()
        c.python(0, "series", series(n))
        self.finish(self.start(c, *self.hosts(away, tsd)), tsd, stored_series(n))

    def test_fail_over(self):
        """The one in use dies for good; the other gets the rest, and what was not proven."""
        n = 100000
        servers = [self.tsd()]
        servers.append(self.tsd(store=servers[0].store))
        c = self.collectors()
        c.python(0, "series", series(n, burst=500, pause=0.005))
        agent = self.start(c, *self.hosts(*servers))
        self.wait_for_n(agent, servers[0], n // 4)
        in_use = [t for t in servers if t.n_open() > 0]
        self.assertEqual(1, len(in_use), "one connection at a time")
        in_use[0].kill()
        self.finish(agent, servers[0], stored_series(n))
        self.assertEqual([1, 1], [t.n_connections for t in servers])

    def test_default_port_of_a_list(self):
        """-p is the port of those in -L that name none; -H is added to the list."""
        tsd = self.tsd()
        c = self.collectors()
        c.shell(0, "one", f"echo e2e.one {BASE} 1\nexec sleep 1000\n")
        agent = self.start(c, "-L", f"127.0.0.1:{harness.free_port()},127.0.0.1", "-p", tsd.port)
        self.finish(agent, tsd, {f"e2e.one {BASE} 1 host=h"})

    def test_reconnect_interval(self):
        """Connections are made anew in the midst of it: nothing is lost, nothing comes twice."""
        n = 40000
        tsd = self.tsd()
        c = self.collectors()
        c.python(0, "series", series(n, burst=100, pause=0.01))
        agent = self.start(c, *self.hosts(tsd), "--reconnect-interval", 1)
        self.finish(agent, tsd, stored_series(n))
        self.assertGreaterEqual(tsd.n_connections, 3)
        self.assertEqual(n, sum(tsd.store.values()), "nothing came twice")


class Pressure(Case):
    def test_small_queue(self):
        """With no room for a hundredth of it, the collector waits while the server is away."""
        n = 100000
        conf = self.path("conf")
        conf.write_text('queue_size = "64K"\n')
        tsd = self.tsd(listening=False)
        c = self.collectors()
        c.python(0, "series", series(n))
        agent = self.start(c, "--config", conf, *self.hosts(tsd))
        agent.wait_for_log("trying again in")
        agent.wait_until_idle()
        tsd.listen()
        self.finish(agent, tsd, stored_series(n))

    def test_writes_larger_than_the_pipe(self):
        """Each begins behind half a line that has been looked at: its writer waits for the agent, and is not
        to wait in vain for the agent to be told of it."""
        n = 300000
        tsd = self.tsd()
        c = self.collectors()
        c.python(0, "large", f"""
import os, time
text = "".join("e2e.n %d %d i=%d\\n" % ({BASE} + i, i, i % 7) for i in range({n})).encode()
cuts = [0] + [text.index(b"e2e", k * len(text) // 4) + 10 for k in range(1, 4)] + [len(text)]
for begin, end in zip(cuts, cuts[1:]):
    piece = memoryview(text)[begin:end]
    while piece:
        piece = piece[os.write(1, piece):]
    time.sleep(0.1)
time.sleep(1e6)
""")
        self.finish(self.start(c, *self.hosts(tsd)), tsd, stored_series(n))

    def test_a_flood_does_not_starve_its_neighbour(self):
        tsd = self.tsd()
        c = self.collectors()
        c.python(0, "flood",
                 "i = 0\nwhile True:\n    print('e2e.flood %d %d' % (1000000000 + i, i))\n    i += 1\n")
        agent = self.start(c, *self.hosts(tsd))
        agent.wait_for(lambda: tsd.n_stored() > 50000, "the flood is on")
        c.shell(0, "neighbour", f"echo e2e.one {BASE} 1\nexec sleep 1000\n")
        agent.wait_for(lambda: f"e2e.one {BASE} 1 host=h".encode() in tsd.store, "its point is stored")
        self.assertEqual(0, agent.stop(), agent.told())
        flood = {s for s in tsd.lines() if s.startswith("e2e.flood ")}
        self.assertEqual({f"e2e.flood {1000000000 + i} {i} host=h" for i in range(len(flood))}, flood)

    def test_stop_delivers_what_is_queued(self):
        """SIGTERM while the server is away; it comes back, and gets all that had been printed."""
        n = 50000
        tsd = self.tsd(listening=False)
        c = self.collectors()
        done = self.path("done")
        c.python(0, "series", series(n).replace("time.sleep(1e6)", f"open('{done}', 'w')\ntime.sleep(1e6)"))
        agent = self.start(c, *self.hosts(tsd), "-v")
        agent.wait_for(done.exists, "all is printed")
        agent.signal(harness.signal.SIGTERM)
        agent.wait_for_log("Delivering [0-9]+ queued points")
        tsd.listen()
        self.assert_status(agent, 0)
        self.assert_stored(tsd, stored_series(n), agent)


class SelfReport(Case):
    """The agent's counters as points, a minute after its start, which is before the file's first test."""

    METRICS = """
        reader.lines_collected reader.lines_dropped collector.lines_sent collector.lines_received
        collector.lines_invalid collector.series collector.suppressed collector.runs collector.failures
        collector.kills collector.cpu_usec collector.memory_bytes sender.points_acked sender.bytes
        sender.reconnects sender.errors sender.latency_ms queue.bytes queue.lines agent.cpu_usec
        agent.memory_bytes agent.uptime_sec""".split()

    BAD, REFUSED, N = 40, 10, 1000
    # received, sent, invalid, series
    COLLECTORS = {"series": (N, N, 0, 7), "mixed": (BAD + REFUSED, REFUSED, BAD, 1)}

    @classmethod
    def begin(cls):
        """Not in a test's own folder, as it outlives the tests before this one."""
        cls.keeper = cls("test_sums")
        cls.keeper.told = []
        harness.TestCase.setUp(cls.keeper)
        cls.server = cls.keeper.tsd()
        text = b"put: unknown metric: x"
        cls.server.complaint = lambda line: text if line.startswith(b"e2e.refused ") else None
        c = cls.keeper.collectors()
        c.python(0, "series", series(cls.N))
        c.shell(0, "mixed", f"seq -f 'bad line %.0f' {cls.BAD}\n"
                f"seq -f 'e2e.refused %.0f 1' {BASE} 400 {BASE + 400 * (cls.REFUSED - 1)}\n"
                "exec sleep 1000\n")
        cls.agent_under_test = cls.keeper.agent("-c", c.path, "-t", "host=h", *cls.keeper.hosts(cls.server))

    @classmethod
    def end(cls):
        cls.keeper.doCleanups()

    def values(self):
        """{(metric, collector or server): value} of the first report."""
        found = {}
        for line in sorted(self.server.lines()):
            metric, _, value, *tags = line.split()
            tags = dict(tag.split("=") for tag in tags)
            if metric.startswith("tcollector."):
                self.assertEqual("h", tags.pop("host"), line)
                found.setdefault((metric, *tags.values()), int(value))
        return found

    def test_sums(self):
        agent = self.agent_under_test
        agent.wait_for(lambda: any(n == "tcollector.sender.latency_ms" for n, *_ in self.values()),
                       "the report is stored", 90)
        v = self.values()
        server = f"{self.server.host}_{self.server.port}"
        names = {name for name, *_ in v}
        for name in self.METRICS:
            self.assertIn(f"tcollector.{name}", names)

        for name, (received, sent, invalid, n_series) in self.COLLECTORS.items():
            with self.subTest(name):
                self.assertEqual(received, v["tcollector.collector.lines_received", name])
                self.assertEqual(sent, v["tcollector.collector.lines_sent", name])
                self.assertEqual(invalid, v["tcollector.collector.lines_invalid", name])
                self.assertEqual(0, v["tcollector.collector.suppressed", name])
                self.assertEqual(n_series, v["tcollector.collector.series", name])
                self.assertEqual(1, v["tcollector.collector.runs", name])
        self.assertEqual(self.N + self.BAD + self.REFUSED, v["tcollector.reader.lines_collected",])
        self.assertEqual(self.REFUSED, v["tcollector.reader.lines_dropped",])
        self.assertEqual(self.REFUSED, v["tcollector.sender.errors", server])
        self.assertEqual(self.N + self.REFUSED,
                         v["tcollector.sender.points_acked", server] + v["tcollector.queue.lines",] +
                         v["tcollector.reader.lines_dropped",], "sent = acked + queued + lost")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assert_sums(agent)  # the keeper's clean-up is not looked at
        self.assertIsNone(agent.sanitizer_said(), agent.told())
        self.assertEqual([], self.server.defects)


def setUpModule():
    SelfReport.begin()
    unittest.addModuleCleanup(SelfReport.end)


if __name__ == "__main__":
    harness.main()
