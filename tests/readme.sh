#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The example of README.md: its first ```c block, compiled as a newcomer would,
# with pkg-config against the installed library, and run.
#
#   SCTX_TEST_STAGE  here/ is a PREFIX that can be used
#   SCTX_TEST_CC     the compiler

set -eu
stage=${SCTX_TEST_STAGE:-}
cc=${SCTX_TEST_CC:-cc}
[ -n "$stage" ] && [ -d "$stage/here" ] || { echo "skip: no staged installation"; exit 77; }
[ -f README.md ] || { echo "skip: no README.md yet"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk '/^```c$/ && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' README.md >"$tmp/example.c"
lines=$(wc -l <"$tmp/example.c")
echo "$lines lines"
[ "$lines" -ge 10 ] || { echo "README.md has no example in C"; exit 1; }
[ "$lines" -lt 40 ] || { echo "the example is not under 40 lines"; exit 1; }

export PKG_CONFIG_PATH="$stage/here/lib/pkgconfig"
set -x
$cc -Wall -Wextra -Werror "$tmp/example.c" -o "$tmp/example" $(pkg-config --cflags --libs streamctx)
LD_LIBRARY_PATH="$stage/here/lib" "$tmp/example"

# What README and guides quote stands there, what they link is there, and what
# they say to make can be made.
make -pRrq : 2>/dev/null | sed -n 's/^\([a-z][a-z0-9-]*\):.*/\1/p' | sort -u >"$tmp/targets"
# So can what `make help` lists, which is all that people ask for.
make -s help | sed -n 's/^make \([a-z][a-z0-9-]*\).*/\1/p' | sort -u >"$tmp/help"
comm -13 "$tmp/targets" "$tmp/help" | tee "$tmp/unknown"
[ ! -s "$tmp/unknown" ]
for target in check check-unit check-fast check-long check-deb check-abi check-musl man deb install uninstall \
	bench bench-targets fuzz tsan mutants coverage spyfs; do
	grep -qx "$target" "$tmp/help" || { echo "make help does not list $target"; exit 1; }
done
python3 - "$tmp/targets" README.md include/GUIDES.md <<'EOF'
import os, re, sys

bad, quoted = [], 0
targets = open(sys.argv[1]).read().split()
for page in sys.argv[2:]:
    text = open(page, encoding="utf-8").read()
    blocks = re.findall(r"(?:<!-- (\S+) -->\n)?```c\n(.*?)```", text, re.S)
    for path, quote in blocks[page == "README.md":]:  # its first one was run above
        quoted += 1
        if not path or quote not in open(path, encoding="utf-8").read():
            bad.append(f"{page} quotes what is not in {path}:\n{quote}")
    anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
               for line in re.findall(r"^#+ (.*)$", text, re.M)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = link.partition("#")
        if not (file or anchor in anchors):
            bad.append(f"{page} has no #{anchor}")
        if file and "://" not in file and not os.path.exists(os.path.join(os.path.dirname(page), file)):
            bad.append(f"{page} links {file}, which is not there")
    for line in re.findall(r"(?:`|^    )make ([^`#\n]*)", text, re.M):
        words = [w for w in re.sub(r"\w+=(\"[^\"]*\"|'[^']*'|\S*)", "", line).split()]
        bad += [f"{page}: make {w}: no such target" for w in words if w not in targets]
print(quoted, "quotes", *bad, sep="\n")
sys.exit(1 if bad or quoted < 12 else 0)
EOF
