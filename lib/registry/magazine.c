/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Per-thread magazines of nodes.  Called by lib/registry/registry.c to allocate, and
 * through sctx__node_hooks by lib/thread and lib/reclaim to free.
 */
#include "registry/magazine.h"

#include "base/pool.h"
#include "base/poison.h"

static struct sctx__node *node_of(struct sctx_stream *stream)
{
	return (struct sctx__node *)((char *)stream - offsetof(struct sctx__node, stream));
}

static struct sctx_stream *linked(struct sctx__link *link)
{
	return sctx__linked(link, struct sctx_stream, next);
}

/* Poison a node in a magazine, after its grace period: all of it but the link. */
static void node_rest(struct sctx_stream *stream)
{
	struct sctx__node *node = node_of(stream);

	sctx__poison(node, offsetof(struct sctx__node, stream.next));
	sctx__poison(&stream->next + 1, (size_t)((char *)(node + 1) - (char *)(&stream->next + 1)));
}

static void node_wake(struct sctx_stream *stream)
{
	sctx__unpoison(node_of(stream), sizeof(struct sctx__node));
}

/* An address that does not fit a slot counts as out of memory. */
static struct sctx__node *node_new(void)
{
	struct sctx__node *node = sctx__pool_alloc(sizeof(*node));

	if (sctx__slot_can_name(node)) {
		sctx__pool_hide(node);
		return node;
	}
	sctx__pool_free(node, sizeof(*node));
	return NULL;
}

struct sctx__node *sctx__node_alloc(void)
{
	struct sctx__magazine *magazine = &sctx__thread_self()->magazine;
	struct sctx_stream *stream;
	struct sctx__link *link;

	/* Pairs with the release in give(): the grace period is over. */
	if (!magazine->loaded && sctx__load(&magazine->returned))
		magazine->loaded = sctx__exchange_acq_rel(&magazine->returned, NULL);
	link = magazine->loaded;
	if (sctx__unlikely(!link))
		return node_new();
	stream = linked(link);
	node_wake(stream);
	link = link->next;
	magazine->loaded = link;
	if (link) {
		/* Both lines of the node for the next call. */
		sctx__prefetch_write(node_of(linked(link)));
		sctx__prefetch_write(link);
	}
	return node_of(stream);
}

void sctx__node_free(struct sctx__node *node)
{
	struct sctx__magazine *magazine = &sctx__thread_self()->magazine;
	struct sctx__link *link = sctx__link_of(&node->stream.next);

	link->next = magazine->loaded;
	magazine->loaded = link;
	node_rest(&node->stream);
}

static void nodes_rest(struct sctx__link *nodes)
{
	for (; nodes; nodes = nodes->next)
		node_rest(linked(nodes));
}

static void nodes_free(struct sctx__list *nodes)
{
	struct sctx__link *link;

	while ((link = sctx__list_pop(nodes)) != NULL) {
		__builtin_prefetch(nodes->head);
		node_wake(linked(link));
		sctx__pool_free(node_of(linked(link)), sizeof(struct sctx__node));
	}
}

__attribute__((constructor(101))) static void magazine_init(void)
{
	sctx__node_hooks.rest = nodes_rest;
	sctx__node_hooks.free = nodes_free;
	sctx__node_hooks.size = sizeof(struct sctx__node);
}
