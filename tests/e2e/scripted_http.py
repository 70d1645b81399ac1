# SPDX-License-Identifier: LGPL-2.1-or-later
"""A database that takes data points over HTTP and does what a test tells it to."""
import collections
import gzip
import json
import re
import socket
import struct
import threading
import time

from basics import Behaviour, free_port

WORD = re.compile(r"[-_./a-zA-Z0-9]+")


class Reply:
    """`close`: hang up instead, with `reset` by an RST; `raw`: say this instead of HTTP; `short`: so many bytes of the
    body are missing; `hang`: say nothing at all; `leave`: hang up behind the answer; `stores`: of a point, is it
    stored?"""

    def __init__(self, status=204, body=b"", headers=(), stores=None, close=False, raw=None, short=0, hang=False,
                 leave=False, reset=False):
        self.status = status
        self.body = body if isinstance(body, bytes) else body.encode()
        self.headers = headers
        close = close or reset
        self.good = 200 <= status < 300 and not (close or raw or hang)
        self.stores = stores or (lambda point: self.good)
        self.close = close
        self.reset = reset
        self.raw = raw
        self.short = short
        self.hang = hang
        self.leave = leave


class Request:
    def __init__(self, number, target, headers, body):
        self.number = number  # from 1, over all connections
        self.at = time.monotonic()
        self.target = target
        self.headers = headers
        self.wire = len(body)
        self.points = []  # (line, the JSON object)


def line_of(point):
    """As the telnet protocol would have it."""
    tags = "".join(f" {k}={v}" for k, v in point["tags"].items())
    return f"{point['metric']} {point['timestamp']} {point['value']}{tags}"


def details(bad, error, n):
    """What OpenTSDB answers to ?details."""
    errors = [{"datapoint": point, "error": error} for _, point in bad]
    return json.dumps({"success": n - len(bad), "failed": len(bad), "errors": errors})


class ScriptedHTTP:
    """Strict: what no TSD would take, or not every TSD, goes on the list of defects. A thread per connection."""

    def __init__(self, script=None, listening=True, port=None, store=None, remembers=True):
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.script = script  # function of a Request: a Reply, or None for the good one
        self.store = collections.Counter() if store is None else store
        self.remembers = remembers  # does a Request keep its points?
        self.defects = []
        self.requests = []
        self.n_connections = 0
        self.behaviour = Behaviour()
        self._lock = threading.Lock()
        self._listener = None
        self._connections = set()
        self._gate = threading.Event()
        self._gate.set()
        if listening:
            self.listen()

    # -- what a test asks for --

    def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(16)
        self._gate.set()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def hang(self):
        """Reads and answers nothing any more; the kernel goes on taking bytes."""
        self._gate.clear()

    def kill(self):
        """Like kill -9: all connections are reset."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, set()
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in connections:
            # A thread in recv() would keep it alive: shut down, which that one notices.
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # it has ended by itself
            sock.close()

    def stop(self):
        self.kill()
        self._gate.set()

    def lines(self):
        with self._lock:
            return set(self.store)

    def n_stored(self):
        return len(self.store)

    # -- the threads --

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._gate.wait()
            with self._lock:
                if self._listener is not listener:
                    sock.close()
                    return
                self._connections.add(sock)
                self.n_connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            reader = sock.makefile("rb")
            while self._one(sock, reader):
                pass
        except (OSError, ValueError):
            pass
        with self._lock:
            self._connections.discard(sock)
        sock.close()

    def _one(self, sock, reader):
        """One request and its answer. Is there to be another on this connection?"""
        self._gate.wait()
        first = reader.readline()
        if not first.strip():
            return False
        headers = {}
        while (line := reader.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        self._gate.wait()
        with self._lock:
            if sock not in self._connections:
                return False  # killed
            request = Request(len(self.requests) + 1, first.decode().split()[1], headers, body)
            self._check(first.decode(), headers)
            self.requests.append(request)
            self._parse(request, body)
            reply = self.script(request) if self.script else None
            reply = reply or Reply()
            self._store(request, reply)
        return self._answer(sock, reply)

    def _store(self, request, reply):
        for text, point in request.points:
            if reply.stores((text, point)):
                times = self.store[text]
                self.store[text] = times + 1
                if times == 0:
                    self.behaviour.gets()
        if not self.remembers:
            request.points.clear()
        if not reply.good or reply.short:
            self.behaviour.misbehaves()

    def _answer(self, sock, reply):
        if reply.hang:
            return True
        if reply.reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if reply.close or reply.raw is not None:
            sock.sendall(reply.raw or b"")
            return False
        head = [f"HTTP/1.1 {reply.status} x"] + [f"{k}: {v}" for k, v in reply.headers]
        if reply.status != 204:
            head.append(f"Content-Length: {len(reply.body)}")
        body = reply.body[:len(reply.body) - reply.short]
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return reply.short == 0 and not reply.leave

    def _defect(self, text):
        if len(self.defects) < 100:
            self.defects.append(f"request {len(self.requests) + 1}: {text}")

    def _check(self, first, headers):
        if not first.startswith("POST "):
            self._defect(first)
        for name in ("transfer-encoding", "expect"):
            if name in headers:
                self._defect(f"{name}: {headers[name]}")
        if headers.get("content-type") != "application/json":
            self._defect(f"content-type: {headers.get('content-type')}")

    def _parse(self, request, body):
        try:
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            points = json.loads(body)
            for point in points:
                if set(point) != {"metric", "timestamp", "value", "tags"} or not WORD.fullmatch(point["metric"]):
                    raise ValueError(f"no data point: {point}")
                request.points.append((line_of(point), point))
        except (ValueError, OSError, EOFError) as e:
            self._defect(f"{e}: {body[:200]!r}")
