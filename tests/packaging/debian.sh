#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The tests in a root of another Debian release, made by debootstrap: its compilers, its
# liburcu.  As root; the root stays for the next time.
#
#   tests/packaging/debian.sh RELEASE ROOT GOAL...

set -eu
release=$1 root=$2
shift 2
command -v debootstrap >/dev/null || { echo "skip: no debootstrap"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
if [ ! -e "$root/done" ]; then
	mirror=$(sed -n 's/^\(deb\|URIs:\) *\(http[^ ]*\/debian\)\/\{0,1\}\( .*\|$\)/\2/p' /etc/apt/sources.list \
		/etc/apt/sources.list.d/* 2>/dev/null | head -1)
	rm -rf "$root"
	debootstrap --variant=buildd "$release" "$root" "${mirror:-http://deb.debian.org/debian}"
	touch "$root/done"
fi
cp /etc/resolv.conf "$root/etc" || true
cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d" 2>/dev/null || true
rm -rf "$root/streamctx"
mkdir "$root/streamctx"
cp -r .ci Makefile README.md LICENSE include lib bench tests "$root/streamctx"
# Mounts go with the processes.
exec unshare --mount --propagation private sh -c '
	mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
	exec chroot "$0" env LC_ALL=C.UTF-8 HOME=/root make -C /streamctx "$@"' "$root" "$@"
