# SPDX-License-Identifier: LGPL-2.1-or-later
"""20,000 lines a second for 20 seconds; the server's process hangs, is killed with all it had not read, and is back
a second later. Of the 400,000 lines none is lost and none is altered.

What a killed server's kernel had taken is gone, and no error tells the sender: who takes a successful send for
delivery loses it.
"""
import time

import harness
import server_process
import sums

N = 400000
RATE = 20000

# Prints at that rate, whatever a turn takes; how far it is stands in a file, and in the end how long it took.
PACED = """
import os, sys, time
progress = os.open("{progress}", os.O_CREAT | os.O_WRONLY)
began, n = time.monotonic(), 0
while n < {n}:
    due = min(int((time.monotonic() - began) * {rate}), {n})
    sys.stdout.write("".join("e2e.n %d %d i=%d\\n" % ({base} + i, i, i % 7) for i in range(n, due)))
    sys.stdout.flush()
    n = due
    os.pwrite(progress, b"%9d" % n, 0)
    time.sleep(0.01)
open("{progress}.took", "w").write("%.2f" % (time.monotonic() - began))
time.sleep(1e6)
"""


class Outage(harness.TestCase):
    def server(self, protocol, **options):
        server = server_process.ServerProcess(self.path("stored"), protocol, N, **options)
        self.addCleanup(server.stop)
        return server

    def start(self, *args):
        self.progress = self.path("progress")
        c = self.collectors()
        c.python(0, "paced", PACED.format(progress=self.progress, n=N, rate=RATE, base=server_process.BASE))
        return self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats", *args)

    def goes_by(self, seconds):
        """And lines are printed meanwhile; how many."""
        before = int(self.progress.read_text())
        time.sleep(seconds)
        printed = int(self.progress.read_text()) - before
        self.assertGreater(printed, 0, "it was in the midst of it")
        return printed

    def outage(self, server, agent, hangs=2):
        agent.wait_for(lambda: server.n_stored() >= N // 4, lambda: f"{server.n_stored()} lines are stored")
        server.hang()
        hung = self.goes_by(hangs)
        server.kill()
        dead = self.goes_by(1)
        stored = server.n_stored()
        self.assertLess(stored, N)
        server.start()
        back = time.monotonic()
        agent.wait_for(lambda: server.n_stored() > stored, "lines are stored again")
        again = time.monotonic() - back
        agent.wait_for(lambda: server.n_stored() == N,
                       lambda: f"all is stored; {server.n_stored()} are, missing {server.missing()}", 120)
        took = self.progress.with_name(self.progress.name + ".took")
        agent.wait_for(lambda: took.exists() and took.read_text(), "the collector says how long it took")
        self.assertEqual(0, agent.stop(), agent.told())

        self.assertEqual([], server.wrong(), "what reached the server was wrong")
        self.assertEqual(N, server.n_stored())
        self.assertEqual(sums.InAll(N, 0, N, 0, 0, 0), self.assert_sums(agent), agent.told())
        self.note(f"0 of {N} lost, printed in {took.read_text()} s, {hung} while it hung and {dead} while it was dead; "
                  f"it had {stored} then and got more {again:.1f} s after it was back; {server.n_twice()} came twice")

    def test_telnet(self):
        server = self.server("telnet")
        self.outage(server, self.start("-L", f"127.0.0.1:{server.port}"))

    def test_http(self):
        server = self.server("http")
        self.outage(server, self.start("--http", "-H", "127.0.0.1", "-p", server.port))

    def test_silent(self):
        """Nothing but time tells that this one has read what its kernel took: what it did not stand for long is
        sent again."""
        server = self.server("telnet", answer="never")
        agent = self.start("-L", f"127.0.0.1:{server.port}")
        agent.wait_for_log("does not answer")
        self.outage(server, agent, hangs=1)


if __name__ == "__main__":
    harness.main()
