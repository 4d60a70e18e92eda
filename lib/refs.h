/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * References on contexts: context.c and stream.c.
 *
 * A context's count is at least one until its callback runs: the last holder
 * does not drop its reference but hands it to limbo, which drops it after a
 * grace period.  So taking a reference on a borrowed context is one addition
 * that cannot fail, and the usual last put is a load.
 */
#ifndef SCTX_REFS_H
#define SCTX_REFS_H

#include "debug.h"
#include "list.h"
#include "owned.h"
#include "reclaim.h"

#include <errno.h>

/*
 * The caller holds the only reference left, which goes to limbo.  He loaded
 * @links before he saw that the context hangs nowhere.
 */
SCTX__INLINE int sctx__put_last(struct sctx__retiring *r, struct sctx_context *ctx, uint8_t links)
{
	if (sctx__load(&ctx->refs) == 0 || sctx__load(&ctx->in_limbo))
		return sctx__misuse_context(-EBADF, "put of a context whose last reference was put",
					    ctx);
	sctx__debug_did(ctx, "put");
	sctx__owned_forget(ctx);
	sctx__store(&ctx->in_limbo, sctx__in_limbo(links));
	sctx__retire_context(r, ctx);
	return 0;
}

/* @stream's own reference stays while it is locked: is it the only one? */
bool sctx__only_stream_holds(struct sctx_stream *stream, struct sctx_context *ctx);

/*
 * sctx_put() inside an update, which keeps the stream valid.  One who borrowed
 * the context may have taken a reference since the count was read, and have
 * inserted it; so that it hangs somewhere does not make the put a misuse.
 */
SCTX__INLINE int sctx__put_with(struct sctx__retiring *r, struct sctx_context *ctx)
{
	while (!sctx__put_if_others_hold(ctx)) {
		/* Pair with the releases in context_claim(). */
		uint8_t links = sctx__load_acquire(&ctx->links);
		struct sctx_stream *stream = sctx__load_acquire(&ctx->stream);

		if (sctx__likely(!stream))
			return sctx__put_last(r, ctx, links);
		if (sctx__only_stream_holds(stream, ctx))
			return sctx__misuse_context(
				-EBUSY, "put of a context that only its stream holds", ctx);
	}
	return 0;
}

/* The same by itself. */
SCTX__INLINE int sctx__put_inside(struct sctx_context *ctx)
{
	struct sctx__retiring r = sctx__retire_begin();
	int error = sctx__put_with(&r, ctx);

	sctx__retire_end(&r);
	return error;
}

#endif /* SCTX_REFS_H */
