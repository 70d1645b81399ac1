# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real VictoriaMetrics by its telnet listener: what is printed is read back from the database.

That listener answers nothing, so the best proof there is is that its kernel has taken the bytes. What lies
in the kernel's buffer when the database ends may be lost, and nobody can know; everything else is not.
"""
import json
import pathlib
import signal

import harness

BASE = 1700000000
STEP = 100000  # points a step

# Prints the points of a step when its file appears, in bursts of half a thousand; step 1 takes its time. How
# far it is stands in a file before a burst is printed.
STEPS = """
import os, sys, time
progress = os.open("{go}.progress", os.O_CREAT | os.O_WRONLY)
for step in range({steps}):
    while not os.path.exists("{go}.%d" % step):
        time.sleep(0.01)
    for begin in range(step * {n}, (step + 1) * {n}, 500):
        os.pwrite(progress, b"%9d" % (begin + 500), 0)
        sys.stdout.write("".join("e2e.step %d %d i=%d\\n" % ({base} + i, i, i % 7)
                                 for i in range(begin, begin + 500)))
        sys.stdout.flush()
        time.sleep(0.02 if step == 1 else 0)
    open("{go}.%d.done" % step, "w")
time.sleep(1e6)
"""


def expected(steps):
    """{(series, milliseconds): value} of these steps."""
    names = [json.dumps({"__name__": "e2e.step", "host": "h", "i": str(i)}, sort_keys=True)
             for i in range(7)]
    return {(names[i % 7], (BASE + i) * 1000): i for s in steps for i in range(s * STEP, (s + 1) * STEP)}


class Steps(harness.TestCase):
    def start(self, vm, steps):
        self.go = self.path("go")
        c = self.collectors()
        c.python(0, "steps", STEPS.format(steps=steps, go=self.go, n=STEP, base=BASE))
        return self.agent("-c", c.path, "-t", "host=h", "--no-tcollector-stats",
                          "-L", f"127.0.0.1:{vm.port}")

    def step(self, n):
        pathlib.Path(f"{self.go}.{n}").touch()

    def wait_printed(self, agent, n):
        agent.wait_for(pathlib.Path(f"{self.go}.{n}.done").exists, f"step {n} is printed")

    def n_printed(self):
        """No more than so many points have been printed."""
        return int(pathlib.Path(f"{self.go}.progress").read_text())

    def wait_taken(self, agent, vm, n):
        """How many it had taken when last looked at."""
        def taken():
            rows = vm.rows_taken()
            return rows if rows >= n else None
        return agent.wait_for(taken, lambda: f"{n} points are taken; they are {vm.rows_taken()}")

    def read_back(self, vm, wanted):
        """What there is, once all of `wanted` is: a flush does not wait for what threads have in hand."""
        got = {}

        def complete():
            got.update(vm.export("e2e.*"))
            return wanted.keys() <= got.keys()
        harness.wait_for(complete, lambda: "read back " + harness.some(wanted.keys() - got.keys()))
        wrong = {k: v for k, v in got.items() if v != k[1] // 1000 - BASE}
        self.assertEqual({}, dict(list(wrong.items())[:5]), "read back with another value")
        return got

    def test_exactly_all(self):
        vm = self.victoria_metrics()
        agent = self.start(vm, 2)
        self.step(0)
        self.step(1)
        self.wait_taken(agent, vm, 2 * STEP)
        self.assertEqual(0, agent.stop(), agent.told())
        wanted = expected([0, 1])
        self.assertEqual(wanted, self.read_back(vm, wanted), "and nothing else")
        self.assertLessEqual(vm.rows_invalid(), 1, "the one `version` that asks whether it answers")

    def interrupt(self, number):
        """Step 1 is on its way when the database ends, step 2 is printed while it is away, step 3 when it is
        back. Returns what of step 1 is lost, how much the database had taken before it was told to end, and
        how much at most had been printed when it was gone."""
        vm = self.victoria_metrics()
        agent = self.start(vm, 4)
        self.step(0)
        self.wait_taken(agent, vm, STEP)
        vm.put_on_disk(STEP)
        self.step(1)
        taken = self.wait_taken(agent, vm, STEP + STEP // 4)
        vm.stop(number)
        printed = self.n_printed()
        self.wait_printed(agent, 1)
        self.step(2)
        self.wait_printed(agent, 2)
        vm.start()
        self.wait_taken(agent, vm, STEP)
        self.step(3)
        self.wait_printed(agent, 3)
        self.assertEqual(0, agent.stop(), agent.told())

        sure = {k: v for k, v in expected(range(4)).items() if v < STEP or v >= printed}
        got = self.read_back(vm, sure)
        lost = sorted(v for k, v in expected([1]).items() if k not in got)
        self.note(f"{number.name} in the midst of {STEP}: {len(lost)} lost, of those printed before it was "
                  f"gone; it had taken at least {taken - STEP} of these")
        return lost, taken, printed

    def test_stopped_and_started(self):
        """A clean stop stores what the database has read: lost is only what was on its way, in one run."""
        lost, taken, printed = self.interrupt(signal.SIGTERM)
        if lost:
            self.assertEqual(lost[-1] - lost[0] + 1, len(lost), "what is lost is one run of lines")
            # It takes blocks of 64 KiB side by side, so it may have counted one before another.
            line = f"put e2e.step {BASE} {STEP} i=0 host=h\n"
            self.assertGreaterEqual(lost[0], taken - 4 * 65536 // len(line))
            self.assertLess(lost[-1], printed)

    def test_killed_and_started(self):
        """kill -9 also takes what the database had in memory only. What it had on its disk is there, and all
        it had not been sent."""
        self.interrupt(signal.SIGKILL)


if __name__ == "__main__":
    harness.main()
