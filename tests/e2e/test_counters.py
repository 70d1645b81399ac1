# SPDX-License-Identifier: LGPL-2.1-or-later
"""A million random lines, one in four of them bad, each bad in a way that was chosen: every counter is what
the generator knows it to be, every line that comes out is the one that must, memory stays within its bound.

The model of deduplication here is written from the contract, and shares nothing with the program.
"""
import collections
import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import harness

BASE = 1700000000
N_LINES = 1000000
N_SERIES = 2000
DEDUP_MS = 300000
PREFIX = "ns."
AGENT_TAGS = {"rack": "r1", "zone": "z"}
MAX_TAGS = 6
QUEUE = 16 << 20
VERDICTS = ("too-long", "bad-char", "bad-metric", "bad-time", "bad-value", "bad-tag", "duplicate-tag",
            "too-many-tags", "out-of-order")

# As printed, as sent.
VALUES = [(v, v) for v in ("0", "1", "-1", "42", "007", "9223372036854775807", "-9223372036854775808", "1.5",
                           "-.5", "1.", "1e3", "1E-300", "0.0", "123456789.123456789")] + \
    [("+7", "7"), ("+1.5e+3", "1.5e+3"), ("true", "1"), ("TRUE", "1"), ("False", "0"), ("fAlSe", "0")]

BAD_METRICS = ["a:b", "a$b", "=x", "m=", "{m}", "a,b", "a=b=c", "\"m\"", "m%", "*"]
BAD_TIMES = ["soon", "0", "00000000000", "-5", "+1700000000", "2209212000", "99999999999", "1.7e9",
             "1700000000.", "1700000000.1234", ".5", "123456789012.5", "1700000000000000", "2209212000000",
             "1700000000:1", "17000000O0", "1,700,000,000", "a=b", "0.0", "0x6553f100"]
BAD_VALUES = ["nan", "NaN", "inf", "-inf", "Infinity", "0x10", "1_000", "9223372036854775808",
              "-9223372036854775809", "1e309", "-1e999", "five", "1e", "e5", ".", "-", "+", "--1", "+-1",
              "1,5", "truee", "1=2", "a=b", "1.2.3", "99999999999999999999999", "yes"]
BAD_TAGS = ["k", "k=", "=v", "=", "k=v=w", "k:x=v", "k=a,b", "k==v", "a=b k", "a=b c=", "a=b =c",
            "k=\"v\"", "k=(1)"]
BAD_CHARS = ["\0", "\x01", "\x07", "\x1b", "\x7f", "\x80", "\xff", "\xe4", "\x18", "\x1f", "\xc2\xb5"]
SPACES = [" ", "  ", "\t", " \t ", "\r", "\v", "\f", "     "]


class Series:
    """What is remembered of one key, by the contract."""
    __slots__ = ("metric", "tags", "tail", "value", "time", "last", "sent", "repeated")

    def __init__(self, metric, tags):
        self.metric = metric
        self.tags = tags
        own = {t.partition("=")[0] for t in tags}
        self.tail = "".join(f" {t}" for t in tags) + \
            "".join(f" {k}={v}" for k, v in sorted(AGENT_TAGS.items()) if k not in own)
        self.time = 0  # it is not known yet
        self.value = self.last = self.sent = None
        self.repeated = False


class Generator:
    """Makes lines, and notes what must become of each."""

    def __init__(self, random):
        self.random = random
        self.counts = collections.Counter()
        self.verdicts = collections.Counter()
        self.out = []
        self.series = [self._make_series(i) for i in range(N_SERIES)]
        self.known = []
        # Finished it has exactly as many bytes as are allowed, newline included.
        self.longest = Series("longest", ["k=v"])
        room = harness.LINE_MAX - len(f"put {PREFIX}longest 1700000000 1{self.longest.tail}\n")
        self.longest = Series("longest", ["k=v" + "v" * room])
        self.longest_time = BASE

    def _make_series(self, i):
        r = self.random
        tags = [f"{key}={r.choice(('a', 'B.c', '1/2', 'x_y-z'))}{i % 10}" for key in
                r.sample(("host", "iface", "dev", "Type", "k", "a.b", "c-d/e"), r.randrange(5))]
        if r.random() < 0.1:
            tags.insert(0, "zone=own")  # takes the place of the agent's
        return Series(f"m{i}.{r.choice(('load', 'net_in', 'A/B', 'x-y'))}", tags)

    def _join(self, fields):
        """As a collector prints it: mostly tidy."""
        r = self.random
        if r.random() < 0.85:
            return " ".join(fields)
        text = fields[0]
        for field in fields[1:]:
            text += r.choice(SPACES) + field
        return r.choice(("", " ", "\t", "\r ")) + text + r.choice(("", " ", "\r", "\t\t"))

    def _print_time(self, ms):
        """Seconds where that is exact, in one of the forms otherwise."""
        r = self.random
        if ms % 1000 == 0 and r.random() < 0.9:
            return str(ms // 1000)
        if r.random() < 0.5:
            return str(ms)
        text = f"{ms // 1000}.{ms % 1000:03}"
        return text if r.random() < 0.5 or not text.endswith("0") else text.rstrip("0").rstrip(".") or text

    # -- what becomes of a good line --

    def _send(self, s, line):
        s.sent = line
        self.counts["sent"] += 1
        self.out.append(line)

    def _take(self, s, value, ms, line):
        self.counts["received"] += 1
        if s.time == 0:
            if s is not self.longest:
                self.known.append(s)
        elif s.value == value and ms - s.time < DEDUP_MS:
            s.repeated = True
            s.last = line
            self.counts["suppressed"] += 1
            return
        elif (s.repeated or ms - s.time >= DEDUP_MS) and s.value != value and s.last != s.sent:
            self._send(s, s.last)
            self.counts["replayed"] += 1
        self._send(s, line)
        s.value, s.time, s.last, s.repeated = value, ms, line, False

    def _good(self):
        r = self.random
        s = self.series[r.randrange(N_SERIES)]
        ms = max(s.time, BASE * 1000) + r.choice((1000, 15000, 60000, 100, 299999, 300000, 300001))
        when = self._print_time(ms)
        if s.value is not None and r.random() < 0.6:
            printed = sent = s.value
        else:
            printed, sent = r.choice(VALUES)
        self._take(s, sent, ms, f"put {PREFIX}{s.metric} {when} {sent}{s.tail}\n")
        return self._join([s.metric, when, printed, *s.tags])

    def _longest(self):
        s = self.longest
        self.longest_time += 1
        value = str(self.longest_time % 2)
        self._take(s, value, self.longest_time * 1000,
                   f"put {PREFIX}{s.metric} {self.longest_time} {value}{s.tail}\n")
        return f"{s.metric} {self.longest_time} {value} {s.tags[0]}"

    # -- bad lines --

    def _fields(self):
        s = self.random.choice(self.series)
        return [s.metric, str(BASE + self.random.randrange(1000000)), "5", *s.tags]

    def _too_long(self):
        r = self.random
        kind = r.randrange(1000)
        if kind == 0:
            return "m 1700000000 1 k=" + "x" * 70000
        if kind == 1:
            return "m 1700000000" + " " * 70000 + "1"
        if kind < 400:
            return f"m 1700000000 1 k={'x' * (1024 - 17 + r.randrange(200))}"
        if kind < 700:
            return "  m\t1700000000   1 " + " ".join(f"k{i}=v" for i in range(300))
        # Below the bound as printed, beyond it when finished: by one byte, or by some.
        s = self.longest
        return f"{s.metric} 1700000000 1 {s.tags[0]}" + "v" * r.choice((1, 1, 5))

    def _bad_char(self):
        r = self.random
        text = self._join(self._fields())
        at = r.randrange(len(text.strip()) + 1) + len(text) - len(text.lstrip())
        text = text[:at] + r.choice(BAD_CHARS) + text[at:]
        return text if r.random() < 0.8 else text + " k=v=w k k"

    def _bad_metric(self):
        fields = self._fields()
        fields[0] = self.random.choice(BAD_METRICS)
        if self.random.random() < 0.2:
            fields[1] = "soon"  # the first fault counts
        return self._join(fields)

    def _bad_time(self):
        fields = self._fields()
        fields[1] = self.random.choice(BAD_TIMES)
        kind = self.random.random()
        if kind < 0.1:
            return fields[0]
        if kind < 0.3:
            fields[2:] = ["nan", "k"]
        return self._join(fields)

    def _bad_value(self):
        fields = self._fields()
        fields[2] = self.random.choice(BAD_VALUES)
        kind = self.random.random()
        if kind < 0.1:
            del fields[2:]
        elif kind < 0.3:
            fields.append("k=v=w")
        return self._join(fields)

    def _bad_tag(self):
        fields = self._fields()
        fields.append(self.random.choice(BAD_TAGS))
        if self.random.random() < 0.2:
            fields += ["d=1", "d=2"]
        return self._join(fields)

    def _duplicate_tag(self):
        fields = self._fields()
        fields[3:] = self.random.choice((["a=1", "a=1"], ["a=1", "b=2", "a=3"], ["zone=1", "zone=2"],
                                         ["a=1", "b=1", "c=1", "d=1", "e=1", "f=1", "g=1", "a=1"]))
        return self._join(fields)

    def _too_many_tags(self):
        n = MAX_TAGS - len(AGENT_TAGS) + 1 + self.random.randrange(4)
        return self._join(self._fields()[:3] + [f"t{i}=v" for i in range(n)])

    def _out_of_order(self):
        r = self.random
        s = r.choice(self.known)
        when = self._print_time(s.time - r.choice((0, 0, 1, 1000, 100000000)))
        return self._join([s.metric, when, r.choice(VALUES)[0], *s.tags])

    BAD = {"too-long": _too_long, "bad-char": _bad_char, "bad-metric": _bad_metric, "bad-time": _bad_time,
           "bad-value": _bad_value, "bad-tag": _bad_tag, "duplicate-tag": _duplicate_tag,
           "too-many-tags": _too_many_tags, "out-of-order": _out_of_order}

    def line(self):
        r = self.random
        kind = r.random()
        if not self.known or kind < 0.745:
            return self._good()
        if kind < 0.746:
            return self._longest()
        if kind < 0.748:
            return r.choice(("", "  ", "\t\r"))
        if kind < 0.750:
            return "\x18"  # a run begins: not a line
        verdict = r.choice(VERDICTS)
        self.verdicts[verdict] += 1
        self.counts["received"] += 1
        self.counts["invalid"] += 1
        return self.BAD[verdict](self)

    def lines(self, n):
        return "".join(self.line() + "\n" for _ in range(n)).encode("latin-1")


SUMMARY = re.compile(r"stdin: (?P<received>\d+) received = (?P<sent>\d+) sent - (?P<replayed>\d+) replayed "
                     r"\+ (?P<suppressed>\d+) suppressed \+ (?P<invalid>\d+) invalid"
                     r"(?: \((?P<verdicts>[^)]*)\))?")


def difference(wanted, got):
    """Where two long texts part."""
    if wanted == got:
        return None
    wanted, got = wanted.split("\n"), got.split("\n")
    for i, (a, b) in enumerate(zip(wanted, got)):
        if a != b:
            return f"line {i + 1} is to be\n  {a}\nand is\n  {b}"
    return f"{len(got)} lines instead of {len(wanted)}"


class Counters(harness.TestCase):
    def test_a_million_lines(self):
        g = Generator(self.random)
        agent = self.agent("-s", "-v", "--dry-run", "--namespace-prefix", PREFIX, "--max-tags", MAX_TAGS,
                           *(f"--tag={k}={v}" for k, v in AGENT_TAGS.items()), stdin=subprocess.PIPE)
        for _ in range(N_LINES // 1000):
            agent.feed(g.lines(1000))
        wanted = "".join(g.out)
        agent.wait_for(lambda: os.stat(agent.stdout_path).st_size >= len(wanted), "all lines are printed")
        memory = agent.peak_memory()
        agent.end_input()
        self.assert_status(agent, 0)

        self.assertIsNone(difference(wanted, agent.stdout().decode()), agent.told())
        self.check_summary(agent, g)
        quarantine = (256 << 20) if harness.is_sanitized() else 0  # memory that ASan keeps after it is freed
        self.assertLess(memory, QUEUE + (32 << 20) + quarantine)
        self.note("{received} lines, {sent} sent, {replayed} of them replayed, {suppressed} suppressed, "
                  "{invalid} invalid; {mib} MiB at most".format(**g.counts, mib=memory >> 20))

    def check_summary(self, agent, g):
        found = [m for m in map(SUMMARY.search, agent.log_lines()) if m]
        self.assertEqual(1, len(found), "one summary line\n" + agent.told())
        said = found[0].groupdict()
        verdicts = dict.fromkeys(VERDICTS, 0)
        for part in (said.pop("verdicts") or "").split(", "):
            name, _, number = part.rpartition(" ")
            self.assertIn(name, verdicts, found[0].group(0))
            verdicts[name] = int(number)
        counts = {name: int(number) for name, number in said.items()}

        self.assertEqual({v: g.verdicts[v] for v in VERDICTS}, verdicts)
        self.assertTrue(all(verdicts.values()), "every verdict occurs")
        self.assertEqual({name: g.counts[name] for name in counts}, counts)
        self.assertEqual(counts["received"],
                         counts["sent"] - counts["replayed"] + counts["suppressed"] + counts["invalid"])
        self.assertEqual(counts["invalid"], sum(verdicts.values()))
        self.assertEqual(N_LINES // 4, round(counts["invalid"], -4), "one in four is bad")

    def test_of_collectors(self):
        """Half a line at the end of a run occurs here only. What --monitoring-interface says adds up."""
        c = self.collectors()
        c.shell(60, "clean", "seq -f 'clean %.0f 1' 1700000000 400 1700004000\n")
        c.shell(60, "half", "echo half 1700000000 1; echo bad line here; printf 'half 1700000001 1'\n")
        c.shell(0, "same", "seq -f 'same %.0f 1' 1700000000 1700000099\nexec sleep 1000\n")
        c.shell(0, "nothere", "exit 13\n")
        port = harness.free_port()
        agent = self.agent("-v", "-d", "-c", c.path, "-t", "host=h", "--monitoring-interface", "127.0.0.1",
                           "--monitoring-port", port)
        wanted = {"clean": (11, 11, 0), "half": (3, 1, 2), "same": (100, 1, 0), "nothere": (0, 0, 0)}

        def rows():
            found = {row["name"]: row for row in self.get(port)}
            counts = {n: (r["lines_received"], r["lines_sent"], r["lines_invalid"])
                      for n, r in found.items()}
            return found if counts == wanted and found["nothere"]["dead"] else None
        found = agent.wait_for(rows, lambda: f"the counters are {wanted}; they are {self.get(port)}")
        for name, row in found.items():
            self.assertEqual({"name", "mtime", "lastspawn", "killstate", "nextkill", "lines_sent",
                              "lines_received", "lines_invalid", "last_datapoint", "dead"}, set(row), name)
            self.assertEqual(name == "nothere", row["dead"], name)
            self.assertEqual(name == "nothere", row["last_datapoint"] == 0, name)
            self.assertGreater(row["lastspawn"], BASE, name)
        agent.wait_for_log(r"half: invalid line \(unfinished\): half 1700000001 1")
        self.assertEqual(0, agent.stop(), agent.told())

    def get(self, port):
        """[]: it does not listen yet."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port}/", timeout=harness.DEADLINE) as answer:
                return json.load(answer)
        except urllib.error.URLError as e:
            if isinstance(e.reason, ConnectionRefusedError):
                return []
            raise


if __name__ == "__main__":
    harness.main()
