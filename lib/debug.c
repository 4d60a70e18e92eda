/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds: which code took references on which context of a registered
 * owner's, the last few for each, from its making to its FreeCallback.
 */
#include "debug.h"

#ifdef SCTX_DEBUG

#include "owned.h"
#include "pool.h"

#include <string.h>

struct taken {
	struct taken *next;
	const struct sctx_context *ctx;
	const void *owner;
	const void *instance;
	const void *site[SCTX_LEAK_SITES]; /* newest first */
};

#define BUCKETS 4096

static struct taken *table[BUCKETS];
static uint32_t lock;

static struct taken **place_of(const struct sctx_context *ctx)
{
	struct taken **place = &table[((uintptr_t)ctx >> 4) * 2654435761u % BUCKETS];

	while (*place && (*place)->ctx != ctx)
		place = &(*place)->next;
	return place;
}

/* In an update, so that a fork finds the lock free. */
static void table_lock(void)
{
	sctx__update_begin();
	sctx__lock_u32(&lock);
}

static void table_unlock(void)
{
	sctx__unlock_u32(&lock, 0);
	sctx__update_end();
}

static struct taken *taken_add(struct taken **place, const struct sctx_context *ctx)
{
	struct taken *taken = sctx__pool_alloc(sizeof(*taken));

	if (!taken)
		return NULL;
	*taken = (struct taken){ .ctx = ctx, .owner = ctx->owner, .instance = ctx->instance };
	*place = taken;
	return taken;
}

void sctx__debug_took_at(const struct sctx_context *ctx, const void *site)
{
	struct taken **place, *taken;

	if (!ctx || !(sctx__load(&ctx->flags) & SCTX__OWNED))
		return;
	table_lock();
	place = place_of(ctx);
	taken = *place ? *place : taken_add(place, ctx);
	if (taken) {
		memmove(&taken->site[1], &taken->site[0],
			sizeof(taken->site) - sizeof(taken->site[0]));
		taken->site[0] = site;
	}
	table_unlock();
}

void sctx__debug_forget(const struct sctx_context *ctx)
{
	struct taken **place, *taken;

	table_lock();
	place = place_of(ctx);
	taken = *place;
	if (taken)
		*place = taken->next;
	table_unlock();
	sctx__pool_free(taken, sizeof(*taken));
}

static struct sctx_leak *leak_of(struct sctx_leaks *leaks, const struct taken *taken)
{
	for (unsigned int i = 0; i < leaks->listed; i++)
		if (leaks->leak[i].ctx == taken->ctx)
			return &leaks->leak[i];
	if (leaks->listed == SCTX_LEAKS_LISTED)
		return NULL;
	leaks->leak[leaks->listed] =
		(struct sctx_leak){ .ctx = taken->ctx, .instance = taken->instance };
	return &leaks->leak[leaks->listed++];
}

void sctx__debug_report(const struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	table_lock();
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct taken *t = table[i]; t; t = t->next) {
			struct sctx_leak *leak = t->owner == owner ? leak_of(leaks, t) : NULL;

			if (leak)
				memcpy(leak->taken_at, t->site, sizeof(t->site));
		}
	}
	table_unlock();
}

#endif
