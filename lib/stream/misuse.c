/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds: for each context of a registered owner, the call sites that last
 * took references on it; and reports of misuse of streams and contexts.
 */
#include "base/debug.h"

#ifdef SCTX_DEBUG

#include "base/pool.h"
#include "stream/context.h"
#include "thread/thread.h"

#include <inttypes.h>
#include <string.h>

/* ---------------------------------------------------- who took references */

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

/* Taken inside an update, so a fork never finds it held. */
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

/* Allocates without the lock: a fork waits for the lock, and allocators have fork handlers. */
static struct taken *taken_new(const struct sctx_context *ctx)
{
	struct taken *taken = sctx__pool_alloc(sizeof(*taken));

	if (taken)
		*taken = (struct taken){ .ctx = ctx,
					 .owner = ctx->owner,
					 .instance = ctx->instance };
	return taken;
}

void sctx__debug_took_at(const struct sctx_context *ctx, const void *site)
{
	struct taken **place, *taken, *unused = NULL;

	if (!ctx || !(sctx__load(&ctx->flags) & SCTX__OWNED))
		return;
	taken = taken_new(ctx);
	table_lock();
	place = place_of(ctx);
	if (*place) {
		unused = taken;
		taken = *place;
	} else {
		*place = taken;
	}
	if (taken) {
		memmove(&taken->site[1], &taken->site[0],
			sizeof(taken->site) - sizeof(taken->site[0]));
		taken->site[0] = site;
	}
	table_unlock();
	sctx__pool_free(unused, sizeof(*unused));
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

/* ------------------------------------------------------------------ reports */

static void say_stream(const struct sctx_stream *stream)
{
	const struct sctx_id *id = sctx_stream_id(stream);

	fprintf(stderr, "  stream    %p", (const void *)stream);
	if (id) {
		fprintf(stderr, " id %016" PRIx64 ":%016" PRIx64 "%016" PRIx64 ":%" PRIx64,
			id->volume, id->file[1], id->file[0], id->stream);
		if (stream->opens >> 31)
			fputs(" closed", stderr);
		else
			fprintf(stderr, " opens %u", stream->opens & 0x1fffffff);
	}
	fputc('\n', stderr);
}

int sctx__misuse_context(int error, const char *what, const struct sctx_context *ctx)
{
	fprintf(stderr, "streamctx: %s: %s\n  context   %p owner", what, strerrorname_np(-error),
		(const void *)ctx);
	sctx__debug_print_owner(stderr, ctx);
	if (ctx->instance)
		fprintf(stderr, " instance %p", ctx->instance);
	fprintf(stderr, " references %u\n", ctx->refs);
	if (ctx->stream && ctx->stream != SCTX__IN_LIMBO)
		say_stream(ctx->stream);
	sctx__debug_stop(ctx);
}

int sctx__misuse_stream(int error, const char *what, const struct sctx_stream *stream)
{
	fprintf(stderr, "streamctx: %s: %s\n", what, strerrorname_np(-error));
	say_stream(stream);
	sctx__debug_stop(stream);
}

#endif
