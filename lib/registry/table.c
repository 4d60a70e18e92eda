/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table's slower half: chains, growing, walking.  Called by
 * lib/registry/registry.c inside updates.  A bucket's lock covers its chain.
 * Buckets of a table are locked before buckets of its successor.
 */
#include "registry/table.h"

#include "base/pool.h"
#include "reclaim/reclaim.h"

#include <errno.h>

/* Buckets moved by one open or close: the move ends long before the next doubling. */
#define MOVE_BATCH 2

/* A chained bucket.  The chain's head is in the table. */
struct overflow {
	struct sctx__bucket bucket;
	struct sctx__block block;
};

/* The next bucket of the chain.  The chain is locked or not shared. */
static struct sctx__bucket *chain_next(const struct sctx__bucket *bucket)
{
	return sctx__bucket_chain(sctx__load(&bucket->chain));
}

static struct overflow *overflow_of(struct sctx__bucket *bucket)
{
	return (struct overflow *)bucket;
}

static void overflow_free(struct sctx__block *block)
{
	char *overflow = (char *)block - offsetof(struct overflow, block);

	sctx__pool_free(overflow, sizeof(struct overflow));
}

/* @bucket is unlinked, but readers may be in it. */
static void overflow_retire(struct sctx__bucket *bucket)
{
	struct overflow *overflow = overflow_of(bucket);

	overflow->block.free_fn = overflow_free;
	sctx__retire_block(&overflow->block, sizeof(*overflow));
}

struct sctx__table *sctx__table_create(size_t buckets)
{
	struct sctx__table *table = sctx__pool_alloc(sizeof(*table));

	if (!table)
		return NULL;
	memset(table, 0, sizeof(*table));
	table->mask = buckets - 1;
	table->bucket = sctx__pages_alloc(buckets * sizeof(struct sctx__bucket));
	if (!table->bucket) {
		sctx__pool_free(table, sizeof(*table));
		return NULL;
	}
	return table;
}

static void free_chain(struct sctx__bucket *head)
{
	struct sctx__bucket *bucket = chain_next(head), *next;

	for (; bucket; bucket = next) {
		next = chain_next(bucket);
		overflow_free(&overflow_of(bucket)->block);
	}
}

void sctx__table_free(struct sctx__table *table)
{
	for (size_t i = 0; table->overflows && i <= table->mask; i++)
		free_chain(&table->bucket[i]);
	sctx__pages_free(table->bucket, (table->mask + 1) * sizeof(struct sctx__bucket));
	sctx__pool_free(table, sizeof(*table));
}

static void table_free_block(struct sctx__block *block)
{
	sctx__table_free(
		(struct sctx__table *)((char *)block - offsetof(struct sctx__table, block)));
}

/* ---------------------------------------------------------- insert, remove */

/* Push a new bucket with @slot to the front of the chain. */
static int chain_push(struct sctx__place place, uintptr_t slot)
{
	struct overflow *overflow = sctx__pool_alloc(sizeof(*overflow));
	uintptr_t chain = sctx__load(&place.bucket->chain);

	if (!overflow)
		return -ENOMEM;
	sctx__pool_hide(overflow); /* only the table's pages name it */
	memset(overflow, 0, sizeof(*overflow));
	overflow->bucket.slot[0] = slot;
	overflow->bucket.chain = chain & ~SCTX__CHAIN_FLAGS;
	/* Pairs with the acquire in sctx__chain_find(). */
	sctx__store_release(&place.bucket->chain,
			    (uintptr_t)overflow | (chain & SCTX__CHAIN_FLAGS));
	sctx__add(&place.table->overflows, 1);
	return 0;
}

int sctx__chain_insert(struct sctx__place place, uintptr_t slot)
{
	struct sctx__bucket *bucket = chain_next(place.bucket);

	for (; bucket; bucket = chain_next(bucket))
		if (sctx__bucket_insert(bucket, slot))
			return 0;
	return chain_push(place, slot);
}

static bool bucket_is_empty(const struct sctx__bucket *bucket)
{
	for (int i = 0; i < SCTX__SLOTS; i++)
		if (bucket->slot[i])
			return false;
	return true;
}

/*
 * Unlink @bucket from its chain.  Its own link stays, for readers that are in it.
 */
static void chain_unlink(struct sctx__place place, struct sctx__bucket *bucket)
{
	struct sctx__bucket *before = place.bucket;
	uintptr_t link;

	while (chain_next(before) != bucket)
		before = chain_next(before);
	link = (sctx__load(&before->chain) & SCTX__CHAIN_FLAGS) | (uintptr_t)chain_next(bucket);
	sctx__store_release(&before->chain, link);
	sctx__sub(&place.table->overflows, 1);
}

void sctx__chain_remove(struct sctx__place place, uintptr_t slot)
{
	struct sctx__bucket *bucket = chain_next(place.bucket);
	bool empty;

	while (bucket && !sctx__bucket_remove(bucket, slot))
		bucket = chain_next(bucket);
	empty = bucket && bucket_is_empty(bucket);
	if (empty)
		chain_unlink(place, bucket);
	sctx__table_unlock(place);
	if (empty)
		overflow_retire(bucket);
}

void sctx__table_forget(struct sctx__place place, struct sctx__node *node)
{
	const uintptr_t slot = sctx__slot_make(node), forgotten = sctx__slot_forgotten(node);
	struct sctx__bucket *bucket = place.bucket;

	while (bucket && !sctx__bucket_replace(bucket, slot, forgotten))
		bucket = chain_next(bucket);
}

void sctx__table_each(struct sctx__table *table, sctx__node_fn fn, void *arg)
{
	for (; table; table = sctx__load_acquire(&table->next)) {
		for (size_t i = 0; i <= table->mask; i++) {
			struct sctx__bucket *bucket = &table->bucket[i];

			for (; bucket; bucket = chain_next(bucket))
				for (int k = 0; k < SCTX__SLOTS; k++)
					if (bucket->slot[k])
						fn(sctx__slot_node(bucket->slot[k]), arg);
		}
	}
}

/* Without concurrent writers. */
bool sctx__table_is_empty(struct sctx__table *table)
{
	const struct sctx__bucket *bucket;

	for (; table; table = sctx__load_acquire(&table->next))
		for (size_t i = 0; i <= table->mask; i++)
			for (bucket = &table->bucket[i]; bucket; bucket = chain_next(bucket))
				if (!bucket_is_empty(bucket))
					return false;
	return true;
}

/* ----------------------------------------------------------------- growing */

struct mover {
	struct sctx__table *from, *to;
};

static int copy_slots(const struct mover *m, const struct sctx__bucket *bucket, bool undo)
{
	for (int i = 0; i < SCTX__SLOTS; i++) {
		struct sctx__node *node = sctx__slot_node(bucket->slot[i]);
		struct sctx__place place;
		int error = 0;

		if (!node)
			continue;
		place = sctx__table_lock(m->to, node->hash);
		if (undo) {
			sctx__table_remove(place, bucket->slot[i]);
		} else {
			error = sctx__slot_insert(place, bucket->slot[i]);
			sctx__table_unlock(place);
		}
		if (error)
			return error;
	}
	return 0;
}

/* Copy the chain of @head.  On failure nothing stays in the successor. */
static int copy_chain(const struct mover *m, const struct sctx__bucket *head)
{
	const struct sctx__bucket *bucket;
	int error = 0;

	for (bucket = head; bucket && !error; bucket = chain_next(bucket))
		error = copy_slots(m, bucket, false);
	for (bucket = head; bucket && error; bucket = chain_next(bucket))
		copy_slots(m, bucket, true);
	return error;
}

static void clear_slots(struct sctx__bucket *bucket)
{
	for (int i = 0; i < SCTX__SLOTS; i++)
		if (bucket->slot[i])
			sctx__slot_store(&bucket->slot[i], 0);
}

/* Moving reads the hash of every node. */
static void prefetch_nodes(const struct sctx__bucket *bucket)
{
	for (int i = 0; i < SCTX__SLOTS; i++) {
		struct sctx__node *node = sctx__slot_node(sctx__load(&bucket->slot[i]));

		if (node)
			__builtin_prefetch(&node->hash);
	}
}

static int move_bucket(const struct mover *m, size_t index)
{
	struct sctx__bucket *head = &m->from->bucket[index], *bucket, *next;
	uintptr_t chain;
	int error;

	prefetch_nodes(head);
	chain = sctx__lock_word(&head->chain);
	error = chain & SCTX__MOVED ? -EALREADY : copy_chain(m, head);
	if (error) {
		sctx__unlock_word(&head->chain, chain);
		return error;
	}
	/* Before clearing: a reader that misses a cleared slot must see MOVED. */
	sctx__store_release(&head->chain, chain | SCTX__MOVED | SCTX__LOCKED);
	for (bucket = head; bucket; bucket = chain_next(bucket))
		clear_slots(bucket);
	sctx__unlock_word(&head->chain, SCTX__MOVED);

	for (bucket = sctx__bucket_chain(chain); bucket; bucket = next) {
		next = chain_next(bucket);
		sctx__sub(&m->from->overflows, 1);
		overflow_retire(bucket);
	}
	return 0;
}

/* All buckets have moved: publish the successor, retire the old table. */
static void finish(struct sctx__table **current, const struct mover *m)
{
	sctx__store_release(current, m->to);
	m->from->block.free_fn = table_free_block;
	sctx__retire_block(&m->from->block, sizeof(*m->from));
}

/*
 * Move the cursor back so that @index is tried again, unless it is further back
 * already.  No order is needed: under its lock each bucket says if it has moved.
 */
static void cursor_back(struct sctx__table *table, size_t index)
{
	size_t cursor = sctx__load(&table->cursor);

	while (index < cursor && !sctx__cas_acquire(&table->cursor, &cursor, index))
		continue;
}

static void move_some(struct sctx__table **current, const struct mover *m)
{
	size_t buckets = m->from->mask + 1;

	for (int i = 0; i < MOVE_BATCH; i++) {
		size_t index = sctx__add(&m->from->cursor, 1);
		int error = index < buckets ? move_bucket(m, index) : -EALREADY;

		if (error == -ENOMEM)
			cursor_back(m->from, index);
		if (error)
			return;
		/* One atomic counts the moves of all threads; the last mover finishes. */
		if (sctx__add_acq_rel(&m->from->moved, 1) + 1 == buckets)
			finish(current, m);
	}
}

/* One thread creates the successor.  Without memory, chains get longer. */
static void begin_growing(struct sctx__table *table)
{
	struct sctx__table *next = sctx__table_create((table->mask + 1) * 2), *none = NULL;

	if (!next)
		return;
	/* Pairs with the acquires of @next in readers and in writers. */
	if (!sctx__cas_acq_rel(&table->next, &none, next))
		sctx__table_free(next);
}

void sctx__table_grow_slow(struct sctx__table **current)
{
	struct sctx__table *table = sctx__load_acquire(current);
	struct mover m = { .from = table };

	m.to = sctx__load_acquire(&table->next);
	if (m.to)
		move_some(current, &m);
	else if (sctx__table_should_grow(table))
		begin_growing(table);
}

/* ----------------------------------------------------------------- walking */

/* A snapshot of one chain's nodes.  Long chains use the heap. */
struct catch
{
	struct sctx__node *few[8 * SCTX__SLOTS];
	struct sctx__node **node;
	size_t count, room;
};

enum caught { CAUGHT, MOVED, NO_ROOM };

static enum caught catch_chain(struct catch *c, struct sctx__bucket *head)
{
	uintptr_t chain = sctx__lock_word(&head->chain);
	enum caught caught = chain & SCTX__MOVED ? MOVED : CAUGHT;
	const struct sctx__bucket *bucket = head;

	c->count = 0;
	for (; bucket && caught == CAUGHT; bucket = chain_next(bucket)) {
		if (c->count + SCTX__SLOTS > c->room)
			caught = NO_ROOM;
		for (int i = 0; i < SCTX__SLOTS && caught == CAUGHT; i++)
			if (bucket->slot[i])
				c->node[c->count++] = sctx__slot_node(bucket->slot[i]);
	}
	sctx__unlock_word(&head->chain, chain);
	return caught;
}

static void catch_free(struct catch *c)
{
	if (c->node != c->few)
		sctx__pool_free(c->node, c->room * sizeof(c->node[0]));
}

static bool catch_double(struct catch *c)
{
	catch_free(c);
	c->room *= 2;
	c->node = sctx__pool_alloc(c->room * sizeof(c->node[0]));
	return c->node != NULL;
}

/* A moved bucket has become two in the successor, which may have moved in turn. */
static int visit_moved(struct sctx__table *table, size_t index, sctx__node_fn fn, void *arg)
{
	/* Pairs with the release that published the successor. */
	struct sctx__table *next = sctx__load_acquire(&table->next);
	int result = sctx__table_visit(next, index, fn, arg);

	return result ? result : sctx__table_visit(next, index + table->mask + 1, fn, arg);
}

int sctx__table_visit(struct sctx__table *table, size_t index, sctx__node_fn fn, void *arg)
{
	struct catch c = { .node = c.few, .room = sizeof(c.few) / sizeof(c.few[0]) };
	enum caught caught;
	int result = 0;

	while ((caught = catch_chain(&c, &table->bucket[index])) == NO_ROOM)
		if (!catch_double(&c))
			return -ENOMEM;
	if (caught == MOVED)
		result = visit_moved(table, index, fn, arg);
	for (size_t i = 0; caught == CAUGHT && i < c.count && !result; i++)
		result = fn(c.node[i], arg);
	catch_free(&c);
	return result;
}

/* ------------------------------------------------------------------- stats */

static void bucket_stats(const struct sctx__bucket *head, struct sctx_registry_stats *stats)
{
	const struct sctx__bucket *bucket = head;
	uint64_t chain = 0;

	do {
		for (int i = 0; i < SCTX__SLOTS; i++)
			stats->streams += sctx__load(&bucket->slot[i]) != 0;
		chain++;
		/* Pairs with the release that chained the next bucket. */
		bucket = sctx__bucket_chain(sctx__load_acquire(&bucket->chain));
	} while (bucket);
	stats->overflows += chain - 1;
	if (chain > stats->longest_chain)
		stats->longest_chain = chain;
}

void sctx__table_stats(struct sctx__table *table, size_t index, struct sctx_registry_stats *stats)
{
	const struct sctx__bucket *head = &table->bucket[index];

	bucket_stats(head, stats);
	if (!(sctx__load_acquire(&head->chain) & SCTX__MOVED))
		return;
	/* A moved bucket is empty.  Pairs with the release that published the successor. */
	table = sctx__load_acquire(&table->next);
	sctx__table_stats(table, index, stats);
	sctx__table_stats(table, index + (table->mask + 1) / 2, stats);
}
