#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Whether ThreadSanitizer sees what it is there for: plants bugs, one at a time,
# in copies of the library's sources below $B/planted, and runs a test of races
# with each.  All must be reported.  SCTX_TEST_RCU is the flavour, $B its build.
set -u
flavour=$SCTX_TEST_RCU
out=$B/planted
missed=0
case $flavour in
c11) define=-DSCTX_RCU_C11 libs= ;;
*) define= libs=-lurcu-$flavour ;;
esac

# What the archive has of the same file is not linked then.
build() # name file program
{
	$CC -std=gnu11 -pthread -Iinclude -I"$out/$1" -D_GNU_SOURCE $define $CFLAGS -w -c \
		-o "$out/$1/planted.o" "$out/$1/$2" &&
		$CC -pthread $CFLAGS -o "$out/$1/races" "$B/tests/$3.o" "$B/tests/test.o" \
			"$B/tests/module.o" "$out/$1/planted.o" "$B/libstreamctx.a" $libs -lcmocka
}

# plant PROGRAM NAME FILE.c SED-EXPRESSION [HEADER.h]: edits the file, or the
# header that it includes, wherever else that is included.
plant()
{
	program=$1 name=$2 file=$3 edit=$4 changed=${5:-$3}
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name"
	cp -r lib/*/ "$out/$name"
	sed -i "$edit" "$out/$name/$changed"
	if cmp -s "lib/$changed" "$out/$name/$changed"; then
		echo "MISSED $name: $changed has changed, nothing was planted"
		missed=$((missed + 1))
		return
	fi
	build "$name" "$file" "$program" || exit 1
	begin=$(date +%s)
	TSAN_OPTIONS=$TSAN_OPTIONS:halt_on_error=1 timeout -k 5 60 \
		"$out/$name/races" >"$out/$name/log" 2>&1
	if line=$(grep -a -m1 '^SUMMARY: ThreadSanitizer: data race' "$out/$name/log"); then
		echo "found  $name ($(($(date +%s) - begin)) s): ${line#SUMMARY: }"
	else
		echo "MISSED $name"
		missed=$((missed + 1))
	fi
}

in_function() # its beginning, command
{
	printf '%s\n' "/^$1/,/^}/$2"
}
relaxed='s/sctx__store_release(/sctx__store(/'

plant unit/races entry_published_relaxed stream/context.c \
	"$(in_function 'static inline void list_append' "$relaxed")" stream/list.h
plant unit/races list_published_relaxed stream/context.c \
	"$(in_function 'static inline void list_publish' "$relaxed")" stream/list.h
plant conformance/races replaced_by_relaxed stream/context.c \
	's/sctx__store_release(entry_context(entry), ins->ctx)/sctx__store(entry_context(entry), ins->ctx)/'
plant unit/races node_published_relaxed registry/registry.c \
	"$(in_function 'static inline void sctx__slot_store' "$relaxed")" registry/table.h
plant unit/races unlocked_relaxed stream/context.c 's/sctx__store_release(word,/sctx__store(word,/' base/sync.h
plant unit/races phase_turned_relaxed thread/thread.c \
	"$(in_function 'void sctx__limbo_turn_phase' "$relaxed")"
plant unit/races no_grace_period reclaim/reclaim.c \
	"$(in_function 'static void grace_period' 's/^\tsctx__synchronize();//')"

[ $missed = 0 ]
