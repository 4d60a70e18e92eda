/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notifies owners when a stream becomes idle and when it is opened again.  Called by the
 * registry if an owner with ops.idle or ops.revived is registered.
 *
 * One thread at a time notifies for a stream (SCTX__TELLING).  A thread that comes
 * meanwhile sets SCTX__RETELL, and the first one looks again before it leaves.  Each
 * context records the last notification (SCTX__TOLD), and only a difference is notified.
 * So the two callbacks alternate, whatever races.
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

/* False if the state may have changed meanwhile. */
static bool tell_end(struct sctx_stream *stream)
{
	uint32_t state = stream_lock(stream);
	bool done = !(state & SCTX__RETELL);

	stream_unlock(stream, (uint16_t)(state & ~(done ? SCTX__TELLING : SCTX__RETELL)));
	return done;
}

/* Only the thread that notifies for the stream changes SCTX__TOLD. */
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
 * Inside an update, which a fork waits for.  The lock in tell_begin() comes after the
 * caller's change of the open count, so the thread that holds TELLING sees that change in
 * its last look, before the lock in tell_end().
 */
void sctx__owner_tell(struct sctx_stream *stream)
{
	sctx__update_begin();
	if (tell_begin(stream)) {
		do {
			uint32_t opens = sctx__load(&stream->opens);
			bool idle = !sctx__references(opens);

			/* A dead stream's contexts are detached, not revived. */
			if (!(opens & SCTX__DEAD))
				sctx_stream_for_each(stream, tell_context, &idle);
		} while (!tell_end(stream));
	}
	sctx__update_end();
}
