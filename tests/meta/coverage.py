#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What gcovr found below the folders of SCTX_COVERAGE: lines and branches of the library by
file, and the lines that no test reaches (but for the first of a function that is
always inlined, which is not code).  Each of these must be explained in
tests/meta/coverage.txt, and each explanation there must be of such a line, or begin
with "chance: ", if a run may reach it or not.
"""
import json
import os
import subprocess
import sys

EXPLAINED = "tests/meta/coverage.txt"
# What is not the same in each build.  Of the other files, the first build's lines count.
SEAMS = ["lib/rcu/rcu.c", "lib/rcu/rcu.h", "include/streamctx/inline.h", "lib/base/debug.c", "lib/base/debug.h",
         "lib/base/quarantine.c", "lib/base/quarantine.h"]


def gcovr(folders):
    """By file and line: how often it was reached, and its branches.

    A build at a time: what the preprocessor leaves of a file is not the same in each."""
    files = {}
    for folder in folders:
        out = subprocess.run(["gcovr", folder, "--root=.", "--filter=lib/",
                              "--filter=include/streamctx/inline.h", "--gcov-ignore-parse-errors",
                              "--json"], stdout=subprocess.PIPE, check=True).stdout
        for file in json.loads(out)["files"]:
            lines = files.setdefault(file["file"], {})
            for line in file["lines"]:
                number = line["line_number"]
                counts = folder == folders[0] or file["file"] in SEAMS or number in lines
                if counts and not line.get("gcovr/noncode"):
                    add(lines.setdefault(number, [0, []]), line)
    return files


def add(sum, line):
    sum[0] += line["count"]
    branches = [branch["count"] for branch in line["branches"]]
    longer, shorter = sorted((sum[1], branches), key=len, reverse=True)
    sum[1] = [n + (shorter[i] if i < len(shorter) else 0) for i, n in enumerate(longer)]


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
    for file, lines in sorted(gcovr(os.environ["SCTX_COVERAGE"].split()).items()):
        text = open(file).read().splitlines()
        branches = [count for _, counts in lines.values() for count in counts]
        counts = (len(lines), sum(count > 0 for count, _ in lines.values()), len(branches),
                  sum(count > 0 for count in branches))
        total = [a + b for a, b in zip(total, counts)]
        row(file, counts)
        missed += [(file, number, text[number - 1].strip())
                   for number, (count, _) in sorted(lines.items())
                   if count == 0 and not text[number - 1].startswith("SCTX__INLINE")]
    row("all", total)
    for file, number, text in missed:
        why = [e for e in explained if e["file"] == file and e["text"] in text]
        for explanation in why:
            explanation["of"].append(number)
        if not why:
            wrong += 1
            print("not reached, not explained: %s:%d: %s" % (file, number, text))
    for explanation in explained:
        if not explanation["of"] and not explanation["reason"].startswith("chance: "):
            wrong += 1
            print("%s:%d: no line of %s that is not reached has: %s" %
                  (EXPLAINED, explanation["line"], explanation["file"], explanation["text"]))
    print("%d lines not reached, %d explanations, %d wrong" % (len(missed), len(explained), wrong))
    sys.exit(1 if wrong else 0)


main()
