/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registries: creating, destroying and walking them.  Called by users, and by unload.c for
 * the walk.
 */
#include "registry/registry.h"

#include "base/pool.h"
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
	if (!sctx__load(&registry->tracked_count) && !sctx__load(&registry->owners) &&
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
 * A walk goes over the buckets that the table has when it begins.  If the table grows
 * meanwhile, the streams of bucket i are in those buckets whose number is i modulo the
 * first size: so each stream is met once.
 */
struct walk {
	struct sctx_registry *registry;
	size_t buckets; /* at the beginning */
	size_t index;
};

static struct walk walk_begin(struct sctx_registry *registry)
{
	struct walk walk = { .registry = registry };

	sctx__update_begin();
	walk.buckets = sctx__table_buckets(registry);
	sctx__update_end();
	return walk;
}

/* Buckets of one update: their streams are fetched together. */
#define WALK_GROUP 8

static size_t walk_end_of_group(const struct walk *walk)
{
	size_t left = walk->buckets - walk->index;

	return walk->index + (left < WALK_GROUP ? left : WALK_GROUP);
}

/* Prefetch streams, then their contexts: two rounds of misses for the whole group. */
static void walk_fetch(const struct walk *walk, const struct sctx__table *table)
{
	for (size_t i = walk->index; i < walk_end_of_group(walk); i++)
		sctx__bucket_each_hint(&table->bucket[i], sctx__node_fetch);
	for (size_t i = walk->index; i < walk_end_of_group(walk); i++)
		sctx__bucket_each_hint(&table->bucket[i], sctx__node_fetch_context);
}

static int walk_group(struct walk *walk, sctx__node_fn fn, void *arg)
{
	struct sctx__table *table = sctx__load_acquire(&walk->registry->table);
	size_t end = walk_end_of_group(walk);
	int result = 0;

	walk_fetch(walk, table);
	for (; walk->index < end && !result; walk->index++)
		for (size_t i = walk->index; i <= table->mask && !result; i += walk->buckets)
			result = sctx__table_visit(table, i, fn, arg);
	return result;
}

int sctx__registry_walk(struct sctx_registry *registry, sctx__node_fn fn, void *arg,
			int (*between)(void *arg))
{
	struct walk walk = walk_begin(registry);
	int result;

	do {
		sctx__update_begin();
		result = walk_group(&walk, fn, arg);
		sctx__update_end();
		if (!result && between)
			result = between(arg);
	} while (walk.index < walk.buckets && !result);
	return result;
}

int sctx__walk_throttle(void *arg)
{
	(void)arg;
	sctx__admit(false); /* goes on after an error: releasing must not fail */
	return 0;
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

	return registry && fn ? sctx__registry_walk(registry, each_node, &each, NULL) : -EINVAL;
}

/* Like sctx__registry_walk(): each stream once. */
void sctx__registry_table_stats(struct sctx_registry *registry, struct sctx_registry_stats *stats)
{
	struct walk walk = walk_begin(registry);

	while (walk.index < walk.buckets) {
		size_t end = walk_end_of_group(&walk);
		struct sctx__table *table;

		sctx__update_begin();
		table = sctx__load_acquire(&registry->table);
		for (; walk.index < end; walk.index++)
			for (size_t i = walk.index; i <= table->mask; i += walk.buckets)
				sctx__table_stats(table, i, stats);
		stats->buckets = table->mask + 1;
		sctx__update_end();
	}
}
