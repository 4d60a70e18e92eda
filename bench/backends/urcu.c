/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The straightforward liburcu program, written well: cds_lfht from ids to
 * streams, a reference count of opens, an RCU list of contexts changed under
 * the stream's mutex, call_rcu with a worker for each CPU.  A stream's
 * contexts are freed along with it, in one callback after one grace period.
 */
#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#define URCU_INLINE_SMALL_FUNCTIONS
#include <pthread.h>
#include <urcu.h>
#include <urcu/rculfhash.h>
#include <urcu/rculist.h>
#include <urcu/ref.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../harness/backend.h"

OPS_DECLARE;

struct bench_context {
	struct cds_list_head node;
	struct rcu_head rcu;
	const void *owner;
	const void *instance;
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

_Static_assert(sizeof(struct bench_context) == BENCH_CONTEXT_SIZE, "as in every backend");

/* What opens and lookups touch stands on the first line, up to contexts.next. */
struct bench_stream {
	struct cds_lfht_node node;
	struct sctx_id id;
	struct urcu_ref opens;
	struct cds_list_head contexts;	/* newest first */
	pthread_mutex_t lock;		/* of changes to contexts */
	struct rcu_head rcu;
};

_Static_assert(offsetof(struct bench_stream, contexts) == 56, "one line");

struct bench_table {
	struct cds_lfht *streams;
};

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static void context_free_rcu(struct rcu_head *head)
{
	struct bench_context *ctx = caa_container_of(head, struct bench_context, rcu);

	ctx->free_callback(ctx);
}

/* No open reference and no reader is left: the list is this callback's. */
static void stream_free_rcu(struct rcu_head *head)
{
	struct bench_stream *stream = caa_container_of(head, struct bench_stream, rcu);
	struct bench_context *ctx, *next;

	cds_list_for_each_entry_safe(ctx, next, &stream->contexts, node)
		ctx->free_callback(ctx);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

static void start_workers(void)
{
	if (create_all_cpu_call_rcu_data(0))
		bench_die("create_all_cpu_call_rcu_data failed");
}

/*
 * The table starts at the size that it would grow to.  Left to itself it may
 * stay small for ever: in liburcu 0.13 the thread that starts a resize marks
 * it as under way after queueing it, and if the worker is done by then, the
 * mark stays and no resize follows.  It happens on a busy machine.
 */
static struct bench_table *table_create(uint64_t streams)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct bench_table *table = bench_alloc(sizeof(*table));
	unsigned long buckets = 64;

	pthread_once(&once, start_workers);
	while (buckets < streams)
		buckets *= 2;
	table->streams = cds_lfht_new(buckets, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
				      NULL);
	if (!table->streams)
		bench_die("cds_lfht_new failed");
	return table;
}

static void table_destroy(struct bench_table *table)
{
	if (cds_lfht_destroy(table->streams, NULL))
		bench_die("cds_lfht_destroy failed");
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	long before, after;
	unsigned long count;

	rcu_read_lock();
	cds_lfht_count_nodes(table->streams, &before, &count, &after);
	rcu_read_unlock();
	return count;
}

static inline unsigned long id_hash(const struct sctx_id *id)
{
	return XXH3_64bits_withSeed(id, sizeof(*id), 0x5eed);
}

static int id_match(struct cds_lfht_node *node, const void *key)
{
	struct bench_stream *stream = caa_container_of(node, struct bench_stream, node);

	return memcmp(&stream->id, key, sizeof(stream->id)) == 0;
}

/* In a read section: the stream that @id names, or NULL. */
static inline struct bench_stream *table_lookup(struct bench_table *table, unsigned long hash,
						const struct sctx_id *id)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(table->streams, hash, id_match, id, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct bench_stream, node) : NULL;
}

static struct bench_stream *open_slow(struct bench_table *table, unsigned long hash,
				      const struct sctx_id *id)
{
	struct bench_stream *stream = bench_alloc(sizeof(*stream));
	struct bench_stream *other;
	struct cds_lfht_node *node;

	cds_lfht_node_init(&stream->node);
	stream->id = *id;
	CDS_INIT_LIST_HEAD(&stream->contexts);
	urcu_ref_init(&stream->opens);
	pthread_mutex_init(&stream->lock, NULL);
	rcu_read_lock();
	for (;;) {
		node = cds_lfht_add_unique(table->streams, hash, id_match, id, &stream->node);
		if (node == &stream->node)
			break;
		other = caa_container_of(node, struct bench_stream, node);
		if (urcu_ref_get_unless_zero(&other->opens)) {
			pthread_mutex_destroy(&stream->lock);
			free(stream);
			stream = other;
			break;
		}
		/* Closed for the last time, and about to be unlinked: help. */
		cds_lfht_del(table->streams, node);
	}
	rcu_read_unlock();
	return stream;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	unsigned long hash = id_hash(id);
	struct bench_stream *stream;

	rcu_read_lock();
	stream = table_lookup(table, hash, id);
	if (stream && !urcu_ref_get_unless_zero(&stream->opens))
		stream = NULL;
	rcu_read_unlock();
	return stream ? stream : open_slow(table, hash, id);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	if (uatomic_sub_return(&stream->opens.refcount, 1) > 0)
		return;
	rcu_read_lock();
	cds_lfht_del(table->streams, &stream->node);
	rcu_read_unlock();
	call_rcu(&stream->rcu, stream_free_rcu);
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *stream;

	rcu_read_lock();
	stream = table_lookup(table, id_hash(id), id);
	if (!stream)
		rcu_read_unlock();
	return stream;
}

static inline void stream_enter(struct bench_stream *stream)
{
	(void)stream;
	rcu_read_lock();
}

static inline void stream_leave(struct bench_stream *stream)
{
	(void)stream;
	rcu_read_unlock();
}

/* In a read section or under the stream's mutex. */
static inline struct bench_context *context_find(struct bench_stream *stream, const void *owner,
						 const void *instance)
{
	struct bench_context *ctx;

	cds_list_for_each_entry_rcu(ctx, &stream->contexts, node)
		if (ctx->owner == owner && (!instance || ctx->instance == instance))
			return ctx;
	return NULL;
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	struct bench_context *ctx = context_find(stream, owner, instance);

	return ctx ? &ctx->word : NULL;
}

static inline struct bench_context *context_new(const void *owner, const void *instance,
						uint64_t word)
{
	struct bench_context *ctx = bench_alloc(sizeof(*ctx));

	ctx->owner = owner;
	ctx->instance = instance;
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	struct bench_context *ctx = context_new(owner, instance, word);

	pthread_mutex_lock(&stream->lock);
	cds_list_add_rcu(&ctx->node, &stream->contexts);
	pthread_mutex_unlock(&stream->lock);
}

static inline void context_del(struct bench_stream *stream, const void *owner,
			       const void *instance)
{
	struct bench_context *ctx;

	pthread_mutex_lock(&stream->lock);
	ctx = context_find(stream, owner, instance);
	if (ctx)
		cds_list_del_rcu(&ctx->node);
	pthread_mutex_unlock(&stream->lock);
	if (ctx)
		call_rcu(&ctx->rcu, context_free_rcu);
}

/* The caller holds the stream open and no thread removes, so @ctx stays. */
static void bump_slow(struct bench_stream *stream, const void *owner)
{
	struct bench_context *ctx;

	pthread_mutex_lock(&stream->lock);
	ctx = context_find(stream, owner, NULL);
	if (!ctx) {
		ctx = context_new(owner, NULL, 0);
		cds_list_add_rcu(&ctx->node, &stream->contexts);
	}
	__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&stream->lock);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	struct bench_context *ctx;

	rcu_read_lock();
	ctx = context_find(stream, owner, NULL);
	if (ctx)
		__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	rcu_read_unlock();
	if (!ctx)
		bump_slow(stream, owner);
	bench_bumped(&ops);
}

static const struct backend_ops ops = {
	.name = "urcu",
	.lacks = "limbo is unbounded; no counted references to contexts",
	.sized = true,
	.thread_enter = rcu_register_thread,
	.thread_exit = rcu_unregister_thread,
	.drain = rcu_barrier,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = context_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
};

BENCH_BACKEND(ops);
