/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * References on contexts: context.c and stream.c.
 *
 * A context's count is at least one until its callback runs: the last holder
 * does not drop its reference but hands it to limbo, which drops it after a
 * grace period.  So taking a reference on a borrowed context is one addition
 * that cannot fail, and no put writes a count of zero.
 */
#ifndef SCTX_REFS_H
#define SCTX_REFS_H

#include "base/debug.h"
#include "reclaim/reclaim.h"
#include "stream/hooks.h"
#include "stream/list.h"

#include <errno.h>

/*
 * sctx_put() inside an update, which keeps the stream valid.  0, -EBADF or -EBUSY.  The
 * last reference goes to @r's limbo, or with NULL to the thread's.
 */
int sctx__put_inside(struct sctx__retiring *r, struct sctx_context *ctx);

/*
 * @ctx has just been taken off its stream's list: say that it is linked nowhere, or,
 * if the stream's reference is the only one, that it is in limbo.  True for limbo: the
 * caller retires it.  Until the store nobody else links it, because it says that it is
 * linked.  An owner may still refer to it in its detached().
 *
 * The releases pair with the acquires in context_claim() and sctx__claim_for_limbo().
 */
SCTX__INLINE bool sctx__unlinked_for_limbo(struct sctx_context *ctx)
{
	/* The acquire pairs with the releases of the puts before. */
	bool last = sctx__load_acquire(&ctx->refs) == 1 && !sctx__is_owned(ctx);

	sctx__store_release(&ctx->stream, last ? SCTX__IN_LIMBO : NULL);
	return last;
}

/* The put of what sctx__unlinked_for_limbo() has returned @last for. */
SCTX__INLINE void sctx__put_unlinked(struct sctx__retiring *r, struct sctx_context *ctx, bool last)
{
	if (sctx__likely(last)) {
		sctx__debug_did(ctx, "put");
		sctx__retire_context(r, ctx);
	} else {
		sctx__put_inside(r, ctx);
	}
}

#endif /* SCTX_REFS_H */
