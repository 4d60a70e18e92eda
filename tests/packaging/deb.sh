#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages that `make deb` built: looked at by lintian, installed by dpkg
# into a root of their own, used from there, removed.
#
#   SCTX_TEST_B   where they are
#   SCTX_TEST_CC  the compiler

set -eu
command -v dpkg >/dev/null || { echo "skip: no dpkg"; exit 77; }
ls "$SCTX_TEST_B"/deb/libstreamctx0_*.deb >/dev/null 2>&1 || { echo "skip: not built (no debhelper)"; exit 77; }
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v fakeroot >/dev/null || { echo "skip: neither root nor fakeroot"; exit 77; }
	as_root=fakeroot
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
packages='libstreamctx0 libstreamctx-bp0 libstreamctx-qsbr0 libstreamctx-jemalloc0 libstreamctx-dev'
for package in $packages; do
	realpath "$SCTX_TEST_B"/deb/${package}_*.deb
done >"$tmp/files"
cat "$tmp/files"
version=$(dpkg-deb -f "$(head -1 "$tmp/files")" Version)
ls "$SCTX_TEST_B"/deb/streamctx_*.dsc "$SCTX_TEST_B"/deb/streamctx_*.orig.tar.gz

# Depends names what the library needs, and no more than a system has.
needs() { # PACKAGE NEEDED...
	depends=$(dpkg-deb -f "$SCTX_TEST_B/deb/$1"_*.deb Depends)
	echo "$1 depends: $depends"
	shift
	for needed in "$@"; do
		echo ", $depends" | grep -qE ", $needed( \(|,|\$)" || { echo "not on $needed"; exit 1; }
	done
}
for flavour in "" -bp -qsbr; do
	needs libstreamctx${flavour}0 libc6 'liburcu8(t64)?'
	needs libstreamctx-dev "libstreamctx${flavour}0 \(= $version\)"
	dpkg-deb --ctrl-tarfile "$SCTX_TEST_B/deb/libstreamctx${flavour}0"_*.deb | tar -xO ./symbols >"$tmp/symbols"
	grep -c '^ sctx_' "$tmp/symbols"
	grep "^libstreamctx$flavour.so.0 libstreamctx${flavour}0 " "$tmp/symbols"
done
needs libstreamctx-jemalloc0 libjemalloc2
if dpkg-deb -f "$SCTX_TEST_B"/deb/libstreamctx0_*.deb Depends | grep jemalloc; then exit 1; fi
if command -v apt-get >/dev/null; then
	xargs apt-get install -s <"$tmp/files" | grep -E '^Inst libstreamctx' || exit 1
fi

# No public address and no bug tracker of Debian's: there is none yet.
if command -v lintian >/dev/null; then
	lintian --allow-root --fail-on error,warning --suppress-tags \
		bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs \
		"$SCTX_TEST_B"/deb/*.changes
	echo "lintian has nothing to say"
else
	echo "[  SKIPPED ] lintian: not installed"
fi

# A system with nothing in it: what the packages need is this one's.
system() {
	$as_root dpkg --root="$tmp/root" --force-not-root --force-depends --log=/dev/null "$@"
}
mkdir -p "$tmp/root/var/lib/dpkg/info" "$tmp/root/var/lib/dpkg/updates"
touch "$tmp/root/var/lib/dpkg/status"
# shellcheck disable=SC2046 # no blanks in these names
system -i $(cat "$tmp/files")
# shellcheck disable=SC2086
system -l $packages | grep -c '^ii' | grep -x 5

# The packages' own test, with this root for the system.
lib=$(dirname "$(find "$tmp/root/usr/lib" -name libstreamctx.so.0)")
export PKG_CONFIG_PATH="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tmp/root" LD_LIBRARY_PATH="$lib"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
mkdir "$tmp/examples"
CC=${SCTX_TEST_CC:-cc} AUTOPKGTEST_TMP="$tmp/examples" EXAMPLES="$tmp/root/usr/share/doc/libstreamctx-dev/examples" \
	lib/packaging/debian/tests/examples
ldd "$tmp/examples/shared" | grep "$tmp/root.*libstreamctx-qsbr.so.0"
[ -e "$tmp/root/usr/share/doc/libstreamctx-dev/GUIDES.md" ] || [ -e "$tmp/root/usr/share/doc/libstreamctx-dev/GUIDES.md.gz" ]

# -dev is removed alone, or with the libraries.
system -r libstreamctx-dev
[ ! -e "$tmp/root/usr/include/streamctx.h" ] && [ -e "$lib/libstreamctx.so.0" ]
# shellcheck disable=SC2086
system -P $packages
find "$tmp/root" ! -type d ! -path '*/var/lib/dpkg/*' >"$tmp/left"
cat "$tmp/left"
[ ! -s "$tmp/left" ]
