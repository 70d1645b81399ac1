# SPDX-License-Identifier: LGPL-2.1-or-later
"""A database that takes put lines and does what a test tells it to: the counterpart of delivery."""
import collections
import fcntl
import os
import re
import selectors
import socket
import struct
import termios
import threading
import time

from basics import DEADLINE, Behaviour, free_port

LINE_MAX = 1023  # bytes of a put line, newline included: a TSD closes the connection over a longer one

PUT = re.compile(rb"put ([-_./a-zA-Z0-9]+) (\d{1,11}(?:\.\d{1,3})?|\d{12,13}) "
                 rb"(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)((?: [-_./a-zA-Z0-9]+=[-_./a-zA-Z0-9]+)*)")

ANSWERS = {
    "opentsdb": b"net.opentsdb.tools 2.4.1 built at revision 8a4ea2f (MINT)\n"
                b"Built on 2021/09/02 16:27 +0000 by root@localhost:/build\n",
    "influxdb": b"InfluxDB TSDB proxy",
    "never": b"",
}

DEAF_BYTES = 64 << 10  # the receive buffer of a server that is deaf from the beginning


class _Connection:
    def __init__(self, sock, number):
        self.sock = sock
        self.number = number
        self.fragment = b""
        self.out = b""
        self.late = []  # (when, what is to be said then)
        self.deaf = self.halved = False
        self.n_bytes = 0
        self.n_lines = 0
        self.cut_at = self.deaf_at = None


class ScriptedTSD:
    """A time series database on loopback that takes put lines, keeps them, and misbehaves as it is told.

    It is as strict as OpenTSDB and stricter: a line that is not well-formed, too long, or the wrong one to
    begin with goes on the list of defects. What stands unfinished at a connection's end is thrown away, as a
    TSD does. One thread, which alone touches the connections; the tests' thread asks it to by _do().
    """

    def __init__(self, host="127.0.0.1", port=None, store=None, answer="opentsdb", listening=True):
        self.host = host
        self.port = port or free_port(host)
        # Line, without "put " and newline -> how often it came. Several servers may share one.
        self.store = collections.Counter() if store is None else store
        self.answer = answer
        self.defects = []
        self.n_connections = 0
        self.n_versions = 0
        self.n_cut = 0
        self.complained = collections.Counter()  # line -> how often it was refused
        self.complaint = None  # function of a line (bytes): the text to answer, None to store it
        self.remark = None  # function of a line that is stored: what is said of it, in vain; None for nothing
        self.delay = 0.0  # seconds before each answer to `version`
        self.deaf = 0  # of so many connections nothing is ever read; their kernel takes what fits
        self.closes = 0  # so many connections are closed right after accept
        self.halves = 0  # so many answers are cut in the middle, and the connection with them
        self.deafens = []  # of the next connections each, after so many bytes: nothing more is read of it
        self.behaviour = Behaviour()
        self._cuts = None
        self._hanging = False
        self._listener = None
        self._connections = set()
        self._orders = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._ended = False
        self._thread = threading.Thread(target=self._loop, name=f"tsd-{self.port}", daemon=True)
        self._thread.start()
        if listening:
            self.listen()

    # -- what a test asks for --

    def listen(self):
        self._do(self._listen)

    def kill(self):
        """Like kill -9: the listener closes, every connection is reset, what was not read is lost."""
        self._do(self._kill)

    def hang(self):
        """Reads, answers and accepts nothing any more; the kernel goes on taking bytes."""
        self._do(lambda: self._set_hanging(True))

    def resume(self):
        self._do(lambda: self._set_hanging(False))

    def cut(self, times, after, reset=None):
        """Cuts `times` connections, each after after() bytes, in the midst of a line or not; every other one is
        reset, or as `reset` says."""
        self._do(lambda: self._set_cuts(times, after, reset))

    def n_open(self):
        return len(self._connections)

    def unread(self):
        """How many bytes the kernel holds for deaf connections."""
        def count():
            return sum(struct.unpack("i", fcntl.ioctl(c.sock, termios.FIONREAD, b"\0" * 4))[0]
                       for c in self._connections if c.deaf)
        return self._do(count)

    def stop(self):
        if not self._ended:
            self._do(self._kill)
            self._ended = True
            os.write(self._wake_write, b"x")
            self._thread.join()
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def lines(self):
        """What is stored, each line once, as text."""
        return {line.decode() for line in self._do(lambda: list(self.store))}

    def n_stored(self):
        """Distinct lines."""
        return len(self.store)

    # -- the thread --

    def _do(self, order):
        done = threading.Event()
        result = []

        def run():
            try:
                result.append((order(), None))
            except Exception as e:  # handed to the thread that asked
                result.append((None, e))
            done.set()

        if not self._thread.is_alive():
            raise AssertionError(f"the scripted TSD on port {self.port} has died")
        self._orders.append(run)
        os.write(self._wake_write, b"x")
        if not done.wait(DEADLINE):
            raise AssertionError(f"the scripted TSD on port {self.port} does not answer")
        value, error = result[0]
        if error:
            raise error
        return value

    def _loop(self):
        while not self._ended:
            for key, events in self._selector.select(self._next_late()):
                if key.fd == self._wake_read:
                    os.read(self._wake_read, 4096)
                elif key.data is None:
                    self._accept()
                elif key.data in self._connections:
                    self._serve(key.data, events)
            self._say_late()
            while self._orders:
                self._orders.popleft()()

    def _next_late(self):
        due = [c.late[0][0] for c in self._connections if c.late]
        return max(0.0, min(due) - time.monotonic()) if due and not self._hanging else None

    def _say_late(self):
        if self._hanging:
            return
        for c in [c for c in self._connections if c.late and c.late[0][0] <= time.monotonic()]:
            while c.late and c.late[0][0] <= time.monotonic():
                c.out += c.late.pop(0)[1]
                self.behaviour.misbehaves()
            self._serve(c, selectors.EVENT_WRITE)

    def _listen(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.deaf > 0:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BYTES)
        listener.bind((self.host, self.port))
        listener.listen(16)
        listener.setblocking(False)
        self._listener = listener
        self.behaviour.misbehaves()  # until now it was not there
        if not self._hanging:
            self._selector.register(listener, selectors.EVENT_READ)

    def _set_hanging(self, hanging):
        if hanging == self._hanging:
            return
        self._hanging = hanging
        if hanging:
            for key in [k for k in self._selector.get_map().values() if k.fd != self._wake_read]:
                self._selector.unregister(key.fileobj)
            return
        if self._listener:
            self._selector.register(self._listener, selectors.EVENT_READ)
        for c in self._connections:
            self._register(c)

    def _set_cuts(self, times, after, reset):
        self._cuts = [times, after, reset]
        for c in self._connections:
            self._plan_cut(c)

    def _plan_cut(self, c):
        if self._cuts and self._cuts[0] > 0:
            self._cuts[0] -= 1
            c.cut_at = c.n_bytes + self._cuts[1]()

    def _register(self, c):
        if not c.deaf:
            self._selector.register(c.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if c.out else 0), c)

    def _accept(self):
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # gone again
        sock.setblocking(False)
        self.n_connections += 1
        if self.closes > 0:
            self.closes -= 1
            self.behaviour.misbehaves()
            sock.close()
            return
        c = _Connection(sock, self.n_connections)
        c.deaf = self.deaf > 0
        c.deaf_at = self.deafens.pop(0) if self.deafens else None
        self.deaf -= c.deaf
        self._connections.add(c)
        self._plan_cut(c)
        self._register(c)

    def _drop(self, c, reset):
        if not self._hanging and not c.deaf:
            self._selector.unregister(c.sock)
        if reset:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.sock.close()
        self._connections.discard(c)

    def _kill(self):
        for c in list(self._connections):
            self._drop(c, reset=True)
        if self._listener:
            if not self._hanging:
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        self._hanging = False

    def _serve(self, c, events):
        try:
            if events & selectors.EVENT_WRITE:
                self._write(c)
            if events & selectors.EVENT_READ:
                self._read(c)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(c, reset=False)

    def _read(self, c):
        data = c.sock.recv(1 << 18)
        if not data:
            self._drop(c, reset=False)
            return
        cut = c.cut_at is not None and c.n_bytes + len(data) >= c.cut_at
        if cut:
            data = data[:c.cut_at - c.n_bytes]
        c.n_bytes += len(data)
        self._take(c, data)
        self._write(c)
        if c.halved:
            self.behaviour.misbehaves()
            self._drop(c, reset=False)
        elif cut:
            self.n_cut += 1
            self.behaviour.misbehaves()
            self._drop(c, reset=self.n_cut % 2 == 0 if self._cuts[2] is None else self._cuts[2])
        elif c.deaf_at is not None and c.n_bytes >= c.deaf_at:
            self.behaviour.misbehaves()
            self._selector.unregister(c.sock)
            c.deaf = True

    def _write(self, c):
        if c.out:
            c.out = c.out[c.sock.send(c.out):]
        self._selector.modify(c.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if c.out else 0), c)

    def _take(self, c, data):
        asked = 0
        *lines, c.fragment = (c.fragment + data).split(b"\n")
        for line in lines:
            c.n_lines += 1
            if line == b"version":
                asked += 1
                self._version(c, asked)
            else:
                self._put(c, line)

    def _defect(self, c, what, line):
        if len(self.defects) < 100:
            self.defects.append(f"connection {c.number}, line {c.n_lines}: {what}: {line[:200]!r}")

    def _version(self, c, asked):
        self.n_versions += 1
        if c.n_lines == 1:
            self._defect(c, "the first line of a connection, which makes some servers close it", b"version")
        if asked > 1:
            self._defect(c, "asked again before the answer", b"version")
        answer = ANSWERS[self.answer]
        if not answer:
            self.behaviour.misbehaves()
        if c.halved:
            return
        if self.halves > 0:
            self.halves -= 1
            c.halved = True
            answer = answer[:len(answer) // 4]
        self._say(c, answer, self.delay)

    def _say(self, c, text, delay=0.0):
        """In order: not before what is still to be said."""
        if delay > 0 or c.late:
            due = time.monotonic() + delay
            c.late.append((max(due, c.late[-1][0]) if c.late else due, text))
        else:
            c.out += text

    def _put(self, c, line):
        if len(line) + 1 > LINE_MAX:
            self._defect(c, f"{len(line) + 1} bytes, over {LINE_MAX}", line)
        body = line[4:]
        if body not in self.store and not PUT.fullmatch(line):
            self._defect(c, "not well-formed", line)
            return
        text = self.complaint(body) if self.complaint else None
        if text is None:
            times = self.store[body]
            self.store[body] = times + 1
            if times == 0:
                self.behaviour.gets()
            self._remark(c, body)
            return
        self.behaviour.misbehaves()
        self.complained[body] += 1
        self._say(c, text + b"\n")

    def _remark(self, c, body):
        text = self.remark(body) if self.remark else None
        if text:
            self.behaviour.misbehaves()
            self._say(c, text)
