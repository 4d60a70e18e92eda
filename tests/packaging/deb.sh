#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages that `make deb` built: installed by dpkg into a root of
# their own, used from there, removed.
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
library=$(realpath "$SCTX_TEST_B"/deb/libstreamctx0_*.deb)
dev=$(realpath "$SCTX_TEST_B"/deb/libstreamctx-dev_*.deb)

# Depends names what the library needs, and no more than a system has.
depends=$(dpkg-deb -f "$library" Depends)
echo "Depends: $depends"
for package in libc6 liburcu8 libjemalloc2; do
	case $depends in *"$package ("*) ;; *) exit 1 ;; esac
done
dpkg-deb -f "$dev" Depends | grep "libstreamctx0 (= $(dpkg-deb -f "$library" Version))"
if command -v apt-get >/dev/null; then
	apt-get install -s "$library" "$dev" | grep -E '^Inst libstreamctx' || exit 1
fi

# A system with nothing in it: what the packages need is this one's.
system() {
	$as_root dpkg --root="$tmp/root" --force-not-root --force-depends --log=/dev/null "$@"
}
mkdir -p "$tmp/root/var/lib/dpkg/info" "$tmp/root/var/lib/dpkg/updates"
touch "$tmp/root/var/lib/dpkg/status"
system -i "$library" "$dev"
system -l libstreamctx0 libstreamctx-dev | grep -c '^ii' | grep -x 2

lib=$(dirname "$(find "$tmp/root/usr/lib" -name libstreamctx.so.0)")
export PKG_CONFIG_PATH="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tmp/root" LD_LIBRARY_PATH="$lib"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
for example in embed attach event_loop; do
	${SCTX_TEST_CC:-cc} -Wall -Werror tests/examples/$example.c -o "$tmp/$example" \
		$(pkg-config --cflags --libs streamctx) -pthread
	"$tmp/$example"
	ldd "$tmp/$example" | grep "$tmp/root.*libstreamctx.so.0"
done

# -dev is removed alone, or with the library.
system -r libstreamctx-dev
[ ! -e "$tmp/root/usr/include/streamctx.h" ] && [ -e "$lib/libstreamctx.so.0" ]
system -P libstreamctx-dev libstreamctx0
find "$tmp/root" ! -type d ! -path '*/var/lib/dpkg/*' >"$tmp/left"
cat "$tmp/left"
[ ! -s "$tmp/left" ]
