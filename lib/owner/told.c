/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners hear when a stream becomes idle and when it is opened again.  Called by the
 * registry, where an owner with ops.idle or ops.revived is registered.
 *
 * One thread at a time tells of a stream (SCTX__TELLING).  Another one that comes
 * meanwhile leaves a note (SCTX__RETELL), and the first looks again before it leaves.
 * Each context remembers what its owner was told last (SCTX__TOLD), and the owner is
 * told only what differs: so the two calls alternate, whatever races.
 */
#include "owner/owner.h"

#include "registry/opens.h"
#include "stream/context.h"
#include "stream/list.h"

static bool tell_begin(struct sctx_stream *stream)
{
	uint32_t state = stream_lock(stream);
	bool alone = !(state & SCTX__TELLING);

	stream_unlock(stream, (uint16_t)(state | (alone ? SCTX__TELLING : SCTX__RETELL)));
	return alone;
}

/* False if there is something new to tell. */
static bool tell_end(struct sctx_stream *stream)
{
	uint32_t state = stream_lock(stream);
	bool done = !(state & SCTX__RETELL);

	stream_unlock(stream, (uint16_t)(state & ~(done ? SCTX__TELLING : SCTX__RETELL)));
	return done;
}

/* Only the thread that tells of the stream changes SCTX__TOLD. */
static int tell_context(struct sctx_context *ctx, void *idle)
{
	const struct sctx_owner *owner = ctx->owner;
	uint32_t flags = sctx__load(&ctx->flags);
	bool now = *(const bool *)idle;
	void (*call)(struct sctx_context *);

	if (!(flags & SCTX__OWNED) || !(flags & SCTX__TOLD) == !now)
		return 0;
	if (now)
		sctx__add(&ctx->flags, SCTX__TOLD);
	else
		sctx__sub(&ctx->flags, SCTX__TOLD);
	call = now ? owner->ops.idle : owner->ops.revived;
	if (call)
		call(ctx);
	return 0;
}

/*
 * In an update, which a fork waits for.  The lock in tell_begin() follows the change of the
 * open count that the caller made, and the lock in tell_end() comes before the last look.
 */
void sctx__owner_tell(struct sctx_stream *stream)
{
	sctx__update_begin();
	if (tell_begin(stream)) {
		do {
			uint32_t opens = sctx__load(&stream->opens);
			bool idle = !sctx__references(opens);

			/* Dropped: its contexts are detached, and not revived. */
			if (!(opens & SCTX__DEAD))
				sctx_stream_for_each(stream, tell_context, &idle);
		} while (!tell_end(stream));
	}
	sctx__update_end();
}
