/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running callbacks: see callbacks.h.  The two sets here belong to the thread
 * that runs the cycle; reclaimer.at_lists is set while it uses them.
 */
#include "reclaim/callbacks.h"

#include "base/pool.h"
#include "reclaim/reclaim.h"

#include <string.h>

/* Callbacks run between two looks at the account. */
#define RUN_BATCH 256

static struct sctx__limbo closed; /* collected, waits for a grace period */
static struct sctx__limbo ripe;
static uint64_t callbacks_run;
static uint64_t dropped_again;

/* Limbo keeps its reference for one more grace period. */
static void context_retire_again(struct sctx_context *ctx)
{
	struct sctx__retiring r;

	sctx__add(&dropped_again, 1);
	sctx__rcu_read_lock(); /* no update: a fork waits for this thread to park */
	r = sctx__retire_begin();
	sctx__retire_context(&r, ctx);
	sctx__retire_end(&r);
	sctx__rcu_read_unlock();
}

/*
 * The context has other holders.  After the store they may link it again.  The store comes
 * before limbo drops its reference, because after that the context may be freed.
 *
 * If all others let go first, readers may have found the context where it was linked
 * meanwhile, and limbo's grace period does not cover them: it needs another one.
 */
static void context_drop_held(struct sctx_context *ctx)
{
	/* Pairs with the acquire in sctx__claim_for_limbo() and in context_claim(). */
	sctx__store_release(&ctx->stream, NULL);
	while (!sctx__put_if_others_hold(ctx)) {
		if (sctx__claim_for_limbo(ctx)) {
			context_retire_again(ctx);
			return;
		}
	}
}

/*
 * Drop limbo's reference.  A grace period has passed since the context was unlinked, and
 * limbo's mark kept it unlinked, so only holders can reach it.  If limbo has the only
 * reference, no other thread can.  The acquire pairs with the releases of other holders'
 * puts.
 */
static void context_drop(struct sctx_context *ctx)
{
	if (sctx__unlikely(sctx__load_acquire(&ctx->refs) != 1)) {
		context_drop_held(ctx);
		return;
	}
	sctx__store(&ctx->stream, NULL);
	sctx__probe2(callback, ctx, ctx->free_callback);
	ctx->free_callback(ctx);
	sctx__probe1(callback_done, ctx);
}

/* Counted before the callback, which may end the thread. */
static void note_freed(struct sctx__limbo *set, size_t bytes)
{
	set->freed++;
	set->freed_bytes += bytes;
}

static void free_one(struct sctx__limbo *set, enum sctx__kind kind, struct sctx__link *link)
{
	struct sctx_context *ctx = sctx__linked(link, struct sctx_context, next);
	struct sctx_stream *stream = sctx__linked(link, struct sctx_stream, next);
	struct sctx__block *block = sctx__linked(link, struct sctx__block, next);

	switch (kind) {
	case SCTX__CONTEXTS:
	case SCTX__HOME_CONTEXTS:
		note_freed(set, sctx__context_bytes(sctx__load(&ctx->flags)));
		context_drop(ctx);
		break;
	case SCTX__STREAMS:
		note_freed(set, sizeof(*stream));
		stream->free_fn(stream);
		break;
	case SCTX__HOME_BLOCKS:
		note_freed(set, block->size);
		sctx__pool_free(block, block->size);
		break;
	default: /* the set has the bytes of all its blocks */
		note_freed(set, 0);
		block->free_fn(block);
	}
}

void sctx__callbacks_account(struct sctx__limbo *set)
{
	sctx__add(&callbacks_run, set->freed);
	sctx__account_freed(set->freed, set->freed_bytes);
	set->freed = 0;
	set->freed_bytes = 0;
}

/* After the callbacks, when only nodes are left. */
static void free_rest(struct sctx__limbo *set)
{
	if (set->list[SCTX__NODES].head)
		sctx__node_hooks.free(&set->list[SCTX__NODES]);
	set->freed += set->nodes;
	set->freed_bytes += set->nodes * sctx__node_hooks.size + set->block_bytes;
	set->nodes = 0;
	set->block_bytes = 0;
	sctx__store(&set->since, 0);
}

/* Contexts before streams: an owner may have embedded one in the other. */
static size_t run_set(struct sctx__limbo *set, size_t max)
{
	size_t ran = 0;
	int kind = SCTX__CONTEXTS;

	sctx__self.in_callback = true;
	while (kind < SCTX__NODES && ran < max && sctx__likely(!sctx__load(&sctx__shared.forking))) {
		struct sctx__link *link = sctx__list_pop(&set->list[kind]);

		if (!link) {
			kind++;
			continue;
		}
		if (set->list[kind].head)
			sctx__prefetch_write(set->list[kind].head);
		free_one(set, (enum sctx__kind)kind, link);
		ran++;
		if (set->freed >= RUN_BATCH)
			sctx__callbacks_account(set);
	}
	sctx__self.in_callback = false;
	if (kind == SCTX__NODES)
		free_rest(set);
	if (set->freed)
		sctx__callbacks_account(set);
	return ran;
}

size_t sctx__callbacks_run(size_t max)
{
	return run_set(&ripe, max);
}

void sctx__callbacks_run_set(struct sctx__limbo *set)
{
	run_set(set, SIZE_MAX);
}

/* ---------------------------------------------- on the thread that retired */

/* What the end of an update frees at most: more than most updates retire. */
#define BITE 16

/* Take at most BITE ready objects.  False if none is left. */
static bool bite_off(struct sctx__home *home, struct sctx__limbo *bite)
{
	int n = 0;
	bool more;

	sctx__lock_u32(&home->lock);
	for (int i = 0; i < 2; i++) {
		for (; n < BITE && home->ready[i].head; n++)
			sctx__list_push(&bite->list[SCTX__HOME_CONTEXTS + i],
					sctx__list_pop(&home->ready[i]));
	}
	more = home->ready[0].head || home->ready[1].head;
	sctx__unlock_u32(&home->lock, 0);
	sctx__store(&home->turns, 0);
	return more;
}

static void home_free(struct sctx__thread *self)
{
	struct sctx__limbo bite;

	memset(&bite, 0, sizeof(bite));
	if (!bite_off(&self->home, &bite))
		self->at_end &= ~SCTX__HOME_DUE;
	self->in_callback = true;
	for (int kind = SCTX__HOME_CONTEXTS; kind <= SCTX__HOME_BLOCKS; kind++) {
		while (bite.list[kind].head)
			free_one(&bite, (enum sctx__kind)kind, sctx__list_pop(&bite.list[kind]));
	}
	self->in_callback = false;
	sctx__store(&self->pending_callbacks, self->pending_callbacks - (int64_t)bite.freed);
	sctx__store(&self->pending_bytes, self->pending_bytes - (int64_t)bite.freed_bytes);
	sctx__add(&callbacks_run, bite.freed);
	if (sctx__unlikely(sctx__load(&sctx__shared.full)))
		sctx__account_flush(self);
}

__attribute__((constructor(101))) static void callbacks_init(void)
{
	sctx__home_hook = home_free;
}

/* ------------------------------------------------------------------- cycles */

bool sctx__callbacks_are_ripe(void)
{
	return sctx__limbo_any(&ripe);
}

bool sctx__callbacks_are_left(void)
{
	return sctx__limbo_any(&closed) || sctx__callbacks_are_ripe();
}

bool sctx__callbacks_turn(bool all)
{
	bool any = sctx__limbo_any(&closed);
	size_t nodes;

	sctx__limbo_move(&ripe, &closed);
	nodes = sctx__limbo_take_closed(&closed, &ripe, all);
	ripe.freed += nodes;
	ripe.freed_bytes += nodes * sctx__node_hooks.size;
	if (ripe.freed)
		sctx__callbacks_account(&ripe);
	return any || sctx__callbacks_are_left();
}

/* Take what is abandoned out of the account. */
void sctx__callbacks_abandon(void)
{
	memset(&ripe, 0, sizeof(ripe));
	memset(&closed, 0, sizeof(closed));
	sctx__store(&sctx__account.callbacks, 0);
	sctx__store(&sctx__account.bytes, 0);
}

uint64_t sctx__callbacks_since(void)
{
	uint64_t older = sctx__load(&ripe.since);

	return older ? older : sctx__load(&closed.since);
}

uint64_t sctx__callbacks_dropped_again(void)
{
	return sctx__load(&dropped_again);
}

uint64_t sctx__callbacks_count(void)
{
	return sctx__load(&callbacks_run);
}
