/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Per-thread magazines of nodes.  Called by lib/registry/registry.c to allocate, by
 * thread.c to return.
 */
#include "registry/magazine.h"

#include "base/pool.h"
#include "base/quarantine.h"

/*
 * 8 MiB of nodes a thread: what it may close during one slow grace period of
 * a crowded machine.  With half of that, open_cold on 2 threads beside a busy
 * third took 40 % of its nodes from the allocator; with this, 7 %.
 */
#define RETURNED_MAX 65536

static struct sctx__node *node_of(struct sctx_stream *stream)
{
	return (struct sctx__node *)((char *)stream - offsetof(struct sctx__node, stream));
}

/* A node in a magazine, after its grace period: all of it but the link is nobody's. */
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

/* Memory that no slot can name is as good as none. */
static struct sctx__node *node_new(void)
{
	struct sctx__node *node = sctx__pool_alloc(sizeof(*node));

	if (sctx__slot_can_name(node))
		return node;
	sctx__pool_free(node, sizeof(*node));
	return NULL;
}

struct sctx__node *sctx__node_alloc(void)
{
	struct sctx__magazine *magazine = &sctx__thread_self()->magazine;
	struct sctx_stream *stream;

	/* Pairs with the release in give(): the grace period is over. */
	if (!magazine->loaded && sctx__load(&magazine->returned))
		magazine->loaded = sctx__exchange_acq_rel(&magazine->returned, NULL);
	stream = magazine->loaded;
	if (sctx__unlikely(!stream))
		return node_new();
	node_wake(stream);
	magazine->loaded = stream->next;
	if (magazine->loaded) {
		/* The next one's two lines, for the next time. */
		sctx__prefetch_write(node_of(magazine->loaded));
		sctx__prefetch_write(&magazine->loaded->next);
	}
	return node_of(stream);
}

void sctx__node_free(struct sctx__node *node)
{
	struct sctx__magazine *magazine = &sctx__thread_self()->magazine;

	node->stream.next = magazine->loaded;
	magazine->loaded = &node->stream;
	node_rest(&node->stream);
}

void sctx__nodes_move(struct sctx__nodes *to, struct sctx__nodes *from)
{
	if (!from->head)
		return;
	if (!to->head)
		to->last = from->last;
	from->last->next = to->head;
	sctx__store(&to->head, from->head);
	sctx__store(&from->head, NULL);
	to->count += from->count;
	from->count = 0;
}

/* False if the thread has enough.  Only it takes from returned: no ABA. */
static bool give(struct sctx__magazine *magazine, struct sctx__nodes *ripe)
{
	struct sctx_stream *top = sctx__load_acquire(&magazine->returned);
	size_t count = top ? magazine->returned_count : 0;

	if (!ripe->head)
		return true;
	if (count + ripe->count > RETURNED_MAX)
		return false;
	ripe->last->next = top;
	/* Pairs with the acquire in sctx__node_alloc(), as the store below does. */
	if (!sctx__cas_acq_rel(&magazine->returned, &top, ripe->head)) {
		/* Taken meanwhile: it is empty, and we alone add to it. */
		ripe->last->next = NULL;
		sctx__store_release(&magazine->returned, ripe->head);
		count = 0;
	}
	magazine->returned_count = count + ripe->count;
	return true;
}

void sctx__magazine_turn(struct sctx__magazine *magazine, struct sctx__nodes *closed,
			 struct sctx__nodes *surplus)
{
#ifdef SCTX_DEBUG
	for (struct sctx_stream *s = magazine->waiting.head; s; s = s->next)
		node_rest(s);
#endif
	if (!give(magazine, &magazine->waiting))
		sctx__nodes_move(surplus, &magazine->waiting);
	magazine->waiting = *closed;
	closed->count = 0;
	sctx__store(&closed->head, NULL);
}

void sctx__nodes_free(struct sctx__nodes *nodes)
{
	struct sctx_stream *stream = nodes->head, *next;

	for (; stream; stream = next) {
		next = stream->next;
		__builtin_prefetch(next);
		node_wake(stream);
		sctx__pool_free(node_of(stream), sizeof(struct sctx__node));
	}
	nodes->head = NULL;
	nodes->count = 0;
}

void sctx__magazine_empty(struct sctx__magazine *magazine, struct sctx__nodes *limbo)
{
	struct sctx__nodes loaded = { .head = magazine->loaded };
	struct sctx__nodes returned = { .head = sctx__exchange_acq_rel(&magazine->returned, NULL) };

	sctx__nodes_free(&loaded);
	sctx__nodes_free(&returned);
	magazine->loaded = NULL;
	sctx__nodes_move(limbo, &magazine->waiting);
}
