# SPDX-License-Identifier: LGPL-2.1-or-later
"""A collector that is killed in the midst of a line, thousands of times: half a line never becomes a point, and no
whole line is lost by what stands before it."""
import installed

KILLS = 3000

# Each run prints a whole line, then the first bytes of another, each time one more of them, and kills itself. The
# number of the next line is kept in a file.
TORN = installed.SHELL + """
file=/dev/shm/tcollector-test-torn
n=1
[ ! -e $file ] || read n < $file
echo $((n + 1)) > $file
printf 'whole %d %d\\n' $((1000000000 + n)) $n
line="torn $((1000000000 + n)) $n"
printf "%.$((n % (${#line} + 1)))s" "$line"
kill -9 $$
"""
UNIT = "tcollector-col@torn.service"
AT_ONCE = "[Service]\nRestart=always\nRestartSec=0\n"


class HalfLine(installed.TestCase):
    def test_killed_in_the_midst_of_a_line(self):
        # with an interval, as its sandbox is the cheap one
        self.machine.add_collector("torn", 3600, TORN)
        self.machine.drop_in(UNIT, AT_ONCE)
        numbers = installed.Numbers()
        self.tsd(store=numbers)
        self.addCleanup(self.machine.run, ["systemctl", "stop", "tcollector"])
        # Without waiting: one that is killed at once may count as not started.
        self.machine.systemctl("start", "--no-block", UNIT)
        counter = self.machine.path("/dev/shm/tcollector-test-torn")

        def runs():
            try:
                return int(counter.read_text() or 0)
            except FileNotFoundError:
                return 0
        took = self.wait_until(lambda: runs() > KILLS, f"{KILLS} runs", seconds=200, units=[UNIT])
        self.machine.systemctl("stop", UNIT)
        n = runs() - 1
        # Of the last run the line may not have been printed.
        self.wait_until(lambda: not numbers.missing("whole", n - 1), f"{n} whole lines",
                        units=["tcollector.service"])
        self.assertEqual({}, numbers.others, "lines that nobody printed")
        self.assertEqual({"whole"}, set(numbers.seen), "half a line became a point")
        self.note(f"{n} times killed in the midst of a line, in {took:.0f} s")


if __name__ == "__main__":
    installed.main()
