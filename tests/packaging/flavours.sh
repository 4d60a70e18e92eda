#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The flavours in one prefix, each by its own name; in one process; and a program of
# one with the library of another, which the loader refuses.
#
#   SCTX_TEST_B   has memb, and the others below it
#   SCTX_TEST_CC  the compiler

set -eu
cc=${SCTX_TEST_CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# flavour_make RCU GOAL
flavour_make() {
	b=$SCTX_TEST_B
	[ "$1" = memb ] || b=$b/$1
	make -s CC="$cc" RCU="$1" B="$b" PREFIX="$tmp/usr" "$2" >/dev/null
}
for rcu in memb bp qsbr; do
	flavour_make $rcu install
done
ls "$tmp/usr/lib"
export PKG_CONFIG_PATH="$tmp/usr/lib/pkgconfig" LD_LIBRARY_PATH="$tmp/usr/lib"

cat >"$tmp/which.c" <<'C'
#include <stdio.h>
#include <string.h>
#include <streamctx.h>

/* Not WHICH, or an error. */
int use(void)
{
	static struct sctx_stream stream;
	static struct sctx_context ctx;

	if (!strstr(sctx_version(), WHICH))
		return printf("%s is not %s\n", sctx_version(), WHICH);
	if (sctx_stream_init(&stream) || sctx_context_init(&ctx, &stream, NULL, SCTX_NO_FREE) ||
	    sctx_insert(&stream, &ctx))
		return 2;
	sctx_read_lock();
	if (sctx_lookup(&stream, &stream, NULL) != &ctx)
		return 3;
	sctx_read_unlock();
	return sctx_teardown_sync(&stream) || sctx_synchronize() || sctx_barrier();
}

#ifdef PLUGIN
#include <dlfcn.h>
int main(void)
{
	void *plugin = dlopen(PLUGIN, RTLD_NOW);
	int (*theirs)(void) = plugin ? dlsym(plugin, "theirs") : NULL;

	if (!theirs)
		return printf("%s\n", dlerror());
	return use() || theirs() || use();
}
#elif defined(THEIRS)
int theirs(void)
{
	return use();
}
#else
int main(void)
{
	return use();
}
#endif
C

# Each flavour, linked in each way.
name_of() {
	[ "$1" = memb ] && echo streamctx || echo "streamctx-$1"
}
for rcu in memb bp qsbr; do
	name=$(name_of $rcu)
	for inline in "" -DSCTX_INLINE; do
		program=$tmp/$rcu$inline
		$cc -Wall -O1 $inline -DWHICH="\", $rcu,\"" $(pkg-config --cflags $name) "$tmp/which.c" \
			-o "$program" $(pkg-config --libs $name)
		"$program"
		readelf -dW "$program" | grep "NEEDED.*lib$name.so.0"
		$cc -static -Wall -O1 $inline -DWHICH="\", $rcu,\"" $(pkg-config --cflags $name) "$tmp/which.c" \
			-o "$program-static" $(pkg-config --static --libs $name)
		"$program-static"
	done
done

# Under another one's name the loader finds it, and refuses.
for pair in memb:qsbr memb:bp bp:memb qsbr:memb; do
	mine=${pair%:*} other=${pair#*:}
	mkdir -p "$tmp/wrong"
	ln -sf "$tmp/usr/lib/lib$(name_of "$other").so.0" "$tmp/wrong/lib$(name_of "$mine").so.0"
	for program in "$tmp/$mine" "$tmp/$mine-DSCTX_INLINE"; do
		if LD_LIBRARY_PATH="$tmp/wrong" "$program" 2>"$tmp/message"; then
			echo "$program runs with $other"
			exit 1
		fi
		grep "version .STREAMCTX_.* not found" "$tmp/message"
	done
	rm -r "$tmp/wrong"
done

# A host of one flavour and a plugin of another: each has its own.
$cc -shared -fPIC -DTHEIRS -DWHICH='", qsbr,"' -fvisibility=hidden -Wl,-Bsymbolic \
	-Dtheirs='__attribute__((visibility("default"))) theirs' \
	$(pkg-config --cflags streamctx-qsbr) "$tmp/which.c" -o "$tmp/plugin.so" $(pkg-config --libs streamctx-qsbr)
$cc -DPLUGIN="\"$tmp/plugin.so\"" -DWHICH='", memb,"' -rdynamic $(pkg-config --cflags streamctx) "$tmp/which.c" \
	-o "$tmp/host" $(pkg-config --libs streamctx)
"$tmp/host"

# What they share goes with the last of them.
flavour_make memb uninstall
[ -e "$tmp/usr/include/streamctx.h" ] && [ -e "$tmp/usr/lib/libstreamctx-bp.so.0" ]
[ ! -e "$tmp/usr/lib/libstreamctx.so" ]
flavour_make bp uninstall
flavour_make qsbr uninstall
find "$tmp/usr" ! -type d | tee "$tmp/left"
[ ! -s "$tmp/left" ]
