#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How collectors live and end, whatever they read: options, exit status, one write per whole lines, signals.

usage: lifecycle.py FOLDER NAME...      (the folder that has the programs)"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "roots")
FOLDER = ""
NAMES = []
WRITE_MAX = 64 * 1024
PATIENCE = 60  # seconds that nothing here needs


def run(name, *arguments, **environment):
    return subprocess.run([os.path.join(FOLDER, name), *arguments], cwd=ROOTS, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env={**os.environ, **environment})


def writes(command):
    """Each write(2) of a program to its standard output."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, subprocess.Popen(command, cwd=ROOTS, stdin=subprocess.DEVNULL, stdout=theirs) as child:
        theirs.close()
        got = list(iter(lambda: ours.recv(1 << 20), b""))
        child.wait(PATIENCE)
    return got


class Lifecycle(unittest.TestCase):
    def test_help_and_version(self):
        for name in NAMES:
            for option, word in (("--help", "--once"), ("-h", "--interval"), ("--version", "tcollector")):
                ran = run(name, option)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""), name)
                self.assertIn(word, ran.stdout)

    def test_wrong_usage(self):
        wrong = (["--no-such"], ["--interval=0"], ["--interval=soon"], ["--interval"], ["--time=now"],
                 ["-x"], ["word"], ["--once=3"], ["--root=."] * 17)
        for name in NAMES:
            for arguments in wrong:
                ran = run(name, "--once", *arguments)
                self.assertEqual((ran.returncode, ran.stdout), (2, ""), (name, arguments))
                self.assertEqual(ran.stderr.count("\n"), 1, ran.stderr)

    def test_own_options(self):
        for name, option in (("ifstat", "--names=newest"), ("ifstat", "--interfaces="),
                             ("dfstat", "--timeout=0")):
            self.assertEqual(run(name, "--once", option).returncode, 2, option)

    def test_no_such_root(self):
        ran = run(NAMES[0], "--once", "--root=no-such-folder")
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr.count("\n")), (1, "", 1))

    def test_periodic(self):
        for name in NAMES:
            ran = run(name, "--root=debian12", TCOLLECTOR_INTERVAL="15")
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), name)
            self.assertTrue(ran.stdout, name)

    def test_options_from_environment(self):
        ran = run("ifstat", "--root=debian12", IFSTAT_OPTIONS=" --names=new\t--once --interfaces=lo ")
        self.assertIn("proc.net.colls ", ran.stdout)
        self.assertNotIn("ens3", ran.stdout)
        self.assertEqual(run("ifstat", IFSTAT_OPTIONS="--names").returncode, 2)

    def test_one_write_a_round(self):
        for name in NAMES:
            got = writes([os.path.join(FOLDER, name), "--once", "--root=debian12", "--root=debian12"])
            self.assertEqual([b[-1:] for b in got], [b"\n", b"\n"], name)

    def test_writes_end_with_a_line(self):
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "proc"))
            with open(os.path.join(root, "proc/interrupts"), "w", encoding="ascii") as f:
                f.write(" ".join(f"CPU{i}" for i in range(64)) + "\n")
                for i in range(100):
                    f.write(f"I{i}: " + " ".join(str(i * 1000 + k) for k in range(64)) + "\n")
            got = writes([os.path.join(FOLDER, "procstats"), "--once", "--root", root])
        self.assertEqual(b"".join(got).count(b"\n"), 6400)
        for b in got:
            self.assertTrue(b.endswith(b"\n") and len(b) <= WRITE_MAX)
        for b in got[:-1]:
            self.assertGreater(len(b), WRITE_MAX - 1024)

    def test_runs_until_terminated(self):
        for name in NAMES:
            with subprocess.Popen([os.path.join(FOLDER, name), "--interval=0.02", "--root=debian12"],
                                  cwd=ROOTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
                times = [child.stdout.readline() for _ in range(1000)]  # more than two rounds
                child.send_signal(signal.SIGTERM)
                said = child.communicate(timeout=PATIENCE)[1]
            self.assertTrue(all(times), name)
            self.assertEqual((child.returncode, said), (-signal.SIGTERM, b""), name)

    def test_reader_goes_away(self):
        for name in NAMES:
            for handler, status in ((signal.SIG_DFL, -signal.SIGPIPE), (signal.SIG_IGN, 0)):
                readable, writable = os.pipe()
                os.close(readable)
                ran = subprocess.run([os.path.join(FOLDER, name), "--root=debian12"], cwd=ROOTS,
                                     stdout=writable, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
                                     restore_signals=False,
                                     preexec_fn=lambda h=handler: signal.signal(signal.SIGPIPE, h))
                os.close(writable)
                self.assertEqual((ran.returncode, ran.stderr), (status, b""), name)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            ran = subprocess.run([os.path.join(FOLDER, NAMES[0]), "--root=debian12"], cwd=ROOTS, stdout=full,
                                 stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.assertEqual((ran.returncode, ran.stderr.count(b"\n")), (1, 1))

    def test_this_host(self):
        """On the machine that runs the tests, which has a /proc whatever it is."""
        ran = run("procstats", "--once")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("proc.meminfo.memtotal ", ran.stdout)


if __name__ == "__main__":
    FOLDER, NAMES = os.path.abspath(sys.argv[1]), sys.argv[2:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
