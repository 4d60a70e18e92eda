/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registries: creating, destroying and walking them.  Called by users, and by unload.c for
 * the walk.
 */
#include "registry/registry.h"

#include "base/pool.h"
#include "owner/attach.h"
#include "reclaim/reclaim.h"
#include "registry/opens.h"
#include "stream/context.h"

#include <errno.h>
#include <sys/random.h>

/* 64 KiB of address space; memory is used as it is touched.  Fewer in tests. */
#ifndef FIRST_BUCKETS
#define FIRST_BUCKETS 1024
#endif

/* ---------------------------------------------------------- create, destroy */

static int random_secret(uint8_t *secret)
{
	size_t done = 0;

	/* A short answer would leave part of the secret known. */
	while (done < SCTX__SECRET_SIZE) {
		ssize_t got = getrandom(secret + done, SCTX__SECRET_SIZE - done, 0);

		if (got == 0)
			return -EIO;
		if (got < 0 && errno != EINTR)
			return -errno;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int registry_init(struct sctx_registry *registry)
{
	int error;

	if (!sctx__slot_can_name(registry)) /* nor streams, then */
		return -EOVERFLOW;
	memset(registry, 0, sizeof(*registry));
	registry->idle.streams.slot = SCTX__NO_SLOT;
	error = random_secret(registry->secret);
	if (error)
		return error;
	registry->table = sctx__table_create(FIRST_BUCKETS);
	return registry->table ? 0 : -ENOMEM;
}

int sctx_registry_create(struct sctx_registry **out)
{
	struct sctx_registry *registry;
	int error;

	if (!out)
		return -EINVAL;
	*out = NULL;
	registry = sctx__pool_alloc(sizeof(*registry));
	if (!registry)
		return -ENOMEM;
	error = registry_init(registry);
	if (error)
		sctx__pool_free(registry, sizeof(*registry));
	else
		*out = registry;
	return error;
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
	sctx__idle_free(&registry->idle);
	sctx__pool_free(registry, sizeof(*registry));
}

/* The table goes through limbo: a late open may still read it. */
int sctx_registry_destroy(struct sctx_registry *registry)
{
	int error = 0;

	if (!registry)
		return -EINVAL;
	sctx__update_begin();
	if (!sctx__load(&registry->tracked_count) && !sctx__owners_of(registry) &&
	    sctx__idle_drop_all(registry) == 0) {
		registry->block.free_fn = registry_free;
		sctx__retire_block(&registry->block, sizeof(*registry));
	} else {
		error = -EBUSY;
	}
	sctx__update_end();
	return error;
}

/* -------------------------------------------------------------------- streams */

const struct sctx_id *sctx_stream_id(const struct sctx_stream *stream)
{
	if (!stream || !(sctx__load(&stream->state) & SCTX__MANAGED))
		return NULL;
	return &sctx__node_of(stream)->id;
}

enum sctx_stream_state sctx_stream_state(const struct sctx_stream *stream)
{
	uint32_t opens;

	if (!stream)
		return SCTX_STREAM_DEAD;
	if (!(sctx__load(&stream->state) & SCTX__MANAGED))
		return sctx__load(&stream->state) & SCTX__TORN ? SCTX_STREAM_DEAD : SCTX_STREAM_OPEN;
	opens = sctx__load(&stream->opens);
	if (opens & SCTX__DEAD)
		return SCTX_STREAM_DEAD;
	if (opens & SCTX__FORGOTTEN)
		return SCTX_STREAM_FORGOTTEN;
	return sctx__references(opens) ? SCTX_STREAM_OPEN : SCTX_STREAM_IDLE;
}

/* -------------------------------------------------------------------- walks */

/*
 * The next bucket, counting with reversed bits: if the table doubles between two
 * steps, the buckets behind the index hold exactly the streams already visited.
 * 0 after the last.
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

int sctx__registry_walk(struct sctx_registry *registry, sctx__node_fn fn, void *arg, bool throttle)
{
	size_t index = 0;
	int result;

	do {
		struct sctx__table *table;

		if (throttle)
			sctx__admit(false); /* goes on after an error: releasing must not fail */
		sctx__update_begin();
		table = sctx__load_acquire(&registry->table);
		result = sctx__table_visit(table, index, fn, arg);
		index = next_index(index, table->mask);
		sctx__update_end();
	} while (index && !result);
	return result;
}

struct each {
	int (*fn)(struct sctx_stream *stream, void *arg);
	void *arg;
};

static int each_node(struct sctx__node *node, void *arg)
{
	const struct each *each = arg;

	return each->fn(&node->stream, each->arg);
}

int sctx_registry_for_each(struct sctx_registry *registry,
			   int (*fn)(struct sctx_stream *stream, void *arg), void *arg)
{
	struct each each = { fn, arg };

	return registry && fn ? sctx__registry_walk(registry, each_node, &each, false) : -EINVAL;
}

/* Like sctx__registry_walk(): each stream once. */
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
