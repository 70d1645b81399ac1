# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers that misbehave, and names that do not resolve: what is kept, dropped and said, and that the sums hold.

The rows of SERVERS, as those of test_http.py and test_tls.py, say what a server does, which points it thereby costs
(those it names, and no other), what is logged, and how soon all is well when the server is.

Elsewhere, thus not here: test_outage.py and test_tsd.py have kills and hanging, answers without a newline,
addresses as [::1]; test_sums.py refused points over cut connections; unit/test-telnet.c the time limits
themselves, with the time-outs short.
"""
import collections
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

import harness
import scripted_dns
import sums

BASE = 1700000000
N = 20000
NAME = "tsd.test"


def points(n):
    return "".join(f"e2e.n {BASE + i} {i} i={i % 7}\n" for i in range(n)).encode()


def stored(n):
    return {f"e2e.n {BASE + i} {i} i={i % 7} host=h" for i in range(n)}


class Case(harness.TestCase):
    def start(self, host, port, *options, n=N):
        agent = self.agent("-v", "-s", "-t", "host=h", "--no-tcollector-stats", "-L", f"{host}:{port}", *options,
                           stdin=subprocess.PIPE)
        agent.feed(points(n), end=True)
        return agent

    def finish(self, agent, tsd, n=N):
        """It ends by itself when all is delivered: all but what the server named."""
        self.assert_status(agent, 0)
        named = {line.decode() for line in tsd.complained if line not in tsd.store}
        self.assert_stored(tsd, stored(n) - named, agent)
        self.assertEqual(sums.InAll(n, 0, n - len(named), 0, 0, len(named)), self.assert_sums(agent), agent.told())
        return len(named)


# -- servers --

def put_off(test, tsd):
    """Of the second half of the points, every other is put off until that has been said 500 times."""
    left = [500]

    def complaint(line):
        at = int(line.split()[2])
        if at in (13, 1013, 2013):
            return b"put: illegal argument: not this one"
        if left[0] == 0 or at < N // 2 or test.random.random() < 0.5:
            return None
        left[0] -= 1
        return b"put: Please throttle writes: 10000 RPCs waiting on [AsyncHBase]"
    tsd.complaint = complaint


def reset(test, tsd):
    """Never before something has been proven: no more than 64 KiB are on their way before that."""
    tsd.cut(8, lambda: test.random.randrange(100000, 400000), reset=True)


def refuse(_test, tsd):
    tsd.complaint = lambda line: b"put: illegal argument: no" if line.split()[2].endswith(b"113") else None


def cut_and_refuse(test, tsd):
    refuse(test, tsd)
    tsd.cut(3, lambda: test.random.randrange(20000, 200000))


def babble(_test, tsd):
    """What cannot be an answer: empty lines, a stack trace's, bytes that mean nothing, far too long a line."""
    texts = (b"\n", b"\tat java.lang.Thread.run(Thread.java:748)\n", b"\x00\xff\x01\x80\n", b"\r\n",
             b" " + b"x" * 100000 + b"\n")

    def remark(line):
        at = int(line.split()[2])
        return texts[at // 100 % len(texts)] if at % 100 == 0 else None
    tsd.remark = remark


def replace_deaf(_test, tsd, agent):
    agent.wait_for(lambda: tsd.n_open() == 1 and tsd.unread() > 0, "it has been connected to and written to")
    agent.wait_until_idle()
    tsd.kill()
    tsd.listen()


# What the server does, how it is made to, what is done meanwhile; how many points it names as bad, lines of the log,
# and the longest wait that may be in force when it begins to behave, in seconds. A server that takes or says nothing
# is given up after 30, counted from a look at it 3 s after it was asked; the first failure costs 1, each one after it,
# until something has been proven, up to twice as much.
Row = collections.namedtuple("Row", "name server prepare meanwhile named log recovers n",
                             defaults=({}, None, None, 0, (), 0, N))

SERVERS = (
    Row("accepts, never reads, and is replaced", {"deaf": 1}, meanwhile=replace_deaf,
        log=("[Rr]eset by peer", "trying again in", "Delivering to telnet://"), recovers=1),
    Row("reads no more after a while", {"deafens": [200000]},
        log=("no answer any more|takes nothing any more", "Delivering to telnet://"), recovers=3 + 30 + 1),
    Row("resets at random", prepare=reset, log=("[Rr]eset by peer", "trying again in"), recovers=1, n=100000),
    Row("answers late", {"delay": 2.6},
        log=("does not answer \"version\"", "it answers after all")),
    Row("never answers", {"answer": "never"}, log=("does not answer \"version\"",), recovers=2),
    Row("says what means nothing", prepare=babble),
    Row("refuses some", prepare=refuse, named=20, log=("says: put: illegal argument: no",)),
    Row("refuses some, and puts off others for a while", prepare=put_off, named=3,
        log=("says: put: illegal argument: not this one", "says: put: Please throttle writes"), recovers=10),
    Row("closes right after accept", {"closes": 2}, log=("trying again in", "Delivering to telnet://"), recovers=2),
    Row("sends half an answer and closes", {"halves": 2},
        log=("the server closed the connection|[Rr]eset by peer", "trying again in"), recovers=2),
    Row("all of that", {"closes": 1, "halves": 1, "delay": 0.05}, prepare=cut_and_refuse, named=20,
        log=("trying again in", "says: put: illegal argument: no"), recovers=16),
)


class Servers(Case):
    def run_row(self, row):
        tsd = self.tsd(listening=False)
        for key, value in row.server.items():
            setattr(tsd, key, value)
        if row.prepare:
            row.prepare(self, tsd)
        tsd.listen()
        agent = self.start("127.0.0.1", tsd.port, n=row.n)
        if row.meanwhile:
            row.meanwhile(self, tsd, agent)
        self.assertEqual(row.named, self.finish(agent, tsd, row.n))
        for pattern in row.log:
            self.assertRegex(agent.stderr(), pattern)
        took = self.assert_recovered(agent, tsd, row.recovers)
        self.note(f"{row.name}: of {row.n} {row.named} named and dropped, 0 lost, "
                  f"{sum(tsd.store.values()) - tsd.n_stored()} came twice, {tsd.n_connections} connections; all was "
                  f"there {took:.1f} s after it had begun to behave (at most {row.recovers} to wait)")

    def test_rows(self):
        for row in SERVERS:
            with self.subTest(row.name):
                self.run_row(row)

    def test_never_reads_and_never_answers(self):
        """The bound: its kernel's word is all there is, and no more is taken for delivered than that holds."""
        tsd = self.tsd(listening=False)
        tsd.deaf = 1
        tsd.listen()
        agent = self.start("127.0.0.1", tsd.port, "--flush-timeout", 8)
        agent.wait_for_log("does not answer \"version\"")
        agent.wait_for_log("in all: ")
        unread = tsd.unread()
        self.assert_status(agent, 1)
        s = self.assert_sums(agent)
        self.assertEqual((N, 0, 0), (s.sent, s.spooled, s.lost), agent.told())
        self.assertEqual(set(), tsd.lines())
        held = sum(len(f"put e2e.n {BASE + i} {i} i={i % 7} host=h\n") for i in range(s.acked))
        self.assertLess(0, s.acked, "something is, or such a server would never get anything")
        self.assertLessEqual(held, unread, agent.told())
        self.note(f"{s.acked} of {N} points ({held} bytes) taken for delivered, {unread} bytes in its kernel")


# -- names --

def wait_until_connected(agent, tsd):
    agent.wait_for(lambda: tsd.n_connections > 0, "it is connected")


class Names(Case):
    def setUp(self):
        super().setUp()
        self.dns = scripted_dns.ScriptedDNS()
        self.addCleanup(self.dns.stop)

    def full(self, address, port):
        """Something that listens there, and whose kernel drops what wants to connect: its queue is full."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family)
        self.addCleanup(listener.close)
        listener.bind((address, port))
        listener.listen(0)
        clients = [socket.socket(family) for _ in range(2)]  # the queue takes one more than it is told
        for c in clients:
            self.addCleanup(c.close)
            c.setblocking(False)
            c.connect_ex((address, port))

    def test_resolves_later(self):
        for name, before in (("no such name", scripted_dns.NXDOMAIN), ("failure", scripted_dns.SERVFAIL),
                             ("no address", []), ("silence", "silent")):
            with self.subTest(name):
                tsd = self.tsd()
                self.dns.names[NAME] = before
                agent = self.start(NAME, tsd.port)
                agent.wait_for_log(f"Could not resolve host: {NAME}.*trying again in")
                self.dns.names[NAME] = ["127.0.0.1"]
                self.finish(agent, tsd)

    def test_ipv6_only(self):
        tsd = self.tsd(host="::1")
        self.dns.names[NAME] = ["::1"]
        self.finish(self.start(NAME, tsd.port), tsd)
        self.assertEqual(1, tsd.n_connections)

    def test_one_of_two_addresses_is_dead(self):
        """The living one gets it all, in one round: there is no failure to be seen, and no back-off.

        Where the first of two of one family drops: below.
        """
        for dead, alive, how in (("127.0.0.1", "127.0.0.2", "refuses"), ("127.0.0.2", "127.0.0.1", "refuses"),
                                 ("127.0.0.2", "127.0.0.1", "drops"),  # which is not asked: it comes second
                                 ("::1", "127.0.0.1", "refuses"), ("::1", "127.0.0.1", "drops"),
                                 ("127.0.0.1", "::1", "refuses"), ("127.0.0.1", "::1", "drops")):
            with self.subTest(dead=dead, alive=alive, how=how):
                tsd = self.tsd(host=alive)
                if how == "drops":
                    self.full(dead, tsd.port)
                self.dns.names[NAME] = [dead, alive]
                begin = time.monotonic()
                agent = self.start(NAME, tsd.port)
                wait_until_connected(agent, tsd)
                took = time.monotonic() - begin
                self.finish(agent, tsd)
                self.assertNotIn("trying again in", agent.stderr())
                self.note(f"{dead} {how}, {alive} lives: connected in {took:.1f} s")

    def test_first_of_a_family_drops(self):
        """libcurl before 8.4 spends the whole connect time-out on it; then a retry goes to the other, by chance at
        the first or at a later one."""
        tsd = self.tsd(host="127.0.0.2")
        self.full("127.0.0.1", tsd.port)
        self.dns.names[NAME] = ["127.0.0.1", "127.0.0.2"]
        agent = self.start(NAME, tsd.port)
        begin = time.monotonic()
        agent.wait_for(lambda: tsd.n_connections > 0, "it is connected", 240)
        self.note(f"connected in {time.monotonic() - begin:.0f} s")
        self.finish(agent, tsd)

    def test_moves(self):
        """The server dies, and the name stands for another one: no address is kept over that."""
        old = self.tsd(host="127.0.0.1")
        new = self.tsd(host="127.0.0.2", port=old.port, store=old.store)
        self.dns.names[NAME] = ["127.0.0.1"]
        agent = self.agent("-v", "-s", "-t", "host=h", "--no-tcollector-stats", "-L", f"{NAME}:{old.port}",
                           stdin=subprocess.PIPE)
        text = points(N)
        half = text.index(b"\n", len(text) // 2) + 1
        agent.feed(text[:half])
        agent.wait_for(lambda: old.n_stored() == text[:half].count(b"\n"), "half of it is stored")
        self.dns.names[NAME] = ["127.0.0.2"]
        asked = self.dns.asked[NAME]
        old.kill()
        agent.feed(text[half:], end=True)
        agent.wait_for(lambda: new.n_connections > 0, "the new server is connected to", 30)
        self.finish(agent, new)
        self.assertGreater(self.dns.asked[NAME], asked)
        self.assertEqual((1, 1), (old.n_connections, new.n_connections))


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="tcollector-e2e-")  # pylint: disable=consider-using-with
    unittest.addModuleCleanup(folder.cleanup)
    scripted_dns.enter(pathlib.Path(folder.name))


if __name__ == "__main__":
    harness.main()
