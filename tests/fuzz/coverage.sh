#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/fuzz/coverage.sh build/fuzz/coverage TARGET: lines that its corpus reaches.
set -eu
profile=$1/$2.profraw
LLVM_PROFILE_FILE=$profile "$1/$2" -runs=0 "tests/fuzz/corpus/$2" >"$1/$2.log" 2>&1
llvm-profdata merge -o "$1/$2.profdata" "$profile"
llvm-cov report "$1/$2" -instr-profile="$1/$2.profdata" -ignore-filename-regex='/usr/|tests/fuzz' |
	awk 'NF > 10 { printf "%-28s lines %8s   branches %8s\n", $1, $10, $13 }'
