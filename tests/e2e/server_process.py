# SPDX-License-Identifier: LGPL-2.1-or-later
"""A scripted database in a process of its own, which can be stopped and killed for real.

What it has stored stands in a file that outlives it, a byte a line: how often that one has come. It is there
before the server says anything of it, as in a database that writes before it answers.

As a program: server_process.py telnet|http PORT N FILE ANSWER, until its standard input ends.
"""
import mmap
import pathlib
import signal
import subprocess
import sys

from basics import DEADLINE, free_port, some, wait_for
from scripted_http import ScriptedHTTP
from scripted_tsd import ScriptedTSD

BASE = 1700000000


def line_of(n):
    """As it is printed, and as it is stored but for the tags of the agent."""
    return f"e2e.n {BASE + n} {n} i={n % 7}"


class Stored:
    """What a scripted server takes for its store. Lines that nobody has printed go to FILE.wrong."""

    def __init__(self, path, n):
        self.n = n
        self.wrong = _File(f"{path}.wrong")
        with open(path, "r+b") as f:
            self.times = mmap.mmap(f.fileno(), n)

    def _number(self, line):
        """-1: not one of them, or not as it was printed."""
        line = line if isinstance(line, str) else line.decode(errors="replace")
        words = line.split(" ", 3)
        n = int(words[2]) if len(words) == 4 and words[2].isdecimal() else -1
        return n if n < self.n and line == line_of(n) + " host=h" else -1

    def __contains__(self, line):
        return self._number(line) >= 0

    def __getitem__(self, line):
        n = self._number(line)
        return self.times[n] if n >= 0 else 0

    def __setitem__(self, line, times):
        n = self._number(line)
        if n < 0:
            self.wrong.append(f"stored, but never printed: {line}")
            return
        self.times[n] = min(times, 255)


class _File:
    """For a list of what is wrong: in a file, which outlives a kill."""

    def __init__(self, path):
        self.path = path
        self.n = 0

    def __len__(self):
        return self.n

    def append(self, text):
        self.n += 1
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(f"{text}\n")


class ServerProcess:
    """`protocol`: telnet or http; `answer` as of ScriptedTSD. It keeps its port and what it has stored."""

    def __init__(self, path, protocol, n, answer="opentsdb"):
        self.path = pathlib.Path(path)
        self.path.write_bytes(bytes(n))
        self.port = free_port()
        self.args = [protocol, self.port, n, self.path, answer]
        self.process = None
        with open(self.path, "rb") as f:
            self.times = mmap.mmap(f.fileno(), n, prot=mmap.PROT_READ)
        self.start()

    def start(self):
        """Until it listens."""
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, self.args)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"listening\n":
            raise AssertionError(f"the server has ended with status {self.process.wait()}")

    def hang(self):
        """It is still there, and its kernel goes on taking bytes."""
        self.process.send_signal(signal.SIGSTOP)
        wait_for(self._is_stopped, "the server is stopped")

    def _is_stopped(self):
        return pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def _ended(self):
        self.process.wait(DEADLINE)
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.kill()

    def n_stored(self):
        return len(self.times) - self.times[:].count(0)

    def n_twice(self):
        """How often a line came that was there already."""
        return sum(self.times[:]) - self.n_stored()

    def missing(self):
        return some([n for n, times in enumerate(self.times[:]) if times == 0])

    def wrong(self):
        path = pathlib.Path(f"{self.path}.wrong")
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main(protocol, port, n, path, answer):
    store = Stored(path, int(n))
    if protocol == "telnet":
        server = ScriptedTSD(port=int(port), store=store, answer=answer, listening=False)
    else:
        server = ScriptedHTTP(port=int(port), store=store, remembers=False, listening=False)
    server.defects = store.wrong
    server.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
