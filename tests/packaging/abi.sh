#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The library's ABI is the committed one (make check-abi), and a change would be seen:
# the committed dump is changed instead, each time by one thing.
#
#   SCTX_TEST_SO  the library: memb on x86-64, built with -g

set -eu
command -v abidw >/dev/null || { echo "skip: no abidw (abigail-tools)"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "skip: the dump is x86-64's"; exit 77; }
case $(sed -n "s/^<abi-corpus version='\([0-9.]*\)'.*/\1/p" lib/packaging/libstreamctx.abi) in
"$(abidw --no-corpus-path "$SCTX_TEST_SO" | sed -n "s/^<abi-corpus version='\([0-9.]*\)'.*/\1/p")") ;;
*) echo "skip: this abidw writes another version of dumps"; exit 77 ;;
esac
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
abi() {
	SCTX_ABI=$1 python3 lib/packaging/abi.py "$SCTX_TEST_SO"
}
abi lib/packaging/libstreamctx.abi

# changed EXPRESSION: the dump after a line of Python that works on `root`
changed() {
	python3 - "$tmp/changed.abi" "$1" <<'P'
import sys
import xml.etree.ElementTree as ET
tree = ET.parse("lib/packaging/libstreamctx.abi")
root = tree.getroot()
def struct(name):
    return next(s for s in root.iter("class-decl") if s.get("name") == name and s.find("data-member") is not None)
def drop_last(name):
    s = struct(name)
    s.remove(s.findall("data-member")[-1])
    s.set("size-in-bits", str(int(s.get("size-in-bits")) - 64))
before = ET.tostring(root)
exec(sys.argv[2])
assert ET.tostring(root) != before
tree.write(sys.argv[1])
P
}
may() {
	changed "$1"
	abi "$tmp/changed.abi"
}
may_not() {
	changed "$1"
	if abi "$tmp/changed.abi"; then
		echo "not seen: $1"
		exit 1
	fi
}
symbols='next(root.iter("elf-function-symbols"))'
may 'drop_last("sctx_stats")'
may 'drop_last("sctx_tag_stats")'
may "$symbols.remove(next(e for e in $symbols if e.get('name') == 'sctx_barrier'))"
may_not 'drop_last("sctx_context")'
may_not 'drop_last("sctx_stream")'
may_not 'struct("sctx_stats").findall("data-member")[3].set("layout-offset-in-bits", "8")'
may_not 'struct("sctx_stats").findall("data-member")[-1].find("var-decl").set("name", "other")'
may_not "ET.SubElement($symbols, 'elf-symbol', dict($symbols[5].attrib, name='sctx_gone'))"
may_not 'root.set("soname", "libstreamctx.so.7")'
