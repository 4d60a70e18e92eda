/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the rooms above are told of a stream's contexts.  The owner room and the
 * tracker of embedded streams fill these in; nothing here calls them by name.
 */
#ifndef SCTX_HOOKS_H
#define SCTX_HOOKS_H

#include "base/probe.h"
#include "stream/context.h"

/*
 * A registered owner, as a stream sees it.  @unlinked and @handed_out are called
 * inside an update with no lock held, @forget under the stream's lock.
 */
struct sctx__owned {
	uint32_t leaving; /* the owner unregisters, and takes no context */
	/* @ctx was unlinked from @stream; the caller has the stream's reference. */
	void (*unlinked)(struct sctx_context *ctx, struct sctx_stream *stream);
	/* After that: the reference goes to a caller of the API. */
	void (*handed_out)(struct sctx_context *ctx, struct sctx_stream *stream);
	/* @ctx is noted, and nobody holds it any more, or it goes to another stream. */
	void (*forget)(struct sctx_context *ctx);
};

/* Whoever tracks an embedded stream: what sctx_stream.next points to under SCTX__TRACKED. */
struct sctx__tracker {
	struct sctx__block block; /* retired at the stream's teardown */
	size_t bytes;
	/* The stream is torn down.  With its lock held. */
	void (*untrack)(struct sctx__tracker *tracker);
};

static inline bool sctx__is_owned(const struct sctx_context *ctx)
{
	return sctx__unlikely(sctx__load(&ctx->flags) & SCTX__OWNED);
}

static inline const struct sctx__owned *sctx__owned(const struct sctx_context *ctx)
{
	return (const struct sctx__owned *)ctx->owner;
}

/* Inside an update: whether @ctx's owner is leaving and takes no new ones. */
static inline bool sctx__owned_refused(const struct sctx_context *ctx)
{
	return sctx__is_owned(ctx) && sctx__load(&sctx__owned(ctx)->leaving);
}

static inline void sctx__owned_unlinked(struct sctx_context *ctx, struct sctx_stream *stream)
{
	sctx__probe2(remove, stream, ctx);
	if (sctx__is_owned(ctx))
		sctx__owned(ctx)->unlinked(ctx, stream);
}

static inline void sctx__owned_handed_out(struct sctx_context *ctx, struct sctx_stream *stream)
{
	if (sctx__is_owned(ctx))
		sctx__owned(ctx)->handed_out(ctx, stream);
}

static inline void sctx__owned_forget(struct sctx_context *ctx)
{
	if (sctx__unlikely(sctx__load(&ctx->flags) & SCTX__NOTED))
		sctx__owned(ctx)->forget(ctx);
}

#endif /* SCTX_HOOKS_H */
