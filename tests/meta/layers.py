#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The rooms of lib/ are layers: nothing calls up, and nothing includes up.

  tests/meta/layers.py OBJECTS    a folder with ROOM/*.o, as build/lib
  tests/meta/layers.py --mutant OBJECTS   the same, with an upward call planted: must fail

A call is an undefined symbol of an object that an object of another room
defines.  Debug builds compile more; what they include is looked at as well.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

# Each room, and the rooms below it that it may use.
BELOW = {
    "base": "",
    "rcu": "base",
    "thread": "base rcu",
    "memory": "base rcu thread",
    "reclaim": "base rcu thread",
    "stream": "base rcu thread memory reclaim",
    "registry": "base rcu thread reclaim stream",
    "owner": "base rcu thread reclaim stream registry memory",
    "stats": "base rcu thread reclaim stream registry memory owner",
}
# To be emptied: room, and the room above that it still uses.
EXCEPTIONS = set()


def symbols(path):
    """What an object defines for others, and what it needs of them."""
    defined, needed = set(), set()
    for line in subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout.splitlines():
        *_, kind, name = line.split()
        if kind in "Uwv":
            needed.add(name)
        elif kind.isupper():
            defined.add(name)
    return defined, needed


def calls(folder):
    """(room, room that it calls, symbol, object)."""
    objects = {path: symbols(path) for path in sorted(glob.glob(folder + "/*/*.o"))}
    if not objects:
        sys.exit("layers: no objects in %s/ROOM" % folder)
    home = {name: os.path.basename(os.path.dirname(path)) for path, (defined, _) in objects.items() for name in defined}
    for path, (_, needed) in objects.items():
        for name in sorted(needed & home.keys()):
            yield os.path.basename(os.path.dirname(path)), home[name], name, path


def includes():
    for path in sorted(glob.glob("lib/*/*.[ch]")):
        for line in open(path):
            found = re.match(r'#\s*include "(\w+)/', line)
            if found:
                yield path.split("/")[1], found[1], line.strip(), path


def check(folder):
    wrong, unused = [], set(EXCEPTIONS)
    for room, other, what, path in [*calls(folder), *includes()]:
        if room not in BELOW or other not in BELOW:
            wrong.append("%s: %s is no room of the list" % (path, room if room not in BELOW else other))
        elif other != room and other not in BELOW[room].split():
            unused.discard((room, other))
            if (room, other) not in EXCEPTIONS:
                wrong.append("%s uses %s, which is %s's" % (path, what, other))
    wrong += ["%s no longer uses %s: take it off the exceptions" % pair for pair in sorted(unused)]
    return wrong


def planted(folder):
    """The objects with one more, in which rcu calls reclaim."""
    with tempfile.TemporaryDirectory() as at:
        for room in os.listdir(folder):
            if os.path.isdir(os.path.join(folder, room)):
                os.mkdir(os.path.join(at, room))
                for path in glob.glob(os.path.join(folder, room, "*.o")):
                    os.symlink(os.path.abspath(path), os.path.join(at, room, os.path.basename(path)))
        source = at + "/up.c"
        with open(source, "w") as file:
            file.write("int sctx_barrier(void);\nint up(void);\nint up(void) { return sctx_barrier(); }\n")
        subprocess.run([os.environ.get("CC", "cc"), "-c", "-o", at + "/rcu/up.o", source], check=True)
        return check(at)


def main():
    mutant = sys.argv[1:2] == ["--mutant"]
    found = planted(sys.argv[2]) if mutant else check(sys.argv[1])
    print("\n".join(found))
    if mutant:
        ok = len(found) == 1 and "sctx_barrier" in found[0]
        print("layers: the planted call was %sfound" % ("" if ok else "not "))
        sys.exit(0 if ok else 1)
    print("layers: %d upward" % len(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
