#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/fuzz/merge.sh build/fuzz TARGET
#
# Make the corpus of TARGET anew from itself and from what was found: the
# fewest inputs that reach the same edges.  How often an edge is taken does not
# count, so that the corpus stays at some dozens of files.
set -eu
corpus=tests/fuzz/corpus/$2
new=$1/merged/$2
rm -rf "$new"
mkdir -p "$new" "$corpus" "$1/found/$2"
"$1/$2" -set_cover_merge=1 -use_counters=0 -use_cmp=0 -max_len=400 "$new" "$corpus" "$1/found/$2" \
	>"$1/merge-$2.log" 2>&1 || { tail -20 "$1/merge-$2.log"; exit 1; }
rm -f "$corpus"/*
cp "$new"/* "$corpus"
echo "$corpus: $(ls "$corpus" | wc -l) files, $(cat "$corpus"/* | wc -c) bytes"
