#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ABI of a built library against the committed one, by libabigail.

  abi.py LIBRARY           fail if a program built against the committed ABI could break
  abi.py LIBRARY --update  write the committed ABI anew
  abi.py NEW.abi           as the first, of a dump

Functions may be added.  A struct with a size may get members at its end.  Every
other change that programs can see fails; if it is meant, the soname must change,
or, before the first release, the dump.
"""
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

COMMITTED = os.environ.get("SCTX_ABI", "lib/packaging/libstreamctx.abi")
# Their functions take the size as an argument, or the library fills them.
SIZED_BY_CALL = {"sctx_tag_stats"}


def dump(library, out):
    subprocess.run(["abidw", "--exported-interfaces-only", "--no-elf-needed", "--headers-dir", "include",
                    "--drop-private-types", "--no-show-locs", "--type-id-style", "hash", "--no-corpus-path",
                    "--no-comp-dir-path", "--out-file", out, library], check=True)


def structs(path):
    """{name: [(member, offset, type)]} of the public structs."""
    tree, found = ET.parse(path), {}
    for struct in tree.iter("class-decl"):
        members = []
        for member in struct.findall("data-member"):
            variable = member.find("var-decl")
            members.append((variable.get("name"), member.get("layout-offset-in-bits"), variable.get("type-id")))
        if struct.get("name", "").startswith("sctx_") and members:
            found[struct.get("name")] = members
    return found


def sized(members):
    return members[0][0] == "size"


def compare(old, new):
    """What abidiff cannot say by itself, and then abidiff."""
    faults, grow = [], []
    now = structs(new)
    for name, members in structs(old).items():
        if sized(members) or name in SIZED_BY_CALL:
            grow.append(name)
            if now.get(name, [])[:len(members)] != members:
                faults.append(f"struct {name} has changed before its end")
    with tempfile.NamedTemporaryFile("w", suffix=".suppr") as suppressions:
        suppressions.write("[suppress_type]\n  type_kind = struct\n"
                           f"  name_regexp = ^({'|'.join(grow)})$\n  has_data_member_inserted_at = end\n"
                           "[suppress_type]\n  name = _IO_FILE\n")  # libc's
        suppressions.flush()
        run = subprocess.run(["abidiff", "--no-added-syms", "--suppressions", suppressions.name, old, new],
                             stdout=subprocess.PIPE, text=True)
    if run.returncode:
        faults.append(run.stdout)
    return faults


def main(subject, update):
    if update:
        dump(subject, COMMITTED)
        with open(COMMITTED, "a", encoding="utf-8") as out:
            out.write("<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        new = subject
        if not subject.endswith(".abi"):
            new = os.path.join(folder, "new.abi")
            dump(subject, new)
        faults = compare(COMMITTED, new)
    print(*faults or [f"{subject}: the ABI is that of {COMMITTED}, or more"], sep="\n")
    if faults:
        print("If this change is meant and nothing has been released yet: make abi")
    return 1 if faults else 0


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or sys.argv[2:] not in ([], ["--update"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], len(sys.argv) == 3))
