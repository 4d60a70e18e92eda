/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running callbacks: see callbacks.h.  The two sets here belong to the thread
 * that runs the cycle (reclaimer.at_lists says when it is at them).
 */
#include "reclaim/callbacks.h"

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
 * Others hold the context.  It may be linked again from the store on, so the store
 * comes before limbo's reference goes: after that the context may be freed.
 *
 * All others may let go before limbo does.  Then readers may have found the context
 * where it was linked meanwhile, and limbo's grace period did not wait for them.
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
 * Drop limbo's reference.  A grace period has passed since the context was unlinked,
 * and limbo's mark kept it from being linked since, so only holders can still reach
 * it: one reference is limbo's alone.  The acquire pairs with the release in other
 * holders' puts, whose use of the context is over.
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

static bool run_one(struct sctx__limbo *set, enum sctx__kind kind)
{
	struct sctx__link *link = sctx__list_pop(&set->list[kind]);
	struct sctx_stream *stream;
	struct sctx__block *block;

	if (!link)
		return false;
	if (set->list[kind].head)
		sctx__prefetch_write(set->list[kind].head);
	if (kind == SCTX__CONTEXTS) {
		context_drop(sctx__linked(link, struct sctx_context, next));
	} else if (kind == SCTX__STREAMS) {
		stream = sctx__linked(link, struct sctx_stream, next);
		stream->free_fn(stream);
	} else {
		block = sctx__linked(link, struct sctx__block, next);
		block->free_fn(block);
	}
	return true;
}

static void account(struct sctx__limbo *set, size_t callbacks)
{
	size_t bytes = callbacks == set->callbacks ? set->bytes
						   : set->bytes / set->callbacks * callbacks;

	set->callbacks -= callbacks;
	if (!set->callbacks)
		sctx__store(&set->since, 0);
	set->bytes -= bytes;
	sctx__add(&callbacks_run, callbacks);
	sctx__account_freed(callbacks, bytes);
}

/* Contexts before streams: an owner may have embedded one in the other. */
static size_t run_set(struct sctx__limbo *set, size_t max)
{
	size_t ran = 0, told = 0;
	int kind = SCTX__CONTEXTS;

	sctx__self.in_callback = true;
	while (kind < SCTX__NODES && ran < max && sctx__likely(!sctx__load(&sctx__shared.forking))) {
		if (!run_one(set, (enum sctx__kind)kind)) {
			kind++;
		} else if (++ran - told == RUN_BATCH) {
			account(set, ran - told);
			told = ran;
		}
	}
	sctx__self.in_callback = false;
	if (kind == SCTX__NODES) {
		if (set->list[SCTX__NODES].head)
			sctx__node_hooks.free(&set->list[SCTX__NODES]);
		account(set, set->callbacks);
	} else if (ran > told) {
		account(set, ran - told);
	}
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

bool sctx__callbacks_are_ripe(void)
{
	return ripe.callbacks > 0;
}

/* Nodes that a thread left behind at its exit are no callbacks any more. */
static bool any_closed(void)
{
	return closed.callbacks || closed.list[SCTX__NODES].head;
}

bool sctx__callbacks_are_left(void)
{
	return any_closed() || sctx__callbacks_are_ripe();
}

bool sctx__callbacks_turn(void)
{
	bool any = any_closed();

	sctx__limbo_move(&ripe, &closed);
	sctx__limbo_take_closed(&closed, &ripe.list[SCTX__NODES]);
	return any || any_closed();
}

void sctx__callbacks_abandon(void)
{
	sctx__sub(&sctx__account.callbacks, (int64_t)(ripe.callbacks + closed.callbacks));
	sctx__sub(&sctx__account.bytes, (int64_t)(ripe.bytes + closed.bytes));
	memset(&ripe, 0, sizeof(ripe));
	memset(&closed, 0, sizeof(closed));
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
