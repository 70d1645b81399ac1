#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows the real thing: tcollector installed into a systemd that is booted for it and thrown away, delivering to a
real VictoriaMetrics, whose points are read back. Nothing of this host is changed. Normally called by ./dev try.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB = 8428
CONFIG = """server "victoria" { url = "telnet://127.0.0.1:4242" }
tags = { "project=try" }
"""
LOAD = """#!/bin/sh
# Any executable is a collector: this one runs every 5 seconds, by a timer of its own.
read one five fifteen rest </proc/loadavg
now=$(date +%s)
echo "loadavg.1min $now $one"
echo "loadavg.5min $now $five"
echo "loadavg.15min $now $fifteen"
"""
DATABASE = ("systemd-run", "-q", "--unit=try-database", "victoria-metrics", "-storageDataPath=/run/try-database",
            "-retentionPeriod=100y", f"-httpListenAddr=127.0.0.1:{WEB}", "-opentsdbListenAddr=127.0.0.1:4242",
            "-loggerLevel=ERROR")
# Run inside: what the database has, a line of JSON a series.
EXPORT = f"""
import sys, urllib.request
url = "http://127.0.0.1:{WEB}"
urllib.request.urlopen(url + "/internal/force_flush").read()
sys.stdout.write(urllib.request.urlopen(url + "/api/v1/export?match[]={{__name__!=''}}").read().decode())
"""


def say(text):
    print(f"== {text}", flush=True)


def show(machine, *command, check=False):
    """Runs it inside and prints it as a person would see it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    done = machine.run(list(command), check=check)
    print((done.stdout + done.stderr).rstrip(), flush=True)


def read_back(machine):
    """[(series, number of points, last value)] of what the database has of this host."""
    done = machine.run(["/usr/bin/python3", "-c", EXPORT], check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [(row["metric"], len(row["values"]), row["values"][-1]) for row in rows
            if row["metric"].get("project") == "try"]


def series_name(metric):
    tags = " ".join(f"{key}={value}" for key, value in sorted(metric.items()) if key != "__name__")
    return f"{metric['__name__']} {tags}"


def show_points(rows):
    metrics = sorted({row[0]["__name__"] for row in rows})
    points = sum(row[1] for row in rows)
    say(f"read back from the database: {points} points in {len(rows)} series of {len(metrics)} metrics; for instance")
    seen = set()
    for metric, n, last in sorted(rows, key=lambda row: series_name(row[0])):
        group = metric["__name__"].split(".")[0:2]
        if tuple(group) in seen:
            continue
        seen.add(tuple(group))
        print(f"   {series_name(metric)}: {n} points, the last is {last:g}")


class Forward:
    """A port of this host's loopback that leads to the machine's."""

    def __init__(self, machine, port):
        self.network = f"/proc/{machine.init}/ns/net"
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client):
        # The network namespace is a thread's own.
        with open(self.network, "rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0x40000000) < 0:
                client.close()
                return
        server = socket.create_connection(("127.0.0.1", self.port))
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def keep(machine):
    say("it is left running; Ctrl-C ends it. To look around, in another terminal:")
    print(f"   {shlex.join(machine.command(['bash']))}\n")
    for command in ("systemctl status tcollector", "tcollectorctl status", "journalctl -u tcollector-col@loadavg.sh",
                    "systemctl list-timers 'tcollector-col@*'", "systemctl cat tcollector-col@loadavg.sh"):
        print(f"   {command}")
    try:
        Forward(machine, WEB)
        print(f"\n   http://127.0.0.1:{WEB}/vmui  shows the points as graphs", flush=True)
    except OSError as error:
        print(f"\n   (no web page: port {WEB} of this host: {error.strerror})", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def fall_back(build, reason):
    say(f"no systemd can be booted here: {reason}")
    say("so the foreground mode, for 20 seconds; it prints what it would send:")
    environment = {**os.environ, "TCOLLECTOR_EXEC": str(build / "src/tcollector-exec")}
    command = [str(build / "src/tcollector"), "--dry-run", "-t", "project=try", "-c", str(build / "collectors")]
    print(f"\n$ {shlex.join(command)}", flush=True)
    return subprocess.run(["timeout", "-s", "INT", "20", *command], check=False, env=environment).returncode not in (0, 124)


def try_it(machine, rig, keep_it):
    machine.run(DATABASE)
    machine.add_collector("loadavg.sh", 5, LOAD)
    show(machine, "systemctl", "start", "tcollector", check=True)
    say("waiting for data")
    rig.wait_until(lambda: any(row[0]["__name__"] == "loadavg.1min" and row[1] > 1 for row in read_back(machine)),
                   "points of every kind in the database")
    # This database answers nothing: that a point is delivered is known some seconds later.
    rig.wait_until(lambda: re.search(r"; [1-9]\d* points delivered", machine.show("tcollector.service", "StatusText")),
                   "the agent to know that they are delivered")
    show(machine, "systemctl", "status", "--no-pager", "-l", "tcollector")
    show(machine, "systemctl", "list-units", "--no-pager", "--plain", "--no-legend", "tcollector*")
    show(machine, "systemctl", "list-timers", "--no-pager", "tcollector-col@*")
    show(machine, "tcollectorctl", "collectors")
    print()
    show_points(read_back(machine))
    if keep_it:
        keep(machine)


def main():
    parser = argparse.ArgumentParser(prog="./dev try", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave it running, and say how to look around")
    arguments = parser.parse_args()

    os.environ["TCOLLECTOR_BUILD"] = str(arguments.build.resolve())
    sys.dont_write_bytecode = True
    import installed  # it reads the variable above
    import rig

    reason = rig.why_not()
    if reason:
        return fall_back(arguments.build, reason)
    say("booting a systemd with tcollector installed; nothing of this host is changed")
    try:
        with installed.Installed(config=CONFIG) as machine:
            try_it(machine, rig, arguments.keep)
            say("throwing it away")
    except rig.RigError as error:
        print(f"== it did not work: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
