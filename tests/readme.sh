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

# What the README quotes of the examples stands there.
python3 - README.md <<'EOF'
import re, sys

text = open(sys.argv[1], encoding="utf-8").read()
quotes = re.findall(r"<!-- (tests/examples/\S+) -->\n```c\n(.*?)```", text, re.S)
bad = [path for path, quote in quotes if quote not in open(path, encoding="utf-8").read()]
print("quoted:", len(quotes), "examples", *["; not as in " + path for path in bad])
sys.exit(1 if bad or len(quotes) < 6 else 0)
EOF
