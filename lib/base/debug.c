/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds record two things: for each context of a registered owner, the
 * call sites that last took references on it; and for each object, the last
 * operation and its call site.  Reports of misuse and of leaks print them.
 */
#include "base/debug.h"

#ifdef SCTX_DEBUG

#include "owner/owned.h"
#include "base/pool.h"
#include "stats/print.h"

#include <execinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ------------------------------------------------------- what was done where */

/* Hashed by address.  A collision overwrites the older event. */
#define EVENTS 16384 /* 2^14: see event_of() */

static struct event {
	const void *object;
	const char *what;
	const void *site;
} events[EVENTS];

static __thread const void *called_from;

void sctx__debug_called_from(const void *site)
{
	called_from = site;
}

static struct event *event_of(const void *object)
{
	return &events[((uint64_t)(uintptr_t)object >> 4) * 0x9e3779b97f4a7c15 >> 50];
}

void sctx__debug_did(const void *object, const char *what)
{
	table_lock();
	*event_of(object) = (struct event){ object, what, called_from };
	table_unlock();
}

/* ------------------------------------------------------------------ reports */

static void say_site(const char *what, const void *site)
{
	void *address = (void *)(uintptr_t)site;

	fprintf(stderr, "  %-10s", what);
	fflush(stderr);
	backtrace_symbols_fd(&address, 1, STDERR_FILENO);
}

static void say_stream(const struct sctx_stream *stream)
{
	const struct sctx_id *id = sctx_stream_id(stream);

	fprintf(stderr, "  stream    %p", (const void *)stream);
	if (id) {
		fputs(" id ", stderr);
		sctx__print_id(stderr, id);
		if (stream->opens >> 31)
			fputs(" closed", stderr);
		else
			fprintf(stderr, " opens %u", stream->opens & 0x1fffffff);
	}
	fputc('\n', stderr);
}

/* Print the site of this call and of the conflicting one, then abort. */
__attribute__((noreturn)) static void stop(const void *object)
{
	const struct event *before = event_of(object);

	say_site("called at", called_from);
	if (before->object == object)
		say_site(before->what, before->site);
	abort();
}

int sctx__misuse_context(int error, const char *what, const struct sctx_context *ctx)
{
	struct sctx__printer p = { .file = stderr, .format = SCTX_TEXT };

	fprintf(stderr, "streamctx: %s: %s\n  context   %p owner", what, strerrorname_np(-error),
		(const void *)ctx);
	sctx__print_owner(&p, ctx);
	if (ctx->instance)
		fprintf(stderr, " instance %p", ctx->instance);
	fprintf(stderr, " references %u\n", ctx->refs);
	if (ctx->stream)
		say_stream(ctx->stream);
	stop(ctx);
}

int sctx__misuse_stream(int error, const char *what, const struct sctx_stream *stream)
{
	fprintf(stderr, "streamctx: %s: %s\n", what, strerrorname_np(-error));
	say_stream(stream);
	stop(stream);
}

int sctx__misuse_memory(int error, const char *what, const void *memory, uint32_t tag)
{
	char text[5];

	fprintf(stderr, "streamctx: %s: %s\n  memory    %p", what, strerrorname_np(-error), memory);
	sctx__tag_text(tag, text);
	fprintf(stderr, tag ? " tag [%s]\n" : "\n", text);
	stop(memory);
}

#endif
