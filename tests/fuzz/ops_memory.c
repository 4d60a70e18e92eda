/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory by tag; who reclaims. */
#include <string.h>

#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const uint32_t tags[] = { SCTX_TAG('f', 'u', 'z', 'A'), SCTX_TAG('f', 'u', 'z', 'B'), ~0u };

static void check_tags(void)
{
	struct sctx_tag_stats stats[COUNT(tags) + 1];
	size_t n = (size_t)sctx_tag_stats_get(stats, sizeof(*stats), COUNT(stats));

	CHECK(n <= COUNT(tags));
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = 0, objects = 0;

		for (size_t b = 0; b < BLOCKS; b++) {
			if (!world.blocks[b].memory || world.blocks[b].tag != stats[i].tag)
				continue;
			bytes += world.blocks[b].size;
			objects++;
		}
		EXPECT(stats[i].bytes, bytes);
		EXPECT(stats[i].objects, objects);
		CHECK(stats[i].peak >= bytes);
	}
}

static void block_free(struct block *block, uint32_t tag)
{
	for (size_t i = 0; i < block->size; i++)
		EXPECT(block->memory[i], (unsigned char)(block - world.blocks));
	EXPECT(sctx_free(block->memory, tag), 0);
	block->memory = NULL;
}

static void op_alloc(struct actor *a)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 100, 4096, 70000, (size_t)1 << 62, SIZE_MAX };
	struct block *block = &world.blocks[take(a, BLOCKS)];
	unsigned int pool = take(a, 3);
	size_t size = sizes[take(a, COUNT(sizes))];
	unsigned int tag = take(a, COUNT(tags) + 1);

	if (block->memory)
		return;
	call_begin(a);
	errno = 0;
	block->memory = sctx_alloc((enum sctx_pool)pool, size, tag ? tags[tag - 1] : 0);
	call_end(a, 0, CREATES_NOT);
	if (pool > SCTX_POOL_LOCKED || !tag) {
		CHECK(!block->memory);
		EXPECT(errno, EINVAL);
	}
	if (!block->memory) {
		CHECK(errno == EINVAL || errno == ENOMEM);
		return;
	}
	CHECK(size <= 70000 && (uintptr_t)block->memory % 16 == 0);
	block->size = size;
	block->tag = tags[tag - 1];
	memset(block->memory, (int)(block - world.blocks), size);
	check_tags();
}

/* With a wrong tag first, at times. */
static void op_free(struct actor *a)
{
	struct block *block = &world.blocks[take(a, BLOCKS)];
	unsigned int how = take(a, 4);

	EXPECT(sctx_free(NULL, how), 0);
	if (!block->memory)
		return;
	if (how == 3)
		EXPECT(sctx_free(block->memory, block->tag ^ 1), -EINVAL);
	block_free(block, how ? block->tag : 0);
	check_tags();
}

void blocks_free(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		if (world.blocks[i].memory)
			block_free(&world.blocks[i], 0);
	check_tags();
}

/* ------------------------------------------------------------- who reclaims */

/*
 * Not the inline mode: there callbacks would run inside of calls, between the
 * library's step and the model's.
 */
static void op_mode(struct actor *a)
{
	struct sctx_reclaim_options o = {
		.size = sizeof(o),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
		.mode = take(a, 2) ? SCTX_RECLAIM_POLL : SCTX_RECLAIM_THREAD,
	};

	if (may_wait(a))
		mode_set(o.mode);
	else if (o.mode != world.mode)
		EXPECT(sctx_reclaim_configure(&o), -EDEADLK);
	o.mode = SCTX_RECLAIM_POLL + 1;
	EXPECT(sctx_reclaim_configure(&o), -EINVAL);
}

static void op_poll(struct actor *a)
{
	unsigned int max = take(a, 4);
	int ran;

	if (!may_wait(a)) {
		EXPECT(sctx_reclaim_poll(max), -EDEADLK);
		return;
	}
	world_unlock();
	ran = sctx_reclaim_poll(max);
	world_lock();
	if (world.mode != SCTX_RECLAIM_POLL)
		EXPECT(ran, -EOPNOTSUPP);
	else
		CHECK(ran >= 0 && (!max || ran <= (int)max));
}

static const op_fn ops[] = { op_alloc, op_free, op_mode, op_poll, op_poll };
const struct ops memory_ops = { ops, COUNT(ops) };
