# SPDX-License-Identifier: LGPL-2.1-or-later
"""A collector that is killed in the midst of a line, thousands of times: half a line never becomes a point, and no
whole line is lost by what stands before it."""
import installed

KILLS = 3000

# Each run prints a whole line, then the first bytes of another, each time one more of them, and kills itself. The
# number of the next line is kept in two files by turns: whenever it is killed one of them is whole, and no other
# program has to be run for that.
COUNTER = "/dev/shm/tcollector-test-torn"
TORN = installed.SHELL + f"file={COUNTER}" + """
n=1
for turn in 0 1; do
        m=
        [ ! -e $file.$turn ] || read m < $file.$turn
        [ ${m:-0} -le $n ] || n=$m
done
echo $((n + 1)) > $file.$((n % 2))
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

        def runs():
            files = [self.machine.path(f"{COUNTER}.{turn}") for turn in (0, 1)]
            return max(int(file.read_text() or 0) if file.exists() else 0 for file in files)
        took = self.wait_until(lambda: runs() > KILLS, f"{KILLS} runs", seconds=200, units=[UNIT])
        self.machine.systemctl("stop", UNIT)
        n = runs() - 1
        self.assertGreater(n, KILLS - 2)
        # Of the last run the line may not have been printed.
        self.wait_until(lambda: not numbers.missing("whole", n - 1), f"{n} whole lines",
                        units=["tcollector.service"])
        self.assertEqual({}, numbers.others, "lines that nobody printed")
        self.assertEqual({"whole"}, set(numbers.seen), "half a line became a point")
        self.note(f"{n} times killed in the midst of a line, in {took:.0f} s")


if __name__ == "__main__":
    installed.main()
