/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GLib: a GHashTable under a GMutex, a GData list of contexts on each stream.
 * What a plain g_datalist_id_get_data() returns may be freed by then, so a
 * lookup takes a reference under the list's lock (g_datalist_id_dup_data) and
 * the section's end drops it; a stream found by id is referenced likewise.
 *
 * A GData list holds one datum a quark.  An owner has a quark; one with an
 * instance has another for each, kept by the thread that uses it.
 */
#include <glib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../harness/backend.h"

OPS_DECLARE;

struct bench_context {
	gatomicrefcount references;
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

struct bench_stream {
	struct sctx_id id;
	uint64_t hash;
	struct bench_table *table;
	gatomicrefcount opens; /* from 1 to 0 only under the table's lock */
	GData *contexts;
};

struct bench_table {
	GMutex lock;
	GHashTable *streams; /* of struct bench_stream, its own key */
};

/* What the thread's section holds. */
static __thread struct {
	struct bench_context *context;
	bool stream;
} held;

/* ----------------------------------------------------------------- quarks */

static GQuark owner_quark[BENCH_OWNERS];

static GQuark instance_quark(const void *owner, const void *instance)
{
	static __thread struct {
		const void *owner;
		const void *instance;
		GQuark quark;
	} last;

	if (last.owner != owner || last.instance != instance) {
		char name[64];

		g_snprintf(name, sizeof(name), "bench %p %p", owner, instance);
		last.owner = owner;
		last.instance = instance;
		last.quark = g_quark_from_string(name);
	}
	return last.quark;
}

static inline GQuark quark_of(const void *owner, const void *instance)
{
	if (instance)
		return instance_quark(owner, instance);
	return owner_quark[(const char *)owner - bench_owner];
}

static void quarks_make(void)
{
	for (unsigned int i = 0; i < BENCH_OWNERS; i++) {
		char name[32];

		g_snprintf(name, sizeof(name), "bench owner %u", i);
		owner_quark[i] = g_quark_from_string(name);
	}
}

/* --------------------------------------------------------------- contexts */

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static void context_unref(gpointer data)
{
	struct bench_context *ctx = data;

	if (g_atomic_ref_count_dec(&ctx->references))
		ctx->free_callback(ctx);
}

/* Under the list's lock. */
static gpointer context_dup(gpointer data, gpointer unused)
{
	struct bench_context *ctx = data;

	(void)unused;
	if (ctx)
		g_atomic_ref_count_inc(&ctx->references);
	return ctx;
}

static struct bench_context *context_new(uint64_t word)
{
	struct bench_context *ctx = bench_alloc(BENCH_CONTEXT_SIZE);

	g_atomic_ref_count_init(&ctx->references);
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

static inline struct bench_context *context_get(struct bench_stream *stream, GQuark quark)
{
	return g_datalist_id_dup_data(&stream->contexts, quark, context_dup, NULL);
}

static inline void context_release(void)
{
	if (held.context)
		context_unref(held.context);
	held.context = NULL;
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	context_release();
	held.context = context_get(stream, quark_of(owner, instance));
	return held.context ? &held.context->word : NULL;
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	g_datalist_id_set_data_full(&stream->contexts, quark_of(owner, instance), context_new(word),
				    context_unref);
}

static inline void context_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	g_datalist_id_remove_data(&stream->contexts, quark_of(owner, instance));
}

/* Set if absent; of two that try, one gives its own up. */
static struct bench_context *context_make(struct bench_stream *stream, GQuark quark)
{
	struct bench_context *ctx = context_new(0);

	g_atomic_ref_count_inc(&ctx->references);
	if (g_datalist_id_replace_data(&stream->contexts, quark, NULL, ctx, context_unref, NULL))
		return ctx;
	context_unref(ctx);
	context_unref(ctx);
	return context_get(stream, quark);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	GQuark quark = quark_of(owner, NULL);
	struct bench_context *ctx = context_get(stream, quark);

	if (!ctx)
		ctx = context_make(stream, quark);
	__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	bench_bumped(&ops);
	context_unref(ctx);
}

/* ------------------------------------------------------------------ table */

static guint stream_hash(gconstpointer stream)
{
	return (guint)((const struct bench_stream *)stream)->hash;
}

static gboolean stream_equal(gconstpointer a, gconstpointer b)
{
	const struct bench_stream *x = a;
	const struct bench_stream *y = b;

	return x->hash == y->hash && memcmp(&x->id, &y->id, sizeof(x->id)) == 0;
}

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));
	static gsize once;

	(void)streams;
	if (g_once_init_enter(&once)) {
		quarks_make();
		g_once_init_leave(&once, 1);
	}
	g_mutex_init(&table->lock);
	table->streams = g_hash_table_new(stream_hash, stream_equal);
	return table;
}

static void table_destroy(struct bench_table *table)
{
	g_hash_table_destroy(table->streams);
	g_mutex_clear(&table->lock);
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	return g_hash_table_size(table->streams);
}

static inline void key_init(struct bench_stream *key, const struct sctx_id *id)
{
	key->id = *id;
	key->hash = XXH3_64bits_withSeed(id, sizeof(*id), 0x5eed);
}

/* Under the table's lock. */
static struct bench_stream *stream_new(struct bench_table *table, const struct bench_stream *key)
{
	struct bench_stream *stream = bench_alloc(sizeof(*stream));

	stream->id = key->id;
	stream->hash = key->hash;
	stream->table = table;
	g_atomic_ref_count_init(&stream->opens);
	g_datalist_init(&stream->contexts);
	g_hash_table_add(table->streams, stream);
	return stream;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *stream;
	struct bench_stream key;

	key_init(&key, id);
	g_mutex_lock(&table->lock);
	stream = g_hash_table_lookup(table->streams, &key);
	if (stream)
		g_atomic_ref_count_inc(&stream->opens);
	else
		stream = stream_new(table, &key);
	g_mutex_unlock(&table->lock);
	return stream;
}

static void close_slow(struct bench_table *table, struct bench_stream *stream)
{
	bool last;

	g_mutex_lock(&table->lock);
	last = g_atomic_ref_count_dec(&stream->opens);
	if (last)
		g_hash_table_remove(table->streams, stream);
	g_mutex_unlock(&table->lock);
	if (!last)
		return;
	g_datalist_clear(&stream->contexts);
	free(stream);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	gint opens = g_atomic_int_get(&stream->opens);

	while (opens > 1) {
		if (g_atomic_int_compare_and_exchange(&stream->opens, opens, opens - 1))
			return;
		opens = g_atomic_int_get(&stream->opens);
	}
	close_slow(table, stream);
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	struct bench_stream *stream;
	struct bench_stream key;

	key_init(&key, id);
	g_mutex_lock(&table->lock);
	stream = g_hash_table_lookup(table->streams, &key);
	if (stream)
		g_atomic_ref_count_inc(&stream->opens);
	g_mutex_unlock(&table->lock);
	held.stream = stream != NULL;
	return stream;
}

static inline void stream_enter(struct bench_stream *stream)
{
	(void)stream;
}

static inline void stream_leave(struct bench_stream *stream)
{
	context_release();
	if (held.stream)
		stream_close(stream->table, stream);
	held.stream = false;
}

static const struct backend_ops ops = {
	.name = "glib",
	.lacks = "frees at the last reference: no grace period, every lookup counts; a context "
		 "with an instance is found by its instance alone",
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
