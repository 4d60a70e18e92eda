#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Manual pages: one for every exported function, clean, and not to be forgotten
# when the header changes.
#
#   SCTX_TEST_STAGE  here/ is a PREFIX that can be used

set -eu
man=$SCTX_TEST_STAGE/here/share/man
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

nm -D --defined-only "$SCTX_TEST_STAGE/here/lib/libstreamctx.so" |
	sed -n 's/.* \(sctx_[a-z][a-z_]*\)\(@.*\)\{0,1\}$/\1/p' | sort -u >"$tmp/exported"
[ "$(wc -l <"$tmp/exported")" -gt 50 ]
while read -r name; do
	grep -q "^\.Fo $name\$" "$man/man3/$name.3" || { echo "$name: no page, or not on it"; exit 1; }
done <"$tmp/exported"
echo "$(wc -l <"$tmp/exported") functions have their page"
# So have types and macros.
for name in sctx_stats sctx_context sctx_owner_ops SCTX_TAG SCTX_VERSION_NUMBER sctx_free_fn; do
	[ -e "$man/man3/$name.3" ] || { echo "$name: no page"; exit 1; }
done
# Nothing is missing that was made, and nothing dangles.
ls "$man/man3" >"$tmp/installed"
ls "$SCTX_TEST_B/man/man3" | diff - "$tmp/installed"
find "$man" -xtype l | grep . && exit 1

command -v mandoc >/dev/null || { echo "skip: no mandoc"; exit 77; }
find "$man" -type f >"$tmp/pages"
xargs mandoc -Tlint -W warning <"$tmp/pages"
echo "$(wc -l <"$tmp/pages") pages are clean"
if command -v man >/dev/null; then
	while read -r page; do
		LC_ALL=C.UTF-8 MANROFFSEQ= man --warnings=mac,!break -l "$page" 2>&1 >"$tmp/text" | tee "$tmp/warnings"
		[ ! -s "$tmp/warnings" ] && [ "$(wc -l <"$tmp/text")" -gt 20 ]
	done <"$tmp/pages"
	MANPAGER=cat man -M "$man" 3 sctx_close | tr '\n' ' ' | grep -q 'sctx_open, .*sctx_close, '
else
	echo "[  SKIPPED ] man: not installed"
fi

# A header that says something else makes other pages, or none.
mkdir -p "$tmp/src/include" "$tmp/src/lib/packaging/debian"
cp README.md "$tmp/src"
cp lib/packaging/debian/changelog "$tmp/src/lib/packaging/debian"
cp -r tests "$tmp/src"
made_from() { # sed's script
	sed "$1" include/streamctx.h >"$tmp/src/include/streamctx.h"
	! cmp -s include/streamctx.h "$tmp/src/include/streamctx.h" || exit 1
	(cd "$tmp/src" && python3 "$OLDPWD/lib/man/man.py" "$tmp/made" 2>&1)
}
made_from 's/^SCTX_API int sctx_barrier(void);/&\nSCTX_API int sctx_forgotten(void);/' && exit 1
made_from 's/^SCTX_API int sctx_barrier(void);//' && exit 1
made_from 's/^struct sctx_stats {/struct sctx_other {int a;};\n\n&/' && exit 1
made_from 's/-EOVERFLOW, 2^28/-EOVERFLOW, 2^17/'
grep -rq '2^17' "$tmp/made/man3/sctx_open.3"
