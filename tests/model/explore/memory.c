/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See memory.h.  Each thread allocates from an arena of its own, so that the
 * address of what it allocates does not depend on what others do meanwhile.
 * A map says for each 16 bytes which block they belong to.
 */
#include "memory.h"

#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GRANULE 16
#define ARENA   (256 << 10)
#define BLOCKS  16384

struct block {
	char *begin;
	size_t size;
	const char *what;
	bool live;
	uint32_t used_at[THREADS_MAX]; /* plainly, at which of its steps; 0: never */
	uint32_t used_in[THREADS_MAX]; /* which section of its; 0: none */
};

static char *arenas;
static size_t filled[THREADS_MAX];
static uint16_t map[THREADS_MAX * ARENA / GRANULE];
static struct block blocks[BLOCKS];
static unsigned int count; /* block 0 is none */

void memory_init(void)
{
	arenas = mmap(NULL, THREADS_MAX * ARENA, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arenas == MAP_FAILED)
		abort();
}

void memory_reset(void)
{
	for (int i = 0; i < THREADS_MAX; i++) {
		memset(&map[i * ARENA / GRANULE], 0, filled[i] / GRANULE * sizeof(map[0]));
		filled[i] = 0;
	}
	count = 0;
}

/* With at least a granule of nobody's between two blocks. */
static char *arena_take(size_t size)
{
	int id = current->id;
	char *begin = arenas + (size_t)id * ARENA + filled[id];

	filled[id] += (size + 2 * 64 - 1) & ~(size_t)63;
	explore_check(filled[id] <= ARENA, "no memory left to explore with");
	return begin;
}

void *memory_alloc(size_t size, const char *what)
{
	struct block *b = &blocks[++count];
	size_t first;

	explore_check(count < BLOCKS, "more blocks than there is room for");
	b->begin = arena_take(size);
	b->size = size;
	b->what = what;
	b->live = true;
	memset(b->used_at, 0, sizeof(b->used_at));
	memset(b->used_in, 0, sizeof(b->used_in));
	memset(b->begin, 0xa5, size);
	first = (size_t)(b->begin - arenas) / GRANULE;
	for (size_t i = 0; i < (size + GRANULE - 1) / GRANULE; i++)
		map[first + i] = (uint16_t)count;
	return b->begin;
}

static bool ours(const volatile void *p)
{
	return (uintptr_t)p - (uintptr_t)arenas < THREADS_MAX * ARENA;
}

static struct block *block_of(const volatile void *p)
{
	return &blocks[map[((uintptr_t)p - (uintptr_t)arenas) / GRANULE]];
}

/*
 * See memory.h: a thread that stands behind its use may stand before it, and one that
 * has used it in a section may do so again, though no switch is tried before that.
 */
static void check_users(const struct block *b)
{
	for (int i = 0; i < THREADS_MAX; i++) {
		const struct thread *t = &threads[i];

		if (t == current || !t->exists || t->done)
			continue;
		explore_check(!t->section || b->used_in[i] != t->section,
			      "%s %p of %zu bytes is freed in a section of %s that has used it",
			      b->what, (void *)b->begin, b->size, t->name);
		if (!b->used_at[i])
			continue;
		explore_check(b->used_at[i] != t->steps,
			      "%s %p of %zu bytes is freed while %s uses it", b->what,
			      (void *)b->begin, b->size, t->name);
	}
}

void memory_free(void *memory, size_t size)
{
	struct block *b;

	if (!memory)
		return;
	explore_check(ours(memory) && block_of(memory) != blocks, "free of %p: not allocated",
		      memory);
	b = block_of(memory);
	explore_check(b->live, "%s %p is freed twice", b->what, memory);
	explore_check(b->begin == memory && b->size == size,
		      "%s %p of %zu bytes is freed as %p of %zu", b->what, (void *)b->begin,
		      b->size, memory, size);
	if (concurrent)
		check_users(b);
	b->live = false;
}

bool memory_live(const void *memory)
{
	return ours(memory) && block_of(memory)->live;
}

void memory_check(const volatile void *p, size_t size, const char *what)
{
	const volatile char *last = (const volatile char *)p + size - 1;
	struct block *b;

	if (!ours(p))
		return;
	b = block_of(p);
	explore_check(b != blocks && block_of(last) == b && last < b->begin + b->size,
		      "%s: %p of %zu bytes is in no block", what, (const void *)(uintptr_t)p, size);
	explore_check(b->live, "%s: %s %p of %zu bytes was freed", what, b->what, (void *)b->begin,
		      b->size);
	b->used_in[current->id] = current->section;
}

void memory_check_leaks(void)
{
	int live = 0;

	for (unsigned int i = 1; i <= count; i++)
		live += blocks[i].live;
	if (!live)
		return;
	for (unsigned int i = 1; i <= count; i++)
		if (blocks[i].live)
			printf("  live: %s %p of %zu bytes\n", blocks[i].what,
			       (void *)blocks[i].begin, blocks[i].size);
	explore_fail("%d blocks leaked", live);
}

/* ------------------------------------------------- the library's lib/base/pool.h */

void *sctx__pool_alloc(size_t size);
void sctx__pool_free(void *memory, size_t size);
void sctx__pool_hide(const void *memory);
void *sctx__pages_alloc(size_t size);
void sctx__pages_free(void *pages, size_t size);
void *sctx__locked_alloc(uint32_t *cache, size_t size);
void sctx__locked_free(uint32_t *cache, void *memory, size_t size, bool inherited);
void sctx__locked_cache_drop(uint32_t *cache);
void sctx__locked_after_fork(void);
uint32_t sctx__locked_generation(void);
void sctx__locked_fini(void);
const char *sctx__pool_name(void);

void *sctx__pool_alloc(size_t size)
{
	return memory_alloc(size, "library memory");
}

/* From LeakSanitizer, which is not here. */
void sctx__pool_hide(const void *memory)
{
	(void)memory;
}

void sctx__pool_free(void *memory, size_t size)
{
	memory_free(memory, size);
}

void *sctx__pages_alloc(size_t size)
{
	return memset(memory_alloc(size, "buckets"), 0, size);
}

void sctx__pages_free(void *pages, size_t size)
{
	memory_free(pages, size);
}

/* What locked memory adds is the system's: nothing to explore. */
void *sctx__locked_alloc(uint32_t *cache, size_t size)
{
	(void)cache;
	return memory_alloc(size, "locked memory");
}

void sctx__locked_free(uint32_t *cache, void *memory, size_t size, bool inherited)
{
	(void)cache;
	(void)inherited;
	memory_free(memory, size);
}

void sctx__locked_cache_drop(uint32_t *cache)
{
	(void)cache;
}

void sctx__locked_after_fork(void)
{
}

uint32_t sctx__locked_generation(void)
{
	return 0;
}

void sctx__locked_fini(void)
{
}

const char *sctx__pool_name(void)
{
	return "explored";
}

/* -------------------------------------------------- plain accesses (TSan's) */

/* As the thread stands at its next point, that is its count of steps. */
static void used(const volatile void *p, size_t size)
{
	if (!ours(p))
		return;
	memory_check(p, size, "plain access");
	block_of(p)->used_at[current->id] = current->steps + 1;
}

#define DEFINE_ACCESS(name, size)    \
	void __tsan_##name(void *p); \
	void __tsan_##name(void *p)  \
	{                            \
		used(p, size);       \
	}

DEFINE_ACCESS(read1, 1)
DEFINE_ACCESS(read2, 2)
DEFINE_ACCESS(read4, 4)
DEFINE_ACCESS(read8, 8)
DEFINE_ACCESS(read16, 16)
DEFINE_ACCESS(write1, 1)
DEFINE_ACCESS(write2, 2)
DEFINE_ACCESS(write4, 4)
DEFINE_ACCESS(write8, 8)
DEFINE_ACCESS(write16, 16)
DEFINE_ACCESS(unaligned_read2, 2)
DEFINE_ACCESS(unaligned_read4, 4)
DEFINE_ACCESS(unaligned_read8, 8)
DEFINE_ACCESS(unaligned_read16, 16)
DEFINE_ACCESS(unaligned_write2, 2)
DEFINE_ACCESS(unaligned_write4, 4)
DEFINE_ACCESS(unaligned_write8, 8)
DEFINE_ACCESS(unaligned_write16, 16)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, size_t size);
void __tsan_write_range(void *p, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int byte, size_t size);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	(void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *p, size_t size)
{
	used(p, size);
}

void __tsan_write_range(void *p, size_t size)
{
	used(p, size);
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
	used(to, size);
	used(from, size);
	return memcpy(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
	used(to, size);
	return memset(to, byte, size);
}
