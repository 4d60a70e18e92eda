/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory by tag: sctx_alloc(), sctx_free(), and the bytes of each tag.
 *
 *   block                                 memory
 *   +-----------------+-------+-------+---------------------- - -
 *   | size            | tag   | check | the bytes requested
 *   +-----------------+-------+-------+---------------------- - -
 *
 * A tag's bytes are a shared total plus a delta of each thread
 * (lib/thread/counter.h).  A thread flushes its delta into the total when it
 * reaches SHARE in either direction, and at its exit.  Peaks are taken when
 * deltas are flushed.  A tag stays in the table for good, so finding it takes
 * no lock.
 */
#include "memory/tag.h"

#include "thread/counter.h"
#include "base/debug.h"
#include "base/pool.h"
#include "base/sized.h"
#include "memory/quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHARE 65536

struct tag {
	uint32_t name;
	uint32_t share; /* counters: bytes not flushed, objects */
	uint32_t objects;
	int64_t told __attribute__((aligned(64))); /* bytes flushed */
	int64_t peak;
};

/* In order of first use.  @place is a hash table of names.  The lock is for adding. */
#define PLACES (2 * SCTX_TAGS_MAX)

static struct tag tags[SCTX_TAGS_MAX];
static uint32_t tag_count;
static uint16_t place[PLACES]; /* index in tags + 1 */
static uint32_t tags_lock;

/* ------------------------------------------------------------------- tags */

static uint32_t first_place(uint32_t name)
{
	return (uint32_t)(name * 0x9e3779b97f4a7c15u >> 32) % PLACES;
}

/* The tag; or NULL, and the free place for it.  There is always a free place. */
static struct tag *tag_find(uint32_t name, uint32_t *free_place)
{
	for (uint32_t i = first_place(name);; i = (i + 1) % PLACES) {
		/* Pairs with the release in tag_publish(). */
		uint16_t n = sctx__load_acquire(&place[i]);

		if (n && tags[n - 1].name == name)
			return &tags[n - 1];
		if (n)
			continue;
		*free_place = i;
		return NULL;
	}
}

/* With the lock held. */
static struct tag *tag_publish(const struct tag *new, uint32_t at)
{
	uint32_t n = sctx__load(&tag_count);

	if (n == SCTX_TAGS_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	tags[n] = *new;
	/* Pairs with the acquires in tag_find() and in the loops over tags. */
	sctx__store_release(&tag_count, n + 1);
	sctx__store_release(&place[at], (uint16_t)(n + 1));
	return &tags[n];
}

static bool counters_create(struct tag *tag)
{
	if (sctx__counter_new(&tag->share))
		return false;
	if (sctx__counter_new(&tag->objects) == 0)
		return true;
	sctx__counter_delete(tag->share);
	return false;
}

/* The first use of a tag.  The lock is taken inside an update, which forks wait for. */
__attribute__((noinline)) static struct tag *tag_add_slow(uint32_t name)
{
	struct tag new = { .name = name }, *tag, *found;
	uint32_t at;

	if (!counters_create(&new)) {
		errno = ENOMEM;
		return NULL;
	}
	sctx__update_begin();
	sctx__lock_u32(&tags_lock);
	found = tag_find(name, &at);
	tag = found ? found : tag_publish(&new, at);
	sctx__unlock_u32(&tags_lock, 0);
	sctx__update_end();
	if (found || !tag) {
		sctx__counter_delete(new.share);
		sctx__counter_delete(new.objects);
	}
	return tag;
}

/* NULL with errno set. */
static struct tag *tag_get(uint32_t name)
{
	uint32_t unused;
	struct tag *tag = tag_find(name, &unused);

	return sctx__likely(tag) ? tag : tag_add_slow(name);
}

/* --------------------------------------------------------------- counting */

static void raise_peak(struct tag *tag, int64_t bytes)
{
	int64_t peak = sctx__load(&tag->peak);

	while (bytes > peak && !sctx__cas_acquire(&tag->peak, &peak, bytes))
		;
}

static void tell(struct tag *tag, int64_t share)
{
	raise_peak(tag, sctx__add(&tag->told, share) + share);
}

static void count(struct tag *tag, int64_t bytes, int64_t objects)
{
	struct sctx__thread *self = sctx__thread_self();
	int64_t share;

	sctx__counter_add(tag->objects, objects);
	if (sctx__unlikely(tag->share >= self->counters))
		sctx__counter_add_slow(tag->share, 0);
	if (sctx__unlikely(tag->share >= self->counters)) {
		tell(tag, bytes); /* no memory for this thread's counters */
		return;
	}
	share = self->counter[tag->share] + bytes;
	if (share >= SHARE || share <= -SHARE) {
		tell(tag, share);
		share = 0;
	}
	sctx__store(&self->counter[tag->share], share);
}

/* A thread exits. */
static void tags_fold(struct sctx__thread *t)
{
	uint32_t n = sctx__load_acquire(&tag_count);

	for (uint32_t i = 0; i < n; i++) {
		struct tag *tag = &tags[i];

		if (tag->share >= t->counters || t->counter[tag->share] == 0)
			continue;
		tell(tag, t->counter[tag->share]);
		sctx__store(&t->counter[tag->share], 0);
	}
}

__attribute__((constructor(101))) static void tags_init(void)
{
	sctx__thread_exit_hook = tags_fold;
}

static uint64_t at_least_0(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

static struct sctx_tag_stats stats_of(struct tag *tag)
{
	int64_t bytes = sctx__load(&tag->told) + sctx__counter_sum(tag->share);

	raise_peak(tag, bytes);
	return (struct sctx_tag_stats){
		.tag = tag->name,
		.bytes = at_least_0(bytes),
		.objects = at_least_0(sctx__counter_sum(tag->objects)),
		.peak = (uint64_t)sctx__load(&tag->peak),
	};
}

int sctx_tag_stats_get(struct sctx_tag_stats *stats, size_t size, size_t n)
{
	uint32_t all = sctx__load_acquire(&tag_count);
	int error = stats ? sctx__size_check(size, SCTX__SIZE_TO(struct sctx_tag_stats, peak)) : 0;

	if (error)
		return error;
	for (uint32_t i = 0; stats && i < n && i < all; i++) {
		const struct sctx_tag_stats one = stats_of(&tags[i]);

		sctx__sized_copy((char *)stats + i * size, size, &one, sizeof(one));
	}
	return (int)all;
}

/* ----------------------------------------------------------------- blocks */

#ifdef SCTX_DEBUG
int sctx__misuse_memory(int error, const char *what, const void *memory, uint32_t tag)
{
	char text[SCTX__TAG_TEXT];

	fprintf(stderr, "streamctx: %s: %s\n  memory    %p", what, strerrorname_np(-error), memory);
	sctx__tag_text(tag, text);
	fprintf(stderr, tag ? " tag [%s]\n" : "\n", text);
	sctx__debug_stop(memory);
}
#endif

struct block {
	size_t size;
	uint32_t tag;
	uint32_t check;
};

_Static_assert(sizeof(struct block) == 16, "what follows must be aligned");

#define LARGEST (PTRDIFF_MAX - 65536) /* rounding up must not overflow */

/*
 * The check word: LIVE or FREED, the generation of locked memory (pool.h), and
 * the pool.  After a free the allocator overwrites it or leaves FREED there.
 */
#define LIVE       0x5c7a0000u
#define FREED      0xdead0000u
#define STATE      0xffff0000u
#define GENERATION 0x0000fffeu
#define POOL       0x00000001u

static uint32_t live_block(enum sctx_pool pool)
{
	if (pool == SCTX_POOL_PAGED)
		return LIVE;
	return LIVE | (sctx__locked_generation() << 1 & GENERATION) | POOL;
}

static struct block *block_alloc(enum sctx_pool pool, size_t size)
{
	if (size > LARGEST)
		return NULL;
	size += sizeof(struct block);
	if (pool == SCTX_POOL_PAGED)
		return sctx__pool_alloc(size);
	return sctx__locked_alloc(&sctx__thread_self()->locked_cache, size);
}

static void block_free(void *memory)
{
	struct block *block = memory;
	size_t size = sizeof(*block) + block->size;
	bool inherited;

	if (!(block->check & POOL)) {
		sctx__pool_free(block, size);
		return;
	}
	inherited = (block->check ^ live_block(SCTX_POOL_LOCKED)) & GENERATION;
	sctx__locked_free(&sctx__thread_self()->locked_cache, block, size, inherited);
}

size_t sctx__alloc_size(const void *memory)
{
	const struct block *block = (const struct block *)memory - 1;

	return sizeof(*block) + block->size;
}

/* False if another thread freed it concurrently.  Only DEBUG builds pay for the check. */
static bool block_claim(struct block *block, uint32_t seen)
{
	uint32_t freed = seen ^ LIVE ^ FREED;

#ifdef SCTX_DEBUG
	return sctx__cas_acq_rel(&block->check, &seen, freed);
#else
	block->check = freed;
	return true;
#endif
}

void *sctx_alloc(enum sctx_pool pool, size_t size, uint32_t tag)
{
	struct block *block;
	struct tag *account;

	sctx__debug_enter();
	if ((pool != SCTX_POOL_PAGED && pool != SCTX_POOL_LOCKED) || tag == 0) {
		errno = EINVAL;
		return NULL;
	}
	account = tag_get(tag);
	if (!account)
		return NULL;
	block = block_alloc(pool, size);
	if (!block && sctx__quarantine_empty(block_free))
		block = block_alloc(pool, size);
	if (!block) {
		errno = ENOMEM;
		return NULL;
	}
	*block = (struct block){ size, tag, live_block(pool) };
	sctx__debug_did(block + 1, "allocated");
	count(account, (int64_t)size, 1);
	sctx__rcu_quiescent(sctx__self.reader);
	return block + 1;
}

int sctx_free(void *memory, uint32_t tag)
{
	struct block *block;
	struct tag *account;
	uint32_t check, unused;

	sctx__debug_enter();
	if (!memory)
		return 0;
	if ((uintptr_t)memory % sizeof(*block))
		return sctx__misuse_memory(-EINVAL, "free of what sctx_alloc() cannot return",
					   memory, 0);
	block = (struct block *)memory - 1;
	check = sctx__load(&block->check);
	if ((check & STATE) != LIVE)
		return sctx__misuse_memory(-EBADF, "free of memory that is not allocated", memory,
					   block->tag);
	account = tag_find(block->tag, &unused);
	if ((tag && block->tag != tag) || !account)
		return sctx__misuse_memory(-EINVAL, "free with another tag than at allocation",
					   memory, block->tag);
	if (!block_claim(block, check))
		return sctx__misuse_memory(-EBADF, "free by two threads at once", memory,
					   block->tag);
	sctx__debug_did(memory, "freed");
	count(account, -(int64_t)block->size, -1);
	sctx__rcu_quiescent(sctx__self.reader);
	sctx__quarantine_add(block, sizeof(*block), block->size, block->tag, block_free);
	return 0;
}
