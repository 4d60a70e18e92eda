/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * References on contexts, for context.c and stream.c.
 *
 * A context's count is at least one until its callback runs: the last holder
 * gives its reference to limbo, which drops it after a grace period.  So taking
 * a reference on a borrowed context is one addition that never meets zero, and
 * no put writes a count of zero.
 */
#ifndef SCTX_REFS_H
#define SCTX_REFS_H

#include "base/debug.h"
#include "reclaim/reclaim.h"
#include "stream/hooks.h"
#include "stream/list.h"

#include <errno.h>

/*
 * sctx_put() inside an update, which keeps the stream valid.  Errors: -EBADF,
 * -EBUSY.  The last reference goes to the limbo of @r, or of the thread if it is
 * NULL.
 */
int sctx__put_inside(struct sctx__retiring *r, struct sctx_context *ctx);

/*
 * @ctx was just removed from its stream's list: mark it as unlinked or, if the stream has
 * the only reference, as in limbo.  True for limbo: the caller retires it.  Until this
 * store no other thread links it, since it is still marked as linked.  Its owner may still
 * use it in detached().
 *
 * The releases pair with the acquires in context_claim() and sctx__claim_for_limbo().
 */
SCTX__INLINE bool sctx__unlinked_for_limbo(struct sctx_context *ctx)
{
	/* The acquire pairs with the releases of earlier puts. */
	bool last = sctx__load_acquire(&ctx->refs) == 1 && !sctx__is_owned(ctx);

	sctx__store_release(&ctx->stream, last ? SCTX__IN_LIMBO : NULL);
	return last;
}

/* Put @ctx after sctx__unlinked_for_limbo() returned @last. */
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
