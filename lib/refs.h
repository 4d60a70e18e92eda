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
#include "owned.h"
#include "reclaim.h"

#include <errno.h>

/* The caller holds the only reference left, which goes to limbo. */
static inline int sctx__put_last(struct sctx_context *ctx)
{
	if (sctx__load(&ctx->refs) == 0 || sctx__load(&ctx->in_limbo))
		return sctx__misuse(-EBADF, "put of a context whose last reference was put", ctx);
	if (sctx__load(&ctx->stream))
		return sctx__misuse(-EBUSY, "put of a context that only its stream holds", ctx);
	sctx__owned_forget(ctx);
	sctx__store(&ctx->in_limbo, 1);
	sctx__retire_context(ctx);
	return 0;
}

/*
 * A count of one is the caller's own: others can only add to it, through a
 * borrowed pointer, and limbo waits for those who could.  So the last put
 * writes no count.  The acquire pairs with the release of the puts before.
 */
static inline bool sctx__put_if_others_hold(struct sctx_context *ctx)
{
	uint32_t refs = sctx__load_acquire(&ctx->refs);

	while (refs > 1)
		if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))
			return true;
	return false;
}

/* sctx_put() inside an update. */
static inline int sctx__put_inside(struct sctx_context *ctx)
{
	return sctx__put_if_others_hold(ctx) ? 0 : sctx__put_last(ctx);
}

#endif /* SCTX_REFS_H */
