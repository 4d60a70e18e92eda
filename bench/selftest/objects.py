#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether calls between object files go one way.

  objects.py LIST FOLDER OBJECT...  LIST names the objects, as below FOLDER and without
                                    .o: a line is a layer, the highest first; * and ?
                                    are wildcards.

An object may use symbols of objects in lower layers only, so neither of its own
layer nor of higher ones.  An object that is in no line, and a name in the list that
matches no object, are errors too.  Prints each violation with the symbol; exit 1.
"""
import fnmatch
import os
import sys

from layers import symbols  # tests/meta, which does the same for the rooms of lib


def read_layers(path):
    with open(path) as f:
        lines = [line.split("#")[0].split() for line in f]
    return [line for line in lines if line]


def place(layers, objects):
    """({object: number of its layer}, complaints)"""
    layer_of, bad = {}, []
    for number, patterns in enumerate(layers):
        for pattern in patterns:
            matches = [o for o in fnmatch.filter(objects, pattern) if o not in layer_of]
            if not matches:
                bad.append(f"{pattern}: in the list, but no such object")
            layer_of.update((o, number) for o in matches)
    bad += [f"{o}: in no layer" for o in sorted(objects) if o not in layer_of]
    return layer_of, bad


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    layers = read_layers(sys.argv[1])
    objects = {os.path.relpath(path, sys.argv[2])[:-len(".o")]: path for path in sys.argv[3:]}
    layer_of, bad = place(layers, objects)
    tables = {o: symbols(objects[o]) for o in layer_of}
    home = {}
    for o, (defined, _) in tables.items():
        for name in defined:
            home.setdefault(name, o)
    calls = 0
    for o, (_, used) in sorted(tables.items()):
        for name in sorted(used & home.keys()):
            calls += 1
            if layer_of[home[name]] <= layer_of[o]:
                bad.append(f"{o} uses {name} of {home[name]}, which is not below it")
    print("\n".join(bad) or f"{len(tables)} objects, {calls} symbols used between them, all downwards")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
