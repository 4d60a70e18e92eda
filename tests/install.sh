#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The staged installation (tests.mk), as its users see it: files, pkg-config,
# exported symbols, programs linked in each way, the host's malloc untouched.
#
#   SCTX_TEST_STAGE  here/ is a PREFIX that can be used; "a root/" is a DESTDIR
#   SCTX_TEST_CC     the compiler

set -u
stage=${SCTX_TEST_STAGE:-}
cc=${SCTX_TEST_CC:-cc}
[ -n "$stage" ] && [ -d "$stage/here" ] || { echo "skip: no staged installation"; exit 77; }
here=$stage/here
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

check() # description command...
{
	description=$1
	shift
	if "$@"; then
		echo "ok: $description"
	else
		echo "FAILED: $description"
		failed=1
	fi
}

same() # description file file
{
	check "$1" diff -u "$2" "$3"
}

# ------------------------------------------------------------------ files

root=$stage/a\ root
for root in "$here" "$root/opt/sctx"; do
	for file in include/streamctx.h include/streamctx/inline.h lib/libstreamctx.a \
		lib/libstreamctx.so lib/pkgconfig/streamctx.pc lib/pkgconfig/streamctx-jemalloc.pc; do
		check "installed: ${root#"$stage/"}/$file" test -e "$root/$file"
	done
done
root=$stage/a\ root
check "nothing outside the prefix" test "$(ls "$root" "$root/opt" | tr -d '\n')" = \
	"$(printf '%s:\nopt\n%s:\nsctx\n' "$root" "$root/opt" | tr -d '\n')"
check "DESTDIR does not get into the .pc file" \
	sh -c '! grep -q "$1" "$1/opt/sctx/lib/pkgconfig/streamctx.pc"' sh "$root"
check "the .pc file names the prefix, once" \
	test "$(grep '/opt/sctx' "$root/opt/sctx/lib/pkgconfig/streamctx.pc")" = prefix=/opt/sctx
# The loader's name for it is the soname, and it is a link to the real file.
soname=$(readelf -dW "$here/lib/libstreamctx.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
check "soname $soname has a version" sh -c 'case $1 in libstreamctx.so.[0-9]*) ;; *) false; esac' sh "$soname"
check "the soname is installed" test -e "$here/lib/$soname"

# ---------------------------------------------------------------- symbols

# Every function of the header, and what inline.h says it needs; nothing else.
# A function's name follows SCTX_API or the * or blank of its type.
declarations()
{
	sed -n -e '/^SCTX_API.*;/{p;d}' -e '/^SCTX_API/,/;/p' "$1"
}
declarations "$here/include/streamctx.h" | grep -o '\bsctx_[a-z_]*(' | tr -d '(' |
	grep -v '^sctx_[a-z]*_fn$' | sort -u >"$tmp/header"
declarations "$here/include/streamctx/inline.h" | grep -o '\bsctx__[a-z_]*' |
	sort -u >"$tmp/inline"
nm -D --defined-only "$here/lib/libstreamctx.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$tmp/exported"
grep -v '^sctx__' "$tmp/exported" >"$tmp/public"
check "the header has functions" test "$(wc -l <"$tmp/header")" -gt 30
same "exported: the header's functions, each" "$tmp/header" "$tmp/public"
# The flavour's symbol is spelled by a macro in inline.h.
grep '^sctx__' "$tmp/exported" | grep -v '^sctx__inline_abi_' >"$tmp/internal"
check "internals that are exported are inline.h's" \
	sh -c '[ -z "$(comm -23 "$1" "$2")" ]' sh "$tmp/internal" "$tmp/inline"
check "one symbol for the version of what is inlined" test "$(grep -c '^sctx__inline_abi_' "$tmp/exported")" = 1
abi=$(sed -n 's/^sctx__inline_abi_\([0-9]*\)_.*/\1/p' "$tmp/exported")
objdump -p "$here/lib/libstreamctx.so" >"$tmp/versions"
check "its number is that of the version node" grep -q " STREAMCTX_INLINE_$abi\$" "$tmp/versions"
# The map lists no more than there is: of its patterns each names something.
if [ -f lib/libstreamctx.map ]; then
	sed -n 's/^[[:space:]]*\(sctx_[a-z_]*\);.*/\1/p' lib/libstreamctx.map | grep -v '^sctx__' |
		sort -u >"$tmp/map"
	same "the symbol map is the header's list" "$tmp/header" "$tmp/map"
fi
# No global name of the archive's that is not ours, but for one that <sys/sdt.h>
# has in every program with probes: hidden, and merged with others of the name.
nm -g --defined-only "$here/lib/libstreamctx.a" | awk 'NF == 3 { print $3 }' |
	grep -vxE 'sctx_.*|_\.stapsdt\.base' >"$tmp/foreign"
check "the archive defines only sctx_ names" test ! -s "$tmp/foreign"

# --------------------------------------------------------------- programs

cat >"$tmp/user.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <streamctx.h>

struct record { struct sctx_context ctx; int freed; };

static void record_free(struct sctx_context *ctx)
{
	((struct record *)ctx)->freed++;
}

int main(void)
{
	static struct record r;
	struct sctx_id id = { 1, { 2, 3 }, 4 };
	struct sctx_registry *registry;
	struct sctx_stream *s;
	void *(*volatile function)(size_t) = malloc;
	Dl_info info;

	if (sctx_registry_create(&registry) || sctx_open(registry, &id, 0, &s))
		return 1;
	if (sctx_context_init(&r.ctx, &r, NULL, record_free) || sctx_insert(s, &r.ctx))
		return 2;
	sctx_read_lock();
	if (sctx_lookup(sctx_find(registry, &id), &r, NULL) != &r.ctx)
		return 3;
	sctx_read_unlock();
	if (sctx_close(s) || sctx_registry_destroy(registry) || sctx_barrier() || r.freed != 1)
		return 4;
	/* Whose malloc is it?  Both the one we call and the one found first. */
	if (!dladdr((void *)function, &info) || !strstr(info.dli_fname, "/libc.so"))
		return printf("malloc is %s's\n", info.dli_fname), 5;
	if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) || !strstr(info.dli_fname, "/libc.so"))
		return printf("malloc is %s's\n", info.dli_fname), 6;
	free(malloc(100));
	puts(sctx_version());
	return 0;
}
END

# Whose malloc does a program run on that uses both pools?  Its own where it
# has one, else libc's, as each allocator's own books say; and the pools run on
# jemalloc if that is there, else on the program's malloc.
cat >"$tmp/host.c" <<'END'
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <streamctx.h>

#define N 200
#define TAG SCTX_TAG('H', 'o', 's', 't')

#ifdef OWN_MALLOC
extern void *__libc_malloc(size_t), *__libc_realloc(void *, size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_memalign(size_t, size_t), __libc_free(void *);
static _Atomic size_t handed_out;
void *malloc(size_t n) { handed_out += n; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { handed_out += n * size; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { handed_out += n; return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { handed_out += n; return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { handed_out += n; return __libc_memalign(a, n); }
void free(void *p) { __libc_free(p); }
static size_t from_malloc(void) { return handed_out; }
#else
static size_t from_malloc(void) { return mallinfo2().uordblks; }
#endif

static void *p[N];

/* What @pool takes from malloc for N blocks of @size. */
static size_t taken_by(enum sctx_pool pool, size_t size)
{
	size_t before = from_malloc(), taken;

	for (int i = 0; i < N; i++) {
		p[i] = sctx_alloc(pool, size, TAG);
		if (!p[i])
			exit(10);
		memset(p[i], 1, size);
	}
	taken = from_malloc() - before;
	for (int i = 0; i < N; i++)
		if (sctx_free(p[i], TAG))
			exit(11);
	return taken;
}

/* What malloc() itself is seen to take. */
static size_t taken_by_malloc(size_t size)
{
	void *(*volatile allocate)(size_t) = malloc;
	size_t before = from_malloc(), taken;

	for (int i = 0; i < N; i++)
		p[i] = allocate(size);
	taken = from_malloc() - before;
	for (int i = 0; i < N; i++)
		free(p[i]);
	return taken;
}

int main(void)
{
	/* libc's books do not show the few blocks that its thread cache had. */
	const size_t most = (N - 10) * 1000;
	int with_jemalloc = strstr(sctx_version(), "jemalloc") != NULL;
	size_t own[2], by[2];

	/* First uses, and then what counts. */
	taken_by(SCTX_POOL_PAGED, 1000);
	taken_by(SCTX_POOL_LOCKED, 1000);
	own[0] = taken_by_malloc(1000);
	by[0] = taken_by(SCTX_POOL_PAGED, 1000);
	by[1] = taken_by(SCTX_POOL_LOCKED, 1000);
	own[1] = taken_by_malloc(1000);
	printf("%s: malloc %zu, %zu; paged %zu, locked %zu\n", sctx_version(), own[0], own[1], by[0],
	       by[1]);
	if (own[0] < most || own[1] < most)
		return 1; /* malloc is someone else's */
	if (with_jemalloc ? by[0] != 0 : by[0] < most)
		return 2;
	return by[1] ? 3 : 0;
}
END

# Nothing but a pool, and a fork: the library's handlers are there all the same.
cat >"$tmp/forks.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAG SCTX_TAG('F', 'o', 'r', 'k')

static long locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmLck: %ld", &kib);
	return kib;
}

int main(void)
{
	void *p = sctx_alloc(SCTX_POOL_LOCKED, 1000, TAG);
	int status;

	if (!p || locked_kib() <= 0)
		return 1;
	if (fork() == 0) {
		if (sctx_free(p, TAG) || locked_kib() != 0)
			_exit(2);
		if (!sctx_alloc(SCTX_POOL_LOCKED, 1000, TAG) || locked_kib() <= 0)
			_exit(3);
		_exit(0);
	}
	wait(&status);
	printf("child: status %#x\n", status);
	return status || sctx_free(p, TAG);
}
END

# In a static program a destructor may come after the library's.
cat >"$tmp/late.c" <<'END'
#include <stdlib.h>
#include <streamctx.h>
#include <unistd.h>

static void *early;

__attribute__((destructor(101))) static void late(void)
{
	struct sctx_tag_stats stats;

	for (int i = 0; i < 1000; i++)
		if (sctx_free(sctx_alloc(i % 2, i, 'a'), 'a'))
			_exit(2);
	if (sctx_free(early, 'a') || sctx_tag_stats_get(&stats, sizeof(stats), 1) != 1)
		_exit(3);
}

int main(void)
{
	early = sctx_alloc(SCTX_POOL_LOCKED, 1000, 'a');
	return early ? 0 : 1;
}
END

# Unloaded, the library leaves nothing of its own with jemalloc.
cat >"$tmp/unloads.c" <<'END'
#include <dlfcn.h>
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <streamctx.h>

static void *hooks_of(unsigned arena)
{
	char name[64];
	void *hooks = NULL;
	size_t size = sizeof(hooks);

	snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
	return mallctl(name, &hooks, &size, NULL, 0) ? NULL : hooks;
}

static unsigned arenas(void)
{
	unsigned n;
	size_t size = sizeof(n);

	return mallctl("arenas.narenas", &n, &size, NULL, 0) ? 0 : n;
}

int main(int argc, char **argv)
{
	unsigned before = arenas();
	void *library = dlopen(argv[argc - 1], RTLD_NOW);
	void *(*alloc)(enum sctx_pool, size_t, uint32_t) = dlsym(library, "sctx_alloc");
	int (*release)(void *, uint32_t) = dlsym(library, "sctx_free");

	if (release(alloc(SCTX_POOL_LOCKED, 1 << 20, 1), 1) || !alloc(SCTX_POOL_LOCKED, 100, 1))
		return 1;
	if (arenas() != before + 1 || hooks_of(before) == hooks_of(0))
		return 2;
	if (dlclose(library) || dlopen(argv[argc - 1], RTLD_NOW | RTLD_NOLOAD))
		return 3;
	return hooks_of(before) == hooks_of(0) ? 0 : 4;
}
END

export PKG_CONFIG_PATH="$here/lib/pkgconfig"
check "pkg-config knows it" pkg-config --exists streamctx
check "pkg-config's version is the header's" \
	grep -q "^#define SCTX_VERSION \"$(pkg-config --modversion streamctx)\"" "$here/include/streamctx.h"
cflags=$(pkg-config --cflags streamctx)
libs=$(pkg-config --libs streamctx)
jemalloc=$(pkg-config --libs streamctx-jemalloc)
echo "cflags: $cflags"
echo "libs: $libs"
echo "with jemalloc: $libs $jemalloc"
mkdir "$tmp/moved"
check "the prefix can be moved" test "$(pkg-config --define-variable=prefix=/moved --variable=libdir streamctx)" = /moved/lib

build() # name flags...
{
	name=$1
	shift
	check "build $name" $cc -std=gnu11 -Wall -Werror -O1 $cflags "$tmp/user.c" -o "$tmp/$name" "$@"
}

# With libc's malloc and with one of its own; and forking.
pools() # name flags...
{
	name=$1
	shift
	check "build $name's host" $cc -std=gnu11 -O1 -fno-builtin $cflags "$tmp/host.c" -o "$tmp/$name-host" "$@"
	check "build $name's host with a malloc" \
		$cc -std=gnu11 -O1 -fno-builtin -DOWN_MALLOC $cflags "$tmp/host.c" -o "$tmp/$name-own" "$@"
	runs "$name-host"
	runs "$name-own"
	check "build $name, which forks" $cc -std=gnu11 -O1 $cflags "$tmp/forks.c" -o "$tmp/$name-forks" "$@"
	runs "$name-forks"
}

runs() # name
{
	check "run $1" env LD_LIBRARY_PATH="$here/lib" "$tmp/$1"
}

needs() # name library: whether the program asks for it
{
	readelf -dW "$tmp/$1" | grep -q "NEEDED.*\[$2"
}

# As pkg-config says: with jemalloc, and without.
build shared $libs $jemalloc
runs shared
pools shared $libs $jemalloc
check "shared: needs libstreamctx.so" needs shared libstreamctx.so
check "shared: needs libstreamctx-jemalloc.so" needs shared libstreamctx-jemalloc.so
build plain $libs
runs plain
check "plain: needs libstreamctx.so" needs plain libstreamctx.so
check "plain: does not name what it does not use" sh -c '! readelf -dW "$1" | grep -qE "NEEDED.*(jemalloc|urcu)"' \
	sh "$tmp/plain"
# A plugin, loaded by a program that knows nothing of it.
check "build a plugin" $cc -std=gnu11 -shared -fPIC -Dmain=plugin_main $cflags "$tmp/user.c" -o "$tmp/plugin.so" $libs
cat >"$tmp/loads.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *plugin = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
	int (*run)(void) = plugin ? dlsym(plugin, "plugin_main") : NULL;

	if (!run)
		return puts(dlerror()), 1;
	return run() || dlclose(plugin);
}
END
check "build what loads it" $cc -std=gnu11 "$tmp/loads.c" -o "$tmp/loads"
check "the plugin runs" env LD_LIBRARY_PATH="$here/lib" "$tmp/loads" "$tmp/plugin.so"
# Programs with nothing shared at all.
check "build a static program" $cc -static -std=gnu11 -O1 $cflags "$tmp/forks.c" -o "$tmp/all-static" \
	$(pkg-config --static --libs streamctx)
check "run it" "$tmp/all-static"
check "build an inlined static program" $cc -static -std=gnu11 -O1 -DSCTX_INLINE $cflags "$tmp/forks.c" \
	-o "$tmp/all-static-inlined" $(pkg-config --static --libs streamctx)
check "run it" "$tmp/all-static-inlined"
# The library and nothing else: it knows what it needs itself, and takes libc's memory.
build alone -L"$here/lib" -lstreamctx
runs alone
pools alone -L"$here/lib" -lstreamctx
check "alone: the library did not bring in jemalloc" \
	sh -c '! LD_LIBRARY_PATH="$1" ldd "$2" | grep -q jemalloc' sh "$here/lib" "$tmp/alone"
# The archive in the place of the library.
archive=$(pkg-config --static --libs streamctx | sed 's/-lstreamctx\( \|$\)/-l:libstreamctx.a\1/')
static="$archive $jemalloc"
echo "static: $static"
build static $static
runs static
pools static $static
check "build unloads" $cc -std=gnu11 -O1 $cflags "$tmp/unloads.c" -o "$tmp/unloads" -ljemalloc
check "build a plugin with the archive in it" $cc -shared -fPIC -o "$tmp/archive.so" \
	-Wl,--whole-archive "$here/lib/libstreamctx.a" -Wl,--no-whole-archive \
	$(pkg-config --static --libs-only-l streamctx | sed 's/-lstreamctx\( \|$\)//')
check "run unloads" "$tmp/unloads" "$tmp/archive.so"
check "build late" $cc -std=gnu11 -O1 $cflags "$tmp/late.c" -o "$tmp/late" $static
runs late
check "static: needs no libstreamctx.so" sh -c '! readelf -dW "$1" | grep -q "NEEDED.*libstreamctx.so"' \
	sh "$tmp/static"
pools static_alone $archive
# And inlined.
check "build inlined" $cc -std=gnu11 -Wall -O1 -DSCTX_INLINE $cflags "$tmp/user.c" -o "$tmp/inlined" $libs
runs inlined
# A program that is compiled for another flavour does not link.
case $cflags in
*SCTX_RCU_BP*) other=-USCTX_RCU_BP ;;
*) other=-DSCTX_RCU_BP ;;
esac
check "another flavour inlined does not link" sh -c '! "$@" 2>"$0/log"' "$tmp" $cc -std=gnu11 -DSCTX_INLINE \
	$cflags $other "$tmp/user.c" -o "$tmp/mixed" $libs -lurcu-bp -lurcu-memb
check "and says which" grep -q sctx__inline_abi "$tmp/log"

[ $failed = 0 ]
