/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retiring: handing objects to limbo, to be freed after a grace period.
 *
 * Never waits and never fails.  Called with no lock held, after the object was
 * unlinked, in the same section: so the unlinking store happens before the end of
 * the grace period that the reclaimer waits for.
 */
#ifndef SCTX_RECLAIM_H
#define SCTX_RECLAIM_H

#include "base/probe.h"
#include "thread/thread.h"

/*
 * 0 if the caller may create something.  At the limit, waits until limbo is below
 * it, or returns -EAGAIN.  Also starts the reclaimer's thread, so release paths
 * never have to, and yields to it (wait_for_lull()).
 */
int sctx__admit_slow(bool nowait);

/* The first addition to a set, or one that fills a batch or has to wake the reclaimer. */
void sctx__limbo_added_slow(struct sctx__limbo *limbo);

static inline bool sctx__admitted(void)
{
	return sctx__likely(sctx__load(&sctx__shared.worker) && !(sctx__load(&sctx__shared.full) | sctx__load(&sctx__shared.lull)));
}

static inline int sctx__admit(bool nowait)
{
	return sctx__admitted() ? 0 : sctx__admit_slow(nowait);
}

/*
 * After an addition to limbo, inside its update.  The reclaimer sets @sleeping and
 * waits for a grace period before its last look at limbo, so a section that it did
 * not wait for sees @sleeping here.
 */
static inline void sctx__limbo_added(struct sctx__limbo *limbo, size_t added, size_t size)
{
	struct sctx__thread *self = &sctx__self;
	int64_t callbacks = self->pending_callbacks + (int64_t)added;
	int64_t bytes = self->pending_bytes + (int64_t)size;

	sctx__store(&self->pending_callbacks, callbacks);
	sctx__store(&self->pending_bytes, bytes);
	if (sctx__unlikely(!limbo->since || sctx__load(&sctx__shared.sleeping) ||
			   callbacks >= sctx__load(&sctx__shared.batch_callbacks) ||
			   bytes >= sctx__load(&sctx__shared.batch_bytes)))
		sctx__limbo_added_slow(limbo);
}

/* Pairs with the release in sctx__limbo_turn_phase(): the set was emptied. */
static inline struct sctx__limbo *sctx__limbo_of(struct sctx__thread *self)
{
	struct sctx__limbo *limbo = &self->limbo[sctx__load_acquire(&sctx__shared.phase)];

	__asm__("" : "+r"(limbo)); /* computed once: gcc would at each use */
	return limbo;
}

/*
 * Drop a reference unless it is the only one.  A count of one is the caller's own
 * reference: only borrowers can add to it, and limbo waits for them.  So the last
 * put writes no count.  The acquire pairs with the releases of earlier puts.
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
 * Give the caller's reference, the only one, to limbo: from now on no stream links the
 * context.  False if it is linked, or in limbo already.  Linking a context begins with the
 * same compare-and-swap from NULL, so the two exclude each other.  The acquire pairs with the
 * releases that unlink a context, so its removal from the list comes before the grace period.
 */
static inline bool sctx__claim_for_limbo(struct sctx_context *ctx)
{
	struct sctx_stream *nowhere = NULL;

	return sctx__cas_acq_rel(&ctx->stream, &nowhere, SCTX__IN_LIMBO);
}

/*
 * Everything that one update retires, accounted once at its end.  All of it goes to one
 * set: the phase that a section read stays valid until the section ends.
 */
struct sctx__retiring {
	struct sctx__limbo *limbo;
	size_t contexts;
	size_t streams;
	size_t bytes; /* but for the contexts' own */
};

/*
 * In sctx_context.flags, whose lower bits belong to the owner room: whether the
 * FreeCallback may run on any thread, and the size of the context with its structure, as
 * the 3 bits below the highest one and 5 bits of shift (0: only the context).
 */
#define SCTX__ANYWHERE   16u
#define SCTX__SIZE_SHIFT 8
#define SCTX__SIZED      (0xffu << SCTX__SIZE_SHIFT)

static inline uint16_t sctx__size_flags(size_t size)
{
	const size_t most = (size_t)15 << 31;
	unsigned int shift = 0;

	if (size > most)
		size = most;
	if (size <= sizeof(struct sctx_context))
		return 0;
	while (shift < 31 && (size - 1) >> shift >= 15)
		shift++;
	return (uint16_t)((shift << 3 | ((((size - 1) >> shift) + 1) & 7)) << SCTX__SIZE_SHIFT);
}

static inline size_t sctx__context_bytes(uint32_t flags)
{
	size_t code = flags >> SCTX__SIZE_SHIFT & 0xff;

	return code ? (8 | (code & 7)) << (code >> 3) : sizeof(struct sctx_context);
}

/* The following are called inside an update. */

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
	uint32_t flags = sctx__load(&ctx->flags);
	struct sctx__list *list = &r->limbo->list[SCTX__CONTEXTS];

	if (sctx__unlikely(flags & (SCTX__ANYWHERE | SCTX__SIZED))) {
		if (flags & SCTX__ANYWHERE)
			list = &r->limbo->list[SCTX__HOME_CONTEXTS];
		r->bytes += sctx__context_bytes(flags) - sizeof(*ctx);
	}
	sctx__list_push(list, sctx__link_of(&ctx->next));
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

/* The node around @stream can be used again after a grace period. */
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

/* @block->free_fn(@block) after a grace period.  Accounted by itself, since it is rare. */
void sctx__retire_block(struct sctx__block *block, size_t bytes);

/* sctx__pool_free(@memory, @bytes) after a grace period, on this thread if it updates soon. */
void sctx__retire_memory(struct sctx__block *memory, size_t bytes);

/* Grace periods, their latency, and limbo. */
void sctx__reclaim_stats(struct sctx_stats *stats);

#endif /* SCTX_RECLAIM_H */
