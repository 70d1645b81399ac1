#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the floors: check-floors.py ROOT, or check-floors.py --self-test.

A folder of src/ is a floor. A file includes its own folder and lower floors, never a sibling, never upward, and only the
libraries its floor may know. A collector includes what lies in collectors/ and the basic floor; what the
collectors share (collectors/lib) knows no collector. Offenders are printed as FILE:LINE: cause.
"""
import pathlib
import re
import sys
import tempfile

FLOORS = {"basic": 0, "point": 1, "conf": 1, "store": 2, "io": 3, "agent": 4, "exec": 4, "ctl": 4, "generator": 4}
LIBRARIES = {
    "systemd/": {"io", "agent", "ctl", "generator"},
    "confuse.h": {"conf"},
    "curl/": {"io"},
    "microhttpd.h": {"io"},
    "xxhash.h": {"point", "store", "io"},
}
GENERATED = "config.h"  # made by meson, in the build folder
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found[1] == '"', found[2]


def library_fault(target, folder):
    for library, folders in LIBRARIES.items():
        if (target == library or (library.endswith("/") and target.startswith(library))) and folder not in folders:
            return f"{folder}/ does not know <{target}>"
    return None


def floor_fault(target, folder):
    if target == GENERATED:
        return None
    other = target.partition("/")[0]
    if "/" not in target or other not in FLOORS:
        return f'"{target}" names no floor'
    if other == folder or FLOORS[other] < FLOORS[folder]:
        return None
    what = "its sibling" if FLOORS[other] == FLOORS[folder] else "the higher floor"
    return f"{folder}/ includes {what} {other}/"


def collector_fault(target, path, collectors):
    if target.startswith("basic/") or target == GENERATED:
        return None
    if not (collectors / target).is_file():
        return f'"{target}" is neither of collectors/ nor of basic/'
    if path.parent.name == "lib" and not target.startswith("lib/"):
        return f'lib/ includes the collector "{target}"'
    return None


def check(root):
    faults, n = [], 0
    src, collectors = root / "src", root / "collectors"
    sources = sorted(p for d in (src, collectors) if d.is_dir() for p in d.rglob("*.[ch]"))
    for path in sources:
        n += 1
        folder = path.relative_to(src).parts[0] if src in path.parents else None
        if folder is not None and folder not in FLOORS:
            faults.append(f"{path.relative_to(root)}:1: {folder}/ has no floor")
            continue
        for number, quoted, target in includes(path):
            if folder is None:
                fault = collector_fault(target, path, collectors) if quoted else library_fault(target, "collectors")
            else:
                fault = floor_fault(target, folder) if quoted else library_fault(target, folder)
            if fault:
                faults.append(f"{path.relative_to(root)}:{number}: {fault}")
    return faults, n


BAD_TREE = {
    "src/basic/a.c": '#include <stdio.h>\n#include <systemd/sd-event.h>\n#include "basic/a.h"\n',
    "src/conf/b.c": '#include <config.h>\n#include <confuse.h>\n\n#include "basic/a.h"\n#include "point/b.h"\n',
    "src/point/b.c": '#include "a.h"\n',
    "src/store/c.h": '  #  include "io/d.h"\n#include "point/b.h"\n',
    "src/io/d.c": '#include <curl/curl.h>\n#include "agent/e.h"\n#include "conf/b.h"\n#include "store/c.h"\n',
    "src/agent/e.c": '#include "io/d.h"\n#include "exec/f.h"\n',
    "src/attic/f.c": '#include "basic/a.h"\n',
    "collectors/g.c": '#include "basic/a.h"\n#include "lib/h.h"\n#include "conf/b.h"\n#include <confuse.h>\n',
    "collectors/g.h": "",
    "collectors/lib/h.h": '#include "g.h"\n#include "lib/i.h"\n',
    "collectors/lib/i.h": "",
}
BAD_LINES = [
    "collectors/g.c:3", "collectors/g.c:4", "collectors/lib/h.h:1", "src/agent/e.c:2", "src/attic/f.c:1",
    "src/basic/a.c:2", "src/conf/b.c:5", "src/io/d.c:2", "src/point/b.c:1", "src/store/c.h:1",
]


def self_test():
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path, text in BAD_TREE.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        found = sorted(":".join(fault.split(":")[:2]) for fault in check(root)[0])
    if found != BAD_LINES:
        print(f"of the bad tree it found {found}, not {BAD_LINES}")
        return 1
    return 0


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        return self_test()
    faults, n = check(pathlib.Path(sys.argv[1]))
    for fault in faults:
        print(fault)
    if n == 0:
        print(f"no sources below {sys.argv[1]}")
    return 1 if faults or n == 0 else 0


sys.exit(main())
