/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backend with bugs, to see that the harness finds them: backends/mutex.c,
 * with the bug that $BENCH_FAULT names, once in a thousand times.  Part of
 * `make bench-selftest` alone.
 */
#include "../harness/backend.h"

/* The harness counts by backend: what the right one makes and frees is ours. */
static const struct backend_ops broken_ops;
#define bench_created(ops, word) bench_created(&broken_ops, word)
#define bench_freed(ops, word)   bench_freed(&broken_ops, word)
#define bench_bumped(ops)        bench_bumped(&broken_ops)

/* The backend's functions, without its registration. */
#pragma push_macro("BENCH_BACKEND")
#undef BENCH_BACKEND
#define BENCH_BACKEND(ops) static const struct backend_ops *const right = &(ops)
#define ops                right_ops
#include "../backends/mutex.c"
#undef ops
#pragma pop_macro("BENCH_BACKEND")

static bool fault(const char *name)
{
	static const char *wanted;
	static uint64_t times;

	if (!wanted)
		wanted = getenv("BENCH_FAULT") ? getenv("BENCH_FAULT") : "";
	return strcmp(wanted, name) == 0 &&
	       __atomic_add_fetch(&times, 1, __ATOMIC_RELAXED) % 1000 == 0;
}

static uint64_t *broken_lookup(struct bench_stream *stream, const void *owner, const void *instance)
{
	static uint64_t other = 12345678901;

	if (fault("finds nothing"))
		return NULL;
	return fault("finds another") ? &other : right->lookup(stream, owner, instance);
}

static void broken_insert(struct bench_stream *stream, const void *owner, const void *instance,
			  uint64_t word)
{
	if (fault("loses an insert"))
		bench_created(right, word);
	else
		right->insert(stream, owner, instance, word);
	if (fault("inserts twice"))
		right->insert(stream, owner, instance, word);
}

static void broken_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	if (!fault("does not remove"))
		right->del(stream, owner, instance);
}

static void broken_bump(struct bench_stream *stream, const void *owner)
{
	right->bump(stream, owner);
	if (fault("counts wrong"))
		right->bump(stream, owner);
}

static struct bench_stream *broken_open(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *stream = right->open(table, id);

	if (fault("opens twice"))
		right->open(table, id);
	return stream;
}

/* Freed, but for one context. */
static void broken_close(struct bench_table *table, struct bench_stream *stream)
{
	if (stream->opens == 1 && stream->newest && fault("leaks"))
		stream->newest = stream->newest->next;
	if (stream->opens == 1 && stream->newest && fault("frees twice"))
		bench_freed(right, stream->newest->word);
	right->close(table, stream);
}

static void broken_unregister(struct bench_table *table, const void *owner)
{
	const void *gone = owner;
	struct bench_stream *stream = NULL;

	for (uint64_t i = 0; i <= table->mask && !stream; i++)
		stream = table->chain[i];
	__asm__("" : "+r"(gone)); /* that it is freed is what is wanted */
	right->owner_unregister(table, owner);
	if (getenv("BENCH_FAULT") && !strcmp(getenv("BENCH_FAULT"), "does not leave")) {
		list_push(stream, context_new(gone, NULL, 0));
		bench_freed(right, 0);
	}
}

static void broken_keep_idle(struct bench_table *table, uint64_t limit)
{
	const char *wanted = getenv("BENCH_FAULT");

	right->keep_idle(table, !limit && wanted && !strcmp(wanted, "keeps one") ? 1 : limit);
}

static const struct backend_ops broken_ops = {
	.name = "broken",
	.lacks = "correctness",
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = broken_open,
	.close = broken_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = broken_lookup,
	.insert = broken_insert,
	.del = broken_del,
	.bump = broken_bump,
	.keep_idle = broken_keep_idle,
	.owner_register = owner_register,
	.owner_insert = owner_insert,
	.owner_unregister = broken_unregister,
};

BENCH_BACKEND(broken_ops);
