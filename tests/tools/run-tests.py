#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs everything CI runs, and closes with "N passed, N failed". Normally called by ./dev test.

Builds with gcc, with clang, and with gcc under ASan and UBSan, every warning an error; then runs the meson tests of
each build (all suites with gcc, the unit tests with clang, unit, golden, fuzz replay and a million lines end to end
under the sanitizers) and the checks of the sources. A test that is skipped counts as failed: what cannot run here proves nothing.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILDS = {
    "gcc": dict(cc="gcc", setup=["-Dwerror=true"], suites=None),
    "clang": dict(cc="clang", setup=["-Dwerror=true"], suites=["unit"]),
    "asan": dict(cc="gcc", setup=["--native-file", "tests/tools/sanitize.ini"], suites=["unit", "golden", "fuzz", "counters"]),
}


SLOW = ("e2e", "system", "vm")


class Result:
    def __init__(self):
        self.passed = 0
        self.failed = []

    def add(self, name, ok):
        if ok:
            self.passed += 1
        else:
            self.failed.append(name)


def say(text):
    print(f"== {text}", flush=True)


def run(argv, **kwargs):
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, **kwargs)


def quiet(argv, **kwargs):
    """Runs a command, showing what it printed only where it failed."""
    done = run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kwargs)
    if done.returncode != 0:
        print(done.stdout, flush=True)
    return done.returncode == 0


def build(name, spec):
    folder = ROOT / "build" / name
    env = dict(os.environ, CC=spec["cc"])
    if not (folder / "build.ninja").exists():
        if not quiet(["meson", "setup", *spec["setup"], str(folder)], env=env):
            return False
    return quiet(["ninja", "-C", str(folder)])


def suites_of(test):
    """A test is called "PROJECT:SUITE+SUITE / NAME"."""
    return test["name"].partition(" / ")[0].partition(":")[2].split("+")


def read_log(folder, name, result):
    """Counts what meson ran from its own log; False where it left none. How long the slow suites took is said."""
    log = folder / "meson-logs" / "testlog.json"
    if not log.exists():
        return False
    tests = [json.loads(line) for line in log.read_text().splitlines()]
    for test in tests:
        result.add(f"{name}: {test['name']} ({test['result']})", test["result"] == "OK")
    for suite in SLOW:
        spans = [(test["starttime"], test["starttime"] + test["duration"]) for test in tests if suite in suites_of(test)]
        if spans:
            say(f"suite {suite}: {max(end for _, end in spans) - min(begin for begin, _ in spans):.0f} s")
    return True


def run_meson_tests(name, spec, only, result):
    folder = ROOT / "build" / name
    argv = ["meson", "test", "-C", str(folder), "--no-rebuild", "--print-errorlogs"]
    suites = spec["suites"] if spec["suites"] is None or not only.suites else \
        [s for s in only.suites if s in spec["suites"]]
    if suites is None:
        suites = only.suites
    if only.suites and not suites:
        return
    for suite in suites or []:
        argv += ["--suite", suite]
    log = folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
    done = run(argv + only.tests, env=env)
    if not read_log(folder, name, result):
        result.add(f"{name}: meson test ran nothing (exit status {done.returncode})", False)


def tracked(*patterns):
    out = run(["git", "ls-files", "-z", "--", *patterns], stdout=subprocess.PIPE, check=True).stdout.decode()
    return [f for f in out.split("\0") if f]


def check_sources(result):
    say("the sources: clang-format, clang-tidy, shellcheck, codespell")
    result.add("clang-format (./dev fmt --all mends it)",
               quiet(["clang-format", "--dry-run", "-Werror", *tracked("*.c", "*.h")]))
    result.add("clang-tidy", quiet(["./dev", "tidy"]))
    shell = ["dev", ".ci/run"] + tracked("*.sh")
    result.add("shellcheck", quiet(["shellcheck", "-S", "warning", *shell]))
    words = ROOT / "tests/tools/codespell-ignore.txt"
    text = [f for f in tracked() if f != "COPYING" and "/corpus/" not in f and "/golden/" not in f]
    result.add("codespell", quiet(["codespell", "-q", "3", "-I", str(words), *text]))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", dest="builds", action="append", choices=BUILDS, help="only this build")
    parser.add_argument("--suite", dest="suites", action="append", help="only this suite (unit, golden, fuzz, ...)")
    parser.add_argument("tests", nargs="*", help="only these tests")
    return parser.parse_args()


def main():
    only = parse_arguments()
    result = Result()
    began = time.monotonic()
    for name, spec in BUILDS.items():
        if only.builds and name not in only.builds:
            continue
        say(f"{name}: building")
        ok = build(name, spec)
        result.add(f"{name}: build", ok)
        if ok:
            run_meson_tests(name, spec, only, result)
    if not (only.tests or only.suites or only.builds):
        check_sources(result)

    say(f"took {time.monotonic() - began:.0f} s")
    for name in result.failed:
        print(f"FAILED {name}")
    print(f"{result.passed} passed, {len(result.failed)} failed", flush=True)
    return 1 if result.failed or not result.passed else 0


if __name__ == "__main__":
    sys.exit(main())
