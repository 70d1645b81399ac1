# SPDX-License-Identifier: LGPL-2.1-or-later
"""A database inside a virtual machine: takes put lines on loopback, answers `version`, and writes each line, without
its "put ", to a file. With --sync it answers only when the file is on the disk.

    vm-sink.py PORT FILE [--sync]
"""
import os
import socketserver
import sys

PORT, FILE, SYNC = int(sys.argv[1]), sys.argv[2], "--sync" in sys.argv


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        with open(FILE, "ab") as kept:
            for line in self.rfile:
                if not line.endswith(b"\n"):
                    return
                if line != b"version\n":
                    kept.write(line.removeprefix(b"put "))
                    continue
                kept.flush()
                if SYNC:
                    os.fsync(kept.fileno())
                self.wfile.write(b"net.opentsdb.tools 2.4.1 built at revision 0\nBuilt on a day\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", PORT), Connection).serve_forever()
