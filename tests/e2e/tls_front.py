# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stands in front of a server: nginx, a bare end of TLS, a proxy for CONNECT."""
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

from basics import DEADLINE, free_port, tail, wait_for

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error warn;
events {{}}
http {{
    access_log off;
    log_format short '$server_protocol $status $request_length';
    {temporary}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        access_log {folder}/access short;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {more}
        location / {{
            proxy_pass http://127.0.0.1:{to};
            proxy_http_version 1.1;
        }}
    }}
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    def __init__(self, folder, certificate, to, more=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.to = to
        self.more = more
        self.start(certificate)

    def start(self, certificate):
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        if not program:
            raise AssertionError("nginx is not installed (Debian package nginx-light)")
        temporary = "\n    ".join(f"{name}_temp_path {self.folder}/{name};" for name in TEMPORARY)
        (self.folder / "conf").write_text(NGINX.format(
            folder=self.folder, port=self.port, certificate=certificate[0], key=certificate[1], to=self.to,
            more=self.more,
            temporary=temporary))
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([program, "-c", str(self.folder / "conf"), "-p", str(self.folder)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._listens, "nginx listens")

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError("nginx has ended:\n" + tail((self.folder / "log").read_text()))
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def replace(self, certificate):
        """Put in place by a restart: for a moment nobody listens."""
        self.stop()
        self.start(certificate)

    def requests(self):
        """(protocol, status, bytes) of each."""
        return re.findall(r"^(\S+) (\d+) (\d+)$", (self.folder / "access").read_text(), re.M)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Front:
    """Takes connections, and hands what it is told to on to a port, both ways."""

    def __init__(self):
        self.n_connections = 0
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._begin, args=(sock,), daemon=True).start()

    def _begin(self, sock):
        try:
            sock, port = self.greet(sock)
            to = socket.create_connection(("127.0.0.1", port))
        except (OSError, ValueError):
            sock.close()
            return
        self.n_connections += 1
        self._open |= {sock, to}
        threading.Thread(target=self._copy, args=(sock, to), daemon=True).start()
        self._copy(to, sock)

    def _copy(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self._open:
            s.close()


class TlsFront(_Front):
    """`authority`: a client is to show a certificate of it."""

    def __init__(self, certificate, to, authority=None):
        self.to = to
        self.authority = authority
        self.replace(certificate)
        super().__init__()

    def replace(self, certificate):
        """For the connections to come."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if self.authority:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        self.context = context

    def greet(self, sock):
        return self.context.wrap_socket(sock, server_side=True), self.to


class ConnectProxy(_Front):
    """Every name leads to 127.0.0.1."""

    def __init__(self):
        self.asked = []
        super().__init__()

    def greet(self, sock):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        self.asked.append(head.split(b"\r\n")[0].decode())
        target = re.match(rb"CONNECT [^ :]+:(\d+) ", head)
        if not target:
            raise ValueError("no CONNECT")
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return sock, int(target.group(1))
