# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collectors that come, change and go while tcollector runs. Nobody is asked to rescan: systemd watches the folders.
It comes about, the journal says so, and soon: of each kind of change the best of three tries is judged, as whatever
else the machine does only adds to them."""
import re
import time

import installed

SOON = 5  # seconds
TRIES = 3

# What the journal says of a collector.
FOUND = ": found in "
CHANGED = ": its file or settings have changed, restarted"
GONE = ": removed, or not enabled any more; stopped"
SILENT = ": no data for 2 s, restarted"

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

    def setUp(self):
        self.took = {}  # kind of change: seconds, of each try

    def tearDown(self):
        """Neither the agent nor a collector that nobody touched has noticed."""
        self.assertEqual(self.pids, (self.machine.main_pid(), self.machine.main_pid(unit("bystander"))))
        self.assertEqual([], self.db.defects)

    def tries(self, scenario):
        """Called with the number of the try, until each kind of change has been soon once. What else it says has to
        hold each time."""
        def late():
            return {what: took for what, took in self.took.items() if min(took) > SOON}
        for i in range(TRIES):
            scenario(i)
            if not late():
                break
        self.assertEqual({}, late(), f"seconds, none of them {SOON} or less")

    def n_said(self, name, text):
        return self.machine.journal("-u", unit(name)).count(text)

    def soon(self, what, change, condition, said, allowed=0):
        """Makes the change and waits for the condition, and for what is said, {name: text}; `allowed`: seconds that it
        has besides."""
        units = [unit(name) for name in said] or ["tcollector-rescan.service"]
        before = {name: self.n_said(name, text) for name, text in said.items()}
        began = time.monotonic()
        change()
        self.wait_until(condition, what, units=units)
        took = time.monotonic() - began
        self.took.setdefault(what, []).append(took - allowed)
        self.note(f"{what} after {took:.2f} s" + (f", MORE THAN {SOON + allowed} s" if took > SOON + allowed else ""))
        for name, text in said.items():
            self.wait_until(lambda: self.n_said(name, text) > before[name], f"the journal to say {name}{text}",
                            units=units)

    def pid(self, name):
        return self.machine.main_pid(unit(name))

    def runs(self, name):
        return self.machine.state(unit(name)) == "active"

    def came(self, word):
        return any(line.startswith(f"{word}.i ") for line in self.db.lines())

    def gone(self, name):
        return self.machine.state(unit(name)) == "inactive" and self.machine.state(unit(name, "timer")) == "inactive"

    def add(self, name, text, interval=0):
        started = unit(name, "timer" if interval else "service")
        self.soon(f"added: {name!r} is started", lambda: self.machine.add_collector(name, interval, text),
                  lambda: self.machine.state(started) == "active", {name: FOUND})

    def remove(self, name, interval=0):
        self.soon("removed: stopped", lambda: self.machine.remove_collector(name, interval), lambda: self.gone(name),
                  {name: GONE})

    def test_added_changed_removed(self):
        def scenario(i):
            self.add("coming", STEADY.format(word=f"first{i}"))
            self.wait_until(lambda: self.came(f"first{i}"), "its points")
            first = self.pid("coming")
            self.soon("changed: restarted",
                      lambda: self.machine.add_collector("coming", 0, STEADY.format(word=f"second{i}")),
                      lambda: self.pid("coming") not in (0, first), {"coming": CHANGED})
            self.wait_until(lambda: self.came(f"second{i}"), "its points")
            self.remove("coming")
            self.assertFalse(self.machine.path("/run/tcollector/col/coming").exists())
        self.tries(scenario)

    def test_periodic_added_changed_removed(self):
        def scenario(i):
            self.add("often", PERIODIC.format(word=f"often{i}"), interval=1)
            self.wait_until(lambda: self.came(f"often{i}"), "its points")
            self.soon("changed: the new program's points",
                      lambda: self.machine.add_collector("often", 1, PERIODIC.format(word=f"other{i}")),
                      lambda: self.came(f"other{i}"), {"often": CHANGED})
            self.remove("often", 1)
        self.tries(scenario)

    def test_moved_to_another_interval(self):
        def scenario(_):
            self.add("mover", STEADY.format(word="mover"))
            self.soon("moved: on a schedule",
                      lambda: self.machine.shell(f"cd {installed.COLLECTORS}; mkdir -p 30; mv 0/mover 30/"),
                      lambda: self.machine.state(unit("mover", "timer")) == "active" and
                      self.machine.show(unit("mover"), "RuntimeMaxUSec") == "30s", {"mover": CHANGED})
            self.remove("mover", 30)
        self.tries(scenario)

    def test_not_executable(self):
        path = self.machine.path(f"{installed.COLLECTORS}/0/switched")

        def scenario(_):
            self.add("switched", STEADY.format(word="switched"))
            self.soon("chmod -x: stopped", lambda: path.chmod(0o644), lambda: self.gone("switched"),
                      {"switched": GONE})
            self.soon("chmod +x: started", lambda: path.chmod(0o755), lambda: self.runs("switched"),
                      {"switched": FOUND})
            self.remove("switched")
        self.tries(scenario)

    def test_name_that_needs_escaping(self):
        name = "we ird:%n ä$x.sh"
        self.assertIn("\\x20", unit(name))

        def scenario(i):
            self.add(name, STEADY.format(word=f"weird{i}"))
            self.wait_until(lambda: self.came(f"weird{i}"), "its points")
            self.remove(name)
        self.tries(scenario)

    def test_names_that_look_like_more(self):
        """No instance of its own is mistaken for a template's, a path's or an option's."""
        names = ("-x", "a-b-c", "x@y", "sys.service")

        def add():
            for name in names:
                self.machine.add_collector(name, 0, STEADY.format(word="odd"))

        def remove():
            for name in names:
                self.machine.remove_collector(name, 0)

        def scenario(_):
            self.soon(f"added: {names} are started", add, lambda: all(self.runs(name) for name in names),
                      dict.fromkeys(names, FOUND))
            self.soon("removed: stopped", remove, lambda: all(self.gone(name) for name in names),
                      dict.fromkeys(names, GONE))
        self.tries(scenario)

    def test_same_name_under_two_intervals(self):
        """The first stands."""
        def n_complaints():
            return self.machine.journal("-b", "-t", "tcollectorctl").count("60/twice")

        def scenario(_):
            self.add("twice", STEADY.format(word="twice"))
            first, before = self.pid("twice"), n_complaints()
            self.soon("the same name under two intervals: said",
                      lambda: self.machine.add_collector("twice", 60, PERIODIC.format(word="never")),
                      lambda: n_complaints() > before, {})
            self.assertEqual(first, self.pid("twice"))
            self.assert_state(unit("twice", "timer"), "inactive")
            self.machine.remove_collector("twice", 60)
            self.remove("twice")
        self.tries(scenario)

    def section(self, text):
        self.machine.configure(f'collector "sectioned" {{\n    {text}\n}}\n', "sectioned.conf")

    def test_broken_section(self):
        """Costs the collector it is about, no other, until it is mended."""
        def scenario(_):
            self.add("sectioned", STEADY.format(word="sectioned"))
            self.soon("a broken conf.d file: its collector is stopped", lambda: self.section('memory_max = "a lot"'),
                      lambda: self.gone("sectioned"), {"sectioned": GONE})
            self.machine.wait_for_log(r"sectioned\.conf:2: ", "-b", "-t", "tcollectorctl")
            self.soon("mended: started with what it says", lambda: self.section('memory_max = "99M"'),
                      lambda: self.runs("sectioned") and
                      self.machine.show(unit("sectioned"), "MemoryMax") == str(99 << 20), {"sectioned": FOUND})
            self.soon("enabled = false: stopped", lambda: self.section("enabled = false"),
                      lambda: self.gone("sectioned"), {"sectioned": GONE})
            self.soon("the file removed: started",
                      lambda: self.machine.path("/etc/tcollector/conf.d/sectioned.conf").unlink(),
                      lambda: self.runs("sectioned"), {"sectioned": FOUND})
            self.remove("sectioned")
        self.tries(scenario)

    def test_masked_by_a_link(self):
        """A link to /dev/null in the first folder; and the file of the same name there wins."""
        path = self.machine.path(f"{installed.COLLECTORS}/0/linked")

        def mask():
            path.unlink()
            path.symlink_to("/dev/null")

        def scenario(_):
            self.add("linked", STEADY.format(word="linked"))
            self.soon("a link to /dev/null: stopped", mask, lambda: self.gone("linked"), {"linked": GONE})
            path.unlink()
        self.tries(scenario)

    def test_many_one_by_one(self):
        """While a rescan is at work, systemd watches nothing: what comes then is not to be missed."""
        *names, last = (f"many{i}" for i in range(N_MANY))

        def add(name):
            self.machine.add_collector(name, 0, STEADY.format(word="many"))

        def scenario(_):
            for name in names:
                add(name)
                self.machine.let_pass(0.2)
            self.soon(f"{N_MANY} added one by one: the last one is started", lambda: add(last),
                      lambda: all(self.runs(name) for name in (*names, last)), {last: FOUND})
            for name in names:
                self.machine.remove_collector(name, 0)
                self.machine.let_pass(0.1)
            self.soon(f"{N_MANY} removed one by one: the last one is stopped",
                      lambda: self.machine.remove_collector(last, 0),
                      lambda: all(self.gone(name) for name in (*names, last)), {last: GONE})
        self.tries(scenario)

    def test_stalled(self):
        """A long-running collector without a line for too long is restarted."""
        self.machine.configure('collector "silent" {\n    inactivity = "2s"\n}\n', "silent.conf")

        def scenario(_):
            self.add("silent", installed.SHELL + "echo silent.i $(date +%s) 1\nexec sleep 1000\n")
            first = self.pid("silent")
            self.soon("stalled: restarted", lambda: None, lambda: self.pid("silent") not in (0, first),
                      {"silent": SILENT}, allowed=2)
            self.assertTrue(self.runs("bystander"))
            self.remove("silent")
        self.tries(scenario)


if __name__ == "__main__":
    installed.main()
