/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table from stream id to open stream: a power of two of buckets, each
 * one cache line, as in CLHT (David, Guerraoui, Trigonakis: Asynchronized
 * Concurrency, ASPLOS 2015).
 *
 *   bucket, 64 bytes
 *   +------+------+------+------+------+------+------+------------------+
 *   | slot | slot | slot | slot | slot | slot | slot | overflow | flags |
 *   +------+------+------+------+------+------+------+------------------+
 *   slot: 16 bits of the hash over 48 bits of the node's address; 0 = empty
 *
 * A stream that is forgotten while it is open keeps its slot, with the hash bits inverted:
 * walks find it, lookups by its id do not, and a new stream of that id can be beside it.
 *
 * The last word is the writers' spinlock (bit 0), MOVED (bit 1) and the
 * address of the next bucket of the chain (64-byte aligned).
 *
 * Growing.  A table whose chains get long gets a successor of twice the size.
 * From then on each open of a new stream and each last close moves a few
 * buckets.  Moving a bucket, under its lock: copy the slots to the successor,
 * set MOVED, clear the slots.  So a reader that misses because a slot was
 * cleared sees MOVED and goes on to the successor.  A writer goes on only if it
 * finds MOVED and no lock, so no stream is unlinked in the successor while a
 * slot here still names it.
 */
#ifndef SCTX_TABLE_H
#define SCTX_TABLE_H

#include "rcu/rcu.h"

#include <stddef.h>
#include <string.h>

struct sctx_registry;

/*
 * A registry's stream, 128 bytes.  The first cache line has everything that a
 * lookup of the only context by id needs.
 */
struct sctx__node {
	struct sctx_id id;
	struct sctx_stream stream;
	uint64_t hash;
} __attribute__((aligned(64)));

#ifndef SCTX__SLOTS
#define SCTX__SLOTS 7
#endif

struct sctx__bucket {
	uintptr_t slot[SCTX__SLOTS];
	uintptr_t chain;
} __attribute__((aligned(64)));

#define SCTX__MOVED       ((uintptr_t)2)
#define SCTX__CHAIN_FLAGS ((uintptr_t)63)
#define SCTX__TAG_SHIFT   48
#define SCTX__ADDRESS_MAX (((uintptr_t)1 << SCTX__TAG_SHIFT) - 1)

_Static_assert(UINTPTR_MAX == UINT64_MAX, "a slot is 16 bits and 48 of an address");

/*
 * Whether a slot can hold @address.  Kernels with 57-bit (x86-64) or 52-bit
 * (arm64) addresses hand out high ones only on request, but an allocator may
 * request them, and tagged pointers have their tag there.
 */
static inline bool sctx__slot_can_name(const void *address)
{
	return !((uintptr_t)address >> SCTX__TAG_SHIFT);
}

struct sctx__table {
	size_t mask; /* buckets - 1 */
	struct sctx__bucket *bucket;
	struct sctx__table *next; /* successor, while and after growing */
	struct sctx__block block;
	/* Written while growing, or rarely. */
	size_t cursor __attribute__((aligned(64))); /* next bucket to move */
	size_t moved;                               /* buckets moved */
	size_t overflows;                           /* buckets chained now */
};

struct sctx__table *sctx__table_create(size_t buckets);
/* Frees the chains too.  No other thread uses the table. */
void sctx__table_free(struct sctx__table *table);

/*
 * The locked bucket of a hash, and the table that it is in.  Two words, so it is
 * passed in registers.
 */
struct sctx__place {
	struct sctx__table *table;
	struct sctx__bucket *bucket;
};

/* After an insert or remove, with no lock held: begin or continue growing @*table. */
void sctx__table_grow_slow(struct sctx__table **table);

/*
 * Chains tell when to grow: at random, one bucket in SCTX__OVERFLOW_SHARE has a
 * chain when somewhat more than 4 of its 7 slots are in use.  A count of streams
 * would be a write to shared memory in every open.
 */
#define SCTX__OVERFLOW_SHARE 16

static inline bool sctx__table_should_grow(struct sctx__table *table)
{
	return sctx__load(&table->next) ||
	       sctx__load(&table->overflows) > (table->mask + 1) / SCTX__OVERFLOW_SHARE;
}

/* After an insert or a remove. */
SCTX__INLINE void sctx__table_grow(struct sctx__table **table)
{
	/* Pairs with the release in table.c's finish(). */
	if (sctx__unlikely(sctx__table_should_grow(sctx__load_acquire(table))))
		sctx__table_grow_slow(table);
}

typedef int (*sctx__node_fn)(struct sctx__node *node, void *arg);
bool sctx__table_is_empty(struct sctx__table *table);

/* Call @fn for each node, which it may remove.  No other thread uses the table. */
void sctx__table_each(struct sctx__table *table, sctx__node_fn fn, void *arg);

/* Call @fn for each node of bucket @index of @table, even if it has moved. */
int sctx__table_visit(struct sctx__table *table, size_t index, sctx__node_fn fn, void *arg);

/* Add bucket @index of @table, even if it has moved: streams, overflows, longest chain. */
void sctx__table_stats(struct sctx__table *table, size_t index, struct sctx_registry_stats *stats);

static inline struct sctx__node *sctx__slot_node(uintptr_t slot)
{
	return (struct sctx__node *)(slot & SCTX__ADDRESS_MAX);
}

/*
 * The acquire pairs with the release in sctx__slot_store(): a reader of the slot
 * sees the node, or, if a move cleared the slot, sees MOVED.
 */
static inline uintptr_t sctx__slot_load(const uintptr_t *slot)
{
	return sctx__load_acquire(slot);
}

/*
 * Whether the tag in @slot is @tag: a 16-bit load and a comparison.
 * ThreadSanitizer builds load the whole slot.  Acquire, as above.
 */
static inline bool sctx__slot_has_tag(const uintptr_t *slot, uint16_t tag)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(SCTX__TSAN)
	return sctx__is_u16_acquire((const char *)slot + SCTX__TAG_SHIFT / 8, tag);
#else
	return sctx__slot_load(slot) >> SCTX__TAG_SHIFT == tag;
#endif
}

static inline struct sctx__bucket *sctx__bucket_chain(uintptr_t chain)
{
	return (struct sctx__bucket *)(chain & ~SCTX__CHAIN_FLAGS);
}

static inline bool sctx__id_equal(const struct sctx_id *a, const struct sctx_id *b)
{
	return a->volume == b->volume && a->file[0] == b->file[0] && a->file[1] == b->file[1] &&
	       a->stream == b->stream;
}

static inline uint16_t sctx__tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> SCTX__TAG_SHIFT);
}

/*
 * The node in @slot if its id is @id, otherwise NULL.  The slot may have changed
 * since its tag was compared; only the id counts.
 */
static inline struct sctx__node *sctx__slot_match(uintptr_t slot, const struct sctx_id *id)
{
	struct sctx__node *node = sctx__slot_node(slot);

	return sctx__likely(node && sctx__id_equal(&node->id, id)) ? node : NULL;
}

/*
 * The first slot with @tag, or 0.  The caller compares one id; sctx__bucket_find() would
 * compare the ids of all slots with the tag.
 */
SCTX__INLINE uintptr_t sctx__bucket_tagged(const struct sctx__bucket *bucket, uint16_t tag)
{
#ifndef __clang__ /* which does so by itself */
#pragma GCC unroll 7
#endif
	for (int i = 0; i < SCTX__SLOTS; i++)
		if (sctx__unlikely(sctx__slot_has_tag(&bucket->slot[i], tag)))
			return sctx__slot_load(&bucket->slot[i]);
	return 0;
}

static inline struct sctx__node *sctx__bucket_find(const struct sctx__bucket *bucket, uint64_t hash,
						   const struct sctx_id *id)
{
	const uint16_t tag = sctx__tag_of(hash);

#ifndef __clang__
#pragma GCC unroll 7
#endif
	for (int i = 0; i < SCTX__SLOTS; i++) {
		struct sctx__node *node;

		if (sctx__likely(!sctx__slot_has_tag(&bucket->slot[i], tag)))
			continue;
		node = sctx__slot_match(sctx__slot_load(&bucket->slot[i]), id);
		if (sctx__likely(node != NULL))
			return node;
	}
	return NULL;
}

/*
 * Whether a node that is not in @head may be in its chain or in the successor.  Called
 * after the slots were searched; their acquires order this load after them.
 */
static inline bool sctx__bucket_goes_on(const struct sctx__bucket *head)
{
	return sctx__load(&head->chain) & ~(uintptr_t)SCTX__LOCKED;
}

/* The bucket of @hash, prefetched for writing. */
static inline struct sctx__bucket *sctx__table_fetch(const struct sctx__table *table, uint64_t hash)
{
	struct sctx__bucket *bucket = &table->bucket[hash & table->mask];

	sctx__prefetch_write(bucket);
	return bucket;
}

/* Prefetch the node that sctx__bucket_find() will compare first. */
static inline void sctx__bucket_prefetch(const struct sctx__bucket *bucket, uint64_t hash)
{
	const uint16_t tag = sctx__tag_of(hash);

	for (int i = 0; i < SCTX__SLOTS; i++) {
		struct sctx__node *node = sctx__slot_node(sctx__load(&bucket->slot[i]));

		if (sctx__likely(!sctx__slot_has_tag(&bucket->slot[i], tag)) || !node)
			continue;
		sctx__prefetch_write(&node->id);
		sctx__prefetch_write(&node->stream.opens);
		return;
	}
}

/* Call @fetch for each node of @bucket, without its chain: a hint. */
SCTX__INLINE void sctx__bucket_each_hint(const struct sctx__bucket *bucket,
					 void (*fetch)(struct sctx__node *node))
{
	for (int i = 0; i < SCTX__SLOTS; i++) {
		struct sctx__node *node = sctx__slot_node(sctx__slot_load(&bucket->slot[i]));

		if (node)
			fetch(node);
	}
}

SCTX__INLINE void sctx__node_fetch(struct sctx__node *node)
{
	sctx__prefetch_write(&node->id);
	sctx__prefetch_write(&node->stream.opens);
}

/* The first context, if it is inline. */
SCTX__INLINE void sctx__node_fetch_context(struct sctx__node *node)
{
	sctx__prefetch_write(sctx__load(&node->stream.inline_entry[0].context));
}

/* The node named @id in the chain of @head, or NULL. */
static inline struct sctx__node *sctx__chain_find(const struct sctx__bucket *head, uint64_t hash,
						  const struct sctx_id *id)
{
	const struct sctx__bucket *bucket = head;
	struct sctx__node *node;

	do {
		node = sctx__bucket_find(bucket, hash, id);
		if (node)
			break;
		/* Pairs with the release that chained the next bucket. */
		bucket = sctx__bucket_chain(sctx__load_acquire(&bucket->chain));
	} while (sctx__unlikely(bucket != NULL));
	return node;
}

/*
 * The node named @id, or NULL.  Inside a read section.  MOVED is loaded after the
 * slots: a move sets MOVED before it clears a slot, and the acquire of the slot
 * pairs with the release that cleared it.
 */
static inline struct sctx__node *sctx__table_find(struct sctx__table *table, uint64_t hash,
						  const struct sctx_id *id)
{
	for (;;) {
		struct sctx__bucket *head = &table->bucket[hash & table->mask];
		struct sctx__node *node = sctx__chain_find(head, hash, id);

		if (sctx__likely(node != NULL))
			return node;
		if (sctx__likely(!(sctx__load_acquire(&head->chain) & SCTX__MOVED)))
			return NULL;
		/* Pairs with the release that published the successor. */
		table = sctx__load_acquire(&table->next);
	}
}

/*
 * For writers, inside an update.  Inlined into opens that create and into last closes;
 * chains and moves are in table.c.
 */

SCTX__INLINE struct sctx__place sctx__table_lock(struct sctx__table *table, uint64_t hash)
{
	struct sctx__place place = { .table = table };

	for (;;) {
		uintptr_t chain;

		place.bucket = sctx__table_fetch(place.table, hash);
		/* Pairs with the unlock in move_bucket(): the slots are cleared. */
		chain = sctx__load_acquire(&place.bucket->chain);
		if (sctx__likely((chain & (SCTX__MOVED | SCTX__LOCKED)) != SCTX__MOVED)) {
			chain = sctx__lock_word(&place.bucket->chain);
			if (sctx__likely(!(chain & SCTX__MOVED)))
				return place;
			sctx__unlock_word(&place.bucket->chain, chain);
		}
		/* Pairs with the release that published the successor. */
		place.table = sctx__load_acquire(&place.table->next);
	}
}

/* Only the lock's holder changes its word. */
SCTX__INLINE void sctx__table_unlock(struct sctx__place place)
{
	uintptr_t chain = sctx__load(&place.bucket->chain);

	sctx__unlock_word(&place.bucket->chain, chain);
}

static inline uintptr_t sctx__slot_make(struct sctx__node *node)
{
	return (uintptr_t)(node->hash >> SCTX__TAG_SHIFT) << SCTX__TAG_SHIFT | (uintptr_t)node;
}

/* The slot of a forgotten node. */
static inline uintptr_t sctx__slot_forgotten(struct sctx__node *node)
{
	return sctx__slot_make(node) ^ ~SCTX__ADDRESS_MAX;
}

/* Sets or clears.  Pairs with the acquire in sctx__slot_load(). */
static inline void sctx__slot_store(uintptr_t *slot, uintptr_t value)
{
	sctx__store_release(slot, value);
}

/* Store @value in a free slot of @bucket.  False if there is none. */
SCTX__INLINE bool sctx__bucket_insert(struct sctx__bucket *bucket, uintptr_t value)
{
	for (int i = 0; i < SCTX__SLOTS; i++) {
		if (bucket->slot[i])
			continue;
		sctx__slot_store(&bucket->slot[i], value);
		return true;
	}
	return false;
}

/* False if no slot of @bucket has @value. */
SCTX__INLINE bool sctx__bucket_replace(struct sctx__bucket *bucket, uintptr_t value, uintptr_t by)
{
	for (int i = 0; i < SCTX__SLOTS; i++) {
		if (bucket->slot[i] != value)
			continue;
		sctx__slot_store(&bucket->slot[i], by);
		return true;
	}
	return false;
}

SCTX__INLINE bool sctx__bucket_remove(struct sctx__bucket *bucket, uintptr_t value)
{
	return sctx__bucket_replace(bucket, value, 0);
}

/* Change @node's slot in the locked chain of @place to a forgotten one.  It stays locked. */
void sctx__table_forget(struct sctx__place place, struct sctx__node *node);

/* Insert into an overflow bucket, which may be new. */
int sctx__chain_insert(struct sctx__place place, uintptr_t slot);
/* Remove from an overflow bucket.  Unlocks @place. */
void sctx__chain_remove(struct sctx__place place, uintptr_t slot);

/* Errors: -ENOMEM, nothing has changed. */
SCTX__INLINE int sctx__slot_insert(struct sctx__place place, uintptr_t slot)
{
	if (sctx__likely(sctx__bucket_insert(place.bucket, slot)))
		return 0;
	return sctx__chain_insert(place, slot);
}

SCTX__INLINE int sctx__table_insert(struct sctx__place place, struct sctx__node *node)
{
	return sctx__slot_insert(place, sctx__slot_make(node));
}

/* Unlocks @place. */
SCTX__INLINE void sctx__table_remove(struct sctx__place place, uintptr_t slot)
{
	if (sctx__likely(sctx__bucket_remove(place.bucket, slot)))
		sctx__table_unlock(place);
	else
		sctx__chain_remove(place, slot);
}

#endif /* SCTX_TABLE_H */
