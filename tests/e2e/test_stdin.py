# SPDX-License-Identifier: LGPL-2.1-or-later
"""-s to a database: the exit status tells the truth about what was delivered."""
import re
import signal
import subprocess

import harness

BASE = 1700000000


def points(n, begin=0):
    """What is printed, and how it is stored."""
    stored = [f"in.n {BASE + i} {i} k=v" for i in range(begin, begin + n)]
    return "".join(line + "\n" for line in stored).encode(), set(stored)


class Delivery(harness.TestCase):
    def to(self, tsd, *options):
        return ["-s", "-H", tsd.host, "-p", tsd.port, *options]

    def test_all_is_delivered_at_exit(self):
        """When it has ended, the last point has been parsed: that is what the answer to `version` proves."""
        for n in (1, 1000, 300000):
            with self.subTest(n=n):
                tsd = self.tsd()
                given, stored = points(n)
                agent = self.run_agent(*self.to(tsd), input=given)
                self.assertEqual(len(stored), tsd.n_stored(), agent.told())
                self.assert_status(agent, 0)
                self.assert_stored(tsd, stored, agent)

    def test_nothing_to_deliver(self):
        """No points: no connection is needed, and a server that is away is no failure."""
        for given in (b"", b"no point at all\n"):
            with self.subTest(given=given):
                agent = self.run_agent("-s", "-p", harness.free_port(), input=given)
                self.assert_status(agent, 0)

    def test_a_server_that_hangs_holds_the_exit_up(self):
        tsd = self.tsd()
        first, stored_first = points(1000)
        second, stored_second = points(300000, 1000)
        agent = self.agent(*self.to(tsd), stdin=subprocess.PIPE)
        agent.feed(first)
        agent.wait_for(lambda: tsd.n_stored() == 1000, "the first points are stored")
        tsd.hang()
        agent.feed(second, end=True)
        agent.wait_until_idle()
        self.assertIsNone(agent.status(), agent.told())
        self.assertEqual(1000, tsd.n_stored())
        tsd.resume()
        self.assert_status(agent, 0)
        self.assert_stored(tsd, stored_first | stored_second, agent)

    def test_a_server_that_comes_late(self):
        tsd = self.tsd(listening=False)
        given, stored = points(5000)
        agent = self.agent(*self.to(tsd), stdin=subprocess.PIPE)
        agent.feed(given, end=True)
        agent.wait_for_log("trying again in")
        tsd.listen()
        self.assert_status(agent, 0)
        self.assert_stored(tsd, stored, agent)

    def test_a_server_that_never_comes(self):
        given, stored = points(5000)
        agent = self.run_agent("-s", "-p", harness.free_port(), "--flush-timeout", 2, input=given)
        self.assert_status(agent, 1)
        self.assertRegex(agent.stderr(), r"\b5000 points are left", agent.told())

    def test_more_input_than_the_queue_holds(self):
        """Its end is never reached while nothing is delivered: it gives up all the same."""
        config = self.folder / "conf"
        config.write_text('queue_size = "64K"\n')
        given, _ = points(20000)
        agent = self.run_agent("-s", "-p", harness.free_port(), "--config", config, "--flush-timeout", 2,
                               input=given)
        self.assert_status(agent, 1)
        self.assertRegex(agent.stderr(),
                         r"\b\d+ points are left, and what of standard input has not been read")

    def test_a_server_that_goes_for_good(self):
        """The number said is that of the points not proven to be stored: no fewer than are missing."""
        tsd = self.tsd()
        given, stored = points(200000)
        agent = self.agent(*self.to(tsd, "--flush-timeout", 3), stdin=subprocess.PIPE)
        tsd.cut(1, lambda: 1000000)
        agent.feed(given[:len(given) // 2])
        agent.wait_for(lambda: tsd.n_cut == 1, "the connection was cut")
        tsd.kill()
        agent.feed(given[len(given) // 2:], end=True)
        self.assert_status(agent, 1)
        left = int(re.search(r"(\d+) points are left", agent.stderr()).group(1))
        missing = len(stored - tsd.lines())
        self.assertGreater(missing, 0)
        self.assertGreaterEqual(left, missing, agent.told())
        self.assertLess(left, len(stored), "some were proven")
        self.assertLessEqual(tsd.lines(), stored)

    def test_progress_extends_the_time(self):
        """Delivery that takes longer than --flush-timeout, but goes on, is not given up: a cut costs 1 s."""
        tsd = self.tsd()
        tsd.cut(6, lambda: 1000000)  # far enough apart for every connection to prove something
        given, stored = points(300000)
        agent = self.run_agent(*self.to(tsd, "--flush-timeout", 5), input=given)
        self.assert_status(agent, 0)
        self.assertEqual(6, tsd.n_cut)
        self.assert_stored(tsd, stored, agent)

    def test_refused_points_do_not_hold_the_exit_up(self):
        tsd = self.tsd()
        tsd.complaint = lambda line: b"put: unknown metric: x" if line.endswith(b"7 k=v") else None
        given, stored = points(1000)
        agent = self.run_agent(*self.to(tsd), input=given)
        self.assert_status(agent, 0)
        self.assert_stored(tsd, {s for s in stored if not s.endswith("7 k=v")}, agent)
        self.assertRegex(agent.stderr(), "unknown metric")


class Signals(harness.TestCase):
    def start(self, *options):
        """Half of the points are stored, the input is still open."""
        tsd = self.tsd()
        agent = self.agent("-s", "-H", tsd.host, "-p", tsd.port, *options, stdin=subprocess.PIPE)
        given, stored = points(100000)
        agent.feed(given)
        agent.wait_for(lambda: tsd.n_stored() > 0, "delivery has begun")
        return tsd, agent, stored

    def test_during_delivery(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                tsd, agent, stored = self.start()
                agent.signal(number)
                self.assert_status(agent, 0)
                # What it took is delivered, whole and in order; what it did not take was never its own.
                got = tsd.lines()
                self.assertEqual({f"in.n {BASE + i} {i} k=v" for i in range(len(got))}, got)

    def test_while_the_server_is_away(self):
        given, _ = points(5000)
        agent = self.agent("-s", "-p", harness.free_port(), "--flush-timeout", 2, stdin=subprocess.PIPE)
        agent.feed(given)
        agent.wait_for_log("trying again in")
        self.assertEqual(1, agent.stop(), agent.told())
        self.assertRegex(agent.stderr(), r"\b5000 points are left")

    def test_twice(self):
        """The second one ends it at once, and says what that costs."""
        given, _ = points(5000)
        agent = self.agent("-v", "-s", "-p", harness.free_port(), "--flush-timeout", 1000,
                           stdin=subprocess.PIPE)
        agent.feed(given)
        agent.wait_for_log("trying again in")
        agent.signal(signal.SIGTERM)
        agent.wait_for_log("Stopping on")
        agent.signal(signal.SIGTERM)
        self.assert_status(agent, 1)
        self.assertRegex(agent.stderr(), r"\b5000 points are left")

    def test_after_the_input_has_ended(self):
        given, _ = points(5000)
        agent = self.agent("-v", "-s", "-p", harness.free_port(), "--flush-timeout", 1000,
                           stdin=subprocess.PIPE)
        agent.feed(given, end=True)
        agent.wait_for_log("Delivering 5000")
        agent.signal(signal.SIGTERM)
        self.assert_status(agent, 1)
        self.assertRegex(agent.stderr(), r"Gave up .*\b5000 points are left")

    def test_what_was_written_before_it_counts(self):
        """A line that stood in the pipe when the signal came was said, and is delivered."""
        tsd = self.tsd()
        agent = self.agent("-s", "-H", tsd.host, "-p", tsd.port, stdin=subprocess.PIPE)
        first, stored_first = points(1)
        agent.feed(first)
        agent.wait_for(lambda: tsd.n_stored() == 1, "delivery has begun")
        agent.signal(signal.SIGSTOP)
        second, stored_second = points(1000, 1)
        agent.feed(second)
        agent.signal(signal.SIGTERM)
        agent.signal(signal.SIGCONT)
        self.assert_status(agent, 0)
        self.assert_stored(tsd, stored_first | stored_second, agent)


if __name__ == "__main__":
    harness.main()
