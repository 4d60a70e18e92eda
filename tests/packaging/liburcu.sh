#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A liburcu that reads its readers' counters in another way than inline.h assumes:
# sections then go through liburcu's own calls, inlined ones as well.
#
#   SCTX_TEST_B   has the library and the unit programs
#   SCTX_TEST_CC  the compiler

set -eu
cc=${SCTX_TEST_CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Bit 62 says "inside" to this one.
cat >"$tmp/other.c" <<'C'
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>
#undef urcu_memb_read_ongoing
int urcu_memb_read_ongoing(void);
int urcu_memb_read_ongoing(void)
{
	return URCU_TLS(urcu_memb_reader).ctr & (URCU_GP_CTR_NEST_MASK | 1UL << 62) ? 1 : 0;
}
C
$cc -shared -fPIC "$tmp/other.c" -o "$tmp/other.so" -lurcu-memb

cat >"$tmp/rests.c" <<'C'
#define SCTX_INLINE
#include <streamctx.h>
#include <stdio.h>

/* What the counter rests at, and is in a section. */
int main(void)
{
	unsigned long inside = 0;

	for (int i = 0; i < 3; i++) {
		sctx_read_lock();
		inside = URCU_TLS(urcu_memb_reader).ctr & URCU_GP_CTR_NEST_MASK;
		sctx_read_unlock();
	}
	printf("%s, nested %lu\n", URCU_TLS(urcu_memb_reader).ctr == SCTX__MEMB_READY ? "ready" : "not ready",
	       inside);
	return 0;
}
C
$cc -Iinclude "$tmp/rests.c" -o "$tmp/rests" -L"$SCTX_TEST_B" -lstreamctx -lurcu-memb \
	-Wl,-rpath,"$(realpath "$SCTX_TEST_B")"
case $("$tmp/rests") in
"ready, nested 1") ;;
"not ready, nested 2") echo "skip: no membarrier(2)"; exit 77 ;;
*) exit 1 ;;
esac
LD_PRELOAD=$tmp/other.so "$tmp/rests" | tee "$tmp/out"
grep -x "not ready, nested 2" "$tmp/out"

export SCTX_TEST_SCALE=0.2
for program in inline by_host context; do
	LD_PRELOAD=$tmp/other.so "$SCTX_TEST_B/tests/unit/$program"
done
