#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a collector on a fake root and compares what it says with a golden file.

usage: run.py GOLDEN PROGRAM [ARGUMENT...]

The program runs in tests/golden/roots, so that `--root NAME` is one of the roots there. The golden file is its
standard output, then its standard error and exit status behind '#'. Every line of the output must also be a
data point as the agent takes it. With GOLDEN_UPDATE=1 in the environment the file is rewritten instead of
compared."""

import difflib
import os
import re
import subprocess
import sys

NAME = r"[-_./a-zA-Z0-9]+"
LINE = re.compile(rf"({NAME}) ([0-9]+) (-?[0-9]+(?:\.[0-9]+)?)((?: {NAME}={NAME})*)")
TIME_END = 2209212000
FINISHED_MAX = 1023  # bytes of "put LINE\n"
TAGS_MAX = 8 - 1     # the agent adds the host


def fault(line, times):
    """What is wrong with a line, or None. `times` has the time each series was last seen at."""
    match = LINE.fullmatch(line)
    if not match:
        return "is no data point"
    metric, when, value, tags = match.groups()
    keys = [tag.split("=")[0] for tag in tags.split()]
    if not 0 < int(when) < TIME_END or len(when) > 11:
        return "has no valid time"
    if "." not in value and not -2**63 <= int(value) < 2**63:
        return "has a value beyond 64 bits"
    if len(set(keys)) != len(keys) or len(keys) > TAGS_MAX:
        return "has a tag twice, or too many"
    if len("put " + line + "\n") > FINISHED_MAX:
        return "is too long"
    if times.get((metric, tags), 0) >= int(when):
        return "is the second of its series at this time"
    times[(metric, tags)] = int(when)
    return None


def main():
    golden, program = sys.argv[1:3]
    roots = os.path.join(os.path.dirname(os.path.abspath(__file__)), "roots")
    ran = subprocess.run([os.path.abspath(program), *sys.argv[3:]], cwd=roots, stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=100, check=False)
    out, said = ran.stdout.decode("ascii"), ran.stderr.decode()
    text = out + "".join(f"# stderr: {line}\n" for line in said.splitlines()) + f"# exit: {ran.returncode}\n"
    failed = False

    times = {}
    for line in out.splitlines():
        why = fault(line, times)
        if why:
            print(f"'{line}' {why}")
            failed = True
    if out and not out.endswith("\n"):
        print("the last line is cut")
        failed = True

    if os.environ.get("GOLDEN_UPDATE") == "1":
        with open(golden, "w", encoding="ascii") as f:
            f.write(text)
        return failed

    with open(golden, encoding="ascii") as f:
        expected = f.read()
    diff = difflib.unified_diff(expected.splitlines(), text.splitlines(), golden, "now", lineterm="")
    for line in diff:
        print(line)
        failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
