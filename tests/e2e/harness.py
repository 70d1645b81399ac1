# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end tests stand on: the real program, collectors made for a test, databases to deliver to.

A test waits for a condition and fails when it has not come true by a generous deadline; nothing is judged by
how long it took. Everything listens on loopback and lives in the test's own folder. Only processes started
here are ended, by their ids. Random choices come from one seed, which is printed: E2E_SEED=N repeats them.
"""
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import sums
from basics import DEADLINE, free_port, some, tail, wait_for  # noqa: F401 (for the tests)
from scripted_tsd import LINE_MAX, ScriptedTSD  # noqa: F401
from victoria_metrics import VictoriaMetrics

NOISE = 15  # seconds that a loaded machine may add to a wait
WAITS = re.compile(r"; trying again in (\S+)s$", re.M)

SEED = int(os.environ.get("E2E_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def executable():
    path = os.environ.get("TCOLLECTOR")
    if not path:
        raise SystemExit("TCOLLECTOR is to name the tcollector program under test")
    return path


def is_sanitized():
    return b"__asan_init" in pathlib.Path(executable()).read_bytes()


def processes_naming(text):
    """The ids of the processes whose command line has `text` in it, this one aside."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # gone in the meantime
        if text.encode() in command:
            found.append(int(entry.name))
    return found


class Collectors:
    """A folder of collectors, as -c takes it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir()

    def add(self, interval, name, text):
        """Appears whole, as a package manager would put it there."""
        folder = self.path / str(interval)
        folder.mkdir(exist_ok=True)
        hidden = folder / f".{name}"
        hidden.write_text(text)
        hidden.chmod(0o755)
        hidden.rename(folder / name)

    def shell(self, interval, name, body):
        self.add(interval, name, "#!/bin/sh\n" + body)

    def python(self, interval, name, body):
        self.add(interval, name, f"#!{sys.executable} -S\n" + body)


class Agent:
    """A running tcollector. What it writes goes to files, so it never has to wait for this process."""

    def __init__(self, folder, args, stdin=subprocess.DEVNULL, stdout=None, counts=False, **options):
        self.counts = counts  # is it to say its sums when it ends?
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.stdout_path = self.folder / "stdout"
        self.stderr_path = self.folder / "stderr"
        self.args = [str(a) for a in args]
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen([executable(), *self.args], stdin=stdin, stdout=stdout or out,
                                            stderr=err, bufsize=0, cwd=self.folder, **options)
        self.pid = self.process.pid

    def feed(self, data, end=False):
        """Writes all of it to its standard input; `end` closes that. Fails where nothing is taken."""
        fd = self.process.stdin.fileno()
        os.set_blocking(fd, False)
        left = memoryview(data)
        while left:
            if not select.select([], [fd], [], DEADLINE)[1]:
                raise AssertionError(f"tcollector takes no input\n{self.told()}")
            try:
                left = left[os.write(fd, left):]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                self.wait()
                raise AssertionError(f"ended with status {self.status()}\n{self.told()}") from None
        if end:
            self.end_input()

    def end_input(self):
        self.process.stdin.close()

    def stdout(self):
        return self.stdout_path.read_bytes()

    def lines(self):
        """The whole lines on standard output."""
        return self.stdout().decode().split("\n")[:-1]

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def log_lines(self):
        return self.stderr().splitlines()

    def said(self):
        """Its log as it is without -v."""
        return "".join(line + "\n" for line in self.log_lines() if not line.startswith("tcollector: debug: "))

    def status(self):
        """None while it runs."""
        return self.process.poll()

    def peak_memory(self):
        """Bytes, of the process as it is."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M).group(1)) * 1024

    def wait_for(self, condition, what, deadline=DEADLINE):
        def check():
            value = condition()
            if not value and self.status() is not None and not condition():
                raise AssertionError(f"tcollector ended with status {self.status()} before "
                                     f"{what() if callable(what) else what}\n{self.told()}")
            return value
        try:
            return wait_for(check, what, deadline)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.told()}") from None

    def wait_for_log(self, text, deadline=DEADLINE):
        """The first line of the log that matches the pattern."""
        return self.wait_for(lambda: re.search(f"^.*{text}.*$", self.stderr(), re.M),
                             f"its log has a line like {text!r}", deadline).group(0)

    def wait_until_idle(self):
        """Asleep, and without using the processor for a while: it waits for somebody."""
        seen = []

        def idle():
            if self.status() is not None:
                return True
            fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
            seen.append((fields[0], fields[11], fields[12]))  # state, user and system time
            return fields[0] == "S" and len(seen) > 30 and len(set(seen[-30:])) == 1
        self.wait_for(idle, "it has nothing to do")

    def wait(self, deadline=DEADLINE):
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"tcollector has not ended within {deadline} s\n{self.told()}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, deadline=DEADLINE):
        self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def told(self):
        return "\n".join((f"--- tcollector {' '.join(self.args)}", f"--- its stderr ({self.folder.name}):",
                          tail(self.stderr())))

    def sanitizer_said(self):
        found = re.search(r"^.*(AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:).*$",
                          self.stderr(), re.M)
        return found.group(0) if found else None

    def clean_up(self):
        if self.status() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


class TestCase(unittest.TestCase):
    """Makes things in a folder of its own, and cleans up. After a failure the agents' logs are shown."""

    maxDiff = 4000
    COUNTS = True  # agents say their sums when they end (-v), and these are checked

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcollector-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.random = random.Random(f"{SEED} {self.id()}")
        self.agents = []
        self.n_made = 0

    def run(self, result=None):
        def n_bad():
            return len(result.failures) + len(result.errors)

        self.told = []
        before = n_bad() if result else 0
        result = super().run(result)
        if result and n_bad() > before:
            print(f"{self.id()}: E2E_SEED={SEED}", *self.told[:3], sep="\n", file=sys.stderr, flush=True)
        return result

    def path(self, name):
        self.n_made += 1
        return self.folder / f"{name}-{self.n_made}"

    def collectors(self):
        return Collectors(self.path("collectors"))

    def agent(self, *args, counts=None, **options):
        """`counts`: None as this class has it; False where it does not come so far, or is a daemon's parent."""
        counts = self.COUNTS if counts is None else counts
        if counts and "-v" not in args:
            args = ("-v", *args)
        agent = Agent(self.path("agent"), args, counts=counts, **options)
        self.agents.append(agent)
        self.addCleanup(self._end_agent, agent)
        return agent

    def _end_agent(self, agent):
        agent.clean_up()
        self.told.append(agent.told())
        self.assertIsNone(agent.sanitizer_said(), agent.told())
        if agent.counts and agent.status() != -signal.SIGKILL:
            self.assert_sums(agent)
        left = [pid for pid in processes_naming(f"{self.folder}/collectors-") if pid != agent.pid]
        if left and all(a.status() is not None for a in self.agents):
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.fail(f"collectors have outlived the agent: {left}\n{agent.told()}")

    def run_agent(self, *args, input=None, **options):
        """Runs it to its end, with `input` (bytes) from a pipe."""
        options.setdefault("stdin", subprocess.DEVNULL if input is None else subprocess.PIPE)
        agent = self.agent(*args, **options)
        if input is not None:
            agent.feed(input, end=True)
        agent.wait()
        return agent

    def tsd(self, **options):
        tsd = ScriptedTSD(**options)
        self.addCleanup(self._end_tsd, tsd)
        return tsd

    def _end_tsd(self, tsd):
        tsd.stop()
        self.assertEqual([], tsd.defects, f"what reached the TSD on port {tsd.port} was wrong")

    def victoria_metrics(self):
        vm = VictoriaMetrics(self.path("victoria-metrics"))
        self.addCleanup(vm.stop)
        vm.start()
        return vm

    def assert_status(self, agent, status):
        self.assertEqual(status, agent.wait(), agent.told())

    def assert_stored(self, tsd, expected, agent):
        """Exactly these lines ("metric time value tags") are in the database, however often each came."""
        got = tsd.lines()
        missing, extra = expected - got, got - expected
        if missing or extra:
            self.fail(f"of {len(expected)} points missing {some(missing)}; stored, but never printed "
                      f"{some(extra)}\n{agent.told()}")

    def assert_sums(self, agent):
        """The sums of a life that was not cut short; returns the one over all."""
        log = agent.stderr()
        alone = "--no-tcollector-stats" in agent.args and ": removed" not in log
        self.assertEqual([], sums.wrong(log, alone), agent.told())
        return sums.in_all(log)

    def assert_recovered(self, agent, server, within):
        """All was there `within` seconds after the server had begun to behave: the longest wait that was in force.
        Returns how long it took."""
        took = server.behaviour.recovered_in()
        waits = [float(wait) for wait in WAITS.findall(agent.stderr())]
        self.assertLessEqual(max(waits, default=0), within, agent.told())
        self.assertLess(took, within + NOISE, agent.told())
        return took

    def note(self, text):
        print(f"{self.id().split('.', 1)[-1]}: {text}", file=sys.stderr, flush=True)


def main():
    executable()
    print(f"E2E_SEED={SEED}", file=sys.stderr, flush=True)
    unittest.main(module="__main__", verbosity=2)
