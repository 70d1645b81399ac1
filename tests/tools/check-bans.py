#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds what the sources may not have: check-bans.py ROOT, or check-bans.py --self-test.

Functions that overflow, guess or start a shell, floating point on the data path, sleeping tests, notes to oneself, tabs,
white space at the end of a line, wide lines, long files and functions, a missing SPDX line. Offenders are printed as
FILE:LINE: cause.
"""
import pathlib
import re
import sys
import tempfile

COLUMNS = 109
FILE_LINES = 500
FUNCTION_LINES = 60
SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"

# (file, ban): why it is right there. Empty is best.
EXCEPTIONS = {}

CODE, STRINGS, RAW = range(3)
# name, where to look in, pattern, files below which folders
BANS = [
    ("overflows", CODE, r"\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|strdupa|strndupa)\s*\(", "src collectors tests"),
    ("guesses", CODE, r"\b(atoi|atol|atoll|atof)\s*\(", "src collectors tests"),
    ("shell", CODE, r"\b(system|popen)\s*\(", "src collectors"),
    ("double", STRINGS, r"%[-+ #0']*[0-9*]*(\.[0-9*]*)?[lL]?[fFeEgGaA]", "src/point src/store"),
    ("sleep", CODE, r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(", "tests/unit"),
    ("note", RAW, r"\b(TODO|FIXME|XXX|HACK)\b", "src collectors tests"),
    ("tab", RAW, r"\t", "src collectors tests"),
    ("white space", RAW, r"[ \t\r]$", "src collectors tests"),
]
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def views(text):
    """The text three times, in the same places: without comments and strings, the strings alone, as it is."""
    code = TOKEN.sub(lambda m: blank(m[0]), text)
    strings, end = [], 0
    for found in TOKEN.finditer(text):
        strings.append(blank(text[end:found.start()]))
        strings.append(found[0] if found[0][0] == '"' else blank(found[0]))
        end = found.end()
    strings.append(blank(text[end:]))
    return code, "".join(strings), text


def long_functions(code):
    """A function of this style has its closing brace in the first column, and its head too."""
    begin = None
    for number, line in enumerate(code.splitlines(), 1):
        if begin is None and re.match(r"[A-Za-z_]", line):
            begin = number
        if line.startswith("}") or (begin and number == begin and line.rstrip().endswith(";")):
            if begin and line.rstrip() == "}" and number - begin + 1 > FUNCTION_LINES:
                yield begin, number - begin + 1
            begin = None
        elif begin and not line.startswith(" ") and line.strip() and number > begin and not line.startswith("#"):
            begin = number


def check_file(path, name):
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    if not lines or lines[0] != f"/* {SPDX} */":
        yield 1, "SPDX", f"the first line is not /* {SPDX} */"
    if len(lines) > FILE_LINES:
        yield len(lines), "long file", f"{len(lines)} lines, more than {FILE_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield number, "wide line", f"{len(line)} columns, more than {COLUMNS}"
    in_views = views(text)
    for number, length in long_functions(in_views[CODE]):
        yield number, "long function", f"{length} lines, more than {FUNCTION_LINES}"
    for ban, where, pattern, folders in BANS:
        if not any(name.startswith(folder + "/") for folder in folders.split()):
            continue
        for number, line in enumerate(in_views[where].split("\n"), 1):
            found = re.search(pattern, line)
            if found:
                yield number, ban, f"{ban}: {found[0]!r}"


def check_script(path):
    if SPDX not in "\n".join(path.read_text(errors="replace").splitlines()[:2]):
        yield 1, "SPDX", f"no {SPDX} in the first two lines"


def check(root):
    faults, n = [], 0
    for folder in ("src", "collectors", "tests", "man"):
        for path in sorted((root / folder).rglob("*")):
            name = str(path.relative_to(root))
            if path.suffix in (".c", ".h") and folder != "man":
                found = check_file(path, name)
            elif path.suffix in (".py", ".sh") or path.name == "meson.build":
                found = check_script(path)
            else:
                continue
            n += 1
            faults += [(name, *fault) for fault in found if (name, fault[1]) not in EXCEPTIONS]
    return faults, n


GOOD = f"/* {SPDX} */\n\n/* sprintf() in words, and \"%f\". */\nint main(void) {{\n        puts(\"system(1) %f\");\n}}\n"
LONG = f"/* {SPDX} */\nstatic int before(void);\nstatic const int t[] = {{\n" + "        0,\n" * 70 + "};\n"
BAD_TREE = {
    "src/io/good.c": (GOOD, []),
    "src/point/double.c": (GOOD.replace("in words, and", "alone:"), ["double"]),
    "src/io/overflows.c": (GOOD + "int f(char *a) {\n        return sprintf (a, \"x\");\n}\n", ["overflows"]),
    "src/io/guesses.h": (GOOD + "#define N(x) atoi(x)\n", ["guesses"]),
    "src/io/shell.c": (GOOD + "int f(void) {\n        return system(\"x\");\n}\n", ["shell"]),
    "tests/e2e/shell.c": (GOOD + "int f(void) {\n        return system(\"x\");\n}\n", []),
    "tests/unit/sleep.c": (GOOD + "int f(void) {\n        return usleep(1);\n}\n", ["sleep"]),
    "src/io/note.c": (GOOD + "/* TODO: more */\n", ["note"]),
    "src/io/template.c": (GOOD + "static const char t[] = \"/tmp/a-XXXXXX\";\n", []),
    "src/io/tab.c": (GOOD + "int\tx;\n", ["tab"]),
    "collectors/white.c": (GOOD + "int x; \n", ["white space"]),
    "src/io/wide.c": (GOOD + "/*" + "x" * 106 + "*/\n", ["wide line"]),
    "src/io/fits.c": (GOOD + "/*" + "x" * 105 + "*/\n", []),
    "src/io/file.c": (GOOD + "int x;\n" * 495, ["long file"]),
    "src/io/file-fits.c": (GOOD + "int x;\n" * 494, []),
    "src/io/table.c": (LONG, []),
    "src/io/function.c": (LONG + "int f(int a,\n      int b) {\n" + "        f(1, 2);\n" * 58 + "}\n", ["long function"]),
    "src/io/function-fits.c": (LONG + "int f(int a,\n      int b) {\n" + "        f(1, 2);\n" * 57 + "}\n", []),
    "src/io/spdx.c": ("int x;\n", ["SPDX"]),
    "tests/tools/spdx.py": ("#!/usr/bin/env python3\n", ["SPDX"]),
    "src/meson.build": (f"# {SPDX}\n", []),
}


def self_test():
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path, (text, _) in BAD_TREE.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        faults, _ = check(root)
    for path, (_, want) in BAD_TREE.items():
        found = [ban for name, _, ban, _ in faults if name == path]
        if found != want:
            print(f"in {path} it found {found}, not {want}")
            wrong = 1
    return wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        return self_test()
    faults, n = check(pathlib.Path(sys.argv[1]))
    for name, number, _, cause in faults:
        print(f"{name}:{number}: {cause}")
    if n == 0:
        print(f"no sources below {sys.argv[1]}")
    return 1 if faults or n == 0 else 0


sys.exit(main())
