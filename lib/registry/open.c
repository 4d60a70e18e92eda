/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening streams by id, and finding them.  Called by users.
 *
 * A stream that is in the table is opened inside a read section, with one addition.
 * Otherwise it is created, and published under the lock of its bucket.  In the common
 * case the section that missed becomes the update that publishes it.
 */
#include "registry/registry.h"

#include "base/probe.h"
#include "registry/attach.h"
#include "reclaim/reclaim.h"
#include "registry/magazine.h"
#include "registry/opens.h"
#include "stream/context.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define OPEN_FLAGS (SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT)

/* A secret costs fewer instructions than a seed, which XXH3 would add to its own secret. */
static uint64_t hash_id(const struct sctx_registry *registry, const struct sctx_id *id)
{
	_Static_assert(SCTX__SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 would refuse it");
	return XXH3_64bits_withSecret(id, sizeof(*id), registry->secret, SCTX__SECRET_SIZE);
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

/* ------------------------------------------------------- a stream that is there */

/*
 * After sctx__open_add() found @opens, in the section that found @node; the thread is
 * attached.  Returns 0, SCTX__REVIVED or an error.
 */
SCTX__INLINE int open_added(struct sctx_registry *registry, struct sctx__node *node, uint32_t opens)
{
	int result = sctx__open_judge(&node->stream, opens);

	if (result >= 0)
		sctx__probe2(open, &node->stream, &node->id);
	if (result == SCTX__REVIVED) {
		sctx__probe2(revive, &node->stream, &node->id);
		sctx__count(SCTX__REVIVALS, 1);
		sctx__tally_add(&registry->idle.streams, -1);
	}
	return result;
}

SCTX__INLINE int open_there(struct sctx_registry *registry, struct sctx__node *node)
{
	return open_added(registry, node, sctx__open_add(&node->stream));
}

/* -------------------------------------------------------------- a new stream */

/* Insert @node, or open the stream that has its id by now. */
SCTX__INLINE int open_locked(struct sctx_registry *registry, struct sctx__node *node,
			     struct sctx__node **opened)
{
	struct sctx__table *table = sctx__load_acquire(&registry->table);
	struct sctx__place place = sctx__table_lock(table, node->hash);
	struct sctx__node *there = sctx__chain_find(place.bucket, node->hash, &node->id);
	int error;

	*opened = there ? there : node;
	error = there ? open_there(registry, there) : sctx__table_insert(place, node);
	sctx__table_unlock(place);
	return error;
}

/* @node was never published, but owners know the contexts that they attached to it. */
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
 * Publish @node, or open the stream that another thread published first.  Inside an
 * update, which ends here.  The caller has pinned the owners that attached contexts.
 */
SCTX__INLINE int open_new(struct sctx_registry *registry, struct sctx__node *node, bool attached,
			  struct sctx_stream **stream)
{
	struct sctx__node *opened;
	int error = open_locked(registry, node, &opened);

	if (sctx__likely(error == 0 && opened == node)) {
		sctx__count(SCTX__CREATES, 1);
		sctx__table_grow(&registry->table);
	} else if (error >= 0) {
		sctx__count(SCTX__REOPENS, 1);
	}
	sctx__update_end();
	if (sctx__unlikely(error < 0 || opened != node)) {
		node_drop(node, attached);
	} else {
		sctx__probe2(create, &opened->stream, &opened->id);
		sctx__probe2(open, &opened->stream, &opened->id);
		if (sctx__unlikely(sctx__load(&registry->keeps)))
			sctx__idle_make_room_slow(registry);
	}
	if (error >= 0)
		*stream = &opened->stream;
	return error;
}

static int open_attached(struct sctx_registry *registry, struct sctx__node *node, void *arg,
			 struct sctx_stream **stream)
{
	const struct sctx__attach *attach = sctx__load(&registry->attach);
	struct sctx__attachers attachers;
	int error;

	attach->pin(registry, &attachers);
	error = attach->all(&attachers, &node->id, arg, &node->stream);
	if (error) {
		node_drop(node, true);
	} else {
		sctx__update_begin();
		error = open_new(registry, node, true, stream);
	}
	attach->unpin(&attachers);
	return error;
}

/* A miss with limbo full, a fork under way, or owners that attach. */
static __attribute__((noinline)) int open_new_slow(struct sctx_registry *registry,
						   const struct sctx_id *id, uint64_t hash,
						   bool nowait, void *arg,
						   struct sctx_stream **stream)
{
	struct sctx__node *node;
	int error = sctx__admit(nowait);

	if (error)
		return error;
	node = node_alloc(registry, id, hash);
	if (!node)
		return -ENOMEM;
	/* Pairs with the release in attacher_add(): @attach is set. */
	if (sctx__load_acquire(&registry->attachers))
		return open_attached(registry, node, arg, stream);
	sctx__update_begin();
	return open_new(registry, node, false, stream);
}

/* --------------------------------------------------------------------- open */

/* Notify owners before the open returns, unless another thread is notifying them. */
SCTX__INLINE int open_end(struct sctx_registry *registry, int result, struct sctx_stream **stream)
{
	if (sctx__likely(result == 0))
		return 0;
	if (result == SCTX__REVIVED)
		sctx__registry_tell(registry, *stream);
	return result < 0 ? result : 0;
}

/* A miss.  Ends the caller's section.  *@stream is NULL. */
static __attribute__((noinline)) int open_absent(struct sctx_registry *registry,
						 const struct sctx_id *id, uint64_t hash,
						 unsigned int flags, void *arg,
						 struct sctx_stream **stream)
{
	if (sctx__likely(!(flags & SCTX_OPEN_EXISTING) && sctx__admitted() &&
			 sctx__section_may_update() && !sctx__load(&registry->attachers))) {
		struct sctx__node *node = node_alloc(registry, id, hash);

		if (sctx__likely(node != NULL))
			return open_end(registry, open_new(registry, node, false, stream), stream);
		sctx__update_end();
		return -ENOMEM;
	}
	sctx__rcu_read_unlock();
	if (flags & SCTX_OPEN_EXISTING)
		return -ENOENT;
	return open_end(registry,
			open_new_slow(registry, id, hash, flags & SCTX_OPEN_NOWAIT, arg, stream),
			stream);
}

/* The rest of an open that found @node.  Ends its section. */
SCTX__INLINE int open_found(struct sctx_registry *registry, struct sctx__node *node, int result,
		      struct sctx_stream **stream)
{
	if (result >= 0)
		sctx__count(SCTX__REOPENS, 1);
	*stream = result >= 0 ? &node->stream : NULL;
	sctx__rcu_read_unlock();
	return open_end(registry, result, stream);
}

/* An open by an attached thread inside a section, which ends here. */
static __attribute__((noinline)) int open_in_section(struct sctx_registry *registry,
						     const struct sctx_id *id, uint64_t hash,
						     unsigned int flags, void *arg,
						     struct sctx_stream **stream)
{
	struct sctx__node *node = sctx__table_find(sctx__load_acquire(&registry->table), hash, id);
	int result = node ? open_there(registry, node) : -ESTALE;

	if (result != -ESTALE)
		return open_found(registry, node, result, stream);
	*stream = NULL;
	return open_absent(registry, id, hash, flags, arg, stream);
}

/* The same, after sctx__open_add() of *@stream found @opens. */
static __attribute__((noinline)) int open_counted(struct sctx_registry *registry,
						  const struct sctx_id *id, uint64_t hash,
						  unsigned int flags, uint32_t opens,
						  struct sctx_stream **stream)
{
	struct sctx__node *node = sctx__node_of(*stream);
	int result = open_added(registry, node, opens);

	if (result != -ESTALE)
		return open_found(registry, node, result, stream);
	return open_in_section(registry, id, hash, flags, NULL, stream);
}

int sctx_open_arg(struct sctx_registry *registry, const struct sctx_id *id, unsigned int flags,
		  void *arg, struct sctx_stream **stream)
{
	if (!stream)
		return -EINVAL;
	*stream = NULL;
	if (!registry || !id || flags & ~OPEN_FLAGS)
		return -EINVAL;
	sctx__thread_self();
	sctx__rcu_read_lock();
	return open_in_section(registry, id, hash_id(registry, id), flags, arg, stream);
}

/*
 * The common case of sctx_open_arg() as straight-line code: a stream that is open, and a
 * thread whose section needs no call.  It saves a sixth of the instructions, so among many
 * streams the processor reaches the next open's cache miss sooner.
 */
int sctx_open(struct sctx_registry *registry, const struct sctx_id *id, unsigned int flags,
	      struct sctx_stream **stream)
{
	const struct sctx__table *table;
	const struct sctx__bucket *bucket;
	struct sctx__node *node;
	sctx__reader reader;
	uintptr_t slot;
	uint64_t hash;

	if (sctx__unlikely(!stream || !registry || !id || flags & ~OPEN_FLAGS))
		return sctx_open_arg(registry, id, flags, NULL, stream);
	reader = sctx__rcu_reader();
	if (sctx__unlikely(!sctx__thread_is_quick(reader)))
		return sctx_open_arg(registry, id, flags, NULL, stream);
	hash = hash_id(registry, id);
	sctx__rcu_quick_lock(reader);
	table = sctx__load_acquire(&registry->table);
	bucket = &table->bucket[hash & table->mask];
	slot = sctx__bucket_tagged(bucket, sctx__tag_of(hash));
	node = sctx__slot_match(slot, id);
	if (sctx__likely(node != NULL)) {
		uint32_t opens = sctx__open_add(&node->stream);

		*stream = &node->stream;
		if (!sctx__open_is_plain(opens))
			return open_counted(registry, id, hash, flags, opens, stream);
		sctx__probe2(open, *stream, &node->id);
		sctx__count(SCTX__REOPENS, 1);
		sctx__rcu_quick_unlock(reader);
		return 0;
	}
	*stream = NULL;
	if (sctx__likely(!slot && !sctx__bucket_goes_on(bucket)))
		return open_absent(registry, id, hash, flags, NULL, stream);
	return open_in_section(registry, id, hash, flags, NULL, stream);
}

int sctx_stream_ref(struct sctx_stream *stream)
{
	struct sctx_registry *registry;
	int taken;

	if (!stream)
		return -EINVAL;
	if (!(sctx__load(&stream->state) & SCTX__MANAGED))
		return -EPERM;
	sctx__thread_self();
	sctx__rcu_read_lock();
	registry = stream->registry;
	taken = open_there(registry, sctx__node_of(stream));
	if (taken >= 0)
		sctx__count(SCTX__REOPENS, 1);
	sctx__rcu_read_unlock();
	return open_end(registry, taken, &stream);
}

/* ---------------------------------------------------------------- open many */

/* About as many misses as a processor can have in flight. */
#define BATCH 16

/*
 * Open the streams that exist, in three passes: each prefetches what the next one reads
 * (buckets, nodes, contexts).  @result[i] is as open_there()'s.
 */
static void open_present(struct sctx_registry *registry, const struct sctx_id *id,
			 const uint64_t *hash, int *result, struct sctx_stream **stream, size_t n)
{
	struct sctx__table *table;
	int64_t opens = 0;

	sctx__thread_self();
	sctx__rcu_read_lock();
	table = sctx__load_acquire(&registry->table);
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(&table->bucket[hash[i] & table->mask]);
	for (size_t i = 0; i < n; i++)
		sctx__bucket_prefetch(&table->bucket[hash[i] & table->mask], hash[i]);
	for (size_t i = 0; i < n; i++) {
		struct sctx__node *node = sctx__table_find(table, hash[i], &id[i]);

		result[i] = node ? open_there(registry, node) : -ESTALE;
		if (result[i] < 0)
			continue;
		stream[i] = &node->stream;
		opens++;
		/* The caller looks up in the first stream after all are open. */
		__builtin_prefetch(sctx__load(&node->stream.inline_entry[0].context));
	}
	sctx__rcu_read_unlock();
	sctx__count(SCTX__REOPENS, opens);
}

/* Returns the first error, or 0. */
static int open_batch(struct sctx_registry *registry, const struct sctx_id *id, size_t n,
		      unsigned int flags, struct sctx_stream **stream)
{
	uint64_t hash[BATCH];
	int result[BATCH], first = 0;

	for (size_t i = 0; i < n; i++)
		hash[i] = hash_id(registry, &id[i]);
	open_present(registry, id, hash, result, stream, n);
	for (size_t i = 0; i < n; i++) {
		/* An earlier id of the batch may have created it. */
		if (result[i] == -ESTALE)
			result[i] = sctx_open(registry, &id[i], flags, &stream[i]);
		else if (result[i] == SCTX__REVIVED)
			result[i] = open_end(registry, result[i], &stream[i]);
		if (!first)
			first = result[i];
	}
	return first;
}

int sctx_open_many(struct sctx_registry *registry, const struct sctx_id *id, unsigned int n,
		   unsigned int flags, struct sctx_stream **stream)
{
	int first = 0;

	if (n && !stream)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		stream[i] = NULL;
	if (!registry || (n && !id) || flags & ~OPEN_FLAGS)
		return -EINVAL;
	for (size_t done = 0; done < n; done += BATCH) {
		size_t count = n - done < BATCH ? n - done : BATCH;
		int error = open_batch(registry, id + done, count, flags, stream + done);

		if (!first)
			first = error;
	}
	return first;
}

/* --------------------------------------------------------------------- find */

struct sctx_stream *sctx_find(struct sctx_registry *registry, const struct sctx_id *id)
{
	struct sctx__node *node;

	if (!registry || !id)
		return NULL;
	node = sctx__table_find(sctx__load_acquire(&registry->table), hash_id(registry, id), id);
	return node ? &node->stream : NULL;
}

/* ------------------------------------------------------------------- forget */

int sctx_forget(struct sctx_registry *registry, const struct sctx_id *id)
{
	int error;

	if (!registry || !id)
		return -EINVAL;
	sctx__update_begin();
	error = sctx__forget_id(registry, id, hash_id(registry, id));
	sctx__update_end();
	return error;
}
