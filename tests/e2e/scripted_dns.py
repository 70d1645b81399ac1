# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network of its own for a test: loopback alone, and names as the test has them at that moment."""
import collections
import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import threading

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

TYPES = {1: socket.AF_INET, 28: socket.AF_INET6}
SERVFAIL, NXDOMAIN = 2, 3


def enter(folder):
    """This process, which has one thread as yet, and all it starts, live there from now on."""
    flags, ids = CLONE_NEWNS | CLONE_NEWNET, (os.geteuid(), os.getegid())
    if ids[0] != 0:
        flags |= CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "no namespaces for a network of its own")
    if flags & CLONE_NEWUSER:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {ids[0]} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {ids[1]} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
                       ("nsswitch.conf", "hosts: files dns\n"), ("hosts", "127.0.0.1 localhost\n")):
        own = pathlib.Path(folder) / name
        own.write_text(text)
        own.chmod(0o644)
        subprocess.run(["mount", "--bind", own, f"/etc/{name}"], check=True)


class ScriptedDNS:
    """Answers for the names it is given; `names` may be changed at any time."""

    def __init__(self):
        self.names = {}  # name -> its addresses, or SERVFAIL, or "silent"
        self.asked = collections.Counter()  # name -> queries
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._thread = threading.Thread(target=self._loop, name="dns", daemon=True)
        self._thread.start()

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", ("127.0.0.1", 53))
        self._thread.join()
        self._socket.close()

    def _loop(self):
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            answer = self._answer(query)
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        name = ".".join(labels).lower()
        self.asked[name] += 1
        known = self.names.get(name, NXDOMAIN)
        if known == "silent":
            return None
        code = known if isinstance(known, int) else 0
        family = TYPES.get(kind)
        found = [] if code else [a for a in known if (socket.AF_INET6 if ":" in a else socket.AF_INET) == family]
        records = b""
        for address in found:
            data = socket.inet_pton(family, address)
            # A pointer to the question's name, kind, class IN, kept for no time at all.
            records += struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(data)) + data
        return query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0) + question + records
