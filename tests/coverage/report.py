#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What gcovr found below the folders given: lines and branches of the library by
file, and the lines that no test reaches.  Each of these must be explained in
tests/coverage.txt, and each explanation there must be of such a line.
"""
import json
import subprocess
import sys

EXPLAINED = "tests/coverage.txt"


def gcovr(folders):
    command = ["gcovr", "--root=.", "--filter=lib/", "--filter=include/streamctx/inline.h", "--json",
               "--gcov-ignore-parse-errors", "--exclude-throw-branches"]
    out = subprocess.run(command + folders, stdout=subprocess.PIPE, check=True).stdout
    return {file["file"]: file["lines"] for file in json.loads(out)["files"]}


def explanations():
    found = []
    for number, line in enumerate(open(EXPLAINED), 1):
        if line.strip() and not line.startswith("#"):
            file, text, reason = (word.strip() for word in line.split(" | ", 2))
            found.append({"line": number, "file": file, "text": text, "reason": reason, "of": []})
    return found


def percent(part, whole):
    return "%5.1f %%" % (100.0 * part / whole) if whole else "      -"


def row(name, counts):
    lines, hit, branches, taken = counts
    print("%-32s %5d of %5d %s   %5d of %5d %s" % (name, hit, lines, percent(hit, lines), taken, branches,
                                                 percent(taken, branches)))


def main():
    explained, wrong, total = explanations(), 0, [0, 0, 0, 0]
    print("%-32s %-23s   %s" % ("", "lines", "branches"))
    missed = []
    for file, lines in sorted(gcovr(sys.argv[1:]).items()):
        text = open(file).read().splitlines()
        lines = [line for line in lines if not line.get("gcovr/noncode")]
        branches = [branch for line in lines for branch in line["branches"]]
        counts = (len(lines), sum(line["count"] > 0 for line in lines), len(branches),
                  sum(branch["count"] > 0 for branch in branches))
        total = [a + b for a, b in zip(total, counts)]
        row(file, counts)
        missed += [(file, line["line_number"], text[line["line_number"] - 1].strip())
                   for line in lines if line["count"] == 0]
    row("all", total)
    for file, number, text in missed:
        why = [e for e in explained if e["file"] == file and e["text"] in text]
        for explanation in why:
            explanation["of"].append(number)
        if not why:
            wrong += 1
            print("not reached, not explained: %s:%d: %s" % (file, number, text))
    for explanation in explained:
        if not explanation["of"]:
            wrong += 1
            print("%s:%d: no line of %s that is not reached has: %s" %
                  (EXPLAINED, explanation["line"], explanation["file"], explanation["text"]))
    print("%d lines not reached, %d explanations, %d wrong" % (len(missed), len(explained), wrong))
    sys.exit(1 if wrong else 0)


main()
