/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retiring: handing things to limbo, to be freed after a grace period.
 *
 * Never waits and never fails.  Called by lib/stream/context.c and lib/registry/table.c with
 * no lock held, after the thing was unlinked: the store that unlinks happens
 * before the end of this section, and so before the grace period that the
 * reclaimer waits for.
 */
#ifndef SCTX_RECLAIM_H
#define SCTX_RECLAIM_H

#include "base/probe.h"
#include "thread/thread.h"

/*
 * 0 if the caller may create something; else waits until limbo is below its
 * limit, or returns -EAGAIN.  Also starts the reclaimer's thread, so that
 * release paths never have to, and yields to it (wait_for_lull()).
 */
int sctx__admit_slow(bool nowait);

/* The first addition to a set, or one that fills a batch or has to wake the reclaimer. */
void sctx__limbo_added_slow(struct sctx__limbo *limbo, bool first);

static inline bool sctx__admitted(void)
{
	return sctx__likely(sctx__load(&sctx__shared.worker) && !(sctx__load(&sctx__shared.full) | sctx__load(&sctx__shared.lull)));
}

static inline int sctx__admit(bool nowait)
{
	return sctx__admitted() ? 0 : sctx__admit_slow(nowait);
}

/*
 * After an addition to limbo, still inside its update.  The reclaimer sets
 * @sleeping and then lets a grace period pass before it looks at limbo for
 * the last time: a section that it did not wait for sees @sleeping here.
 */
static inline void sctx__limbo_added(struct sctx__limbo *limbo, size_t added, size_t bytes)
{
	struct sctx__thread *self = &sctx__self;
	size_t before = limbo->callbacks;
	size_t callbacks = self->pending_callbacks + added;

	limbo->callbacks = before + added;
	limbo->bytes += bytes;
	bytes += self->pending_bytes;
	sctx__store(&self->pending_callbacks, callbacks);
	sctx__store(&self->pending_bytes, bytes);
	if (sctx__unlikely(before == 0 || sctx__load(&sctx__shared.sleeping) ||
			   callbacks >= sctx__load(&sctx__shared.batch_callbacks) ||
			   bytes >= sctx__load(&sctx__shared.batch_bytes)))
		sctx__limbo_added_slow(limbo, before == 0);
}

/* Pairs with the release in sctx__limbo_turn_phase(): the set was emptied. */
static inline struct sctx__limbo *sctx__limbo_of(struct sctx__thread *self)
{
	struct sctx__limbo *limbo = &self->limbo[sctx__load_acquire(&sctx__shared.phase)];

	__asm__("" : "+r"(limbo)); /* computed once: gcc would at each use */
	return limbo;
}

/*
 * Drop a reference unless it is the only one.  A count of one is the caller's
 * own: others can only add to it, through a borrowed pointer, and limbo waits
 * for those who could.  So the last put writes no count.  The acquire pairs
 * with the release of the puts before.
 */
static inline bool sctx__put_if_others_hold(struct sctx_context *ctx)
{
	uint32_t refs;

	sctx__prefetch_write(&ctx->refs);
	refs = sctx__load_acquire(&ctx->refs);
	for (unsigned int round = 0; refs > 1; sctx__back_off(round++))
		if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))
			return true;
	return false;
}

/*
 * Give the caller's reference, the only one, to limbo: no stream takes the context any
 * more.  False if it is linked, or in limbo already.  Linking a context begins with the
 * same compare-and-swap, from NULL, so the two exclude each other.  The acquire pairs with the
 * releases that unlink a context: its removal from the list comes first, and so before the grace
 * period.
 */
static inline bool sctx__claim_for_limbo(struct sctx_context *ctx)
{
	struct sctx_stream *nowhere = NULL;

	return sctx__cas_acq_rel(&ctx->stream, &nowhere, SCTX__IN_LIMBO);
}

/*
 * Everything that one update retires, accounted once at its end.  All of it goes to one
 * set: the phase that a section has read stays right for it until it ends.
 */
struct sctx__retiring {
	struct sctx__limbo *limbo;
	size_t contexts;
	size_t streams;
	size_t bytes; /* of the streams */
};

/* All of these inside an update. */

SCTX__INLINE struct sctx__retiring sctx__retire_begin(void)
{
	return (struct sctx__retiring){ sctx__limbo_of(&sctx__self), 0, 0, 0 };
}

SCTX__INLINE void sctx__retire_end(const struct sctx__retiring *r)
{
	if (r->streams || r->contexts)
		sctx__limbo_added(r->limbo, r->streams + r->contexts,
				  r->bytes + r->contexts * sizeof(struct sctx_context));
}

/* The caller's reference goes to limbo, which drops it after a grace period. */
SCTX__INLINE void sctx__retire_context(struct sctx__retiring *r, struct sctx_context *ctx)
{
	struct sctx__limbo *limbo = r->limbo;

	sctx__list_push(&limbo->list[SCTX__CONTEXTS], sctx__link_of(&ctx->next));
	sctx__probe3(retire, ctx, SCTX__KIND_CONTEXT, sizeof(*ctx));
	r->contexts++;
}

/* @stream->free_fn(@stream) after a grace period. */
SCTX__INLINE void sctx__retire_stream(struct sctx__retiring *r, struct sctx_stream *stream)
{
	struct sctx__limbo *limbo = r->limbo;

	sctx__list_push(&limbo->list[SCTX__STREAMS], sctx__link_of(&stream->next));
	sctx__probe3(retire, stream, SCTX__KIND_STREAM, sizeof(*stream));
	r->streams++;
	r->bytes += sizeof(*stream);
}

/* The node around @stream, to be used again after a grace period. */
SCTX__INLINE void sctx__retire_node(struct sctx__retiring *r, struct sctx_stream *stream,
				    size_t bytes)
{
	struct sctx__limbo *limbo = r->limbo;

	sctx__list_push(&limbo->list[SCTX__NODES], sctx__link_of(&stream->next));
	limbo->nodes++;
	sctx__probe3(retire, stream, SCTX__KIND_NODE, bytes);
	r->streams++;
	r->bytes += bytes;
}

/* @block->free_fn(@block) after a grace period; by itself, as it is rare. */
void sctx__retire_block(struct sctx__block *block, size_t bytes);

/* Grace periods, their time, and limbo. */
void sctx__reclaim_stats(struct sctx_stats *stats);

#endif /* SCTX_RECLAIM_H */
