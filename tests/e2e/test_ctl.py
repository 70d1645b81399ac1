# SPDX-License-Identifier: LGPL-2.1-or-later
"""tcollectorctl as a person runs it, where no agent and perhaps no systemd is: usage, help, the check of files."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOBODY = 65534
GOOD = 'server "a" { url = "telnet://tsd1:4242" }\ncollector "x.py" { interval = 60 }\n'


class Ctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.folder.chmod(0o755)
        cls.program = cls.folder / "tcollectorctl"
        shutil.copy2(os.environ["TCOLLECTORCTL"], cls.program)  # where nobody else may look, it may lie

    @classmethod
    def enterClassContext(cls, context):
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def run_ctl(self, *arguments, status=0, **options):
        done = subprocess.run([self.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False, **options)
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        return done

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


class Usage(Ctl):
    ROWS = [
        ([], "verb"),
        (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        ([""], "unknown verb"),
        (["a\nb"], "a\\?b"),
        (["status", "--nonsense"], "--nonsense"),
        (["status", "--dump"], "--dump"),
        (["status", "extra"], "extra"),
        (["check", "--settle"], "--settle"),
        (["rescan", "extra"], "extra"),
        (["collector-failed"], "INSTANCE"),
        (["collector-failed", "a", "b"], "b"),
        (["prepare", "--", "--json"], "--json"),
    ]

    def test_refused(self):
        for arguments, want in self.ROWS:
            with self.subTest(arguments=arguments):
                done = self.run_ctl(*arguments, status=2)
                self.assertEqual("", done.stdout)
                self.assertRegex(done.stderr, rf"\Atcollectorctl: [^\n]*{want}[^\n]*--help'\.\n\Z")

    def test_help_and_version(self):
        told = self.run_ctl("--help").stdout
        self.assertEqual(told, self.run_ctl("rescan", "-h").stdout)
        self.assertRegex(self.run_ctl("--version").stdout, r"\Atcollectorctl \d+\n\Z")

    def test_manual_page_has_every_verb_and_option(self):
        told, _, options = self.run_ctl("--help").stdout.partition("\nOptions:\n")
        page = (ROOT / "man/tcollectorctl.1.scd").read_text()
        verbs = page[page.index("# VERBS"):page.index("# OPTIONS")]
        # indented by two: neither a title nor the line that says how it is called
        self.assertEqual(set(re.findall(r"^  ([a-z-]+) ", told, re.MULTILINE)),
                         set(re.findall(r"^\*([a-z-]+)\*", verbs, re.MULTILINE)))
        self.assertEqual(set(re.findall(r"^  (?:-h, )?(--[a-z]+) ", options, re.MULTILINE)),
                         set(re.findall(r"^\t?(?:\*-h\*, )?\*(--[a-z]+)\*$", page, re.MULTILINE)))

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([self.program, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=60, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("standard output", done.stderr)

    def test_root_only(self):
        options = {"user": NOBODY} if os.geteuid() == 0 else {}
        for arguments in (["prepare"], ["stopping"], ["stopped"], ["rescan"], ["rescan", "--settle"], ["flush"],
                          ["collector-failed", "a"]):
            with self.subTest(arguments=arguments):
                done = self.run_ctl(*arguments, status=1, **options)
                self.assertEqual("", done.stdout)
                self.assertRegex(done.stderr, rf"\Atcollectorctl: error: '{arguments[0]}' takes root[^\n]*\n\Z")

    def test_no_agent(self):
        nowhere = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.folder}/no-bus"}
        for verb in ("status", "collectors"):
            with self.subTest(verb=verb):
                done = self.run_ctl(verb, status=1, env=nowhere)
                self.assertEqual("", done.stdout)
                self.assertRegex(done.stderr, r"\A[^\n]*does not answer[^\n]*systemctl start tcollector\n\Z")


class Check(Ctl):
    def test_good(self):
        done = self.run_ctl("check", self.file("good.conf", GOOD))
        self.assertEqual(("", ""), (done.stdout, done.stderr))

    def test_bad(self):
        rows = [
            ("no-such.conf", None, r"no-such.conf: No such file"),
            ("key.conf", "nonsense = 1\n", r"key.conf:1: .*nonsense"),
            ("third.conf", GOOD + "max_tags = 0\n", r"third.conf:3: max_tags"),
        ]
        for name, text, want in rows:
            with self.subTest(name=name):
                path = self.file(name, text) if text else str(self.folder / name)
                done = self.run_ctl("check", self.file("good.conf", GOOD), path, status=1)
                self.assertEqual("", done.stdout)
                self.assertRegex(done.stderr, rf"\A[^\n]*{want}[^\n]*\n\Z")

    def test_dump_is_read_back(self):
        dump = self.run_ctl("check", "--dump", self.file("good.conf", GOOD)).stdout
        self.assertIn("tsd1:4242", dump)
        again = self.run_ctl("check", "--dump", self.file("dump.conf", dump)).stdout
        self.assertEqual(dump, again)

    def test_this_host(self):
        done = subprocess.run([self.program, "check", "--json"], capture_output=True, text=True, timeout=60,
                              check=False)
        if done.returncode == 0:
            for row in json.loads(done.stdout):
                self.assertEqual({"name", "interval", "user", "path"}, set(row))
        else:
            self.assertRegex(done.stderr, r":\d+: ")


unittest.main(verbosity=2)
