#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Replay a target's corpus, then fuzz it for FUZZ_SECONDS: called as
# build/fuzz/check/TARGET.sh, a link to this.  What is new goes to
# build/fuzz/found/TARGET, what crashes to build/fuzz/crash-TARGET-*.
set -eu
target=$(basename "$0" .sh)
here=$(dirname "$0")/..
corpus=tests/fuzz/corpus/$target
dict=tests/fuzz/$target.dict
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0
export UBSAN_OPTIONS=print_stacktrace=1

mkdir -p "$here/found/$target"
set -- -timeout=20 -max_len=400 -artifact_prefix="$here/crash-$target-" -print_final_stats=1 -error_exitcode=1
[ ! -f "$dict" ] || set -- "$@" -dict="$dict"

"$here/$target" "$@" -runs=0 "$corpus"
[ "${FUZZ_SECONDS:-5}" = 0 ] ||
	"$here/$target" "$@" -len_control=0 -max_total_time="${FUZZ_SECONDS:-5}" \
		"$here/found/$target" "$corpus"
