/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plain shared atomic count of opens, the measure for open_hot: one stream,
 * with no table to find it in.
 */
#include "../harness/backend.h"

OPS_DECLARE;

struct bench_stream {
	uint64_t opens;
	uint64_t *context; /* a single word */
} __attribute__((aligned(64)));

/* Number 0, and whatever else the harness opens to warm up. */
struct bench_table {
	struct bench_stream stream[2];
};

static struct bench_table *table_create(uint64_t streams)
{
	(void)streams;
	return bench_alloc_lines(sizeof(struct bench_table));
}

static void table_destroy(struct bench_table *table)
{
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	return (table->stream[0].opens > 0) + (table->stream[1].opens > 0);
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *stream = &table->stream[id->file[0] != 0];

	__atomic_fetch_add(&stream->opens, 1, __ATOMIC_ACQUIRE);
	return stream;
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	(void)table;
	if (__atomic_sub_fetch(&stream->opens, 1, __ATOMIC_ACQ_REL) > 0 || !stream->context)
		return;
	bench_freed(&ops, *stream->context);
	free(stream->context);
	stream->context = NULL;
}

static inline void no_section(struct bench_stream *stream)
{
	(void)stream;
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	(void)owner;
	(void)instance;
	return stream->context;
}

static void context_insert(struct bench_stream *stream, const void *owner, const void *instance,
			   uint64_t word)
{
	(void)owner;
	(void)instance;
	stream->context = bench_alloc(BENCH_CONTEXT_SIZE);
	*stream->context = word;
	bench_created(&ops, word);
}

static const struct backend_ops ops = {
	.name = "atomic",
	.lacks = "everything but a count of opens, on one line that all threads write",
	.only = 1u << WORKLOAD_open_hot,
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
