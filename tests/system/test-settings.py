# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings as the one they are for sees them: a password that systemd hands to the agent, over HTTP to a server that
asks for it; and what conf.d says of a collector, in that collector's own words."""
import base64
import ctypes
import re
import threading

import installed
from scripted_http import Reply, ScriptedHTTP

PORT = 4243
SECRET = "/etc/tcollector/secret"
HTTP = f"""server "http" {{
    url = "http://127.0.0.1:{PORT}/api/put"
    username = "agent"
    password_credential = "tsd"
}}
collector_dirs = {{ "{installed.COLLECTORS}" }}
tags = {{ "host=h" }}
self_stats = false
"""
CREDENTIAL = f"[Service]\nLoadCredential=tsd:{SECRET}\n"

STEADY = installed.SHELL + """
while :; do i=$((i + 1)); echo steady.i $((1000000000 + i)) $i; sleep 0.1; done
"""
# Who it is, and what it was told.
TELL = installed.SHELL + """
user=$(id -un)
echo "$TCOLLECTOR_NAME.run $(date +%s.%3N) $$ user=$user greeting=${GREETING:-none} interval=$TCOLLECTOR_INTERVAL"
"""


class InsideHTTP(ScriptedHTTP):
    """On the machine's loopback; wants a user's password."""

    def __init__(self, machine, user, password):
        self.network = f"/proc/{machine.init}/ns/net"
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        super().__init__(self._reply, listening=False)
        self.port = PORT
        # The network namespace is a thread's own, and its children's.
        thread = threading.Thread(target=self._listen_inside)
        thread.start()
        thread.join()

    def _listen_inside(self):
        with open(self.network, "rb") as network:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(network.fileno(), installed.CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
        self.listen()

    def authorizations(self):
        """What has been shown, each once."""
        return {request.headers.get("authorization") for request in list(self.requests)}

    def _reply(self, request):
        return None if request.headers.get("authorization") == self.wanted else Reply(401)


class Password(installed.TestCase):
    config = HTTP

    def setUp(self):
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        self.machine.add_collector("steady", 0, STEADY)
        self.machine.systemctl("daemon-reload")

    def serve(self, password):
        server = InsideHTTP(self.machine, "agent", password)
        self.addCleanup(lambda: self.assertEqual([], server.defects))
        self.addCleanup(server.stop)
        return server

    def give(self, password):
        """In a file of root's, which the agent itself cannot read."""
        self.machine.write(SECRET, password + "\n", 0o600)
        self.machine.drop_in("tcollector.service", CREDENTIAL)

    def test_password(self):
        server = self.serve("open sesame")
        self.give("open sesame")
        self.machine.systemctl("start", "tcollector")
        self.wait_until(lambda: len(server.lines()) >= 10, "ten points to be stored")
        self.assertEqual({server.wanted}, server.authorizations())
        self.assertEqual({"/api/put"}, {request.target.partition("?")[0] for request in server.requests})
        numbers = sorted(int(line.split()[2]) for line in server.lines())
        self.assertEqual(list(range(1, len(numbers) + 1)), numbers)
        pid = self.machine.main_pid()
        self.assertNotIn("sesame", self.machine.shell(f"tr '\\0' ' ' </proc/{pid}/cmdline; cat /proc/{pid}/environ"))
        denied = self.machine.run(["cat", SECRET], user="tcollector", check=False)
        self.assertNotEqual(0, denied.returncode)

    def test_wrong_password(self):
        """Nothing is lost by it: it all comes when the password is the right one."""
        server = self.serve("open sesame")
        self.give("wrong")
        self.machine.systemctl("start", "tcollector")
        self.wait_until(lambda: "401" in self.machine.show("tcollector.service", "StatusText"), "the status to say so")
        self.assertEqual(set(), server.lines())
        self.give("open sesame")
        self.machine.systemctl("restart", "tcollector")
        self.wait_until(lambda: len(server.lines()) >= 10, "ten points to be stored")
        numbers = sorted(int(line.split()[2]) for line in server.lines())
        self.assertEqual(list(range(1, len(numbers) + 1)), numbers)

    def test_no_credential(self):
        """It says what it lacks, and comes up when it is given that."""
        server = self.serve("open sesame")
        self.machine.shell("rm -rf /etc/systemd/system/tcollector.service.d; systemctl daemon-reload")
        self.machine.run(["systemctl", "start", "tcollector"], check=False)
        self.machine.wait_for_log("credential 'tsd'.*LoadCredential=", "-u", "tcollector")
        self.give("open sesame")
        self.wait_until(server.lines, "a point to be stored")
        self.assertEqual({server.wanted}, server.authorizations())


class Collectors(installed.TestCase):
    def setUp(self):
        self.database = self.tsd()
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])

    def told(self, name):
        """[{tag: value}] of each of its points."""
        found = [re.fullmatch(rf"{re.escape(name)}\.run \S+ \d+((?: \S+=\S+)*)", line)
                 for line in self.database.lines()]
        return [dict(tag.split("=") for tag in match[1].split()) for match in found if match]

    def wait_for(self, name, n=1, **wanted):
        def n_told():
            return sum(all(tags.get(key) == value for key, value in wanted.items()) for tags in self.told(name)) >= n
        self.wait_until(n_told, f"{n} points of {name} with {wanted}, not {self.told(name)}",
                        units=("tcollector.service", f"tcollector-col@{name}.service", f"tcollector-col@{name}.timer"))

    def test_from_the_beginning(self):
        self.machine.configure("""collector "alpha" {
    user = "daemon"
    environment = { "GREETING=hello", "UNUSED=a b" }
    interval = 1
    tags = { "who=alpha" }
}
""", "alpha.conf")
        self.machine.add_collector("alpha", 3600, TELL)
        self.machine.add_collector("plain", 1, TELL)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")
        self.wait_for("alpha", 3, user="daemon", greeting="hello", interval="1", who="alpha", host="h")
        self.wait_for("plain", 1, user="tcollector-col", greeting="none", interval="1", host="h")
        self.assertEqual([], [tags for tags in self.told("plain") if "who" in tags])

    def test_changed_meanwhile(self):
        """conf.d alone changes; the collector's file does not."""
        self.machine.add_collector("beta", 3600, TELL)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "tcollector")
        self.machine.systemctl("start", "tcollector-col@beta.service")
        self.wait_for("beta", 1, user="tcollector-col", greeting="none", interval="3600")
        self.machine.configure('collector "beta" { interval = 2  environment = { "GREETING=again" } }\n', "beta.conf")
        self.wait_for("beta", 2, user="tcollector-col", greeting="again", interval="2")
        self.machine.configure('collector "beta" { interval = 0  user = "daemon" }\n', "beta.conf")
        self.wait_for("beta", 1, user="daemon", greeting="none", interval="0")
        self.assertEqual("inactive", self.machine.state("tcollector-col@beta.timer"))


if __name__ == "__main__":
    installed.main()
