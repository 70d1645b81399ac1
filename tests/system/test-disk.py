# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent's disk is full, or cannot be written, or has altered what was written to it: it runs on, says so, loses no
more than it must, and counts that."""
import json
import re

import installed

SPOOL = "/var/lib/tcollector/spool"
# Memory for some seven thousand lines, and records of a thousand.
SMALL = installed.CONFIG + 'queue_size = "256K"\nflush_timeout = "1s"\n'
# The spool's bound is beyond the file system, in files of a megabyte.
BOUND = SMALL + 'spool_size = "16M"\n'
RECORD = re.compile(rb"colrec\x00\x82")  # what a record's header begins with
HEADER = 64


class Disk(installed.TestCase):
    config = SMALL

    def setUp(self):
        self.numbers = installed.Numbers()
        self.database = self.tsd(store=self.numbers)
        self.database.kill()
        self.machine.configure(SMALL)
        self.machine.shell(f"mkdir -p {SPOOL}; chown -R tcollector: /var/lib/tcollector")
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.run(["systemctl", "stop", "tcollector"], check=False)
        self.machine.run(["umount", SPOOL, "/var/lib/tcollector"], check=False)
        self.machine.run(["sh", "-c", f"rm -rf {SPOOL} {installed.COLLECTORS}/0/* /dev/shm/tcollector-test-*; "
                          "systemctl daemon-reload; systemctl reset-failed"], check=False)

    # -- the disk --

    def mount(self, size, folder=SPOOL):
        """A file system of so many KiB where the spool is."""
        self.machine.shell(f"mount -t tmpfs -o size={size}k,mode=0750,uid=tcollector,gid=tcollector none {folder}")

    def fill(self, folder=SPOOL):
        """Whatever there is room for is taken by a foreign file, and names for more files, too."""
        self.machine.run(["dd", "if=/dev/zero", f"of={folder}/foreign", "bs=4k"], check=False)
        self.machine.run(["mount", "-o", "remount,nr_inodes=2", folder])
        self.assertEqual("0", self.machine.shell(f"df --output=avail {folder} | tail -1").strip())

    def flip(self, path, offset):
        """One bit of that file, seen from the host."""
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    def segments(self):
        return sorted(self.machine.path(SPOOL).glob("*.seg"))

    # -- the agent --

    def start(self):
        self.machine.shell("systemctl daemon-reload; systemctl start tcollector")
        self.wait_until(lambda: self.machine.run(["tcollectorctl", "status"], check=False).returncode == 0,
                        "the agent to be on the bus")

    def told(self):
        return json.loads(self.machine.run(["tcollectorctl", "status", "--json"]).stdout)

    def sums(self):
        """What is in is what is out, is here, or is lost; at any time."""
        s = self.told()["sums"]
        self.assertEqual(s["sent"] + s["inherited"], s["acked"] + s["queued"] + s["spooled"] + s["lost"], s)
        return s

    def wait_for_sums(self, condition, what):
        self.wait_until(lambda: condition(self.sums()), what)
        return self.sums()

    def said_by(self, *command):
        return self.machine.run(list(command), check=False).stdout

    def assert_said(self, reason, what="written"):
        """Wherever a person looks."""
        self.wait_until(lambda: reason in self.machine.show("tcollector.service", "StatusText"),
                        "the status to say why")
        self.assertIn(f"the spool cannot be {what} ({reason})", self.said_by("systemctl", "status", "tcollector"))
        self.assertIn(f"  cannot be written: {reason}\n", self.said_by("tcollectorctl", "status"))
        self.machine.wait_for_log(rf"The spool .*cannot be .*{reason}", "-u", "tcollector")
        self.assert_state("tcollector.service", "active")

    def wait_until_blocked(self, name):
        """Nobody takes what it has to say: its process sleeps in write(2), and the agent reads no more."""
        unit = f"tcollector-col@{name}.service"

        def waits():
            pid = self.machine.main_pid(unit)
            before = self.written(name), self.sums()["received"]
            state = self.machine.run(["cat", f"/proc/{pid}/wchan"], check=False).stdout
            return before[0] > 0 and "pipe" in state and before == (self.written(name), self.sums()["received"])
        self.wait_until(waits, f"{name} to wait", units=("tcollector.service", unit))

    def finish(self, name):
        """The collector ends, the database comes back: what was written arrives, but for the oldest lines, if some are
        counted as lost. How many."""
        self.machine.systemctl("stop", f"tcollector-col@{name}.service")
        n = self.written(name)
        self.database.listen()
        sums = self.wait_for_sums(lambda s: s["queued"] + s["spooled"] == 0 and self.numbers.last(name) >= n,
                                  "all to be delivered")
        self.assertEqual(list(range(1, sums["lost"] + 1)), self.numbers.missing(name, n))
        self.assertEqual(({}, 0, {}), (self.numbers.others, self.numbers.repeated(name), self.numbers.behind))
        return sums["lost"]

    # -- it is full --

    def test_full_before_the_start(self):
        self.mount(2048)
        self.fill()
        self.numbered("full", 0)
        self.start()
        self.wait_until_blocked("full")
        self.assert_said("No space left on device")
        self.assertEqual(0, self.sums()["spooled"])
        self.assertEqual(0, self.finish("full"))

    def test_no_room_for_the_folder(self):
        """There is not even a folder to put it in."""
        self.mount(64, "/var/lib/tcollector")
        self.fill("/var/lib/tcollector")
        self.numbered("nowhere", 0)
        self.start()
        self.wait_until_blocked("nowhere")
        self.assert_said("No space left on device", "used")
        self.assertEqual(0, self.finish("nowhere"))

    def test_fills_up(self):
        """What goes to it up to its last twentieth is kept, and the collector waits for the rest."""
        self.mount(2048)
        self.numbered("filling", 0)
        self.start()
        self.wait_until_blocked("filling")
        self.assert_said("No space left on device")
        sums = self.sums()
        self.assertGreater(sums["spooled"], 40_000)
        self.assertEqual(0, sums["lost"])
        self.assertEqual(0, self.finish("filling"))

    def test_oldest_go(self):
        """In several files, the oldest goes for what is new: counted, and no other is missing."""
        self.machine.configure(BOUND)
        self.mount(4096)
        self.numbered("oldest", 0)
        self.start()
        self.wait_for_sums(lambda s: s["lost"] > 0, "lines to be lost")
        lost = self.sums()["lost"]
        self.machine.wait_for_log(r"spool: [1-9]\d* points of \S+\.seg are lost \(no-space\)", "-u", "tcollector")
        self.wait_until(lambda: re.search(r", [1-9]\d* lost", self.machine.show("tcollector.service", "StatusText")),
                        "the status to say so")
        self.assertGreaterEqual(self.finish("oldest"), lost)

    # -- it cannot be written --

    def test_read_only(self):
        """With something in it from before."""
        self.mount(16384)
        self.numbered("earlier", 5000)
        self.start()
        self.wait_for_sums(lambda s: s["received"] > 10_000, "lines to be read")
        self.machine.systemctl("stop", "tcollector")
        self.machine.remove_collector("earlier", 0)
        self.machine.run(["mount", "-o", "remount,ro", SPOOL])
        self.numbered("later", 0)
        self.start()
        inherited = self.sums()["inherited"]
        self.assertEqual(self.written("earlier"), inherited)
        self.wait_until_blocked("later")
        self.assert_said("Read-only file system")
        self.assertEqual(inherited, self.sums()["spooled"])
        self.assertEqual(0, self.finish("later"))
        self.assertEqual([], self.numbers.missing("earlier", inherited))

    # -- it has altered something --

    def spool(self, name):
        """Lines in several records of one file; the agent is stopped. That file, and its records' beginnings."""
        self.numbered(name, 5000)
        self.start()
        self.wait_for_sums(lambda s: s["spooled"] > 20_000, "lines to be spooled")
        self.machine.systemctl("stop", "tcollector")
        self.machine.remove_collector(name, 0)
        file, = self.segments()
        records = [match.start() for match in RECORD.finditer(file.read_bytes())]
        self.assertGreater(len(records), 10)
        return file, records

    def assert_costs(self, name, why, n_lost, first=None):
        """What one bit costs: so many lines from that one on, and the log names file, count and reason."""
        said = self.machine.run(["journalctl", "--no-pager", "-q", "-n", "0", "--show-cursor"]).stdout.split()[-1]
        n = self.written(name)
        self.start()
        self.assertEqual(n, self.sums()["inherited"])
        self.assert_state("tcollector.service", "active")
        self.database.listen()
        self.wait_for_sums(lambda s: s["queued"] + s["spooled"] == 0, "all to be delivered")
        missing = self.numbers.missing(name, n)
        first = first or (missing[0] if missing else 0)
        self.assertEqual(list(range(first, first + n_lost)), missing)
        self.assertEqual(n_lost, self.sums()["lost"])
        told = self.machine.journal("-u", "tcollector", f"--after-cursor={said}")
        if n_lost:
            self.assertRegex(told, rf"spool: {n_lost} points of [0-9a-f]{{16}}\.seg are lost \({why}\)")
        self.assertEqual(n_lost > 0, " lost" in told)
        self.note(f"{n_lost} of {n} lines lost: {why}")

    def lines_of(self, file, records, i):
        """(how many, the first one's number) of that record."""
        end = records[i + 1] if i + 1 < len(records) else file.stat().st_size
        with open(file, "rb") as opened:
            opened.seek(records[i] + HEADER)
            text = opened.read(end - records[i] - HEADER)
        return text.count(b"\n"), int(text.split()[3])

    def test_bit_in_the_lines(self):
        file, records = self.spool("lines")
        i = len(records) // 2
        lost, first = self.lines_of(file, records, i)
        self.flip(file, (records[i] + records[i + 1]) // 2)
        self.assert_costs("lines", "damaged", lost, first)

    def test_bit_in_a_header(self):
        file, records = self.spool("header")
        i = len(records) // 2
        lost, first = self.lines_of(file, records, i)
        self.flip(file, records[i] + 20)
        self.assert_costs("header", "damaged", lost, first)

    def test_bit_in_the_last_record(self):
        """It may as well be one that a power cut has torn: that is what the log says."""
        file, records = self.spool("last")
        lost, first = self.lines_of(file, records, len(records) - 1)
        self.flip(file, file.stat().st_size - 10)
        self.assert_costs("last", "torn", lost, first)

    def test_bit_in_the_head_of_the_file(self):
        """What stands there can be had elsewhere."""
        file, _ = self.spool("head")
        self.flip(file, 24)
        self.assert_costs("head", "nothing", 0)

    def test_bit_in_the_state(self):
        """There are two copies; with both gone, too, all is delivered, if not for the first time."""
        self.spool("state")
        state = self.machine.path(f"{SPOOL}/state")
        self.flip(state, 30)
        self.flip(state, 4096 + 30)
        self.assert_costs("state", "nothing", 0)


if __name__ == "__main__":
    installed.main()
