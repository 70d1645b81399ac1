# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delivery over HTTP: to a server that misbehaves as a row of a table says, and to the real ones. Lost is what a
server names as bad, or refuses alone, and nothing else."""
import base64
import collections
import email.utils
import random
import re
import time

import harness
import influxdb
import sums
from scripted_http import Reply, ScriptedHTTP, details
from test_tsd import BASE, series, stored_series

HTML = ("<!DOCTYPE html><html><head><title>Bad Request</title></head><body>Chunked request not supported."
        "</body></html>")
NO_SUCH = "Unable to parse value to a number"


def is_bad(point):
    return point[1]["value"] % 1000 == 666


def first(n, reply):
    """The first `n` requests are answered so, the others well."""
    return lambda request: reply if request.number <= n else None


def over(size, reply):
    return lambda request: reply if request.wire > size else None


def with_a_bad_one(reply):
    return lambda request: reply if any(map(is_bad, request.points)) else None


def named(request):
    bad = [p for p in request.points if is_bad(p)]
    if not bad:
        return Reply(200, details([], None, len(request.points)))
    return Reply(400, details(bad, NO_SUCH, len(request.points)), stores=lambda p: not is_bad(p))


def all_named(request):
    """More complaints than are read, of 100 times the usual size."""
    return Reply(400, details(request.points, NO_SUCH + " " * 10000, len(request.points)))


def partly_stored(request):
    """A store that is away for a while: each time some points get through."""
    if request.number > 3:
        return None
    bad = request.points[1:]
    return Reply(400, details(bad, "Storage exception: HBase is away", len(request.points)),
                 stores=lambda p: p == request.points[0])


def if_compressed(reply):
    return lambda request: reply if "content-encoding" in request.headers else None


def at_random(n, *replies):
    """Every other of the first requests is answered so, until that has been done `n` times."""
    choice, left = random.Random(harness.SEED), [n]

    def script(_):
        if left[0] == 0 or choice.random() < 0.5:
            return None
        left[0] -= 1
        return choice.choice(replies)
    return script


def not_compressed(request):
    return Reply(415) if "content-encoding" in request.headers else None


def at_date(request):
    """An HTTP date, which has whole seconds."""
    if request.number > 1:
        return None
    return Reply(503, headers=[("Retry-After", email.utils.formatdate(time.time() + 4, usegmt=True))])


NONE, BAD, ALL = "none", "bad", "all"

# What the server does, how it is made to, of how many points; which of them it costs, what the log has, the least
# seconds between the first two requests, and the longest wait that may be in force when it begins to behave: 30 s
# until a silent one is given up (and 6 until libcurl has no speed any more), 1 s behind the first failure, up to
# twice as much behind each one after it, or what Retry-After says.
Row = collections.namedtuple("Row", "name script n lost log pause recovers", defaults=(NONE, None, 0, 0))

ROWS = (
    Row("good", None, 20000, log="Delivering to http://"),
    Row("bad ones named", named, 20000, BAD, f'says: {NO_SUCH}: {{"metric": "e2e.n"'),
    Row("all are bad", all_named, 300, ALL, f"says: .*{NO_SUCH}"),
    Row("the wall, a page", over(8192, Reply(400, HTML)), 20000),
    Row("the wall, hanging up", over(8192, Reply(close=True)), 20000),
    Row("the wall behind a gateway", over(8192, Reply(502)), 20000, log="502 Bad Gateway; trying", recovers=1),
    Row("a lower wall, 413", over(3000, Reply(413, "too large")), 20000),
    Row("a lower wall, hanging up", over(3000, Reply(close=True)), 20000),
    Row("bad ones not named", with_a_bad_one(Reply(400, "unable to parse")), 5000, BAD,
        "says: 400 Bad Request: unable to parse: "),
    Row("bad ones kill it", with_a_bad_one(Reply(close=True)), 5000, BAD,
        "says: the connection ended without an answer"),
    Row("no user", first(2, Reply(401, "who are you?")), 1000,
        log="401 Unauthorized: who are you\\?; trying", pause=1, recovers=2),
    Row("not allowed", first(1, Reply(403)), 1000, log="403 Forbidden; trying", pause=1, recovers=1),
    Row("no such path", first(1, Reply(404, "<html>nginx")), 1000,
        log="404 Not Found: <html>nginx; trying", pause=1, recovers=1),
    Row("too many", first(1, Reply(429, headers=[("Retry-After", "3")])), 1000,
        log="429 Too Many", pause=3, recovers=3),
    Row("not before a date", at_date, 1000, log="503 Service Unavailable; trying", pause=2.9, recovers=4),
    Row("its own fault", first(2, Reply(500, '{"error":{"code":500,"message":"no disk"}}')), 1000,
        log="500 Internal Server Error: no disk; trying", pause=1, recovers=2),
    Row("elsewhere", first(1, Reply(302, headers=[("Location", "http://elsewhere/put")])), 1000,
        log="302 Found: it points to http://elsewhere/put, which is not followed", pause=1, recovers=1),
    Row("half an answer", first(1, Reply(200, '{"success":1}', short=5)), 1000,
        log="with 5 bytes remaining", pause=1, recovers=1),
    Row("not HTTP", first(1, Reply(raw=b"net.opentsdb.tools 2.4.1\n")), 1000, log="HTTP/0.9", pause=1, recovers=1),
    Row("a page for an answer", first(1, Reply(200, HTML, stores=lambda p: False)), 1000,
        log="200 .*: Bad Request; trying", pause=1, recovers=1),
    Row("hangs up once", first(1, Reply(close=True)), 1000),
    Row("hangs up behind each answer", lambda request: Reply(leave=True), 20000),
    Row("resets at random", at_random(8, Reply(reset=True), Reply(reset=True, stores=lambda p: True)), 20000),
    Row("refuses everything", first(30, Reply(400, HTML)), 1000, log="400 Bad Request: Bad Request; trying",
        recovers=8),
    Row("hangs up on everything", first(60, Reply(close=True)), 1000, log="Empty reply from server", recovers=16),
    Row("no gzip", not_compressed, 5000, log="does not take compressed"),
    Row("gzip taken for garbage", if_compressed(Reply(400, '{"error":{"message":"no JSON"}}')), 5000,
        log="not compressed any more: it takes uncompressed what it refused compressed"),
    Row("gzip it hangs up on", if_compressed(Reply(close=True)), 5000, log="not compressed any more"),
    Row("errors of a gateway's", first(3, Reply(400, '{"errors":[{"code":"NO_TENANT"}]}')), 1000),
    Row("refuses all of it alike", first(40, Reply(400, '{"error":{"code":400,"message":"no key"}}')), 1000,
        log="400 Bad Request: no key; trying", recovers=16),
    Row("an answer without end", first(20, Reply(200, "x" * (17 << 20), stores=lambda p: False)), 1000,
        log="trying", recovers=8),
    Row("the store is away", partly_stored, 1000, log="Storage exception: HBase is away; trying", pause=1, recovers=4),
    Row("never answers", first(1, Reply(hang=True)), 1000, log="Operation too slow", pause=25, recovers=6 + 30 + 1),
)


def feed(n):
    return "".join(f"e2e.n {BASE + i} {i} i={i % 7} host=h\n" for i in range(n)).encode()


def expected(n, lost):
    return {s for s in stored_series(n) if lost == NONE or (lost == BAD and int(s.split()[2]) % 1000 != 666)}


class Case(harness.TestCase):
    def server(self, **options):
        server = ScriptedHTTP(**options)
        self.addCleanup(self._end_server, server)
        return server

    def _end_server(self, server):
        server.stop()
        self.assertEqual([], server.defects, "what reached the server was wrong")

    def configured(self, text):
        path = self.path("tcollector.conf")
        path.write_text(text)
        return "--config", path


class Rows(Case):
    def test_rows(self):
        for row in ROWS:
            with self.subTest(row.name):
                self.run_row(row)

    def run_row(self, row):
        server = self.server(script=row.script)
        agent = self.run_agent("--http", "-H", server.host, "-p", server.port, "-s", "-v", input=feed(row.n))
        self.assert_status(agent, 0)
        wanted = expected(row.n, row.lost)
        self.assertEqual(wanted, server.lines(), agent.told())
        n_lost = row.n - len(wanted)
        self.assertEqual(sums.InAll(row.n, 0, len(wanted), 0, 0, n_lost), self.assert_sums(agent), agent.told())
        if row.log:
            self.assertRegex(agent.stderr(), row.log)
        if row.pause:
            self.assertGreaterEqual(server.requests[1].at - server.requests[0].at, row.pause, agent.told())
        took = self.assert_recovered(agent, server, row.recovers)
        again = sum(server.store.values()) - len(server.store)
        self.note(f"{row.name}: of {row.n} {n_lost} named or refused alone, 0 lost, {again} came twice; "
                  f"{len(server.requests)} requests on {server.n_connections} connections, largest "
                  f"{max(r.wire for r in server.requests)} bytes; all was there {took:.1f} s after it had begun to "
                  f"behave (at most {row.recovers} to wait)")


class Outage(Case):
    N = 120000

    def test_chaos(self):
        """Answers that get lost, with their points stored or not; half ones, refusals for a while, kills."""
        troubles = [
            Reply(close=True),
            Reply(close=True, stores=lambda p: True),
            Reply(200, '{"success":1,"failed":0}', short=3, stores=lambda p: True),
            Reply(204, leave=True),
            Reply(503, headers=[("Retry-After", "1")]),
        ]
        server = self.server()
        server.script = lambda request: self.random.choice(troubles) if self.random.random() < 0.2 else None
        c = self.collectors()
        c.python(0, "series", series(self.N, burst=500, pause=0.01))
        agent = self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats", "--http", "-H", server.host,
                           "-p", server.port)
        for at in sorted(self.random.randrange(self.N) for _ in range(3)):
            agent.wait_for(lambda at=at: server.n_stored() >= at, lambda: f"{server.n_stored()} are stored")
            server.kill()
            time.sleep(self.random.random() * 0.7)
            server.listen()
        agent.wait_for(lambda: server.n_stored() >= self.N, lambda: f"all is stored; {server.n_stored()} are")
        server.script = None
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(stored_series(self.N), server.lines())
        self.note(f"0 of {self.N} lost in {len(server.requests)} requests on {server.n_connections} connections, "
                  f"{sum(server.store.values()) - self.N} came twice")

    def test_trickle(self):
        """Few lines at a time: they gather, so that requests are no more than ten a second."""
        server = self.server()
        c = self.collectors()
        c.python(0, "series", series(1000, burst=1, pause=0.002))
        # Its own clock may only be too generous: the server's stamps are late by what the machine is busy with.
        began = time.monotonic()
        agent = self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats", "--http", "-H", server.host,
                           "-p", server.port)
        agent.wait_for(lambda: server.n_stored() >= 1000, "all is stored")
        took = time.monotonic() - began
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(stored_series(1000), server.lines())
        self.assertLessEqual(len(server.requests), took / 0.1 + 3)

    def test_reconnect_interval(self):
        """A connection of a second's age is made anew, when what was sent is answered: nothing comes twice."""
        server = self.server()
        c = self.collectors()
        c.python(0, "series", series(60000, burst=200, pause=0.01))
        agent = self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats", "--http", "-H", server.host,
                           "-p", server.port, "--reconnect-interval", "1")
        agent.wait_for(lambda: server.n_stored() >= 60000, "all is stored")
        self.assertEqual(0, agent.stop(), agent.told())
        self.assertEqual(stored_series(60000), server.lines())
        self.assertEqual(60000, sum(server.store.values()))
        self.assertGreater(server.n_connections, 1)

    def test_two_servers(self):
        """One that has trouble is left for the other at once."""
        bad, good = self.server(script=lambda request: Reply(503)), self.server()
        agent = self.run_agent("--http", "-L", f"{bad.host}:{bad.port},{good.host}:{good.port}", "-s",
                               input=feed(1000))
        self.assert_status(agent, 0)
        self.assertEqual(stored_series(1000), good.lines())
        self.assertEqual(set(), bad.lines())

    def test_left_alone(self):
        """One that names a time is not asked before, whatever becomes of the others meanwhile."""
        busy = self.server(script=first(1, Reply(429, headers=[("Retry-After", "6")])))
        gone = self.server(listening=False)
        agent = self.run_agent("--http", "-L", f"{busy.host}:{busy.port},{gone.host}:{gone.port}", "-s",
                               input=feed(10))
        self.assert_status(agent, 0)
        self.assertEqual(stored_series(10), busy.lines())
        self.assertGreaterEqual(busy.requests[1].at - busy.requests[0].at, 5.9, agent.told())


class Requests(Case):
    def request(self, server, *args):
        agent = self.run_agent(*args, "-s", "-v", input=feed(10))
        self.assert_status(agent, 0)
        self.assertEqual(stored_series(10), server.lines())
        self.assertNotIn("secret", agent.stderr())
        return server.requests[0]

    def from_file(self, server, keys):
        return self.request(server, *self.configured(
            f'server "main" {{ url = "http://{server.host}:{server.port}/a/b"\n{keys}\n}}\n'))

    def secret(self, text):
        path = self.path("secret")
        path.write_text(text + "\n")
        return path

    def test_command_line(self):
        server = self.server()
        r = self.request(server, "--http", "-H", server.host, "-p", server.port, "--http-api-path", "/x/put",
                         "--http-username", "me", "--http-password", "secret:1")
        self.assertEqual("/x/put?details", r.target)
        self.assertEqual("Basic " + base64.b64encode(b"me:secret:1").decode(), r.headers["authorization"])
        self.assertEqual("gzip", r.headers["content-encoding"])

    def test_user(self):
        server = self.server()
        r = self.from_file(server, f'username = "me" password_file = "{self.secret("secret")}" gzip = false')
        self.assertEqual("/a/b?details", r.target)
        self.assertEqual("Basic " + base64.b64encode(b"me:secret").decode(), r.headers["authorization"])
        self.assertNotIn("content-encoding", r.headers)

    def test_token_and_sync(self):
        server = self.server()
        r = self.from_file(server, f'token_file = "{self.secret("secret.token")}" sync = true')
        self.assertEqual("/a/b?details&sync&sync_timeout=20000", r.target)
        self.assertEqual("Bearer secret.token", r.headers["authorization"])

    def test_no_password_file(self):
        missing = self.folder / "missing"
        agent = self.run_agent(*self.configured(
            f'server "main" {{ url = "http://127.0.0.1:1"\nusername = "me" password_file = "{missing}" }}\n'),
            "-s", input=b"", counts=False)
        self.assert_status(agent, 1)
        self.assertIn(f"{missing}: No such file or directory", agent.stderr())

    def test_proxy(self):
        """A proxy gets the whole URL; what the environment says of one does not count."""
        server, proxy = self.server(), self.server()
        agent = self.run_agent("--http", "-H", server.host, "-p", server.port, "-s", input=feed(10),
                               env={"http_proxy": "http://127.0.0.1:1", "PATH": "/usr/bin:/bin"})
        self.assert_status(agent, 0)
        r = self.request(proxy, *self.configured(
            f'server "main" {{ url = "http://db.invalid:80/put" proxy = "http://127.0.0.1:{proxy.port}" }}\n'))
        self.assertEqual("http://db.invalid/put?details", r.target)

    def test_refused_connection(self):
        """libcurl's words and the system's."""
        server = self.server(listening=False)
        agent = self.agent("--http", "-H", server.host, "-p", server.port, "-s", stdin=harness.subprocess.PIPE)
        agent.feed(feed(10), end=True)
        agent.wait_for_log(re.escape(f"Failed to connect to {server.host} port {server.port}") +
                           ".*Connection refused")
        server.listen()
        self.assert_status(agent, 0)
        self.assertEqual(stored_series(10), server.lines())


class Real(Case):
    N = 100000

    def deliver(self, port):
        agent = self.run_agent("--http", "-H", "127.0.0.1", "-p", port, "-s", input=feed(self.N))
        self.assert_status(agent, 0)

    def test_victoria_metrics(self):
        vm = self.victoria_metrics()
        self.deliver(vm.http_put)
        wanted = {(BASE + i) * 1000: i for i in range(self.N)}
        got = {}

        def complete():
            got.update({when: value for (_, when), value in vm.export("e2e.*").items()})
            return len(got) >= self.N
        harness.wait_for(complete, lambda: f"all are read back; {len(got)} are")
        self.assertEqual(wanted, got)

    def test_influxdb(self):
        db = influxdb.InfluxDB(self.path("influxdb"))
        self.addCleanup(db.stop)
        db.start()
        self.deliver(db.port)
        harness.wait_for(lambda: db.count("e2e.n") >= self.N, lambda: f"all are stored; {db.count('e2e.n')} are")
        self.assertEqual(self.N, db.count("e2e.n"))


if __name__ == "__main__":
    harness.main()
