#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the manual pages to the tables of the sources: check-docs.py ROOT, or check-docs.py --self-test ROOT.

Every option of src/agent/options-table.c stands in tcollector(8) with its letter, its value and its default, every key
of src/conf/config-table.c in its section of tcollector.conf(5) with its type, bounds and default; neither page has one
that the tables lack; the examples in conf.d/ show every key at its default. (That --help has every option is asked of the program itself, by the options test.)
"""
import pathlib
import re
import shutil
import sys
import tempfile

OPTION = re.compile(r'\{ "([a-z-]+)", (?:\'(.)\'|0), OPTION_[A-Z]+, (?:"([A-Z=]+)"|NULL), [^}]*\}')
KEY = re.compile(r'\{ "([a-z_]+)", CONFIG_([A-Z]+), (?:(SYSCONFDIR[^,]*)|"([^"]*)"|NULL),\s*'
                 r'(?:"([^"]*)"|NULL),\s*(?:"([^"]*)"|NULL),')
TYPE = re.compile(r'\[CONFIG_([A-Z]+)\] = \{ "([a-z A-Z]+)",')
DEFAULT = re.compile(r"\(default:~(\w+)\)")


def table(root, path, name):
    """The text of one table of a C file."""
    text = (root / path).read_text()
    begin = text.index(name)
    return text[begin:text.index("\n};", begin)]


def paragraphs(page):
    """What is said below each line that begins in bold."""
    found, head = {}, None
    for line in page.splitlines():
        if line.startswith("*"):
            head = line
            found[head] = []
        elif head and line.startswith("\t"):
            found[head].append(line.strip())
        elif line:
            head = None
    return {head: " ".join(text) for head, text in found.items()}


def unread(path, text, rows):
    n = len(re.findall(r'^ +\{ "', text, re.MULTILINE))
    if n != len(rows) or n == 0:
        yield f"{path}: of {n} rows {len(rows)} could be read"


def option_head(letter, name, argument):
    return (f"*-{letter}*, " if letter else "") + f"*--{name}*" + (f" _{argument}_" if argument else "")


def check_options(root):
    said = paragraphs((root / "man/tcollector.8.scd").read_text())
    heads = set()
    text = table(root, "src/agent/options-table.c", "option_rows[]")
    rows = list(OPTION.finditer(text))
    for row in rows:
        head = option_head(row[2], row[1], row[3])
        heads.add(head)
        default = DEFAULT.search(row[0])
        if head not in said:
            yield f'tcollector.8.scd: no line "{head}"'
        elif default and not re.search(rf"Default: \*{default[1]}\*\.$", said[head]):
            yield f"tcollector.8.scd: --{row[1]}: does not end in Default: *{default[1]}*."
    yield from (f'tcollector.8.scd: there is no option "{head}"' for head in said if "*--" in head and head not in heads)
    yield from unread("options-table.c", text, rows)


def section(page, title):
    """What stands below one heading."""
    found = re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


# a table of settings, and where in the page its keys stand
KEY_TABLES = {"config_keys[]": "KEYS", "config_server_keys[]": "SERVERS", "config_collector_keys[]": "COLLECTORS"}


EXAMPLES = {"config_keys[]": "conf.d/tcollector.conf", "config_collector_keys[]": "conf.d/collector.conf"}


def check_keys(root):
    page = (root / "man/tcollector.conf.5.scd").read_text()
    types = {row[1]: row[2] for row in TYPE.finditer((root / "src/conf/config-types.c").read_text())}
    for name, title in KEY_TABLES.items():
        yield from check_key_table(table(root, "src/conf/config-table.c", name), paragraphs(section(page, title)), types)


def check_key_table(text, said, types):
    heads = set()
    rows = list(KEY.finditer(text))
    for name, type_name, paths, default, low, high in (row.groups() for row in rows):
        head = f"*{name}* = _{types.get(type_name)}_"
        heads.add(head)
        if head not in said:
            yield f'tcollector.conf.5.scd: no line "{head}"'
            continue
        if high and f"From *{low}* to *{high}*." not in said[head]:
            yield f"tcollector.conf.5.scd: {name}: no From *{low}* to *{high}*."
        want = f"Default: *{default}*." if default else "Default: none." if default == "" else None
        if want and not said[head].endswith(want):
            yield f"tcollector.conf.5.scd: {name}: does not end in {want}"
        if paths and not re.search(r"Default: \*\{ .* \}\*\.$", said[head]):
            yield f"tcollector.conf.5.scd: {name}: no list as Default"
    yield from (f'tcollector.conf.5.scd: there is no key "{head}"' for head in said if "* = " in head and head not in heads)
    yield from unread("config-table.c", text, rows)


def check_examples(root):
    """The examples show every key, commented out, at its default where it has one that can be written."""
    for name, path in EXAMPLES.items():
        shown = dict(re.findall(r"^#\s+(\w+) = (.*)$", (root / path).read_text(), re.MULTILINE))
        for row in KEY.finditer(table(root, "src/conf/config-table.c", name)):
            key, default, value = row[1], row[4], shown.pop(row[1], None)
            if value is None:
                yield f"{path}: does not show {key}"
            elif default and value.strip('"') != default:
                yield f"{path}: {key} = {value}, which is not the default, {default}"
        yield from (f"{path}: there is no key {key}" for key in shown)


def check(root):
    return [*check_options(root), *check_keys(root), *check_examples(root)]


PAGE8, PAGE5, EXAMPLE = "man/tcollector.8.scd", "man/tcollector.conf.5.scd", "conf.d/tcollector.conf"
# a page, what is changed in it, and how many faults that makes
MUTANTS = [
    (PAGE8, "*--dry-run*", "*--dry*", 2),
    (PAGE8, "*-p*, *--port*", "*-P*, *--port*", 2),
    (PAGE8, "*--max-tags* _N_", "*--max-tags*", 2),
    (PAGE8, "Default: *600*", "Default: *60*", 1),
    (PAGE8, "# EXIT STATUS", "*--new*\n\tText.\n\n# EXIT STATUS", 1),
    (PAGE5, "*max_tags* = _number_", "*max_tags* = _size_", 2),
    (PAGE5, "From *1* to *64*.", "From *1* to *65*.", 1),
    (PAGE5, "Default: *5min*.", "Default: *6min*.", 1),
    (PAGE5, "*tags* = ", "*tag* = ", 2),
    (PAGE5, "*url* = ", "*uri* = ", 2),
    (PAGE5, "*cpu_quota* = ", "*quota* = ", 2),
    (PAGE5, "Default: *256M*.", "Default: *64M*.", 1),
    (PAGE5, "# COLLECTORS", "# MORE", 12),
    (EXAMPLE, "# max_tags = 8", "# max_tags = 9", 1),
    (EXAMPLE, "# max_tags = 8", "# tags_max = 8", 2),
]


def self_test(root):
    wrong = 0
    for page, old, new, want in MUTANTS:
        with tempfile.TemporaryDirectory() as name:
            copy = pathlib.Path(name)
            for path in (PAGE8, PAGE5, "src/agent/options-table.c", "src/conf/config-table.c", "src/conf/config-types.c",
                         *EXAMPLES.values()):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / path, copy / path)
            text = (root / page).read_text()
            (copy / page).write_text(text.replace(old, new, 1))
            faults = check(copy)
        if old not in text or len(faults) != want:
            print(f"{old!r} -> {new!r}: {len(faults)} faults, not {want}: {faults}")
            wrong = 1
    return wrong


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--self-test"] and len(arguments) == 2:
        return self_test(pathlib.Path(arguments[1]))
    if len(arguments) != 1:
        sys.exit(__doc__)
    faults = check(pathlib.Path(arguments[0]))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


sys.exit(main())
