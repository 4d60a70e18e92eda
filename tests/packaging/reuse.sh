#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every file has a licence and a copyright, as REUSE asks.  REUSE looks for the
# licence's text in LICENSES/, which a copy of the tree gets from LICENSE.

set -eu
command -v reuse >/dev/null || { echo "skip: no reuse"; exit 77; }
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "skip: no git"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
git ls-files -z | xargs -0 cp --parents -P -t "$tmp"
mkdir "$tmp/LICENSES"
cp LICENSE "$tmp/LICENSES/LGPL-2.1-or-later.txt"
LC_ALL=C.UTF-8 reuse --root "$tmp" lint
# A file of another licence would be seen.
tag=SPDX-License-Identifier
echo "$tag: MIT" >"$tmp/lib/other.c"
if LC_ALL=C.UTF-8 reuse --root "$tmp" lint >"$tmp/log" 2>&1; then
	exit 1
fi
grep MIT "$tmp/log"
