/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OpenSSL's extra data: an owner registers an index, a lookup reads that slot
 * of the object's stack.  Nothing is synchronised, and OpenSSL has no table
 * of objects, so this does lookups in one stream and no more: the price of a
 * lookup by index in a library that is in wide use.
 */
#include <openssl/crypto.h>

#include "../harness/backend.h"

OPS_DECLARE;

struct bench_context {
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

struct bench_stream {
	struct sctx_id id;
	CRYPTO_EX_DATA contexts;
	struct bench_stream *next;
	unsigned int opens;
};

/* A few streams in a list: set-up and no part of any measurement. */
struct bench_table {
	struct bench_stream *streams;
};

static int owner_index[BENCH_OWNERS];

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

/* CRYPTO_EX_free: for each index when the object goes. */
static void slot_free(void *object, void *ptr, CRYPTO_EX_DATA *contexts, int index, long argl,
		      void *argp)
{
	struct bench_context *ctx = ptr;

	(void)object, (void)contexts, (void)index, (void)argl, (void)argp;
	if (ctx)
		ctx->free_callback(ctx);
}

static void indices_make(void)
{
	for (unsigned int i = 0; i < BENCH_OWNERS; i++) {
		owner_index[i] = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_APP, 0, NULL, NULL, NULL,
							 slot_free);
		if (owner_index[i] < 0)
			bench_die("CRYPTO_get_ex_new_index failed");
	}
}

static struct bench_table *table_create(uint64_t streams)
{
	static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

	(void)streams;
	if (!CRYPTO_THREAD_run_once(&once, indices_make))
		bench_die("CRYPTO_THREAD_run_once failed");
	return bench_alloc_lines(sizeof(struct bench_table));
}

static void table_destroy(struct bench_table *table)
{
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	uint64_t count = 0;

	for (struct bench_stream *s = table->streams; s; s = s->next)
		count++;
	return count;
}

static struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *s = table->streams;

	while (s && memcmp(&s->id, id, sizeof(*id)) != 0)
		s = s->next;
	if (!s) {
		s = bench_alloc(sizeof(*s));
		*s = (struct bench_stream){ .id = *id, .next = table->streams };
		if (!CRYPTO_new_ex_data(CRYPTO_EX_INDEX_APP, s, &s->contexts))
			bench_die("CRYPTO_new_ex_data failed");
		table->streams = s;
	}
	s->opens++;
	return s;
}

static void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	struct bench_stream **link = &table->streams;

	if (--stream->opens > 0)
		return;
	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	CRYPTO_free_ex_data(CRYPTO_EX_INDEX_APP, stream, &stream->contexts);
	free(stream);
}

static inline void no_section(struct bench_stream *stream)
{
	(void)stream;
}

static inline int index_of(const void *owner)
{
	return owner_index[(const char *)owner - bench_owner];
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	struct bench_context *ctx = CRYPTO_get_ex_data(&stream->contexts, index_of(owner));

	(void)instance;
	return ctx ? &ctx->word : NULL;
}

static void context_insert(struct bench_stream *stream, const void *owner, const void *instance,
			   uint64_t word)
{
	struct bench_context *ctx = bench_alloc(BENCH_CONTEXT_SIZE);

	(void)instance;
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	if (!CRYPTO_set_ex_data(&stream->contexts, index_of(owner), ctx))
		bench_die("CRYPTO_set_ex_data failed");
}

static const struct backend_ops ops = {
	.name = "openssl",
	.lacks = "no synchronisation, no table, no instances: lookups in one stream alone",
	.only = 1u << WORKLOAD_lookup_hot,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.enter = no_section,
	.leave = no_section,
	.lookup = context_lookup,
	.insert = context_insert,
};

BENCH_BACKEND(ops);
