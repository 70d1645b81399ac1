# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delivery over HTTP beside the line protocol, to the same VictoriaMetrics in the same run, and beside curl(1), which
posts what the agent would, made beforehand. The one that is measured has a core of its own. In the rate seen of the
line protocol are the three seconds for which what a server took that never answers is held back."""
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from victoria_metrics import VictoriaMetrics  # noqa: E402

LINES = 1_000_000
SERIES = 200
PER_BODY = 40_000  # about what the agent puts into one, when a server takes them of any size
ROUNDS = 3


def line(i):
    return f"bench.proc.net.bytes.{i % SERIES:06d} {1700000000 + i // SERIES} {i // SERIES:08d}1 iface=eth0 direction=in"


def write_lines(path):
    with open(path, "w") as out:
        for begin in range(0, LINES, 10000):
            out.write("".join(line(i) + "\n" for i in range(begin, begin + 10000)))


def point(i):
    metric, when, value, *tags = line(i).split()
    tags = ",".join('"{}":"{}"'.format(*t.split("=")) for t in tags)
    return f'{{"metric":"{metric}","timestamp":{when},"value":{int(value)},"tags":{{{tags}}}}}'


def write_bodies(folder, compress):
    """A configuration of curl(1) that posts them all over one connection."""
    for n, begin in enumerate(range(0, LINES, PER_BODY)):
        body = ("[" + ",".join(point(i) for i in range(begin, begin + PER_BODY)) + "]").encode()
        (folder / f"body-{n}").write_bytes(gzip.compress(body, 1) if compress else body)
    return n + 1


def curl_config(folder, url, n, compress):
    lines = []
    for i in range(n):
        lines += [f'url = "{url}"', f'data-binary = "@{folder}/body-{i}"', 'header = "Content-Type: application/json"',
                  'header = "Expect:"', "fail", "silent"]
        lines += ['header = "Content-Encoding: gzip"'] if compress else []
        lines += ["next"]
    path = folder / "curl.conf"
    path.write_text("\n".join(lines[:-1]) + "\n")
    return path


def measure(command, stdin):
    def pin():
        os.sched_setaffinity(0, {0})

    begin = time.monotonic()
    with open(stdin, "rb") as lines:
        process = subprocess.Popen([str(c) for c in command], stdin=lines, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=pin)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begin, usage


def best(name, command, stdin, rows_taken):
    runs = []
    for _ in range(ROUNDS):
        before = rows_taken()
        runs.append(measure(command, stdin))
        if rows_taken() - before != LINES:
            raise SystemExit(f"{name}: {rows_taken() - before} of {LINES} lines came through")
    cpu, wall, usage = min(runs, key=lambda run: run[0])
    print(f"{name:22} {LINES / wall / 1e6:6.2f} M lines/s seen  {cpu / LINES * 1e9:6.1f} ns/line CPU "
          f"({usage.ru_utime / LINES * 1e9:5.1f} user + {usage.ru_stime / LINES * 1e9:5.1f} system)  "
          f"{usage.ru_maxrss:7d} KiB peak", flush=True)


def main(build):
    agent = build / "src/tcollector"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-http-"))
    vm = VictoriaMetrics(folder / "victoria-metrics")
    vm.start()
    try:
        os.sched_setaffinity(vm.process.pid, set(range(1, os.cpu_count())) or {0})
        url = f"http://127.0.0.1:{vm.http_put}/api/put"

        def by_http():
            return vm.counter('vm_rows_inserted_total{type="opentsdbhttp"}')

        def by_telnet():
            return vm.counter('vm_rows_inserted_total{type="opentsdb"}')

        lines = folder / "lines"
        write_lines(lines)
        print(f"{LINES} lines of {len(line(0)) + 1} bytes, {SERIES} series, best of {ROUNDS} by CPU time")
        best("agent, line protocol", [agent, "-s", "-H", "127.0.0.1", "-p", vm.port], lines, by_telnet)
        for compress in (True, False):
            how = "gzip" if compress else "plain"
            conf = folder / f"{how}.conf"
            conf.write_text(f'server "main" {{\nurl = "{url}"\ngzip = {str(compress).lower()}\n}}\n')
            best(f"agent, HTTP, {how}", [agent, "-s", "--config", conf], lines, by_http)
            if shutil.which("curl"):
                n = write_bodies(folder, compress)
                best(f"curl, {how}, ready-made", ["curl", "-K", curl_config(folder, url, n, compress)], os.devnull,
                     by_http)
    finally:
        vm.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
