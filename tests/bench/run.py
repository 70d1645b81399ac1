#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the benchmarks of a build folder: all, or those named. Normally called by ./dev bench.

Each compares with something real in the same run (a memcpy, a plain read, a relay), because the absolute figures of a
shared machine say little. Last comes the memory of an idle agent.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import http_delivery

ARGUMENTS = {"throughput": ["{build}/src/tcollector"]}
IDLE_SECONDS = 5


def rollup(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {key: int(kib) for key, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}


def switches(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", text))


def idle(build):
    """An agent whose one collector has nothing to say: no server is needed, libcurl is not loaded."""
    with tempfile.TemporaryDirectory() as folder:
        collector = pathlib.Path(folder, "0", "quiet")
        collector.parent.mkdir()
        collector.write_text("#!/bin/sh\nexec sleep 1000\n")
        collector.chmod(0o755)
        agent = subprocess.Popen([f"{build}/src/tcollector", "-c", folder, "--dry-run"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            before = switches(agent.pid)
            time.sleep(IDLE_SECONDS)
            wakeups = (switches(agent.pid) - before) / IDLE_SECONDS
            m = rollup(agent.pid)
            print(f"idle agent: {m['Pss']} KiB PSS, {m['Private_Clean'] + m['Private_Dirty']} KiB of its own, "
                  f"{wakeups:.1f} wake-ups/s")
        finally:
            agent.terminate()
            agent.wait()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:]
    programs = {p.name.removeprefix("bench-"): p for p in sorted((build / "tests").glob("bench-*"))
                if p.is_file() and os.access(p, os.X_OK)}
    unknown = [w for w in wanted if w not in programs and w not in ("http", "idle")]
    if unknown:
        raise SystemExit(f"there is no benchmark {unknown[0]}; there are: {', '.join([*programs, 'http', 'idle'])}")
    for name, program in programs.items():
        if wanted and name not in wanted:
            continue
        print(f"== {name}", flush=True)
        arguments = [a.format(build=build) for a in ARGUMENTS.get(name, [])]
        subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, check=True)
    if not wanted or "http" in wanted:
        print("== http", flush=True)
        http_delivery.main(build)
    if not wanted or "idle" in wanted:
        print("== idle", flush=True)
        idle(build)


if __name__ == "__main__":
    main()
