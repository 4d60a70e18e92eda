/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts of registered owners: allocation, unlinking, notes of holders, freeing.
 */
#include "owner/owned.h"

#include "reclaim/reclaim.h"

#include <errno.h>
#include <string.h>

static struct sctx_owner *owner_of(const struct sctx_context *ctx)
{
	return (struct sctx_owner *)(uintptr_t)ctx->owner;
}

/* ------------------------------------------------------------ who holds what */

/*
 * A note is written by a holder of a reference, inside an update.  It is erased when the
 * context is linked again, when its last reference is put, or at its callback.
 */

/* Note that @ctx is referenced.  If all places are taken it is only counted. */
static void note(struct sctx_context *ctx, struct sctx_stream *stream)
{
	struct sctx_owner *owner = owner_of(ctx);
	const struct sctx_id *id = sctx_stream_id(stream);

	if (sctx__load(&owner->held_count) == SCTX_LEAKS_LISTED)
		return;
	sctx__lock_u32(&owner->lock);
	if (owner->held_count < SCTX_LEAKS_LISTED && !(ctx->flags & SCTX__NOTED)) {
		struct sctx__held *held = &owner->held[owner->held_count];

		held->ctx = ctx;
		held->has_id = id != NULL;
		if (id)
			held->id = *id;
		sctx__store(&owner->held_count, owner->held_count + 1);
		sctx__add(&ctx->flags, SCTX__NOTED);
	}
	sctx__unlock_u32(&owner->lock, 0);
}

static void forget(struct sctx_context *ctx)
{
	struct sctx_owner *owner = owner_of(ctx);

	sctx__lock_u32(&owner->lock);
	for (uint32_t i = 0; i < owner->held_count; i++) {
		if (owner->held[i].ctx != ctx)
			continue;
		sctx__store(&owner->held_count, owner->held_count - 1);
		memmove(&owner->held[i], &owner->held[i + 1],
			(owner->held_count - i) * sizeof(owner->held[0]));
		sctx__sub(&ctx->flags, SCTX__NOTED);
		break;
	}
	sctx__unlock_u32(&owner->lock, 0);
}

/* The caller has the stream's reference; any other belongs to a holder. */
static void unlinked(struct sctx_context *ctx, struct sctx_stream *stream)
{
	struct sctx_owner *owner = owner_of(ctx);

	if (owner->ops.detached)
		owner->ops.detached(ctx);
	if (sctx__load(&ctx->refs) > 1)
		note(ctx, stream);
}

void sctx__owned_set_up(struct sctx__owned *owned)
{
	*owned = (struct sctx__owned){ .unlinked = unlinked, .handed_out = note, .forget = forget };
}

/* ---------------------------------------------------------------- made, freed */

/*
 * The FreeCallback of all owned contexts.  The release in the counter pairs with the
 * acquire of the sum: at 0 the module's code has returned.  The owner may be freed right
 * afterwards.
 *
 * A note may be left: while limbo had a reference, another holder may have linked and
 * unlinked the context.
 */
static void owned_free(struct sctx_context *ctx)
{
	struct sctx_owner *owner = owner_of(ctx);
	bool allocated = ctx->flags & SCTX__ALLOCATED;

	if (sctx__unlikely(ctx->flags & SCTX__NOTED)) {
		sctx__update_begin();
		forget(ctx);
		sctx__update_end();
	}
	sctx__debug_forget(ctx);
	if (owner->ops.free)
		owner->ops.free(ctx);
	if (allocated)
		sctx_free(ctx, owner->ops.tag);
	sctx__counter_add(owner->live, -1);
}

/*
 * Count a new context.  Unregister sets leaving and waits for all sections that may have
 * missed it; after that the count only falls.
 */
static int admit_one(struct sctx_owner *owner)
{
	int error = 0;

	sctx__update_begin();
	if (sctx__load(&owner->owned.leaving))
		error = -ESHUTDOWN;
	else
		sctx__counter_add(owner->live, 1);
	sctx__update_end();
	return error;
}

static void owned_init(struct sctx_context *ctx, struct sctx_owner *owner, const void *instance,
		       uint16_t flags, size_t size)
{
	sctx_context_init(ctx, owner, instance, owned_free);
	if (!owner->ops.free || owner->ops.flags & SCTX_OWNER_FREE_ANYWHERE)
		flags |= SCTX__ANYWHERE;
	ctx->flags = SCTX__OWNED | flags | sctx__size_flags(size);
}

void *sctx_context_data(struct sctx_context *ctx)
{
	return ctx + 1;
}

int sctx_context_alloc(struct sctx_owner *owner, const void *instance, size_t extra,
		       struct sctx_context **out)
{
	enum sctx_pool pool;
	struct sctx_context *ctx;
	size_t size;
	int error;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!owner)
		return -EINVAL;
	if (__builtin_add_overflow(owner->ops.context_size, extra, &size) ||
	    __builtin_add_overflow(size, sizeof(*ctx), &size))
		return -ENOMEM;
	error = admit_one(owner);
	if (error)
		return error;
	pool = owner->ops.flags & SCTX_OWNER_LOCKED ? SCTX_POOL_LOCKED : SCTX_POOL_PAGED;
	ctx = sctx_alloc(pool, size, owner->ops.tag);
	if (!ctx) {
		sctx__counter_add(owner->live, -1);
		return -ENOMEM;
	}
	memset(ctx + 1, 0, size - sizeof(*ctx));
	owned_init(ctx, owner, instance, SCTX__ALLOCATED, size);
	sctx__debug_took(ctx);
	*out = ctx;
	return 0;
}

int sctx_owner_context_init(struct sctx_owner *owner, struct sctx_context *ctx,
			    const void *instance)
{
	int error;

	if (!owner || !ctx || !owner->ops.free)
		return -EINVAL;
	error = admit_one(owner);
	if (error)
		return error;
	owned_init(ctx, owner, instance, 0, owner->ops.embedded_size);
	sctx__debug_took(ctx);
	return 0;
}

void sctx__owned_report(struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	memcpy(leaks->name, owner->name, sizeof(leaks->name));
	leaks->tag = owner->ops.tag;
	sctx__update_begin();
	sctx__lock_u32(&owner->lock);
	leaks->listed = owner->held_count;
	for (uint32_t i = 0; i < owner->held_count; i++) {
		const struct sctx__held *held = &owner->held[i];

		leaks->leak[i] = (struct sctx_leak){
			.ctx = held->ctx,
			.instance = held->ctx->instance,
			.has_id = held->has_id,
			.id = held->id,
		};
	}
	sctx__unlock_u32(&owner->lock, 0);
	sctx__update_end();
	sctx__debug_report(owner, leaks);
}
