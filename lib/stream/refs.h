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

#include "base/debug.h"
#include "stream/list.h"
#include "owner/owned.h"
#include "reclaim/reclaim.h"

#include <errno.h>

/*
 * sctx_put() inside an update, which keeps the stream valid.  0, -EBADF or -EBUSY.  The
 * last reference goes to @r's limbo, or with NULL to the thread's.
 */
int sctx__put_inside(struct sctx__retiring *r, struct sctx_context *ctx);

/* The only reference left goes to limbo; @links was loaded before it was seen to hang nowhere. */
SCTX__INLINE void sctx__put_last(struct sctx__retiring *r, struct sctx_context *ctx, uint8_t links)
{
	sctx__debug_did(ctx, "put");
	sctx__store(&ctx->in_limbo, sctx__in_limbo(links));
	sctx__retire_context(r, ctx);
}

/* The same for what has just been unlinked, which nobody else holds, most likely. */
SCTX__INLINE void sctx__put_unlinked(struct sctx__retiring *r, struct sctx_context *ctx)
{
	/* As in sctx__put_inside(). */
	bool last = sctx__load_acquire(&ctx->refs) == 1;
	uint8_t links = sctx__load_acquire(&ctx->links);

	if (sctx__likely(last && !sctx__load_acquire(&ctx->stream) && !sctx__load(&ctx->in_limbo) &&
			 !(sctx__load(&ctx->flags) & SCTX__NOTED)))
		sctx__put_last(r, ctx, links);
	else
		sctx__put_inside(r, ctx);
}

#endif /* SCTX_REFS_H */
