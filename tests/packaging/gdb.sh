#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# gdb finds the library's commands where they are installed, and they show what
# there is: in a process, and in its core file.
#
#   SCTX_TEST_STAGE    here/ is a PREFIX that can be used
#   SCTX_TEST_WATCHED  tests/packaging/watched

set -eu
here=$SCTX_TEST_STAGE/here
command -v gdb >/dev/null || { echo "skip: no gdb"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/show" <<'E2'
streamctx registry registry
streamctx stream embedded
streamctx stream many
streamctx limbo
E2
cat >"$tmp/script" <<E2
set breakpoint pending on
break middle
run
up
source $tmp/show
generate-core-file $tmp/core
kill
E2
# The reclaimer may have closed the set already; a reader holds it up from there on.
show() {
	LD_LIBRARY_PATH=$here/lib gdb -nx -batch -iex "set pagination off" -iex "set auto-load safe-path /" \
		-iex "add-auto-load-scripts-directory $here/share/gdb/auto-load" "$@" >"$tmp/out" 2>"$tmp/errors" || true
	sed -n '/^registry/,/ in all$/{s/0x[0-9a-f]\{4,\}/@/g;s/, closed set:/, open set:/;/^$/d;p;}' "$tmp/out"
	grep -v -e '^warning' "$tmp/errors" || true
}
cat >"$tmp/expected" <<'E2'
registry @: 2 streams in 1024 buckets, 1 owners, 1 embedded streams
  owner @ "spy"[Spy ]
  stream @ id 0000000000000076:00000000000000110000000000000042:0 opens 1 (takes contexts, a registry's)
    context @ owner "spy"[Spy ] references 1 free @ <owned_free>
  stream @ id 0000000000000076:00000000000000110000000000000043:7 opens 2 (takes contexts, a registry's)
    context @ owner @ <plain_owner> instance 0x5 references 1 free @ <plain_free>
    context @ owner @ <plain_owner> instance 0x4 references 1 free @ <plain_free>
    context @ owner @ <plain_owner> instance 0x2 references 1 free @ <plain_free>
    context @ owner @ <plain_owner> instance 0x1 references 1 free @ <plain_free>
  stream @ (takes contexts, tracked)
    context @ owner @ <plain_owner> references 1 free @ <plain_free>
stream @ (takes contexts, tracked)
  context @ owner @ <plain_owner> references 1 free @ <plain_free>
stream @ id 0000000000000076:00000000000000110000000000000043:7 opens 2 (takes contexts, a registry's)
  context @ owner @ <plain_owner> instance 0x5 references 1 free @ <plain_free>
  context @ owner @ <plain_owner> instance 0x4 references 1 free @ <plain_free>
  context @ owner @ <plain_owner> instance 0x2 references 1 free @ <plain_free>
  context @ owner @ <plain_owner> instance 0x1 references 1 free @ <plain_free>
limbo: 2 callbacks, 176 bytes
  thread 1, open set: 2 retired
    context @ owner @ <plain_owner> references 1 free @ <plain_free>
    stream @ id 0000000000000076:00000000000000110000000000000001:0 closed (torn down, retired, a registry's)
  2 in all
E2
show -x "$tmp/script" "$SCTX_TEST_WATCHED" >"$tmp/seen"
diff -u "$tmp/expected" "$tmp/seen" || { tail "$tmp/out" "$tmp/errors"; exit 1; }
show -x "$tmp/show" "$SCTX_TEST_WATCHED" "$tmp/core" | sed 's/thread.s record @/thread 1/' >"$tmp/seen"
diff -u "$tmp/expected" "$tmp/seen"
