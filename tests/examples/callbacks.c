/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a FreeCallback may do, and what it is refused. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

struct chunk {
	struct sctx_context ctx;
	struct chunk *parent; /* a reference of ours */
};

static const char cache_owner;
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int chunks, refused;

static void chunk_free(struct sctx_context *ctx)
{
	struct chunk *chunk = (struct chunk *)ctx;

	/* Your own locks, if no thread waits for callbacks while it holds them. */
	pthread_mutex_lock(&cache_lock);
	chunks--;
	/* Calls that would wait for this callback return an error. */
	refused += sctx_barrier() == -EDEADLK;
	refused += sctx_synchronize() == -EDEADLK;
	pthread_mutex_unlock(&cache_lock);
	/* A release never waits: the parent's callback runs later. */
	if (chunk->parent)
		sctx_put(&chunk->parent->ctx);
	free(chunk);
}

static struct chunk *chunk_new(struct chunk *parent)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk));

	if (!chunk || sctx_context_init(&chunk->ctx, &cache_owner, NULL, chunk_free))
		abort();
	chunk->parent = parent;
	pthread_mutex_lock(&cache_lock);
	chunks++;
	pthread_mutex_unlock(&cache_lock);
	return chunk;
}

int main(void)
{
	struct chunk *child = chunk_new(chunk_new(chunk_new(NULL)));

	if (sctx_put(&child->ctx))
		return 1;
	/* A barrier waits for what was retired before it: here a level each. */
	for (int level = 0; level < 3; level++)
		if (sctx_barrier())
			return 1;
	printf("%u chunks left, %u calls refused\n", chunks, refused);
	return chunks != 0 || refused != 6;
}
