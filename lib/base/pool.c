/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory: jemalloc's own calls if the process has jemalloc, libc's otherwise.
 * The only file that knows jemalloc.
 *
 * The references are weak and the library does not depend on libjemalloc.
 * jemalloc needs more static TLS than a running process has left, so a plugin
 * that depended on it could not be loaded with dlopen().  The program decides
 * by what it links; the host's malloc stays the same either way.
 *
 * Locked memory is a jemalloc arena whose extents are mlocked, with an
 * explicit thread cache for each thread that uses it.  Without jemalloc each
 * allocation takes whole pages.
 */
#include "base/pool.h"

#include "base/sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define JEMALLOC_NO_DEMANGLE
#include <jemalloc/jemalloc.h>

#pragma weak mallocx
#pragma weak sdallocx
#pragma weak mallctl

/* LeakSanitizer's, where the process has it. */
void __lsan_ignore_object(const void *memory);
#pragma weak __lsan_ignore_object

/* LeakSanitizer does not look for pointers in jemalloc's memory. */
static bool have_jemalloc(void)
{
	return mallocx && sdallocx && mallctl && !__lsan_ignore_object;
}

void sctx__pool_hide(const void *memory)
{
	if (__lsan_ignore_object)
		__lsan_ignore_object(memory);
}

void *sctx__pool_alloc(size_t size)
{
	if (have_jemalloc())
		return mallocx(size, 0);
	return size % 64 == 0 ? aligned_alloc(64, size) : malloc(size);
}

void sctx__pool_free(void *memory, size_t size)
{
	if (!memory)
		return;
	if (have_jemalloc())
		sdallocx(memory, size, 0);
	else
		free(memory);
}

void *sctx__pages_alloc(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

void sctx__pages_free(void *pages, size_t size)
{
	munmap(pages, size);
}

const char *sctx__pool_name(void)
{
	return have_jemalloc() ? "jemalloc" : "libc";
}

/* ------------------------------------------------------------ locked pages */

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t size)
{
	size_t page = page_size();

	return (size + page - 1) / page * page;
}

/* mlock() faults all pages in, so no later access faults. */
static void *locked_pages_alloc(size_t size, size_t align)
{
	size_t slack = align > page_size() ? align - page_size() : 0;
	char *all = sctx__pages_alloc(size + slack), *pages;
	size_t before;

	if (!all)
		return NULL;
	before = slack - ((uintptr_t)all + slack) % align;
	pages = all + before;
	if (before)
		sctx__pages_free(all, before);
	if (slack > before)
		sctx__pages_free(pages + size, slack - before);
	if (mlock(pages, size) == 0)
		return pages;
	sctx__pages_free(pages, size);
	return NULL;
}

/* --------------------------------------------- the arena of locked extents */

/*
 * The most that the arena grows by at once.  By default jemalloc makes each
 * extent larger than the last, and all of it is locked.
 */
#define GROW_MAX ((size_t)2 << 20)

static uint32_t locked_arena; /* its index + 1 */
static uint32_t generation;

/* jemalloc's signatures */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

static void *extent_alloc(extent_hooks_t *hooks, void *at, size_t size, size_t align, bool *zero,
			  bool *commit, unsigned int arena)
{
	void *extent = at ? NULL : locked_pages_alloc(size, align);

	if (extent)
		*zero = *commit = true;
	return extent;
}

/* Unused for jemalloc's dirty_decay_ms.  On failure the extent stays, locked. */
static bool extent_dalloc(extent_hooks_t *hooks, void *at, size_t size, bool committed,
			  unsigned int arena)
{
	return munmap(at, size) != 0;
}

static void extent_destroy(extent_hooks_t *hooks, void *at, size_t size, bool committed,
			   unsigned int arena)
{
	munmap(at, size);
}

/* False is success. */
static bool extent_split(extent_hooks_t *hooks, void *at, size_t size, size_t a, size_t b,
			 bool committed, unsigned int arena)
{
	return false;
}

static bool extent_merge(extent_hooks_t *hooks, void *a, size_t size_a, void *b, size_t size_b,
			 bool committed, unsigned int arena)
{
	return false;
}

#pragma GCC diagnostic pop

/* No decommit and no purge: extents stay in core until they are unmapped. */
static extent_hooks_t locked_hooks = {
	.alloc = extent_alloc,
	.dalloc = extent_dalloc,
	.destroy = extent_destroy,
	.split = extent_split,
	.merge = extent_merge,
};

/* mallctl() of "arena.@arena.@what"; @value may be NULL. */
static int arena_control(unsigned int arena, const char *what, void *value, size_t size)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.%s", arena, what);
	return mallctl(name, NULL, NULL, value, size);
}

/*
 * Set the hooks after creating the arena, so jemalloc's own records, which it
 * allocates in 2 MiB steps, are not locked.
 */
static bool arena_create(unsigned int *arena)
{
	extent_hooks_t *hooks = &locked_hooks;
	size_t size = sizeof(*arena), grow = GROW_MAX;

	if (mallctl("arenas.create", arena, &size, NULL, 0))
		return false;
	if (arena_control(*arena, "extent_hooks", &hooks, sizeof(hooks))) {
		arena_control(*arena, "destroy", NULL, 0);
		return false;
	}
	arena_control(*arena, "retain_grow_limit", &grow, sizeof(grow));
	return true;
}

/* One of several first users wins.  A lock would have to be known to fork. */
static uint32_t arena_create_slow(void)
{
	uint32_t seen = 0;
	unsigned int arena;

	if (!arena_create(&arena))
		return sctx__load(&locked_arena);
	/* Pairs with itself: the loser sees the winner's arena initialised. */
	if (sctx__cas_acq_rel(&locked_arena, &seen, arena + 1))
		return arena + 1;
	arena_control(arena, "destroy", NULL, 0);
	return seen;
}

/* From now on jemalloc's default hooks own the extents, as ordinary memory. */
static void arena_abandon(unsigned int arena)
{
	extent_hooks_t *hooks;
	size_t size = sizeof(hooks);

	if (mallctl("arena.0.extent_hooks", &hooks, &size, NULL, 0) == 0)
		arena_control(arena, "extent_hooks", &hooks, sizeof(hooks));
}

/* ----------------------------------------------------------- thread caches */

#define CACHE_NONE UINT32_MAX /* jemalloc has 4096 for the process */

/* mallocx()'s flag for the thread's cache: its number + 1 is in *@cache. */
static int cache_flag(uint32_t *cache)
{
	if (!*cache) {
		unsigned int number;
		size_t size = sizeof(number);
		bool failed = mallctl("tcache.create", &number, &size, NULL, 0) != 0;

		*cache = failed ? CACHE_NONE : number + 1;
	}
	return *cache == CACHE_NONE ? MALLOCX_TCACHE_NONE : MALLOCX_TCACHE(*cache - 1);
}

static void cache_control(uint32_t *cache, const char *what)
{
	unsigned int number = *cache - 1;

	if (*cache && *cache != CACHE_NONE)
		mallctl(what, NULL, NULL, &number, sizeof(number));
}

void sctx__locked_cache_drop(uint32_t *cache)
{
	cache_control(cache, "tcache.destroy");
	*cache = 0;
}

/* ---------------------------------------------------------- alloc and free */

/* At the mlock limit: return locked unused memory, then retry. */
static void *locked_alloc_slow(uint32_t *cache, size_t size, uint32_t arena)
{
	cache_control(cache, "tcache.flush");
	arena_control(arena - 1, "purge", NULL, 0);
	return mallocx(size, MALLOCX_ARENA(arena - 1) | cache_flag(cache));
}

void *sctx__locked_alloc(uint32_t *cache, size_t size)
{
	uint32_t arena;
	void *memory;

	if (!have_jemalloc())
		return locked_pages_alloc(whole_pages(size), page_size());
	/* Pairs with the release in arena_create_slow(). */
	arena = sctx__load_acquire(&locked_arena);
	if (!arena)
		arena = arena_create_slow();
	if (!arena)
		return NULL;
	memory = mallocx(size, MALLOCX_ARENA(arena - 1) | cache_flag(cache));
	return memory ? memory : locked_alloc_slow(cache, size, arena);
}

void sctx__locked_free(uint32_t *cache, void *memory, size_t size, bool inherited)
{
	if (!have_jemalloc())
		sctx__pages_free(memory, whole_pages(size));
	else
		sdallocx(memory, size, inherited ? MALLOCX_TCACHE_NONE : cache_flag(cache));
}

uint32_t sctx__locked_generation(void)
{
	return sctx__load(&generation);
}

/*
 * The child inherits no mlocks, and jemalloc's lists of thread caches lead
 * through threads that no longer exist.  Abandon both and start anew.
 */
void sctx__locked_after_fork(void)
{
	if (locked_arena)
		arena_abandon(locked_arena - 1);
	locked_arena = 0;
	sctx__store(&generation, generation + 1);
}

/* Other threads keep running at exit and may still use locked memory. */
void sctx__locked_fini(void)
{
	if (!locked_arena)
		return;
	arena_control(locked_arena - 1, "purge", NULL, 0);
	arena_abandon(locked_arena - 1);
}
