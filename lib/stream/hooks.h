/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notifications about a stream's contexts, for the rooms above.  The owner room and the
 * tracker of embedded streams set these pointers.
 */
#ifndef SCTX_HOOKS_H
#define SCTX_HOOKS_H

#include "base/probe.h"
#include "stream/context.h"

/*
 * A registered owner, for streams.  @unlinked and @handed_out are called inside an
 * update with no lock held, @forget under the stream's lock.
 */
struct sctx__owned {
	uint32_t leaving; /* the owner unregisters and refuses contexts */
	/* @ctx was unlinked from @stream; the caller has the stream's reference. */
	void (*unlinked)(struct sctx_context *ctx, struct sctx_stream *stream);
	/* After that, if the reference goes to the library's caller. */
	void (*handed_out)(struct sctx_context *ctx, struct sctx_stream *stream);
	/* Erase the note of @ctx: it has no holder any more, or a stream links it. */
	void (*forget)(struct sctx_context *ctx);
};

/* The tracker of an embedded stream; sctx_stream.next points to it under SCTX__TRACKED. */
struct sctx__tracker {
	struct sctx__block block; /* retired at the stream's teardown */
	size_t bytes;
	/* The stream is being torn down.  With its lock held. */
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

/* Inside an update: whether the owner of @ctx is leaving and refuses contexts. */
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
