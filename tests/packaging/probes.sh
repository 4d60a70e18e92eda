#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# USDT probes: those of the library are those of streamctx-probes(7), with as
# many arguments; each is one nop; gdb stops at them and reads what the page
# says.  With SCTX_TEST_BPFTRACE (make check-long) the page's bpftrace lines run,
# where the kernel lets them.
#
#   SCTX_TEST_SO       the library
#   SCTX_TEST_WATCHED  tests/packaging/watched, which uses it

set -eu
so=$SCTX_TEST_SO
page=lib/man/streamctx-probes.7
tmp=$(mktemp -d)
watched=
trap 'rm -rf "$tmp"; [ -z "$watched" ] || kill $watched' EXIT

readelf -nW "$so" >"$tmp/notes"
grep -q stapsdt "$tmp/notes" || { echo "skip: built without <sys/sdt.h>"; exit 77; }

sed -n 's/^\.It Cm \([a-z_]*\)\( Fa \(.*\)\)\{0,1\}$/\1 \3/p' "$page" | awk '{ print $1, NF - 1 }' |
	sort -u >"$tmp/page"
awk '/Provider:/ { provider = $NF } $1 == "Name:" { name = $2 }
	$1 == "Arguments:" { if (provider == "streamctx") print name, NF - 1 }' "$tmp/notes" | sort -u >"$tmp/built"
diff -u "$tmp/page" "$tmp/built"
echo "$(wc -l <"$tmp/built") probes, as on the page"

if [ "$(uname -m)" = x86_64 ]; then
	sed -n 's/.*Location: 0x0*\([0-9a-f]*\),.*/\1/p' "$tmp/notes" >"$tmp/places"
	objdump -d --no-show-raw-insn "$so" | sed -n 's/^ *\([0-9a-f]*\):[[:space:]]*nop$/\1/p' >"$tmp/nops"
	[ -s "$tmp/places" ]
	if grep -vxFf "$tmp/nops" "$tmp/places"; then
		echo "no nop there"
		exit 1
	fi
	echo "$(wc -l <"$tmp/places") places, each a nop"
fi

# What is passed: the first stream's id, and who is owner.
if command -v gdb >/dev/null; then
	cat >"$tmp/script" <<'G'
set pagination off
set breakpoint pending on
break middle
run
set $id = *(struct sctx_id *)((char *)few - 32)
tbreak -probe-stap streamctx:create
continue
printf "create %d %d %lu\n", $_probe_argc, $_probe_arg0 == $_probe_arg1 + 32, ((struct sctx_id *)$_probe_arg1)->file[0]
set $stream = $_probe_arg0
tbreak -probe-stap streamctx:open
continue
printf "open %d\n", $_probe_arg0 == $stream
tbreak -probe-stap streamctx:insert
continue
set $context = $_probe_arg1
printf "insert %d %d\n", $_probe_arg0 == $stream, *(void **)$_probe_arg1 == &plain_owner
tbreak -probe-stap streamctx:open
continue
printf "open %d %d\n", $_probe_arg0 == $stream, $_probe_arg1 == $_probe_arg0 - 32
tbreak -probe-stap streamctx:close
continue
printf "close %d %d\n", $_probe_arg0 == $stream, $_probe_arg1
tbreak -probe-stap streamctx:teardown
continue
printf "teardown %d %d\n", $_probe_arg0 == $stream, $_probe_arg1
tbreak -probe-stap streamctx:remove
continue
printf "remove %d %d\n", $_probe_arg0 == $stream, $_probe_arg1 == $context
tbreak -probe-stap streamctx:retire
continue
printf "retire %d %d %d\n", $_probe_arg0 == $context, $_probe_arg1, $_probe_arg2
tbreak -probe-stap streamctx:close
continue
printf "close %d %d\n", $_probe_arg0 == $stream, $_probe_arg1
delete
tbreak -probe-stap streamctx:callback if $_probe_arg0 == $context
continue
printf "callback %d\n", $_probe_arg1 == plain_free
kill
G
	gdb -nx -batch -x "$tmp/script" "$SCTX_TEST_WATCHED" >"$tmp/gdb" 2>&1 || true
	grep -E '^(create|open|insert|close|teardown|remove|retire|callback) ' "$tmp/gdb" >"$tmp/seen" || true
	cat >"$tmp/expected" <<'G'
create 2 1 2
open 1
insert 1 1
open 1 1
close 1 2
teardown 1 1
remove 1 1
retire 1 1 48
close 1 1
callback 1
G
	diff -u "$tmp/expected" "$tmp/seen" || { tail -20 "$tmp/gdb"; exit 1; }
	echo "gdb reads the arguments"
else
	echo "[  SKIPPED ] arguments: no gdb"
fi

# The page's lines, all at once, on a program that does what they watch.
if [ -z "${SCTX_TEST_BPFTRACE:-}" ]; then
	echo "[  SKIPPED ] bpftrace: make check-long runs it"
	exit 0
fi
if ! bpftrace -e 'BEGIN { exit(); }' >/dev/null 2>&1; then
	echo "[  SKIPPED ] bpftrace: not installed (make deps DEPS_EXTRA=bpftrace), or not allowed"
	exit 0
fi
sed -n '/^# bpftrace /{s/\\-/-/g;s/\\e/\\/g;s/^# //;p;}' "$page" | sed "s|LIB|$so|g" >"$tmp/lines"
[ "$(wc -l <"$tmp/lines")" -ge 5 ]
"$SCTX_TEST_WATCHED" 30000 &
watched=$!
n=0
while read -r line; do
	n=$((n + 1))
	printf 'exec timeout -k 6 -s INT 4 %s\n' "$line" >"$tmp/$n.sh"
	sh "$tmp/$n.sh" >"$tmp/$n.out" 2>&1 &
	eval "pid$n=$!"
done <"$tmp/lines"
i=0
while [ $((i += 1)) -le $n ]; do
	eval "wait \$pid$i" || true
	sed -n "${i}p" "$tmp/lines"
	grep -v -e RLIMIT_MEMLOCK -e '^$' "$tmp/$i.out" | head -8
	# Something was seen: a map, or a line printed.
	if ! grep -qE '^@|^full: ' "$tmp/$i.out"; then
		echo "line $i shows nothing"
		exit 1
	fi
done
echo "$n lines of bpftrace ran"
