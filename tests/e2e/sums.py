# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two sums that hold at any time, as the agent logs them with -v when it ends: what became of every line a
collector printed, and of every line that was accepted."""
import collections
import re

PER_COLLECTOR = re.compile(r"^tcollector: debug: (\S+): (\d+) received = (\d+) sent - (\d+) replayed \+ "
                           r"(\d+) suppressed \+ (\d+) invalid", re.M)
IN_ALL = re.compile(r"^tcollector: debug: in all: (\d+) sent \+ (\d+) inherited = (\d+) acked \+ (\d+) queued \+ "
                    r"(\d+) spooled \+ (\d+) lost$", re.M)

Lines = collections.namedtuple("Lines", "received sent replayed suppressed invalid")
InAll = collections.namedtuple("InAll", "sent inherited acked queued spooled lost")


def of_collectors(log):
    """{collector: Lines} of those there are at the end."""
    return {name: Lines(*map(int, numbers)) for name, *numbers in PER_COLLECTOR.findall(log)}


def in_all(log):
    """None where it is not said, or more than once."""
    found = IN_ALL.findall(log)
    return InAll(*map(int, found[0])) if len(found) == 1 else None


def wrong(log, nothing_else=False):
    """What does not add up. `nothing_else`: no collector has been removed, and there is no self-report."""
    said, found = in_all(log), []
    if said is None:
        return ["the sums are not said, or not once"]
    if said.sent + said.inherited != said.acked + said.queued + said.spooled + said.lost:
        found.append(f"{said}")

    rows = of_collectors(log)
    for name, row in rows.items():
        if row.received != row.sent - row.replayed + row.suppressed + row.invalid:
            found.append(f"{name}: {row}")
    sent = sum(row.sent for row in rows.values())
    if sent > said.sent or (nothing_else and sent != said.sent):
        found.append(f"the collectors' {sent} sent lines are {said.sent} in all")
    return found
