/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libglusterfs: a storage daemon's own inode table and contexts, as its
 * translators use them.  A stream is an inode, an owner is a translator with
 * a slot in every inode, a section is the inode's lock held; the last close
 * is the last inode_unref(), which calls the translators' forget().
 *
 * Translators come from a volume's graph.  Here they are stand-ins with a
 * number and a forget(): 12 of them, as in a volume of moderate size, or 72
 * where one resident stream may get the 64 contexts of lookup_hot.  An inode
 * has one context for each translator, so that (owner, instance) takes a
 * translator of its own, one for each of 4 or 8 threads.
 */
/* What the headers want of a configure script: Debian's, for the same layouts. */
#define GF_LINUX_HOST_OS     1
#define HAVE_ATOMIC_BUILTINS 1
#define SIZEOF_LONG          8
#define UNIX_PATH_MAX        108

#include <glusterfs/glusterfs.h>
#include <glusterfs/globals.h>
#include <glusterfs/inode.h>
#include <glusterfs/mem-pool.h>
#include <glusterfs/xlator.h>

#include "../harness/backend.h"

OPS_DECLARE;

#define OWNERS_FEW    8
#define INSTANCES_FEW 4
#define INSTANCES_ALL 8
#define INODE_HASH    65536 /* the range of the library's hash of a gfid */

struct bench_context {
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

/* Owners first, then instances; number 0 is the caller's. */
struct graph {
	glusterfs_graph_t graph;
	unsigned int owners;
	unsigned int instances;
	xlator_t xlator[];
};

struct bench_table {
	inode_table_t *inodes;
	struct graph *graph;
	bool keeps_idle;
};

/* Whether the thread's section holds a reference of its own. */
static __thread bool found;

static inline inode_t *inode_of(struct bench_stream *stream)
{
	return (inode_t *)stream;
}

/* ------------------------------------------------------------ translators */

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static int32_t xlator_forget(xlator_t *xlator, inode_t *inode)
{
	uint64_t value = 0;

	if (inode_ctx_del(inode, xlator, &value) == 0 && value) {
		struct bench_context *ctx = (void *)(uintptr_t)value;

		ctx->free_callback(ctx);
	}
	return 0;
}

static struct xlator_cbks callbacks = { .forget = xlator_forget };

/* THIS in every thread: references to inodes are counted in its slot, 0. */
static xlator_t caller = { .name = "caller", .type = "bench", .cbks = &callbacks };

static void library_start(void)
{
	glusterfs_ctx_t *ctx = glusterfs_ctx_new();

	if (!ctx || glusterfs_globals_init(ctx))
		bench_die("libglusterfs does not start");
	mem_pools_init();
	THIS->ctx = ctx;
	caller.ctx = ctx;
}

static void thread_enter(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, library_start);
	THIS = &caller;
}

static struct graph *graph_make(unsigned int owners, unsigned int instances)
{
	const unsigned int count = owners + instances;
	struct graph *g = bench_alloc_lines(sizeof(*g) + count * sizeof(*g->xlator));

	g->owners = owners;
	g->instances = instances;
	g->graph.xl_count = (int)count + 1;
	g->graph.first = &g->xlator[0];
	for (unsigned int i = 0; i < count; i++) {
		xlator_t *x = &g->xlator[i];

		x->name = "bench";
		x->type = "bench";
		x->ctx = caller.ctx;
		x->graph = &g->graph;
		x->cbks = &callbacks;
		x->xl_id = i + 1;
	}
	return g;
}

/* Which instance is which slot: in the order in which they turn up. */
static unsigned int instance_slot(const struct graph *g, const void *instance)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static const void *known[INSTANCES_ALL];
	static __thread struct {
		const void *instance;
		unsigned int slot;
	} last;
	unsigned int slot = 0;

	if (last.instance == instance)
		return last.slot;
	pthread_mutex_lock(&lock);
	while (slot < g->instances && known[slot] && known[slot] != instance)
		slot++;
	if (slot == g->instances)
		bench_die("more instances than translators");
	known[slot] = instance;
	pthread_mutex_unlock(&lock);
	last.instance = instance;
	last.slot = slot;
	return slot;
}

static inline xlator_t *xlator_of(inode_t *inode, const void *owner, const void *instance)
{
	struct graph *g = (struct graph *)inode->table->xl->graph;
	unsigned int slot;

	if (instance)
		return &g->xlator[g->owners + instance_slot(g, instance)];
	slot = (unsigned int)((const char *)owner - bench_owner);
	if (__builtin_expect(slot >= g->owners, 0))
		bench_die("more owners than translators");
	return &g->xlator[slot];
}

/* ------------------------------------------------------------------ table */

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	table->graph = streams == 1 ? graph_make(BENCH_OWNERS, INSTANCES_ALL)
				    : graph_make(OWNERS_FEW, INSTANCES_FEW);
	table->inodes = inode_table_new(0, &table->graph->xlator[0], 0, INODE_HASH);
	if (!table->inodes)
		bench_die("inode_table_new failed");
	if (table->inodes->inode_pool->sizeof_type != sizeof(inode_t))
		bench_die("the library's inodes are not those of its headers");
	return table;
}

static void table_destroy(struct bench_table *table)
{
	inode_table_destroy(table->inodes);
	free(table->graph);
	free(table);
}

/* Those with a reference; the root, which is always there, is not among them. */
static uint64_t table_count(struct bench_table *table)
{
	return table->inodes->active_size;
}

/*
 * Ours into a gfid, without loss while the numbers are as small as they are,
 * and mixed, because the library takes the last two bytes for a hash: real
 * gfids are random.
 */
static inline void gfid_of(const struct sctx_id *id, uuid_t gfid)
{
	uint64_t part[2] = { id->file[0], id->volume << 16 | id->file[1] };
	uint64_t state = part[0];

	if (__builtin_expect(id->volume >> 48 || id->file[1] >> 16 || id->stream, 0))
		bench_die("the id has no room in a gfid");
	part[1] ^= bench_random(&state, UINT64_MAX);
	memcpy(gfid, part, sizeof(part));
}

/* A lookup that is counted, as the kernel's are, keeps an inode after its last unref. */
static struct bench_stream *open_slow(struct bench_table *t, uuid_t gfid)
{
	inode_table_t *table = t->inodes;
	struct iatt iatt = { .ia_type = IA_IFREG };
	inode_t *fresh = inode_new(table);
	inode_t *inode;

	if (!fresh)
		bench_die("inode_new failed");
	memcpy(iatt.ia_gfid, gfid, sizeof(iatt.ia_gfid));
	inode = inode_link(fresh, NULL, NULL, &iatt);
	if (!inode)
		bench_die("inode_link failed");
	if (t->keeps_idle)
		inode_lookup(inode);
	inode_unref(fresh);
	return (struct bench_stream *)inode;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	inode_t *inode;
	uuid_t gfid;

	gfid_of(id, gfid);
	inode = inode_find(table->inodes, gfid);
	return inode ? (struct bench_stream *)inode : open_slow(table, gfid);
}

/* As the kernel's forget of all but the root.  Nothing else runs.  The table may have dropped its
 * root: an inode at the same address is no sign of it. */
static void forget_idle(inode_table_t *table)
{
	inode_t *inode, *next;

	list_for_each_entry_safe(inode, next, &table->lru, list)
	{
		if (__is_root_gfid(inode->gfid))
			continue;
		inode_ref(inode);
		inode_forget(inode, 0);
		inode_unref(inode);
	}
}

static void keep_idle(struct bench_table *table, uint64_t limit)
{
	table->keeps_idle = limit > 0;
	if (!limit)
		forget_idle(table->inodes);
	inode_table_set_lru_limit(table->inodes, (uint32_t)limit);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	(void)table;
	inode_unref(inode_of(stream));
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	inode_t *inode;
	uuid_t gfid;

	gfid_of(id, gfid);
	inode = inode_find(table->inodes, gfid);
	if (inode)
		LOCK(&inode->lock);
	found = inode != NULL;
	return (struct bench_stream *)inode;
}

static inline void stream_enter(struct bench_stream *stream)
{
	LOCK(&inode_of(stream)->lock);
}

static inline void stream_leave(struct bench_stream *stream)
{
	UNLOCK(&inode_of(stream)->lock);
	if (found)
		inode_unref(inode_of(stream));
	found = false;
}

/* --------------------------------------------------------------- contexts */

/* With the inode locked. */
static inline struct bench_context *slot_get(inode_t *inode, xlator_t *xlator)
{
	uint64_t value = 0;

	return __inode_ctx_get0(inode, xlator, &value) ? NULL : (void *)(uintptr_t)value;
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	inode_t *inode = inode_of(stream);
	struct bench_context *ctx = slot_get(inode, xlator_of(inode, owner, instance));

	return ctx ? &ctx->word : NULL;
}

static struct bench_context *context_new(uint64_t word)
{
	struct bench_context *ctx = bench_alloc(BENCH_CONTEXT_SIZE);

	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

/* With the inode locked. */
static inline void slot_set(inode_t *inode, xlator_t *xlator, struct bench_context *ctx)
{
	uint64_t value = (uintptr_t)ctx;

	if (__inode_ctx_set0(inode, xlator, &value))
		bench_die("__inode_ctx_set0 failed");
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	inode_t *inode = inode_of(stream);
	struct bench_context *ctx = context_new(word);

	LOCK(&inode->lock);
	slot_set(inode, xlator_of(inode, owner, instance), ctx);
	UNLOCK(&inode->lock);
}

static inline void context_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	inode_t *inode = inode_of(stream);

	xlator_forget(xlator_of(inode, owner, instance), inode);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	inode_t *inode = inode_of(stream);
	xlator_t *xlator = xlator_of(inode, owner, NULL);
	struct bench_context *ctx;

	LOCK(&inode->lock);
	ctx = slot_get(inode, xlator);
	if (!ctx) {
		ctx = context_new(0);
		slot_set(inode, xlator, ctx);
	}
	ctx->word++;
	UNLOCK(&inode->lock);
	bench_bumped(&ops);
}

static const struct backend_ops ops = {
	.name = "gluster",
	.lacks = "frees at once: no grace period, nothing stays valid outside the inode's lock; "
		 "one context a translator, a slot for each in every inode; ids of 16 bytes",
	.thread_enter = thread_enter,
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
	.keep_idle = keep_idle,
};

BENCH_BACKEND(ops);
