/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Per-thread magazines of nodes.  Called by lib/registry.c; thread.c hands the
 * magazine of a thread that exits to one that comes.
 */
#include "magazine.h"

#include "pool.h"
#include "thread.h"

/* 2 MiB of nodes a thread: what it may close during one slow grace period. */
#define RETURNED_MAX 16384

static struct sctx__node *node_of(struct sctx_stream *stream)
{
	return (struct sctx__node *)((char *)stream - offsetof(struct sctx__node, stream));
}

static struct sctx__magazine *magazine_alloc(void)
{
	struct sctx__magazine *magazine = sctx__pool_alloc(sizeof(*magazine));

	if (magazine)
		memset(magazine, 0, sizeof(*magazine));
	return magazine;
}

static void free_list(struct sctx_stream *stream)
{
	struct sctx_stream *next;

	for (; stream; stream = next) {
		next = stream->next;
		sctx__pool_free(node_of(stream), sizeof(struct sctx__node));
	}
}

void sctx__magazine_free(struct sctx__magazine *magazine)
{
	free_list(magazine->loaded);
	free_list(magazine->returned);
	sctx__pool_free(magazine, sizeof(*magazine));
}

/* The calling thread's, or NULL. */
static struct sctx__magazine *magazine_own(void)
{
	struct sctx__thread *self = &sctx__self;

	if (sctx__unlikely(!self->attached))
		sctx__thread_attach_slow();
	if (sctx__unlikely(!self->magazine))
		self->magazine = magazine_alloc();
	return self->magazine;
}

/* Through the allocator; goes home to @magazine if there is one. */
static struct sctx__node *node_alloc_slow(struct sctx__magazine *magazine)
{
	struct sctx__node *node = sctx__pool_alloc(sizeof(*node));

	if (node)
		node->home = magazine;
	return node;
}

struct sctx__node *sctx__node_alloc(void)
{
	struct sctx__magazine *magazine = magazine_own();
	struct sctx_stream *stream;

	if (!magazine)
		return node_alloc_slow(NULL);
	/* Pairs with the release of the push: the node is whole. */
	if (!magazine->loaded && sctx__load(&magazine->returned))
		magazine->loaded = sctx__exchange_acq_rel(&magazine->returned, NULL);
	stream = magazine->loaded;
	if (!stream)
		return node_alloc_slow(magazine);
	magazine->loaded = stream->next;
	return node_of(stream);
}

/* False if the stack is full.  Only its owner pops, and pops all: no ABA. */
static bool push(struct sctx__magazine *magazine, struct sctx_stream *stream)
{
	/*
	 * The depth read from a top that its owner has taken meanwhile means
	 * nothing, and the exchange fails; or it is the top again, and the
	 * bound is off by a little.
	 */
	struct sctx_stream *top = sctx__load_acquire(&magazine->returned);

	do {
		uint32_t depth = top ? sctx__load(&top->opens) + 1 : 1;

		if (depth > RETURNED_MAX)
			return false;
		sctx__store(&stream->opens, depth);
		stream->next = top;
	} while (!sctx__cas_acq_rel(&magazine->returned, &top, stream));
	return true;
}

void sctx__node_free(struct sctx__node *node)
{
	if (!node->home || !push(node->home, &node->stream))
		sctx__pool_free(node, sizeof(*node));
}
