/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners, as their contexts see them: what is counted, whom to
 * tell of an unlinking, who holds what.  Called by context.c and stream.c for
 * contexts that say OWNED, and by owner.c and unload.c, which have the rest.
 *
 * An owner counts its contexts that are not freed yet (live).  It takes no
 * list of them: those that are linked are found by a walk over the streams,
 * and of those that are held by someone after they were unlinked the first
 * few are noted here, where that is no hot path.
 */
#ifndef SCTX_OWNED_H
#define SCTX_OWNED_H

#include "thread/counter.h"
#include "base/debug.h"
#include "base/probe.h"
#include "registry/track.h"
#include "stream/context.h"

#include <streamctx.h>
#include <sys/types.h>

/* An unlinked context that someone holds. */
struct sctx__held {
	struct sctx_context *ctx;
	struct sctx_id id;
	bool has_id;
};

struct sctx_owner {
	struct sctx_owner_ops ops;
	char name[SCTX_OWNER_NAME_MAX + 1];
	struct sctx_registry *registry;
	struct sctx_owner *next; /* registered after this one */
	uint32_t leaving;        /* unregister has begun */
	pid_t unregistering;     /* the process of a thread that is at it, or 0 */
	/* Counters. */
	uint32_t live;               /* contexts not freed */
	uint32_t pins;               /* opens that may be calling attach */
	uint32_t attached;           /* contexts made by attach */
	uint32_t failures;           /* of attach */
	struct sctx__tracked cursor; /* of the thread that unregisters */
	/* Spinlock of what follows. */
	uint32_t lock;
	uint32_t held_count;
	struct sctx__held held[SCTX_LEAKS_LISTED];
};

/* Inside an update: whether @ctx's owner is leaving and takes no new ones. */
static inline bool sctx__owned_refused(const struct sctx_context *ctx)
{
	const struct sctx_owner *owner = (const struct sctx_owner *)ctx->owner;

	return sctx__load(&ctx->flags) & SCTX__OWNED && sctx__load(&owner->leaving);
}

void sctx__owned_unlinked_slow(struct sctx_context *ctx, struct sctx_stream *stream);
void sctx__owned_note_slow(struct sctx_context *ctx, struct sctx_stream *stream);
void sctx__owned_forget_slow(struct sctx_context *ctx);

/*
 * Inside an update, no lock held, with the reference that the stream had:
 * @ctx was unlinked from @stream.  Tells the owner.
 */
static inline void sctx__owned_unlinked(struct sctx_context *ctx, struct sctx_stream *stream)
{
	sctx__probe2(remove, stream, ctx);
	if (sctx__unlikely(sctx__load(&ctx->flags) & SCTX__OWNED))
		sctx__owned_unlinked_slow(ctx, stream);
}

/* After that: the reference goes to a caller of ours. */
static inline void sctx__owned_handed_out(struct sctx_context *ctx, struct sctx_stream *stream)
{
	if (sctx__unlikely(sctx__load(&ctx->flags) & SCTX__OWNED))
		sctx__owned_note_slow(ctx, stream);
}

/* The last reference goes to limbo, or the context to another stream. */
static inline void sctx__owned_forget(struct sctx_context *ctx)
{
	if (sctx__unlikely(sctx__load(&ctx->flags) & SCTX__NOTED))
		sctx__owned_forget_slow(ctx);
}

/* What is known of @owner's contexts that are not freed. */
void sctx__owned_report(struct sctx_owner *owner, struct sctx_leaks *leaks);

#endif /* SCTX_OWNED_H */
