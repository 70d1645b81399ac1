# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delivery over TLS, by HTTP through a real nginx and by the line protocol: to whom it is due, and to nobody else."""
import ctypes
import os
import shutil
import subprocess

import harness
import sums
from certificates import Authority, openssl
from scripted_http import ScriptedHTTP
from test_http import expected, feed
from test_tsd import stored_series
from tls_front import ConnectProxy, Nginx, TlsFront

NAME = "127.0.0.1"


class Case(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keeper = harness.tempfile.TemporaryDirectory(prefix="tcollector-e2e-")
        cls.addClassCleanup(cls.keeper.cleanup)
        folder = harness.pathlib.Path(cls.keeper.name)
        cls.authority = Authority(folder / "authority", "ours")
        cls.stranger = Authority(folder / "stranger", "theirs")
        cls.good = cls.authority.issue("good")
        cls.client = cls.authority.issue("client", "DNS:client")
        cls.bad = {
            "another name": cls.authority.issue("another", "DNS:another.invalid"),
            "expired": cls.authority.issue("expired", days=-1),
            "a stranger's": cls.stranger.issue("stranger"),
        }

    def stopped(self, thing):
        self.addCleanup(thing.stop)
        return thing

    def http(self):
        return self.stopped(ScriptedHTTP())

    def config(self, url, keys=""):
        path = self.path("tcollector.conf")
        if url.startswith(("https:", "telnets:")):
            keys += f'\nca_file = "{self.authority.certificate}"'
        path.write_text(f'server "main" {{\nurl = "{url}"\n{keys}\n}}\n')
        return ["--config", path, "-s", "-v"]

    def client_keys(self):
        return f'client_cert = "{self.client[0]}"\nclient_key = "{self.client[1]}"'

    def secret(self, text):
        path = self.path("secret")
        path.write_text(text + "\n")
        return path

    def deliver(self, url, keys="", n=1000, input=None):
        agent = self.run_agent(*self.config(url, keys), input=input or feed(n))
        self.assert_status(agent, 0)
        return agent

    def refuse(self, url, log, keys="", args=None):
        """Nothing is delivered; all is kept, and the log says why."""
        agent = self.agent(*(args or self.config(url, keys)), "--flush-timeout", "1", stdin=subprocess.PIPE)
        agent.feed(feed(1000), end=True)
        agent.wait_for_log(log)
        self.assert_status(agent, 1)
        self.assertIn("1000 points are left", agent.stderr())
        return agent

    def nginx(self, to, certificate=None, more=""):
        return self.stopped(Nginx(self.path("nginx"), certificate or self.good, to, more))

    def front(self, tsd, certificate=None, **options):
        return self.stopped(TlsFront(certificate or self.good, tsd.port, **options))


class Certificates(Case):
    """Nothing goes to a server that is not the right one, all is kept, and the right one gets it."""

    # What is wrong, and what the log has.
    ROWS = (("another name", "subject name|does not match"), ("expired", "certificate has expired"),
            ("a stranger's", "self-signed certificate|unable to get local issuer"))
    RECOVERS = 4  # seconds to wait at most: there may be a second and third failure while the good one is put there

    def test_https(self):
        for name, log in self.ROWS:
            with self.subTest(name):
                server = self.http()
                nginx = self.nginx(server.port, self.bad[name])
                self.row(name, log, f"https://{NAME}:{nginx.port}", server, nginx)
                self.assertEqual({"204"}, {status for _, status, _ in nginx.requests()})

    def test_telnets(self):
        for name, log in self.ROWS:
            with self.subTest(name):
                tsd = self.tsd()
                front = self.front(tsd, self.bad[name])
                self.row(name, log, f"telnets://{NAME}:{front.port}", tsd, front)

    def row(self, name, log, url, server, front):
        agent = self.agent(*self.config(url), stdin=subprocess.PIPE)
        agent.feed(feed(1000), end=True)
        agent.wait_for_log(f"({log}).*; trying again in")
        self.assertEqual(set(), set(server.store), agent.told())
        front.replace(self.good)
        server.behaviour.misbehaves()  # until now
        self.assert_status(agent, 0)
        self.assert_stored(server, stored_series(1000), agent)
        self.assertEqual(sums.InAll(1000, 0, 1000, 0, 0, 0), self.assert_sums(agent), agent.told())
        took = self.assert_recovered(agent, server, self.RECOVERS)
        self.note(f"{name}: 0 of 1000 lost, all was there {took:.1f} s after a good certificate was")


def trusting(folder):
    """For Popen(): the authorities in `folder`, and no others, are the system's."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private, bind = 0x20000, 1 << 18 | 1 << 14, 1 << 12

    def enter():
        steps = (lambda: libc.unshare(new_mounts), lambda: libc.mount(None, b"/", None, private, None),
                 lambda: libc.mount(os.fsencode(folder), b"/etc/ssl/certs", None, bind, None))
        for step in steps:
            if step() != 0:
                raise OSError(ctypes.get_errno(), "a mount namespace of its own")
    return enter


class Authorities(Case):
    """A ca_file is in place of the system's authorities, not beside them."""

    def system(self):
        folder = self.path("authorities")
        folder.mkdir()
        shutil.copy(self.stranger.certificate, folder / "theirs.pem")
        openssl("rehash", folder)
        shutil.copy(self.authority.certificate, folder / "ca-certificates.crt")  # libcurl wants one, too
        return {"preexec_fn": trusting(folder)}

    def test_the_systems(self):
        server = self.http()
        nginx = self.nginx(server.port, self.bad["a stranger's"])
        agent = self.run_agent("--http", "--ssl", "-H", NAME, "-p", nginx.port, "-s", input=feed(10), **self.system())
        self.assert_status(agent, 0)
        self.assertEqual(expected(10, "none"), server.lines())

    def test_ours(self):
        server = self.http()
        nginx = self.nginx(server.port, self.bad["a stranger's"])
        agent = self.agent(*self.config(f"https://{NAME}:{nginx.port}"), "--flush-timeout", "1",
                           stdin=subprocess.PIPE, **self.system())
        agent.feed(feed(10), end=True)
        agent.wait_for_log("self-signed certificate|unable to get local issuer")
        self.assert_status(agent, 1)
        self.assertEqual([], server.requests)


class Http(Case):
    def test_user(self):
        """With a password, over HTTP/2; and with a wrong one, or none."""
        server = self.http()
        users = self.path("users")
        users.write_text("me:{PLAIN}secret\n")
        nginx = self.nginx(server.port, more=f"auth_basic x; auth_basic_user_file {users};")
        url = f"https://{NAME}:{nginx.port}/api/put"
        self.deliver(url, f'username = "me"\npassword_file = "{self.secret("secret")}"', n=20000)
        self.assertEqual(expected(20000, "none"), server.lines())
        self.assertEqual({("HTTP/2.0", "204")}, {r[:2] for r in nginx.requests()})
        self.note(f"{len(nginx.requests())} requests, the largest {max(int(r[2]) for r in nginx.requests())} bytes")

        server.store.clear()
        self.refuse(url, "401 Unauthorized")
        agent = self.refuse(url, "401 Unauthorized", f'username = "me"\npassword_file = "{self.secret("wrong")}"')
        self.assertNotIn("wrong", agent.stderr())
        self.assertEqual(set(), server.lines())
        self.assertEqual([], server.defects)

    def test_unknown_authority(self):
        """Without ca_file it is the system's authorities."""
        server = self.http()
        nginx = self.nginx(server.port)
        args = ["--http", "--ssl", "-H", NAME, "-p", nginx.port, "-s"]
        self.refuse(None, "certificate", args=args)
        self.assertEqual([], server.requests)

    def test_client_certificate(self):
        server = self.http()
        nginx = self.nginx(server.port,
                           more=f"ssl_verify_client on; ssl_client_certificate {self.authority.certificate};")
        url = f"https://{NAME}:{nginx.port}/api/put"
        # nginx says 400 to all without one, even to the empty request: no point is to blame.
        self.refuse(url, "No required SSL certificate was sent")
        self.assertEqual([], server.requests)
        self.deliver(url, self.client_keys())
        self.assertEqual(expected(1000, "none"), server.lines())

    def test_wrong_port(self):
        """Clear text to a port of TLS, and TLS to one of clear text."""
        server = self.http()
        nginx = self.nginx(server.port)
        self.refuse(f"http://{NAME}:{nginx.port}", "The plain HTTP request was sent to HTTPS port")
        self.assertEqual([], server.requests)
        self.refuse(f"https://{NAME}:{server.port}", "SSL|TLS")

    def test_small_body_size(self):
        server = self.http()
        nginx = self.nginx(server.port, more="client_max_body_size 4000;")
        self.deliver(f"https://{NAME}:{nginx.port}", n=20000)
        self.assertEqual(expected(20000, "none"), server.lines())
        self.assertLessEqual(sum(status == "413" for _, status, _ in nginx.requests()), 3)

    def test_proxy(self):
        server, proxy = self.http(), self.stopped(ConnectProxy())
        nginx = self.nginx(server.port, self.bad["another name"])
        self.deliver(f"https://another.invalid:{nginx.port}", f'proxy = "http://127.0.0.1:{proxy.port}"')
        self.assertEqual(expected(1000, "none"), server.lines())
        self.assertEqual([f"CONNECT another.invalid:{nginx.port} HTTP/1.1"], proxy.asked)


class Telnet(Case):
    N = 200000

    def test_answers(self):
        """As in clear: every line, once."""
        for answer in ("opentsdb", "influxdb", "never"):
            with self.subTest(answer):
                tsd = self.tsd(answer=answer)
                front = self.front(tsd)
                agent = self.deliver(f"telnets://{NAME}:{front.port}", n=self.N)
                self.assert_stored(tsd, stored_series(self.N), agent)
                self.assertEqual(self.N, sum(tsd.store.values()))
                self.assertEqual(answer == "never", "does not answer" in agent.stderr())

    def test_complaints(self):
        """More of them than a turn of the loop reads: TLS holds them back, and no event tells."""
        tsd = self.tsd()
        tsd.complaint = lambda line: b"put: invalid value: " + b"x" * 200 + line
        agent = self.deliver(f"telnets://{NAME}:{self.front(tsd).port}", n=50000)
        self.assertEqual(sums.InAll(50000, 0, 0, 0, 0, 50000), self.assert_sums(agent), agent.told())

    def test_client_certificate(self):
        tsd = self.tsd()
        front = self.front(tsd, authority=self.authority.certificate)
        self.refuse(f"telnets://{NAME}:{front.port}", "telnets://.*; trying")
        self.assertEqual(0, tsd.n_stored())
        agent = self.deliver(f"telnets://{NAME}:{front.port}", self.client_keys())
        self.assert_stored(tsd, stored_series(1000), agent)

    def test_proxy(self):
        """In clear and over TLS."""
        for scheme in ("telnet", "telnets"):
            with self.subTest(scheme):
                tsd, proxy = self.tsd(), self.stopped(ConnectProxy())
                port = tsd.port if scheme == "telnet" else self.front(tsd, self.bad["another name"]).port
                agent = self.deliver(f"{scheme}://another.invalid:{port}",
                                     f'proxy = "http://127.0.0.1:{proxy.port}"')
                self.assert_stored(tsd, stored_series(1000), agent)
                self.assertEqual([f"CONNECT another.invalid:{port} HTTP/1.1"], proxy.asked)

    def test_cuts(self):
        tsd = self.tsd()
        tsd.cut(5, lambda: self.random.randrange(100000, 1000000))
        agent = self.deliver(f"telnets://{NAME}:{self.front(tsd).port}", n=self.N)
        self.assert_stored(tsd, stored_series(self.N), agent)
        self.assertEqual(5, tsd.n_cut)


if __name__ == "__main__":
    harness.main()
