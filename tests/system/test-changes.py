# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors that come, change and go while tcollector runs. Nobody is asked to rescan: systemd watches the folders.
How soon is reported; that it comes about at all is what passes or fails."""
import re

import installed

SOON = 5  # seconds, for which this is made

STEADY = installed.SHELL + """
echo "begins as {word}" >&2
while :; do i=$((i + 1)); echo {word}.i $((1000000000 + i)) $i; sleep 0.1; done
"""
PERIODIC = installed.SHELL + 'echo {word}.i $(date +%s) $(date +%N)\n'
N_MANY = 10


def unit(name, suffix="service"):
    escaped = "".join(c if re.match(r"[A-Za-z0-9_.-]", c) else "".join(f"\\x{b:02x}" for b in c.encode()) for c in name)
    return f"tcollector-col@{escaped}.{suffix}"


class Changes(installed.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.add_collector("bystander", 0, STEADY.format(word="bystander"))
        cls.machine.systemctl("daemon-reload")
        cls.db = installed.InsideTSD(cls.machine)
        cls.addClassCleanup(cls.db.stop)
        cls.machine.systemctl("start", "tcollector")
        cls.machine.wait_for_state(unit("bystander"), "active")
        cls.pids = (cls.machine.main_pid(), cls.machine.main_pid(unit("bystander")))

    def tearDown(self):
        """Neither the agent nor a collector that nobody touched has noticed."""
        self.assertEqual(self.pids, (self.machine.main_pid(), self.machine.main_pid(unit("bystander"))))
        self.assertEqual([], self.db.defects)

    def soon(self, condition, what, *units):
        took = self.wait_until(condition, what, units=units or ("tcollector-rescan.service",))
        self.note(f"{what} after {took:.2f} s" + (f", MORE THAN {SOON} s" if took > SOON else ""))

    def pid(self, name):
        return self.machine.main_pid(unit(name))

    def runs(self, name):
        return self.machine.state(unit(name)) == "active"

    def came(self, word):
        return any(line.startswith(f"{word}.i ") for line in self.db.lines())

    def add(self, name, text, interval=0):
        self.machine.add_collector(name, interval, text)
        started = unit(name, "timer" if interval else "service")
        self.soon(lambda: self.machine.state(started) == "active", f"added: {name!r} is started", started)

    def gone(self, name):
        return self.machine.state(unit(name)) == "inactive" and self.machine.state(unit(name, "timer")) == "inactive"

    def test_added_changed_removed(self):
        self.add("coming", STEADY.format(word="first"))
        self.wait_until(lambda: self.came("first"), "its points")
        self.assertIn("found in", self.machine.journal("-u", unit("coming")))
        first = self.pid("coming")
        self.machine.add_collector("coming", 0, STEADY.format(word="second"))
        self.soon(lambda: self.pid("coming") not in (0, first), "changed: restarted", unit("coming"))
        self.wait_until(lambda: self.came("second"), "its points")
        self.machine.wait_for_log("changed", "-u", unit("coming"))
        self.machine.remove_collector("coming", 0)
        self.soon(lambda: self.gone("coming"), "removed: stopped", unit("coming"))
        self.machine.wait_for_log("removed", "-u", unit("coming"))
        self.assertFalse(self.machine.path("/run/tcollector/col/coming").exists())

    def test_periodic_added_changed_removed(self):
        self.add("often", PERIODIC.format(word="often"), interval=1)
        self.wait_until(lambda: self.came("often"), "its points")
        self.machine.add_collector("often", 1, PERIODIC.format(word="other"))
        self.soon(lambda: self.came("other"), "changed: the new program's points", unit("often"))
        self.machine.remove_collector("often", 1)
        self.soon(lambda: self.gone("often"), "removed: stopped", unit("often", "timer"))

    def test_moved_to_another_interval(self):
        self.add("mover", STEADY.format(word="mover"))
        self.machine.shell(f"cd {installed.COLLECTORS}; mkdir -p 30; mv 0/mover 30/")
        self.soon(lambda: self.machine.state(unit("mover", "timer")) == "active" and
                  self.machine.show(unit("mover"), "RuntimeMaxUSec") == "30s", "moved: on a schedule", unit("mover"))
        self.machine.remove_collector("mover", 30)
        self.soon(lambda: self.gone("mover"), "removed: stopped", unit("mover"))

    def test_not_executable(self):
        self.add("switched", STEADY.format(word="switched"))
        path = self.machine.path(f"{installed.COLLECTORS}/0/switched")
        path.chmod(0o644)
        self.soon(lambda: self.gone("switched"), "chmod -x: stopped", unit("switched"))
        path.chmod(0o755)
        self.soon(lambda: self.runs("switched"), "chmod +x: started", unit("switched"))
        path.unlink()
        self.soon(lambda: self.gone("switched"), "removed: stopped", unit("switched"))

    def test_name_that_needs_escaping(self):
        name = "we ird:%n ä$x.sh"
        self.add(name, STEADY.format(word="weird"))
        self.wait_until(lambda: self.came("weird"), "its points")
        self.assertIn("\\x20", unit(name))
        self.machine.remove_collector(name, 0)
        self.soon(lambda: self.gone(name), "removed: stopped", unit(name))

    def test_names_that_look_like_more(self):
        """No instance of its own is mistaken for a template's, a path's or an option's."""
        names = ("-x", "a-b-c", "x@y", "sys.service")
        for name in names:
            self.machine.add_collector(name, 0, STEADY.format(word="odd"))
        self.soon(lambda: all(self.runs(name) for name in names), f"added: {names} are started", *map(unit, names))
        for name in names:
            self.machine.remove_collector(name, 0)
        self.soon(lambda: all(self.gone(name) for name in names), "removed: stopped", *map(unit, names))

    def test_same_name_under_two_intervals(self):
        """The first stands."""
        self.add("twice", STEADY.format(word="twice"))
        first = self.pid("twice")
        self.machine.add_collector("twice", 60, PERIODIC.format(word="never"))
        self.soon(lambda: re.search(r"60/twice", self.machine.journal("-b", "-t", "tcollectorctl")),
                  "the same name under two intervals: said")
        self.assertEqual(first, self.pid("twice"))
        self.assert_state(unit("twice", "timer"), "inactive")
        self.machine.remove_collector("twice", 60)
        self.machine.remove_collector("twice", 0)
        self.soon(lambda: self.gone("twice"), "removed: stopped", unit("twice"))

    def test_broken_section(self):
        """Costs the collector it is about, no other, until it is mended."""
        self.add("sectioned", STEADY.format(word="sectioned"))
        self.machine.configure('collector "sectioned" {\n    memory_max = "a lot"\n}\n', "sectioned.conf")
        self.soon(lambda: self.gone("sectioned"), "a broken conf.d file: its collector is stopped", unit("sectioned"))
        self.machine.wait_for_log(r"sectioned\.conf:2: ", "-b", "-t", "tcollectorctl")
        self.machine.configure('collector "sectioned" {\n    memory_max = "99M"\n}\n', "sectioned.conf")
        self.soon(lambda: self.runs("sectioned") and
                  self.machine.show(unit("sectioned"), "MemoryMax") == str(99 << 20),
                  "mended: started with what it says", unit("sectioned"))
        self.machine.configure('collector "sectioned" {\n    enabled = false\n}\n', "sectioned.conf")
        self.soon(lambda: self.gone("sectioned"), "enabled = false: stopped", unit("sectioned"))
        self.machine.path("/etc/tcollector/conf.d/sectioned.conf").unlink()
        self.soon(lambda: self.runs("sectioned"), "the file removed: started", unit("sectioned"))
        self.machine.remove_collector("sectioned", 0)
        self.soon(lambda: self.gone("sectioned"), "removed: stopped", unit("sectioned"))

    def test_masked_by_a_link(self):
        """A link to /dev/null in the first folder; and the file of the same name there wins."""
        self.add("linked", STEADY.format(word="linked"))
        path = self.machine.path(f"{installed.COLLECTORS}/0/linked")
        path.unlink()
        path.symlink_to("/dev/null")
        self.soon(lambda: self.gone("linked"), "a link to /dev/null: stopped", unit("linked"))
        path.unlink()

    def test_many_one_by_one(self):
        """While a rescan is at work, systemd watches nothing: what comes then is not to be missed."""
        names = [f"many{i}" for i in range(N_MANY)]
        for name in names:
            self.machine.add_collector(name, 0, STEADY.format(word="many"))
            self.machine.let_pass(0.2)
        self.soon(lambda: all(self.runs(name) for name in names), f"{N_MANY} added one by one: the last one is started")
        for name in names:
            self.machine.remove_collector(name, 0)
            self.machine.let_pass(0.1)
        self.soon(lambda: all(self.gone(name) for name in names),
                  f"{N_MANY} removed one by one: the last one is stopped")

    def test_stalled(self):
        """A long-running collector without a line for too long is restarted."""
        self.machine.configure('collector "silent" {\n    inactivity = "2s"\n}\n', "silent.conf")
        self.add("silent", installed.SHELL + "echo silent.i $(date +%s) 1\nexec sleep 1000\n")
        first = self.pid("silent")
        took = self.wait_until(lambda: self.pid("silent") not in (0, first), "the silent one to be restarted")
        self.note(f"stalled: restarted after {took:.1f} s, of 2 s of silence that it is allowed")
        self.machine.wait_for_log("no data for 2 s", "-u", unit("silent"))
        self.assertTrue(self.runs("bystander"))
        self.machine.remove_collector("silent", 0)
        self.soon(lambda: self.gone("silent"), "removed: stopped", unit("silent"))


if __name__ == "__main__":
    installed.main()
