/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams by id: open, close, find, walk.  Called by users; calls table.c and
 * context.c.
 *
 * A stream's open count is at least one while it is in the table.  Opening
 * adds one, without a lock; closing any but the last takes one off, likewise.
 * The last close locks the bucket, makes the count DEAD with the same
 * compare-and-swap that takes the last reference off, and clears the slot, so
 * that under a bucket's lock every node is alive.  An open that meets DEAD was
 * too late, and starts over under the lock.
 */
#include "registry/registry.h"

#include "owner/attach.h"
#include "stream/context.h"
#include "thread/counter.h"
#include "base/debug.h"
#include "registry/magazine.h"
#include "base/pool.h"
#include "base/probe.h"
#include "reclaim/reclaim.h"

#include <errno.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define DEAD      (UINT32_C(1) << 31)
#define OPENS_MAX (UINT32_C(1) << 30)

/* 64 KiB of buckets, of which only what is touched takes memory; fewer in tests. */
#ifndef FIRST_BUCKETS
#define FIRST_BUCKETS 1024
#endif

/* A secret of its own takes fewer instructions than a seed, which is added to the public one. */
static uint64_t hash_id(const struct sctx_registry *registry, const struct sctx_id *id)
{
	_Static_assert(SCTX__SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "it would be refused");
	return XXH3_64bits_withSecret(id, sizeof(*id), registry->secret, SCTX__SECRET_SIZE);
}

static struct sctx__node *node_of(const struct sctx_stream *stream)
{
	return (struct sctx__node *)((char *)(uintptr_t)stream -
				     offsetof(struct sctx__node, stream));
}

static struct sctx__node *node_alloc(struct sctx_registry *registry, const struct sctx_id *id,
				     uint64_t hash)
{
	struct sctx__node *node = sctx__node_alloc();

	if (!node)
		return NULL;
	node->id = *id;
	node->hash = hash;
	sctx__stream_setup(&node->stream, SCTX__MANAGED);
	node->stream.registry = registry;
	return node;
}

/* ---------------------------------------------------------- create, destroy */

int sctx_registry_create(struct sctx_registry **out)
{
	struct sctx_registry *registry;
	ssize_t got;

	if (!out)
		return -EINVAL;
	*out = NULL;
	registry = sctx__pool_alloc(sizeof(*registry));
	if (!registry)
		return -ENOMEM;
	if (!sctx__slot_can_name(registry)) { /* nor streams, then */
		sctx__pool_free(registry, sizeof(*registry));
		return -EOVERFLOW;
	}
	memset(registry, 0, sizeof(*registry));
	do
		got = getrandom(registry->secret, sizeof(registry->secret), 0);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		int error = -errno;

		sctx__pool_free(registry, sizeof(*registry));
		return error;
	}
	registry->table = sctx__table_create(FIRST_BUCKETS);
	if (!registry->table) {
		sctx__pool_free(registry, sizeof(*registry));
		return -ENOMEM;
	}
	*out = registry;
	return 0;
}

static void registry_free(struct sctx__block *block)
{
	struct sctx_registry *registry =
		(struct sctx_registry *)((char *)block - offsetof(struct sctx_registry, block));
	struct sctx__table *table = registry->table, *next;

	for (; table; table = next) {
		next = table->next;
		sctx__table_free(table);
	}
	sctx__pool_free(registry, sizeof(*registry));
}

/* The table goes through limbo: an open that was late may still be in it. */
int sctx_registry_destroy(struct sctx_registry *registry)
{
	int error = 0;

	if (!registry)
		return -EINVAL;
	sctx__update_begin();
	if (!sctx__load(&registry->tracked_count) && !sctx__owners_of(registry) &&
	    sctx__table_is_empty(sctx__load_acquire(&registry->table))) {
		registry->block.free_fn = registry_free;
		sctx__retire_block(&registry->block, sizeof(*registry));
	} else {
		error = -EBUSY;
	}
	sctx__update_end();
	return error;
}

/* -------------------------------------------------------------------- open */

/*
 * Take an open reference.  -ESTALE if the last one is gone.  The acquire
 * pairs with the release in sctx_close(): who opens sees what was done under
 * the opens before.
 */
static int node_open(struct sctx__node *node)
{
	uint32_t opens = sctx__add_acquire(&node->stream.opens, 1);

	if (sctx__likely(opens < OPENS_MAX))
		return 0;
	if (opens & DEAD)
		return -ESTALE;
	sctx__sub(&node->stream.opens, 1);
	return -EMFILE;
}

SCTX__INLINE void grow(struct sctx_registry *registry)
{
	/* Pairs with the release in table.c's finish(). */
	if (sctx__unlikely(sctx__table_should_grow(sctx__load_acquire(&registry->table))))
		sctx__table_grow_slow(&registry->table);
}

/* Insert @node, unless its id has become open: then open that. */
SCTX__INLINE int open_locked(struct sctx_registry *registry, struct sctx__node *node,
			     struct sctx__node **opened)
{
	struct sctx__table *table = sctx__load_acquire(&registry->table);
	struct sctx__place place = sctx__table_lock(table, node->hash);
	struct sctx__node *there = sctx__chain_find(place.bucket, node->hash, &node->id);
	int error;

	*opened = there ? there : node;
	error = there ? node_open(there) : sctx__table_insert(place, node);
	sctx__table_unlock(place);
	return error;
}

/* One that nobody opened.  Contexts that were attached have been seen by their owners. */
static void node_drop(struct sctx__node *node, bool attached)
{
	if (!attached) {
		sctx__node_free(node);
		return;
	}
	sctx__update_begin();
	sctx__node_teardown(&node->stream, sizeof(*node));
	sctx__update_end();
}

/*
 * @node, or another that was faster.  Inside an update, which ends here.  The caller has
 * pinned who attached to it.
 */
SCTX__INLINE int open_new(struct sctx_registry *registry, struct sctx__node *node, bool attached,
			  struct sctx_stream **stream)
{
	struct sctx__node *opened;
	int error = open_locked(registry, node, &opened);

	if (!error) {
		if (sctx__likely(opened == node))
			sctx__count(SCTX__CREATES, 1);
		else
			sctx__count(SCTX__REOPENS, 1);
		sctx__self.expects_open = opened != node;
		grow(registry);
	}
	sctx__update_end();
	if (error || opened != node)
		node_drop(node, attached);
	else
		sctx__probe2(create, &opened->stream, &opened->id);
	if (!error) {
		*stream = &opened->stream;
		sctx__probe2(open, *stream, &opened->id);
	}
	return error;
}

/* The same where it is rare. */
static __attribute__((noinline)) int open_new_slow(struct sctx_registry *registry,
						   struct sctx__node *node, bool attached,
						   struct sctx_stream **stream)
{
	return open_new(registry, node, attached, stream);
}

static int open_attached(struct sctx_registry *registry, struct sctx__node *node,
			 struct sctx_stream **stream)
{
	struct sctx__attachers attachers;
	int error;

	sctx__attachers_pin(registry, &attachers);
	error = sctx__attach_all(&attachers, &node->id, &node->stream);
	if (error) {
		node_drop(node, true);
	} else {
		sctx__update_begin();
		error = open_new_slow(registry, node, true, stream);
	}
	sctx__attachers_unpin(&attachers);
	return error;
}

/* Where nothing is in the way: the section that found no stream becomes the update. */
static int open_absent(struct sctx_registry *registry, const struct sctx_id *id, uint64_t hash,
		       struct sctx_stream **stream)
{
	struct sctx__node *node = node_alloc(registry, id, hash);

	if (sctx__likely(node != NULL))
		return open_new(registry, node, false, stream);
	sctx__update_end();
	return -ENOMEM;
}

/* Where something is: limbo, a fork, owners that attach. */
static __attribute__((noinline)) int open_slow(struct sctx_registry *registry,
					       const struct sctx_id *id, uint64_t hash, bool nowait,
					       struct sctx_stream **stream)
{
	struct sctx__node *node;
	int error = sctx__admit(nowait);

	if (error)
		return error;
	node = node_alloc(registry, id, hash);
	if (!node)
		return -ENOMEM;
	if (sctx__load(&registry->attachers))
		return open_attached(registry, node, stream);
	sctx__update_begin();
	return open_new_slow(registry, node, false, stream);
}

/* By an attached thread. */
SCTX__INLINE struct sctx_stream *opened(struct sctx__node *node)
{
	sctx__probe2(open, &node->stream, &node->id);
	sctx__count(SCTX__REOPENS, 1);
	return &node->stream;
}

#define OPEN_FLAGS (SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT)

/*
 * In a section of an attached thread, which ends here: what sctx_open() leaves.
 * @absent: it has looked everywhere.
 */
static __attribute__((noinline)) int open_in_section(struct sctx_registry *registry,
						     const struct sctx_id *id, unsigned int flags,
						     struct sctx_stream **stream, uint64_t hash,
						     bool absent)
{
	struct sctx__table *table = sctx__load_acquire(&registry->table);
	struct sctx__node *node = NULL;
	int error = -ESTALE;

	*stream = NULL;
	if (!absent)
		node = sctx__table_find(table, hash, id);
	if (node)
		error = node_open(node);
	else
		sctx__table_fetch(table, hash); /* to be changed, most likely */
	if (!error) {
		*stream = opened(node);
		sctx__self.expects_open = true;
	}
	if (error == -ESTALE && !(flags & SCTX_OPEN_EXISTING) && sctx__admitted() &&
	    sctx__section_may_update() && !sctx__load(&registry->attachers))
		return open_absent(registry, id, hash, stream);
	sctx__rcu_read_unlock();
	if (error != -ESTALE)
		return error;
	if (flags & SCTX_OPEN_EXISTING)
		return -ENOENT;
	return open_slow(registry, id, hash, flags & SCTX_OPEN_NOWAIT, stream);
}

/*
 * With flags that there are not, or nested, or by a thread that is not attached, or by one
 * that opened a new stream last and will open another, most likely: then the bucket is to
 * be changed, and its line, which another core may have, is fetched once, for writing,
 * instead of for reading first.
 */
static __attribute__((noinline)) int open_other(struct sctx_registry *registry,
						const struct sctx_id *id, unsigned int flags,
						struct sctx_stream **stream, uint64_t hash)
{
	struct sctx__thread *self;

	if (flags & ~OPEN_FLAGS) {
		*stream = NULL;
		return -EINVAL;
	}
	self = sctx__thread_self();
	sctx__rcu_read_lock();
	if (!self->expects_open)
		sctx__table_fetch(sctx__load_acquire(&registry->table), hash);
	return open_in_section(registry, id, flags, stream, hash, false);
}

/*
 * A stream that is open, and in its own bucket, is opened here without a call or a loop:
 * what an open costs where memory is far is how soon the next one's bucket is asked for,
 * and a processor looks some hundred instructions ahead.  See lib/README.md.
 */
int sctx_open(struct sctx_registry *registry, const struct sctx_id *id, unsigned int flags,
	      struct sctx_stream **stream)
{
	const struct sctx__table *table;
	const struct sctx__bucket *bucket;
	struct sctx__node *node;
	uintptr_t slot;
	sctx__reader reader;
	uint64_t hash;

	if (sctx__unlikely(!stream))
		return -EINVAL;
	if (sctx__unlikely(!registry || !id)) {
		*stream = NULL;
		return -EINVAL;
	}
	hash = hash_id(registry, id);
	reader = sctx__rcu_reader();
	if (sctx__unlikely(!sctx__thread_is_quick(reader) || flags & ~OPEN_FLAGS))
		return open_other(registry, id, flags, stream, hash);
	sctx__rcu_quick_lock(reader);
	table = sctx__load_acquire(&registry->table);
	bucket = &table->bucket[hash & table->mask];
	if (sctx__unlikely(!sctx__bucket_tagged(bucket, sctx__tag_of(hash), &slot)))
		return open_in_section(registry, id, flags, stream, hash,
				       !sctx__bucket_goes_on(bucket));
	node = sctx__slot_match(slot, id);
	if (sctx__unlikely(!node || node_open(node)))
		return open_in_section(registry, id, flags, stream, hash, false);
	*stream = opened(node);
	sctx__rcu_quick_unlock(reader);
	return 0;
}

/* --------------------------------------------------------------- open many */

/* About as many misses as a processor can have under way at once. */
#define BATCH 16

/*
 * All that are there, in three passes, each of which fetches what the next one
 * reads: buckets, nodes, contexts.  @stream[i] stays NULL for the others.
 */
static void open_present(struct sctx_registry *registry, const struct sctx_id *id,
			 const uint64_t *hash, int *error, struct sctx_stream **stream,
			 unsigned int n)
{
	struct sctx__table *table;
	int64_t opens = 0;

	sctx__thread_self();
	sctx__rcu_read_lock();
	table = sctx__load_acquire(&registry->table);
	for (unsigned int i = 0; i < n; i++)
		__builtin_prefetch(&table->bucket[hash[i] & table->mask]);
	for (unsigned int i = 0; i < n; i++)
		sctx__bucket_prefetch(&table->bucket[hash[i] & table->mask], hash[i]);
	for (unsigned int i = 0; i < n; i++) {
		struct sctx__node *node = sctx__table_find(table, hash[i], &id[i]);

		error[i] = node ? node_open(node) : -ESTALE;
		if (error[i])
			continue;
		stream[i] = &node->stream;
		/* Who opens many looks up in the first when all are open. */
		__builtin_prefetch(sctx__load(&node->stream.inline_entry[0].context));
		sctx__probe2(open, stream[i], &node->id);
		opens++;
	}
	sctx__rcu_read_unlock();
	sctx__count(SCTX__REOPENS, opens);
}

/* Returns what the first failed with, or 0. */
static int open_batch(struct sctx_registry *registry, const struct sctx_id *id, unsigned int n,
		      unsigned int flags, struct sctx_stream **stream)
{
	uint64_t hash[BATCH];
	int error[BATCH], first = 0;

	for (unsigned int i = 0; i < n; i++)
		hash[i] = hash_id(registry, &id[i]);
	open_present(registry, id, hash, error, stream, n);
	for (unsigned int i = 0; i < n; i++) {
		/* By itself; it may be there by now, opened by an earlier one of us. */
		if (error[i] == -ESTALE)
			error[i] = sctx_open(registry, &id[i], flags, &stream[i]);
		if (!first)
			first = error[i];
	}
	return first;
}

int sctx_open_many(struct sctx_registry *registry, const struct sctx_id *id, unsigned int n,
		   unsigned int flags, struct sctx_stream **stream)
{
	int first = 0;

	if (n && !stream)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++)
		stream[i] = NULL;
	if (!registry || (n && !id) || flags & ~OPEN_FLAGS)
		return -EINVAL;

	for (unsigned int done = 0; done < n; done += BATCH) {
		unsigned int count = n - done < BATCH ? n - done : BATCH;
		int error = open_batch(registry, id + done, count, flags, stream + done);

		if (!first)
			first = error;
	}
	return first;
}

/* -------------------------------------------------------------------- find */

struct sctx_stream *sctx_find(struct sctx_registry *registry, const struct sctx_id *id)
{
	struct sctx__node *node;

	if (!registry || !id)
		return NULL;
	node = sctx__table_find(sctx__load_acquire(&registry->table), hash_id(registry, id), id);
	return node ? &node->stream : NULL;
}

const struct sctx_id *sctx_stream_id(const struct sctx_stream *stream)
{
	if (!stream || !(sctx__load(&stream->state) & SCTX__MANAGED))
		return NULL;
	return &node_of(stream)->id;
}

/* ------------------------------------------------------------------- close */

/*
 * Declare @stream dead if one open is all it has.  Its lock is taken by the same
 * operation, unless somebody has it, who is not waited for with a bucket locked:
 * *@locked says which.  *@state is what a lock would have found.
 *
 * The acquire pairs with the releases of the other closes and of the lock.
 */
static bool stream_kill(struct sctx_stream *stream, uint32_t *state, bool *locked)
{
	struct sctx__pair *pair = (struct sctx__pair *)(void *)&stream->state, seen, dead;
	uint32_t one = 1;

	_Static_assert(offsetof(struct sctx_stream, opens) ==
			       offsetof(struct sctx_stream, state) + sizeof(stream->state),
		       "a pair");
	_Static_assert(offsetof(struct sctx_stream, state) % sizeof(seen) == 0, "on one line");
	*state = sctx__load(&stream->state) & ~SCTX__LOCKED;
	seen = (struct sctx__pair){ *state, 1 };
	dead = (struct sctx__pair){ *state | SCTX__LOCKED, DEAD };
	*locked = sctx__cas_pair_acq_rel(pair, seen, dead);
	return *locked || sctx__cas_acq_rel(&stream->opens, &one, DEAD);
}

/* One of several; attached.  The release pairs with the acquire in close_last(). */
SCTX__INLINE bool close_one(struct sctx_stream *stream, uint32_t *opens)
{
	if (!sctx__cas_acq_rel(&stream->opens, opens, *opens - 1))
		return false;
	sctx__probe2(close, stream, *opens);
	sctx__count(SCTX__OTHER_CLOSES, 1);
	return true;
}

/* True if this was the last close; false if someone opened meanwhile. */
static bool close_last(struct sctx__node *node)
{
	struct sctx_registry *registry = node->stream.registry;
	struct sctx__place place;
	bool last, locked;
	uint32_t state;

	sctx__update_begin();
	place = sctx__table_lock(sctx__load_acquire(&registry->table), node->hash);
	last = stream_kill(&node->stream, &state, &locked);
	if (last) {
		sctx__probe2(close, &node->stream, 1);
		sctx__table_remove(place, node);
		if (sctx__likely(locked))
			sctx__node_teardown_locked(&node->stream, state, sizeof(*node));
		else
			sctx__node_teardown(&node->stream, sizeof(*node));
		sctx__count(SCTX__LAST_CLOSES, 1);
		grow(registry);
	} else {
		sctx__table_unlock(place);
	}
	sctx__update_end();
	return last;
}

/*
 * The last one, perhaps, or misuse, or of no registry's stream; or another thread was
 * faster (@lost).  Opens take the count without being seen to lose it, so that who does
 * stays away for longer than others.
 */
static __attribute__((noinline)) int close_slow(struct sctx_stream *stream, bool lost)
{
	uint32_t opens;

	if (!(sctx__load(&stream->state) & SCTX__MANAGED))
		return -EPERM;
	sctx__thread_self();
	if (lost)
		sctx__back_off(2);
	opens = sctx__load(&stream->opens);
	for (unsigned int round = 0;; sctx__back_off(round++)) {
		if (opens == 0 || opens & DEAD)
			return sctx__misuse_stream(-EBADF, "stream closed too often", stream);
		if (opens == 1) {
			if (close_last(node_of(stream)))
				return 0;
			opens = sctx__load(&stream->opens);
		} else if (close_one(stream, &opens)) {
			return 0;
		}
	}
}

int sctx_close(struct sctx_stream *stream)
{
	uint32_t opens;

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	/* An embedded stream's count is 1: close_slow() sees to it. */
	opens = sctx__load(&stream->opens);
	if (sctx__unlikely(opens < 2 || opens & DEAD || !sctx__self.attached))
		return close_slow(stream, false);
	return sctx__likely(close_one(stream, &opens)) ? 0 : close_slow(stream, true);
}

/* -------------------------------------------------------------------- walk */

struct walk {
	int (*fn)(struct sctx_stream *stream, void *arg);
	void *arg;
};

static int walk_node(struct sctx__node *node, void *arg)
{
	const struct walk *walk = arg;

	return walk->fn(&node->stream, walk->arg);
}

/*
 * The next bucket, counting with the bits reversed: when the table doubles
 * between two steps, the buckets behind us become exactly those whose streams
 * we have seen.  0 after the last.
 */
static size_t next_index(size_t index, size_t mask)
{
	size_t bit = (mask + 1) >> 1;

	while (bit && index & bit) {
		index &= ~bit;
		bit >>= 1;
	}
	return index | bit;
}

static int walk(struct sctx_registry *registry, struct walk *walk, bool retires)
{
	size_t index = 0;
	int result;

	do {
		struct sctx__table *table;

		if (retires)
			sctx__admit(false); /* or not: who leaves must not fail */
		sctx__update_begin();
		table = sctx__load_acquire(&registry->table);
		result = sctx__table_visit(table, index, walk_node, walk);
		index = next_index(index, table->mask);
		sctx__update_end();
	} while (index && !result);
	return result;
}

int sctx_registry_for_each(struct sctx_registry *registry,
			   int (*fn)(struct sctx_stream *stream, void *arg), void *arg)
{
	struct walk each = { fn, arg };

	return registry && fn ? walk(registry, &each, false) : -EINVAL;
}

int sctx__registry_sweep(struct sctx_registry *registry,
			 int (*fn)(struct sctx_stream *stream, void *arg), void *arg)
{
	struct walk each = { fn, arg };

	return walk(registry, &each, true);
}

/* As walk(): each stream once. */
void sctx__registry_table_stats(struct sctx_registry *registry, struct sctx_registry_stats *stats)
{
	size_t index = 0;

	do {
		struct sctx__table *table;

		sctx__update_begin();
		table = sctx__load_acquire(&registry->table);
		sctx__table_stats(table, index, stats);
		stats->buckets = table->mask + 1;
		index = next_index(index, table->mask);
		sctx__update_end();
	} while (index);
}
