/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Concurrency Kit: ck_hs from ids to streams, ck_epoch for readers and for
 * what is freed.  A ck_hs has one writer, so there are 64 of them, each with a
 * lock for its writers; the upper bits of the hash choose.  A stream's
 * contexts are a ck_slist, changed under the stream's spinlock.
 *
 * Each thread has an epoch record that ends with it: what a thread retired, it
 * frees itself, by ck_epoch_poll() as it goes and ck_epoch_barrier() at rest.
 */
#include <ck_epoch.h>
#include <ck_hs.h>
#include <ck_pr.h>
#include <ck_queue.h>
#include <ck_spinlock.h>
#include <pthread.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../harness/backend.h"

OPS_DECLARE;

#define SHARD_BITS  6
#define SHARDS      (1u << SHARD_BITS)
#define SHARD_SHIFT 52 /* ck_hs takes bits from both ends of the hash */

/* So many retired, and a thread looks what it may free. */
#define POLL_EVERY 64

struct bench_context {
	CK_SLIST_ENTRY(bench_context) node;
	ck_epoch_entry_t epoch;
	const void *owner;
	const void *instance;
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

_Static_assert(sizeof(struct bench_context) <= BENCH_CONTEXT_SIZE, "as in every backend");

/* What opens and lookups touch stands on the first line. */
struct bench_stream {
	struct sctx_id id;
	unsigned int opens;
	ck_spinlock_t lock;                      /* of changes to contexts */
	CK_SLIST_HEAD(, bench_context) contexts; /* newest first */
	ck_epoch_entry_t epoch;
};

struct shard {
	ck_spinlock_t lock; /* of writers */
	uint64_t changes;
	ck_hs_t streams;
} __attribute__((aligned(64)));

struct bench_table {
	struct shard shard[SHARDS];
};

CK_EPOCH_CONTAINER(struct bench_context, epoch, context_of)
CK_EPOCH_CONTAINER(struct bench_stream, epoch, stream_of)

static ck_epoch_t epoch;
static __thread ck_epoch_record_t *self;

/* ----------------------------------------------------------------- epochs */

static void epoch_start(void)
{
	ck_epoch_init(&epoch);
}

static void thread_enter(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, epoch_start);
	self = ck_epoch_recycle(&epoch, NULL);
	if (self)
		return;
	self = bench_alloc_lines(sizeof(*self)); /* never freed: recycled */
	ck_epoch_register(&epoch, self, NULL);
}

/* No section is open in this thread; other threads' sections are short. */
static void free_all_retired(void)
{
	if (self->n_pending)
		ck_epoch_barrier(self);
}

static void thread_exit(void)
{
	free_all_retired();
	ck_epoch_unregister(self);
}

static inline void retire(ck_epoch_entry_t *entry, ck_epoch_cb_t *free_fn)
{
	ck_epoch_call(self, entry, free_fn);
	if (self->n_pending % POLL_EVERY == 0)
		ck_epoch_poll(self);
}

/* ck_hs's own memory; a map that readers may still be in is freed later. */
struct map_block {
	ck_epoch_entry_t epoch;
} __attribute__((aligned(64)));

CK_EPOCH_CONTAINER(struct map_block, epoch, map_block_of)

static void *map_alloc(size_t size)
{
	struct map_block *block = bench_alloc_lines(sizeof(*block) + size);

	return block + 1;
}

static void map_free_later(ck_epoch_entry_t *entry)
{
	free(map_block_of(entry));
}

static void map_free(void *map, size_t size, bool defer)
{
	struct map_block *block = (struct map_block *)map - 1;

	(void)size;
	if (defer)
		ck_epoch_call(self, &block->epoch, map_free_later);
	else
		free(block);
}

static struct ck_malloc map_allocator = { .malloc = map_alloc, .free = map_free };

/* --------------------------------------------------------------- contexts */

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static void context_free_later(ck_epoch_entry_t *entry)
{
	struct bench_context *ctx = context_of(entry);

	ctx->free_callback(ctx);
}

static inline struct bench_context *context_new(const void *owner, const void *instance,
						uint64_t word)
{
	struct bench_context *ctx = bench_alloc(BENCH_CONTEXT_SIZE);

	ctx->owner = owner;
	ctx->instance = instance;
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

/* In a section, or under the stream's lock. */
static inline struct bench_context *context_find(struct bench_stream *stream, const void *owner,
						 const void *instance)
{
	struct bench_context *ctx;

	CK_SLIST_FOREACH(ctx, &stream->contexts, node)
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

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	struct bench_context *ctx = context_new(owner, instance, word);

	ck_spinlock_lock(&stream->lock);
	CK_SLIST_INSERT_HEAD(&stream->contexts, ctx, node);
	ck_spinlock_unlock(&stream->lock);
}

static inline void context_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	struct bench_context *ctx;

	ck_spinlock_lock(&stream->lock);
	ctx = context_find(stream, owner, instance);
	if (ctx)
		CK_SLIST_REMOVE(&stream->contexts, ctx, bench_context, node);
	ck_spinlock_unlock(&stream->lock);
	if (ctx)
		retire(&ctx->epoch, context_free_later);
}

/* The caller holds the stream open and no thread removes, so @ctx stays. */
static void bump_slow(struct bench_stream *stream, const void *owner)
{
	struct bench_context *ctx;

	ck_spinlock_lock(&stream->lock);
	ctx = context_find(stream, owner, NULL);
	if (!ctx) {
		ctx = context_new(owner, NULL, 0);
		CK_SLIST_INSERT_HEAD(&stream->contexts, ctx, node);
	}
	__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	ck_spinlock_unlock(&stream->lock);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	struct bench_context *ctx;

	ck_epoch_begin(self, NULL);
	ctx = context_find(stream, owner, NULL);
	if (ctx)
		__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	ck_epoch_end(self, NULL);
	if (!ctx)
		bump_slow(stream, owner);
	bench_bumped(&ops);
}

/* ------------------------------------------------------------------ table */

#define SEED 0x5eed

/* A stream begins with its id, so that an id alone will do for a key. */
_Static_assert(offsetof(struct bench_stream, id) == 0, "the key");

static unsigned long hash_id(const void *id, unsigned long seed)
{
	return XXH3_64bits_withSeed(id, sizeof(struct sctx_id), seed);
}

static bool same_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sctx_id)) == 0;
}

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	(void)streams;
	for (unsigned int i = 0; i < SHARDS; i++) {
		ck_spinlock_init(&table->shard[i].lock);
		if (!ck_hs_init(&table->shard[i].streams,
				CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT | CK_HS_MODE_DELETE, hash_id,
				same_id, &map_allocator, 64, SEED))
			bench_die("ck_hs_init failed");
	}
	return table;
}

static void table_destroy(struct bench_table *table)
{
	for (unsigned int i = 0; i < SHARDS; i++)
		ck_hs_destroy(&table->shard[i].streams);
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < SHARDS; i++)
		count += ck_hs_count(&table->shard[i].streams);
	return count;
}

static inline struct shard *shard_of(struct bench_table *table, unsigned long hash)
{
	return &table->shard[(hash >> SHARD_SHIFT) % SHARDS];
}

/* One that was deleted leaves a mark; a full pass over the set clears them. */
static inline void shard_changed(struct shard *shard)
{
	if (++shard->changes % (ck_hs_count(&shard->streams) + 4096) == 0 &&
	    !ck_hs_gc(&shard->streams, 0, 0))
		bench_die("ck_hs_gc failed");
}

/* In a section: one more open reference, unless none is left. */
static inline bool stream_reopen(struct bench_stream *stream)
{
	unsigned int opens = ck_pr_load_uint(&stream->opens);

	while (opens > 0)
		if (ck_pr_cas_uint_value(&stream->opens, opens, opens + 1, &opens))
			return true;
	return false;
}

static struct bench_stream *open_slow(struct shard *shard, unsigned long hash,
				      const struct sctx_id *id)
{
	struct bench_stream *stream;

	ck_spinlock_lock(&shard->lock);
	stream = ck_hs_get(&shard->streams, hash, id);
	if (stream) {
		/* The thread that drops the last reference holds the lock and removes it. */
		ck_pr_inc_uint(&stream->opens);
	} else {
		stream = bench_alloc(sizeof(*stream));
		stream->id = *id;
		stream->opens = 1;
		ck_spinlock_init(&stream->lock);
		CK_SLIST_INIT(&stream->contexts);
		if (!ck_hs_put(&shard->streams, hash, stream))
			bench_die("ck_hs_put failed");
	}
	ck_spinlock_unlock(&shard->lock);
	return stream;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	unsigned long hash = hash_id(id, SEED);
	struct shard *shard = shard_of(table, hash);
	struct bench_stream *stream;

	ck_epoch_begin(self, NULL);
	stream = ck_hs_get(&shard->streams, hash, id);
	if (stream && !stream_reopen(stream))
		stream = NULL;
	ck_epoch_end(self, NULL);
	return stream ? stream : open_slow(shard, hash, id);
}

/* No open reference and no reader is left. */
static void stream_free_later(ck_epoch_entry_t *entry)
{
	struct bench_stream *stream = stream_of(entry);
	struct bench_context *ctx, *next;

	CK_SLIST_FOREACH_SAFE(ctx, &stream->contexts, node, next)
	ctx->free_callback(ctx);
	free(stream);
}

static void close_slow(struct bench_table *table, struct bench_stream *stream)
{
	unsigned long hash = hash_id(&stream->id, SEED);
	struct shard *shard = shard_of(table, hash);
	bool last;

	ck_spinlock_lock(&shard->lock);
	last = ck_pr_dec_uint_is_zero(&stream->opens);
	if (last) {
		if (ck_hs_remove(&shard->streams, hash, stream) != stream)
			bench_die("ck_hs_remove failed");
		shard_changed(shard);
	}
	ck_spinlock_unlock(&shard->lock);
	if (last)
		retire(&stream->epoch, stream_free_later);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	unsigned int opens = ck_pr_load_uint(&stream->opens);

	while (opens > 1)
		if (ck_pr_cas_uint_value(&stream->opens, opens, opens - 1, &opens))
			return;
	close_slow(table, stream);
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	unsigned long hash = hash_id(id, SEED);
	struct bench_stream *stream;

	ck_epoch_begin(self, NULL);
	stream = ck_hs_get(&shard_of(table, hash)->streams, hash, id);
	if (!stream)
		ck_epoch_end(self, NULL);
	return stream;
}

static inline void stream_enter(struct bench_stream *stream)
{
	(void)stream;
	ck_epoch_begin(self, NULL);
}

static inline void stream_leave(struct bench_stream *stream)
{
	(void)stream;
	ck_epoch_end(self, NULL);
}

static const struct backend_ops ops = {
	.name = "ck",
	.lacks = "limbo is unbounded, and freed by the retiring thread alone, while it works; "
		 "no counted references to contexts",
	.thread_enter = thread_enter,
	.thread_exit = thread_exit,
	.thread_idle = free_all_retired,
	.drain = free_all_retired,
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
