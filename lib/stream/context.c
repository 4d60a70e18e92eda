/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts on a stream: insert, lookup, remove, and references.  Called by
 * users, and by owner.c and unload.c.  The list is in list.h, the last put in
 * refs.h, streams are in stream.c.
 *
 * The stream's lock covers its list, entries and flags, and the @stream field
 * of its contexts.
 */
#include "stream/context.h"
#include "stream/list.h"
#include "stream/refs.h"
#include "thread/counter.h"

#include <limits.h>

#define REFS_MAX (UINT32_C(1) << 31)

/* ---------------------------------------------------------------- contexts */

int sctx_context_init(struct sctx_context *ctx, const void *owner, const void *instance,
		      sctx_free_fn free_callback)
{
	if (!ctx || !owner || !free_callback)
		return -EINVAL;
	*ctx = (struct sctx_context){
		.owner = owner,
		.instance = instance,
		.free_callback = free_callback,
		.refs = 1,
	};
	return 0;
}

/*
 * Relaxed: the caller's reference or read section keeps the count above zero.
 */
static struct sctx_context *ref(struct sctx_context *ctx)
{
	if (!ctx)
		return NULL;
	if (sctx__unlikely(sctx__add(&ctx->refs, 1) >= REFS_MAX)) {
		sctx__sub(&ctx->refs, 1);
		return NULL;
	}
	return ctx;
}

struct sctx_context *sctx_ref(struct sctx_context *ctx)
{
	ctx = ref(ctx);
	sctx__debug_took(ctx);
	return ctx;
}

/* Whether @stream's reference, which stays while it is locked, is the only one. */
static bool only_stream_holds(struct sctx_stream *stream, struct sctx_context *ctx)
{
	uint32_t state = stream_lock(stream);
	bool only = sctx__load(&ctx->stream) == stream && sctx__load(&ctx->refs) == 1;

	stream_unlock(stream, state);
	return only;
}

/* From now on the reference belongs to limbo. */
static void put_last(struct sctx__retiring *r, struct sctx_context *ctx)
{
	struct sctx__retiring own;

	sctx__owned_forget(ctx);
	sctx__debug_did(ctx, "put");
	if (r) {
		sctx__retire_context(r, ctx);
		return;
	}
	own = sctx__retire_begin();
	sctx__retire_context(&own, ctx);
	sctx__retire_end(&own);
}

/*
 * A borrower may have taken a reference and inserted the context since the count was
 * read.  So a linked context does not prove misuse, unless its stream has the only
 * reference.
 */
int sctx__put_inside(struct sctx__retiring *r, struct sctx_context *ctx)
{
	while (!sctx__put_if_others_hold(ctx)) {
		struct sctx_stream *stream;

		if (sctx__load(&ctx->refs) == 0)
			return sctx__misuse_context(-EBADF, "put of a context that was freed", ctx);
		if (sctx__claim_for_limbo(ctx)) {
			put_last(r, ctx);
			return 0;
		}
		/* Pairs with the releases in context_claim(). */
		stream = sctx__load_acquire(&ctx->stream);
		if (stream == SCTX__IN_LIMBO)
			return sctx__misuse_context(
				-EBADF, "put of a context whose last reference was put", ctx);
		if (stream && only_stream_holds(stream, ctx))
			return sctx__misuse_context(
				-EBUSY, "put of a context that only its stream holds", ctx);
	}
	return 0;
}

static int put(struct sctx_context *ctx)
{
	int error;

	if (!ctx)
		return -EINVAL;
	if (sctx__put_if_others_hold(ctx))
		return 0;
	sctx__update_begin();
	error = sctx__put_inside(NULL, ctx);
	sctx__update_end();
	return error;
}

int sctx_put(struct sctx_context *ctx)
{
	sctx__debug_enter();
	return put(ctx);
}

/*
 * Whether the caller has all references on @ctx (@ours) and no thread can have borrowed
 * it.  A context that was ever linked may have a borrower, which can take a reference at
 * any time.  The acquire pairs with the releases of other holders' puts.
 */
static bool nobody_else_knows(struct sctx_context *ctx, uint32_t ours)
{
	return sctx__load_acquire(&ctx->refs) == ours && !sctx__load(&ctx->linked_once);
}

/*
 * Claim @ctx for @stream.  Other holders and borrowers may claim it for another stream or
 * for limbo; the first one wins.
 *
 * A context that limbo holds is refused, even if a borrower has taken a reference: the
 * pending grace period does not cover readers that would find it now.
 */
SCTX__INLINE int context_claim(struct sctx_context *ctx, struct sctx_stream *stream, uint32_t ours)
{
	struct sctx_stream *nowhere = NULL;

	/* Both pair with the acquires in sctx_detach() and sctx__put_inside(). */
	if (nobody_else_knows(ctx, ours)) {
		if (sctx__unlikely(sctx__load(&ctx->stream) != NULL))
			return -EBADF; /* put, and never linked */
		sctx__store_release(&ctx->stream, stream);
	} else if (!sctx__cas_acq_rel(&ctx->stream, &nowhere, stream)) {
		return nowhere == SCTX__IN_LIMBO ? -EBADF : -EBUSY;
	}
	sctx__store(&ctx->linked_once, true);
	sctx__owned_forget(ctx);
	return 0;
}

/*
 * In a correct program an insert may lose to another holder's insert, or to a last put
 * before the caller took its reference.  Then the caller has a reference; a caller without
 * one is misuse.
 */
static int claim_error(struct sctx_context *ctx, int error)
{
	bool only = sctx__load_acquire(&ctx->refs) == 1;
	struct sctx_stream *stream = sctx__load_acquire(&ctx->stream);

	if (error == -EBADF && only && stream == SCTX__IN_LIMBO)
		return sctx__misuse_context(error, "insert of a context that was put", ctx);
	if (error == -EBUSY && stream && stream != SCTX__IN_LIMBO && only_stream_holds(stream, ctx))
		return sctx__misuse_context(error, "insert of a context that hangs on a stream",
					    ctx);
	return error;
}

/* --------------------------------------------------------- lookup and get */

struct sctx_context *sctx_lookup(const struct sctx_stream *stream, const void *owner,
				 const void *instance)
{
	return sctx__lookup(stream, owner, instance);
}

struct sctx_context *sctx_get(const struct sctx_stream *stream, const void *owner,
			      const void *instance)
{
	struct sctx_context *ctx;

	sctx__rcu_read_lock();
	ctx = ref(sctx__lookup(stream, owner, instance));
	sctx__rcu_read_unlock();
	sctx__debug_took(ctx);
	return ctx;
}

int sctx_get_many(const struct sctx_stream *stream, size_t n, const void *const *owner,
		  struct sctx_context **ctx)
{
	int found = 0;

	if (n > INT_MAX || (n && (!owner || !ctx)))
		return -EINVAL;
	sctx__rcu_read_lock();
	for (size_t i = 0; i < n; i++) {
		ctx[i] = owner[i] ? ref(sctx__lookup(stream, owner[i], NULL)) : NULL;
		found += ctx[i] != NULL;
		sctx__debug_took(ctx[i]);
	}
	sctx__rcu_read_unlock();
	return found;
}

int sctx_put_many(size_t n, struct sctx_context *const *ctx)
{
	int first = 0;

	sctx__debug_enter();
	if (n && !ctx)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int error = ctx[i] ? put(ctx[i]) : 0;

		if (!first)
			first = error;
	}
	return first;
}

/* ------------------------------------------------------------------ insert */

enum mode { INSERT, INSERT_UNIQUE, REPLACE };

/* The result of one attempt under the lock. */
enum step { DONE, NEED_ARRAY };

struct insertion {
	struct sctx_stream *stream;
	struct sctx_context *ctx;
	enum mode mode;
	uint32_t ours;              /* references on ctx that are the caller's */
	bool blind;                 /* the caller does not want the existing context */
	struct sctx_context *found; /* existing (referenced), or replaced */
	struct sctx__array *spare;  /* allocated for the list to grow into */
	size_t need;                /* entries that a spare must hold */
	int error;
};

/* Whether the spare array can hold the live entries and one more. */
SCTX__INLINE bool spare_fits(struct insertion *ins)
{
	size_t live = list_live(ins->stream);

	if (ins->spare && ins->spare->capacity > live)
		return true;
	ins->need = 2 * live + 2;
	return false;
}

SCTX__INLINE struct sctx__array *spare_use(struct insertion *ins, const struct sctx_entry *replaced)
{
	struct sctx__array *spare = ins->spare;

	ins->spare = NULL;
	return list_replace(ins->stream, spare, replaced, ins->ctx);
}

/*
 * Replace @entry's context by ctx, so that readers find one of the two at every
 * instant.  If the instance is the same and the entry is its owner's newest, one
 * store does it, which pairs with the acquire in sctx__entry_load(): a reader
 * that finds ctx has found what was the newest match when it was stored.
 * Otherwise the list is rebuilt.
 */
SCTX__INLINE enum step replace_locked(struct insertion *ins, const struct sctx_entry *entry,
				      struct sctx__array **old)
{
	struct sctx_context *newest;
	bool in_place = entry->instance == ins->ctx->instance &&
			entry == list_match(ins->stream, entry->owner, NULL, &newest);

	if (!in_place && !spare_fits(ins))
		return NEED_ARRAY;
	ins->error = context_claim(ins->ctx, ins->stream, ins->ours);
	if (ins->error)
		return DONE;
	ins->found = entry->context;
	if (in_place)
		sctx__store_release(entry_context(entry), ins->ctx);
	else
		*old = spare_use(ins, entry);
	sctx__store_release(&ins->found->stream, NULL); /* pairs with context_claim() */
	return DONE;
}

SCTX__INLINE enum step append_locked(struct insertion *ins, struct sctx__array **old)
{
	uintptr_t list = ins->stream->list;
	bool room = list_has_room(list);

	if (!room && !spare_fits(ins))
		return NEED_ARRAY;
	ins->error = context_claim(ins->ctx, ins->stream, ins->ours);
	if (ins->error)
		return DONE;
	if (room)
		list_append(ins->stream, list, ins->ctx);
	else
		*old = spare_use(ins, NULL);
	return DONE;
}

SCTX__INLINE enum step insert_locked(struct insertion *ins, uint32_t state,
				     struct sctx__array **old)
{
	struct sctx_context *ctx = ins->ctx, *match;
	const struct sctx_entry *entry = NULL;

	ins->error = sctx__owned_refused(ctx) ? -ESHUTDOWN : sctx__stream_refuses(state);
	if (ins->error)
		return DONE;
	if (ins->mode != INSERT && list_may_have(ins->stream, ctx->owner))
		entry = list_match(ins->stream, ctx->owner, ctx->instance, &match);
	if (!entry)
		return append_locked(ins, old);
	if (ins->mode == REPLACE)
		return replace_locked(ins, entry, old);
	ins->found = match;
	ins->error = -EEXIST;
	return DONE;
}

static void spare_free(struct insertion *ins)
{
	if (ins->spare)
		array_free(ins->spare);
	ins->spare = NULL;
}

/* Count the insert, and notify the owner of a replaced context. */
SCTX__INLINE void insert_done(struct insertion *ins)
{
	sctx__debug_did(ins->ctx, "inserted");
	sctx__probe2(insert, ins->stream, ins->ctx);
	sctx__count(SCTX__INSERTS, 1);
	if (!ins->found)
		return;
	sctx__count(SCTX__REMOVES, 1);
	sctx__owned_unlinked(ins->found, ins->stream);
	sctx__owned_handed_out(ins->found, ins->stream);
}

/* One attempt: DONE, or NEED_ARRAY. */
SCTX__INLINE enum step insert_attempt(struct insertion *ins)
{
	struct sctx__array *old = NULL;
	enum step step;
	uint32_t state;

	sctx__update_begin();
	state = stream_lock(ins->stream);
	step = insert_locked(ins, state, &old);
	/* Take no unwanted reference: a remover may free the context at once. */
	if (ins->error == -EEXIST)
		ins->found = ins->blind ? NULL : ref(ins->found);
	stream_unlock(ins->stream, state);
	array_retire(old);
	if (sctx__likely(step == DONE && !ins->error))
		insert_done(ins);
	else if (sctx__unlikely(ins->error == -EBUSY || ins->error == -EBADF))
		ins->error = claim_error(ins->ctx, ins->error);
	sctx__update_end();
	return step;
}

/* Allocates with no lock held; the list may have grown by then. */
static __attribute__((noinline)) void insert_with_array(struct insertion *ins)
{
	do {
		spare_free(ins);
		ins->spare = array_alloc(ins->need);
		if (!ins->spare) {
			ins->error = -ENOMEM;
			return;
		}
	} while (insert_attempt(ins) == NEED_ARRAY);
	spare_free(ins);
}

/* After sctx__admit().  Passing a copy on keeps @ins in registers. */
SCTX__INLINE void insert_admitted(struct insertion *ins)
{
	struct insertion with_array;

	if (sctx__likely(insert_attempt(ins) == DONE))
		return;
	with_array = *ins;
	insert_with_array(&with_array);
	*ins = with_array;
}

/* Also refuses zeroed contexts. */
SCTX__INLINE int insert(struct insertion *ins)
{
	if (!ins->stream || !ins->ctx || !ins->ctx->owner || !ins->ctx->free_callback)
		return -EINVAL;
	ins->error = sctx__admit(false);
	if (ins->error)
		return ins->error;
	insert_admitted(ins);
	return ins->error;
}

int sctx__stream_attach(struct sctx_stream *stream, struct sctx_context *ctx)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = INSERT, .ours = 1 };

	insert_admitted(&ins);
	return ins.error;
}

/* Give @found to the caller, or drop it if @out is NULL. */
static void hand_out(struct sctx_context **out, struct sctx_context *found)
{
	if (out)
		*out = found;
	else if (found)
		put(found);
}

int sctx_insert(struct sctx_stream *stream, struct sctx_context *ctx)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = INSERT, .ours = 1 };

	sctx__debug_enter();
	return insert(&ins);
}

int sctx_insert_unique(struct sctx_stream *stream, struct sctx_context *ctx,
		       struct sctx_context **existing)
{
	struct insertion ins = {
		.stream = stream, .ctx = ctx, .mode = INSERT_UNIQUE, .ours = 1, .blind = !existing
	};
	int error = insert(&ins);

	sctx__debug_enter();
	hand_out(existing, ins.found);
	sctx__debug_took(existing ? *existing : NULL);
	return error;
}

int sctx_replace(struct sctx_stream *stream, struct sctx_context *ctx, struct sctx_context **old)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = REPLACE, .ours = 1 };
	int error = insert(&ins);

	sctx__debug_enter();
	hand_out(old, ins.found);
	sctx__debug_took(old ? *old : NULL);
	return error;
}

/*
 * Insert the created context, with a second reference for the caller, or get the one that
 * another thread inserted first.  The second reference is taken by a store only if no
 * borrower can take one at the same time.
 */
static int insert_created(struct sctx_stream *stream, struct sctx_context *created,
			  struct sctx_context **ctx)
{
	struct insertion ins = {
		.stream = stream, .ctx = created, .mode = INSERT_UNIQUE, .ours = 2
	};

	if (nobody_else_knows(created, 1)) {
		sctx__store(&created->refs, 2);
	} else if (!ref(created)) {
		put(created);
		return -EMFILE;
	}
	insert_admitted(&ins);
	if (!ins.error) {
		*ctx = created;
		return 0;
	}
	put(created);
	if (ins.error != -EBUSY)
		put(created);
	*ctx = ins.found;
	if (ins.error == -EEXIST)
		return ins.found ? 0 : -EOVERFLOW;
	return ins.error;
}

static int get_or_create_slow(struct sctx_stream *stream, const void *owner, const void *instance,
			      sctx_create_fn create, void *arg, struct sctx_context **ctx)
{
	struct sctx_stream *linked_on;
	struct sctx_context *created;
	int error = sctx__stream_refuses(sctx__load(&stream->state));

	if (!error)
		error = sctx__admit(false);
	if (error)
		return error;
	created = create(owner, instance, arg);
	if (!created)
		return -ENOMEM;
	linked_on = sctx__load(&created->stream);
	if (linked_on && linked_on != SCTX__IN_LIMBO)
		return -EBUSY;
	if (created->owner != owner || created->instance != instance) {
		put(created);
		return -EINVAL;
	}
	return insert_created(stream, created, ctx);
}

int sctx_get_or_create(struct sctx_stream *stream, const void *owner, const void *instance,
		       sctx_create_fn create, void *arg, struct sctx_context **ctx)
{
	int error = 0;

	sctx__debug_enter();
	if (!ctx)
		return -EINVAL;
	*ctx = NULL;
	if (!stream || !owner || !create)
		return -EINVAL;
	*ctx = sctx_get(stream, owner, instance);
	if (!*ctx)
		error = get_or_create_slow(stream, owner, instance, create, arg, ctx);
	sctx__debug_took(*ctx);
	return error;
}

/* ------------------------------------------------------------------ remove */

/* A context that was unlinked: with the stream's reference, or in limbo already. */
struct unlinked {
	struct sctx_context *ctx;
	bool last; /* in limbo, to be retired */
};

/* Stream locked. */
static struct unlinked entry_unlink(struct sctx_stream *stream, const struct sctx_entry *entry,
				    struct sctx_context *ctx)
{
	struct unlinked u = { ctx, false };

	if (entry) {
		entry_clear(stream, entry);
		u.last = sctx__unlinked_for_limbo(ctx);
	}
	return u;
}

/* Without memory the list stays as it is.  Inside an update. */
static __attribute__((noinline)) void list_compact_slow(struct sctx_stream *stream, size_t live)
{
	struct sctx__array *array = array_alloc(2 * live + 2), *old = array;
	uint32_t state;

	if (!array)
		return;
	state = stream_lock(stream);
	if (list_is_sparse(stream) && list_live(stream) <= array->capacity)
		old = list_replace(stream, array, NULL, NULL);
	stream_unlock(stream, state);
	if (old == array)
		array_free(array);
	else
		array_retire(old);
}

/*
 * Unlock @stream after entries were cleared.  Allocation needs it unlocked, and the list
 * may be another one by then.
 */
SCTX__INLINE void unlock_cleared(struct sctx_stream *stream, uint32_t state)
{
	bool sparse = sctx__unlikely(list_is_sparse(stream));
	size_t live = sparse ? list_live(stream) : 0;

	stream_unlock(stream, state);
	if (sparse)
		list_compact_slow(stream, live);
}

/* Inside an update, without the lock: drop the stream's reference. */
static void drop_unlinked(struct sctx_stream *stream, struct unlinked u)
{
	struct sctx__retiring r = sctx__retire_begin();

	sctx__count(SCTX__REMOVES, 1);
	sctx__owned_unlinked(u.ctx, stream);
	sctx__put_unlinked(&r, u.ctx, u.last);
	sctx__retire_end(&r);
}

/* The entry that a lookup finds; NULL if @stream is disabled.  Stream locked. */
static const struct sctx_entry *entry_found(struct sctx_stream *stream, const void *owner,
					    const void *instance, struct sctx_context **ctx)
{
	bool gone;

	return sctx__view_find(sctx__list_view(stream), owner, instance, ctx, &gone);
}

/* The stream's reference moves to the caller. */
struct sctx_context *sctx_remove(struct sctx_stream *stream, const void *owner,
				 const void *instance)
{
	const struct sctx_entry *entry;
	struct sctx_context *ctx = NULL;
	uint32_t state;

	if (!stream)
		return NULL;
	sctx__update_begin();
	state = stream_lock(stream);
	entry = entry_found(stream, owner, instance, &ctx);
	if (entry) {
		entry_clear(stream, entry);
		sctx__store_release(&ctx->stream, NULL); /* pairs with context_claim() */
	}
	unlock_cleared(stream, state);
	if (entry) {
		sctx__count(SCTX__REMOVES, 1);
		sctx__owned_unlinked(ctx, stream);
		sctx__owned_handed_out(ctx, stream);
	}
	sctx__update_end();
	ctx = entry ? ctx : NULL;
	sctx__debug_took(ctx);
	return ctx;
}

int sctx_delete(struct sctx_stream *stream, const void *owner, const void *instance)
{
	const struct sctx_entry *entry;
	struct sctx_context *ctx = NULL;
	struct unlinked u;
	uint32_t state;

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	sctx__update_begin();
	state = stream_lock(stream);
	entry = entry_found(stream, owner, instance, &ctx);
	u = entry_unlink(stream, entry, ctx);
	unlock_cleared(stream, state);
	if (entry)
		drop_unlinked(stream, u);
	sctx__update_end();
	return entry ? 0 : -ENOENT;
}

#define SWEEP_BATCH 16

/* How far a sweep has come: it restarts where another list has taken over. */
struct sweep {
	uintptr_t list;
	uintptr_t left; /* entries not looked at, the oldest */
};

/* Unlink the next few of @owner's, newest first, a disabled stream's too. */
static int sweep_some(struct sctx_stream *stream, const struct sctx_owner *owner,
		      struct sweep *sweep, struct unlinked *u)
{
	uint32_t state = stream_lock(stream);
	struct sctx__view view = list_all(stream);
	int n = 0;

	if (sweep->list != stream->list)
		*sweep = (struct sweep){ stream->list, view.count };
	while (sweep->left > 0 && n < SWEEP_BATCH) {
		const struct sctx_entry *entry = &view.entry[--sweep->left];

		if (entry->owner == owner && entry->context)
			u[n++] = entry_unlink(stream, entry, entry->context);
	}
	unlock_cleared(stream, state);
	return n;
}

/* The owner takes no context any more, so nothing is linked behind the sweep. */
void sctx__stream_sweep(struct sctx_stream *stream, const struct sctx_owner *owner)
{
	struct sweep sweep = { 0, 0 };
	struct unlinked u[SWEEP_BATCH];
	int n;

	do {
		n = sweep_some(stream, owner, &sweep, u);
		for (int i = 0; i < n; i++)
			drop_unlinked(stream, u[i]);
	} while (n == SWEEP_BATCH);
}

/* The entry of @ctx on @stream, or NULL.  Stream locked. */
static const struct sctx_entry *entry_of(struct sctx_stream *stream, const struct sctx_context *ctx)
{
	struct sctx__view view = list_all(stream);

	while (view.count-- > 0)
		if (view.entry[view.count].context == ctx)
			return &view.entry[view.count];
	return NULL;
}

static bool detach_from(struct sctx_stream *stream, struct sctx_context *ctx)
{
	uint32_t state = stream_lock(stream);
	const struct sctx_entry *entry = entry_of(stream, ctx);
	struct unlinked u = entry_unlink(stream, entry, ctx);

	unlock_cleared(stream, state);
	if (entry)
		drop_unlinked(stream, u);
	return entry;
}

/*
 * The stream is found through the context.  It stays valid: its teardown stores
 * NULL here before its memory goes to limbo, and limbo waits for this section.
 */
int sctx_detach(struct sctx_context *ctx)
{
	struct sctx_stream *stream;
	bool unlinked = false;

	sctx__debug_enter();
	if (!ctx)
		return -EINVAL;
	sctx__update_begin();
	/* Pairs with the releases in context_claim(). */
	stream = sctx__load_acquire(&ctx->stream);
	if (stream && stream != SCTX__IN_LIMBO)
		unlinked = detach_from(stream, ctx);
	sctx__update_end();
	return unlinked ? 0 : -ENOENT;
}
