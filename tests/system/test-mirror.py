# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything to each of two servers, of which one is away while 300,000 lines pass and the agent is killed in the
midst of them: the other is current all along, and the first one gets exactly all in the end, from the spool."""
import json
import time

import installed

N = 300_000
RATE = 20_000
NAME = "alpha"
QUEUE = 1 << 20
# A queue this small is full before it is clear that a server is away and not only slow, which takes five seconds:
# once, so long may both have to wait. A kill of the agent costs about one.
STANDSTILL = 10  # seconds
LAG = STANDSTILL * RATE

CONFIG = f"""policy = "mirror"
queue_size = "{QUEUE}"
server "away" {{ url = "telnet://127.0.0.1:4242" }}
server "there" {{ url = "telnet://127.0.0.1:4243" }}
collector_dirs = {{ "{installed.COLLECTORS}" }}
tags = {{ "host=h" }}
self_stats = false
"""


class Mirror(installed.TestCase):
    config = CONFIG

    def setUp(self):
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

    def sums(self):
        """They add up whenever they are looked at."""
        told = json.loads(self.machine.run(["tcollectorctl", "status", "--json"]).stdout)
        s = told["sums"]
        self.assertEqual(s["sent"] + s["inherited"], s["acked"] + s["queued"] + s["spooled"] + s["lost"], s)
        for c in told["collectors"]:
            self.assertEqual(c["received"], c["sent"] - c["replayed"] + c["suppressed"] + c["invalid"], c)
        self.assertEqual(0, s["lost"], s)
        return s

    def pass_by(self, numbers, until):
        """Lets lines be printed until there are so many. By how many lines the server that is there lagged at most,
        and how many seconds nothing came to it although there was something."""
        lag, standstill, came, moved = 0, 0.0, 0, time.monotonic()
        while (written := self.written(NAME)) < until:
            count, now = numbers.count(NAME), time.monotonic()
            if count != came or count >= written:
                came, moved = count, now
            lag, standstill = max(lag, written - count), max(standstill, now - moved)
            time.sleep(0.02)
        self.assertLess(lag, LAG)
        self.assertLess(standstill, STANDSTILL)
        return f"{lag} lines and {standstill:.1f} s"

    def test_one_is_away(self):
        numbers, late = installed.Numbers(), installed.Numbers()
        away = self.tsd(port=4242, store=late, listening=False)
        self.tsd(port=4243, store=numbers)
        unit = self.numbered(NAME, RATE)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")
        lag = self.pass_by(numbers, N // 2)
        self.wait_until(lambda: self.sums()["spooled"] > 0, "the part of the one that is away to be in the spool")

        before = self.machine.main_pid()
        self.machine.run(["kill", "-9", before])
        around_kill = self.pass_by(numbers, N)
        self.assertNotIn(self.machine.main_pid(), (0, before))
        self.machine.systemctl("stop", unit)
        self.assert_all_came(numbers, [NAME])
        s = self.sums()
        self.assertGreater(s["spooled"], 0, s)
        self.assertEqual((0, 0), (late.count(NAME), away.n_connections))

        away.listen()
        n = self.written(NAME)
        took = self.wait_until(lambda: not late.missing(NAME, n), "the one that was away to have all", 120)
        self.assert_all_came(late, [NAME])
        self.wait_until(lambda: self.sums()["queued"] + self.sums()["spooled"] == 0, "nothing to be left")
        self.assertEqual(numbers.last(NAME), late.last(NAME))
        s_end = self.sums()
        self.assertEqual(s_end["sent"] + s_end["inherited"], s_end["acked"], s_end)
        self.note(f"{n} lines; the one that was there lagged {lag} at most, {around_kill} around "
                  f"the kill, and got {numbers.repeated(NAME)} twice; {s['spooled']} in the spool, {s['inherited']} "
                  f"inherited; {took:.1f} s until the other had all, {late.repeated(NAME)} of them twice")


if __name__ == "__main__":
    installed.main()
