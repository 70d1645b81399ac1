# SPDX-License-Identifier: LGPL-2.1-or-later
"""The foreground mode inside a booted systemd: each collector in a scope, and systemd does the killing."""
import os
import pathlib
import re
import sys
import tempfile
import unittest

import rig

TCOLLECTOR = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
NOBODY = 65534

# A collector whose children flee to sessions of their own and ignore SIGTERM: no process group reaches them.
FUGITIVES = """#!/bin/sh
for i in 1 2; do setsid sh -c 'trap "" TERM; while :; do sleep 0.2; done' fugitive & done
echo fugitives.up $(date +%s) $$
trap '' TERM
while :; do sleep 0.2; done
"""
STEADY = """#!/bin/sh
i=0
while :; do i=$((i + 1)); echo steady.i $((1700000000 + i)) $i; sleep 0.1; done
"""


class Foreground(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = rig.Machine(bind=[TCOLLECTOR.parents[1]])
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.stop)

    def collectors(self, name, **files):
        """Inside: /run/NAME/INTERVAL/FILE, of {"FILE": (INTERVAL, TEXT)}."""
        for file, (interval, text) in files.items():
            self.machine.shell(f"mkdir -p /run/{name}/{interval}; cat > /run/{name}/{interval}/{file} <<'END'\n"
                               f"{text}END\nchmod 755 /run/{name}/{interval}/{file}")
        return f"/run/{name}"

    def start(self, folder, **options):
        """What it writes goes to files of the host's, so that it never has to wait for this process."""
        out, err = tempfile.NamedTemporaryFile(), tempfile.NamedTemporaryFile()
        agent = self.machine.start([TCOLLECTOR, "--dry-run", "-v", "-t", "host=h", "-c", folder], stdout=out,
                                   stderr=err, **options)
        agent.out, agent.err, agent.folder = out, err, folder
        self.addCleanup(self.end, agent)
        return agent

    def end(self, agent):
        if agent.poll() is None:
            self.signal(agent, "KILL")
        agent.wait(rig.DEADLINE)
        agent.out.close()
        agent.err.close()

    def signal(self, agent, name):
        """From inside: what was started here only waits for it."""
        self.machine.run(["pkill", f"-{name}", "-xf", f"{TCOLLECTOR} .* -c {agent.folder}"])

    def seen(self, agent):
        return pathlib.Path(agent.out.name).read_text()

    def told(self, agent):
        return pathlib.Path(agent.err.name).read_text()

    def wait_for(self, agent, pattern, seconds=rig.DEADLINE):
        rig.wait_until(lambda: re.search(pattern, self.seen(agent)) or agent.poll() is not None, pattern, seconds)
        self.assertRegex(self.seen(agent), pattern, self.told(agent))

    def scopes(self, command="systemctl", **options):
        listed = self.machine.shell(f"{command} list-units --plain --no-legend 'tcollector-col-*.scope'", **options)
        return [line.split()[0] for line in listed.splitlines()]

    def fugitives(self):
        return self.machine.run(["pgrep", "-fc", "fugitive|/run/fled"], check=False).stdout.strip()

    def test_overstayer_and_fugitives(self):
        folder = self.collectors("fled", over=(2, FUGITIVES), steady=(0, STEADY))
        agent = self.start(folder)
        self.wait_for(agent, r"put steady\.i ")
        self.wait_for(agent, r"put fugitives\.up \d+ \d+ host=h")
        self.assertRegex(" ".join(self.scopes()), r"tcollector-col-over-\d+\.scope tcollector-col-steady-\d+\.scope")
        first = [s for s in self.scopes() if "over" in s][0]
        self.assertIn("RuntimeMaxUSec=2s\n", self.machine.run(["systemctl", "show", first]).stdout)
        rig.wait_until(lambda: first not in self.scopes(), "systemd to have killed all of the first run")
        self.wait_for(agent, r"(?s)put fugitives\.up .*put fugitives\.up ")  # and it runs again

        self.signal(agent, "TERM")
        self.assertEqual(0, agent.wait(rig.DEADLINE))
        rig.wait_until(lambda: not self.scopes(), "no scope to be left")
        self.assertEqual("0", self.fugitives())
        steady = re.findall(r"put steady\.i \d+ (\d+)", self.seen(agent))
        self.assertEqual([str(i + 1) for i in range(len(steady))], steady)

    def test_a_person(self):
        """Without privileges it is the person's own manager."""
        self.machine.shell(f"systemctl start user@{NOBODY}.service")
        folder = self.collectors("person", over=(2, FUGITIVES))
        environment = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{NOBODY}"}
        agent = self.start(folder, user=NOBODY, env=environment)
        self.wait_for(agent, r"put fugitives\.up ")
        listed = self.scopes("systemctl --user", user=NOBODY, env=environment)
        self.assertRegex(" ".join(listed), r"tcollector-col-over-\d+\.scope")
        self.signal(agent, "TERM")
        self.assertEqual(0, agent.wait(rig.DEADLINE))
        rig.wait_until(lambda: not self.scopes("systemctl --user", user=NOBODY, env=environment), "no scope to be left")

    def test_agent_killed(self):
        """kill -9 of the agent: systemd still ends the run when its interval is over."""
        folder = self.collectors("killed", over=(3, FUGITIVES))
        agent = self.start(folder)
        self.wait_for(agent, r"put fugitives\.up ")
        self.assertEqual(1, len(self.scopes()))
        self.signal(agent, "KILL")
        agent.wait(rig.DEADLINE)
        rig.wait_until(lambda: not self.scopes(), "no scope to be left")


if __name__ == "__main__":
    unittest.main(verbosity=2)
