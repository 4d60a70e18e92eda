/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream's list: insert, lookup, remove, teardown, and the contexts on it.
 * Called by users and by lib/registry.c.  The list itself is in list.h.
 *
 * The stream's lock covers list, entries, flags, and the @stream field of the
 * contexts that hang here.
 *
 * References.  A context's count is at least one until its callback runs: the
 * last holder does not drop its reference but hands it to limbo, which drops
 * it after a grace period.  So taking a reference on a borrowed context is
 * one addition that cannot fail, and the usual last put is a load.
 */
#include "context.h"
#include "debug.h"
#include "list.h"
#include "reclaim.h"

#include <errno.h>

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
 * Relaxed: the caller's own reference, or its read section, keeps the count
 * from being the last one.
 */
struct sctx_context *sctx_ref(struct sctx_context *ctx)
{
	if (!ctx)
		return NULL;
	if (sctx__unlikely(sctx__add(&ctx->refs, 1) >= REFS_MAX)) {
		sctx__sub(&ctx->refs, 1);
		return NULL;
	}
	return ctx;
}

/* The caller holds the only reference left, which goes to limbo. */
static int put_last(struct sctx_context *ctx)
{
	if (sctx__load(&ctx->refs) == 0 || sctx__load(&ctx->in_limbo))
		return sctx__misuse(-EBADF, "put of a context whose last reference was put", ctx);
	if (sctx__load(&ctx->stream))
		return sctx__misuse(-EBUSY, "put of a context that only its stream holds", ctx);
	sctx__store(&ctx->in_limbo, 1);
	sctx__retire_context(ctx);
	return 0;
}

/*
 * A count of one is the caller's own: others can only add to it, through a
 * borrowed pointer, and limbo waits for those who could.  So the last put
 * writes no count.  The acquire pairs with the release of the puts before.
 */
static bool put_if_others_hold(struct sctx_context *ctx)
{
	uint32_t refs = sctx__load_acquire(&ctx->refs);

	while (refs > 1)
		if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))
			return true;
	return false;
}

/* sctx_put() inside an update. */
static int put_inside(struct sctx_context *ctx)
{
	return put_if_others_hold(ctx) ? 0 : put_last(ctx);
}

int sctx_put(struct sctx_context *ctx)
{
	int error;

	if (!ctx)
		return -EINVAL;
	if (put_if_others_hold(ctx))
		return 0;
	sctx__update_begin();
	error = put_last(ctx);
	sctx__update_end();
	return error;
}

/*
 * Say that @ctx hangs on @stream.  A holder who is not alone may meet another
 * who inserts it elsewhere; one who is alone needs no atomic operation, nor
 * does one who has just taken a second reference for himself (@ours of them).
 */
static int context_claim(struct sctx_context *ctx, struct sctx_stream *stream, uint32_t ours)
{
	struct sctx_stream *nowhere = NULL;

	if (sctx__load_acquire(&ctx->refs) == ours) {
		if (sctx__load(&ctx->in_limbo))
			return sctx__misuse(-EBADF, "insert of a context that was put", ctx);
		if (sctx__load(&ctx->stream))
			return sctx__misuse(-EBUSY, "insert of a context that hangs on a stream",
					    ctx);
		sctx__store_release(&ctx->stream, stream);
		return 0;
	}
	/* Pairs with the acquire in sctx_detach(), as the store above does. */
	if (!sctx__cas_acq_rel(&ctx->stream, &nowhere, stream))
		return sctx__misuse(-EBUSY, "insert of a context that hangs on a stream", ctx);
	return 0;
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
	ctx = sctx_ref(sctx__lookup(stream, owner, instance));
	sctx__rcu_read_unlock();
	return ctx;
}

/* ------------------------------------------------------------------ insert */

enum mode { INSERT, INSERT_UNIQUE, REPLACE };

/* What one attempt under the lock came to. */
enum step { DONE, NEED_ARRAY };

struct insertion {
	struct sctx_stream *stream;
	struct sctx_context *ctx;
	enum mode mode;
	uint32_t ours;              /* references on ctx that are the caller's */
	bool blind;                 /* nobody asks for what exists */
	struct sctx_context *found; /* existing (referenced), or replaced */
	struct sctx__array *spare;  /* allocated for the list to grow into */
	size_t need;                /* entries that a spare must hold */
	int error;
};

/* No misuse: a teardown may just have come first. */
static int state_error(uint32_t state)
{
	if (state & SCTX__READY)
		return 0;
	return state & SCTX__TORN ? -ESHUTDOWN : -EOPNOTSUPP;
}

/* Whether there is a spare that holds the live entries and one more. */
static bool spare_fits(struct insertion *ins)
{
	size_t live = list_live(ins->stream);

	if (ins->spare && ins->spare->capacity > live)
		return true;
	ins->need = 2 * live + 2;
	return false;
}

static struct sctx__array *spare_use(struct insertion *ins, const struct sctx_entry *replaced)
{
	struct sctx__array *spare = ins->spare;

	ins->spare = NULL;
	return list_replace(ins->stream, spare, replaced, ins->ctx);
}

/*
 * Put ctx where @entry's context is.  With the same instance that is one
 * store, which pairs with the acquire in sctx__view_match(); with another one
 * the list is rebuilt, so that readers find the old or the new at any instant.
 */
static enum step replace_locked(struct insertion *ins, const struct sctx_entry *entry,
				struct sctx__array **old)
{
	bool in_place = entry->instance == ins->ctx->instance;

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
	sctx__store(&ins->found->stream, NULL);
	return DONE;
}

static enum step append_locked(struct insertion *ins, struct sctx__array **old)
{
	bool room = list_has_room(ins->stream);

	if (!room && !spare_fits(ins))
		return NEED_ARRAY;
	ins->error = context_claim(ins->ctx, ins->stream, ins->ours);
	if (ins->error)
		return DONE;
	if (room)
		list_append(ins->stream, ins->ctx);
	else
		*old = spare_use(ins, NULL);
	return DONE;
}

static enum step insert_locked(struct insertion *ins, uint32_t state, struct sctx__array **old)
{
	struct sctx_context *ctx = ins->ctx, *match;
	const struct sctx_entry *entry = NULL;

	ins->error = state_error(state);
	if (ins->error)
		return DONE;
	if (ins->mode != INSERT)
		entry = sctx__view_match(list_all(ins->stream), ctx->owner, ctx->instance, &match);
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
		array_free(&ins->spare->block);
	ins->spare = NULL;
}

/* The caller has been admitted. */
static void insert_admitted(struct insertion *ins)
{
	struct sctx__array *old = NULL;
	enum step step;

	do {
		uint32_t state;

		if (ins->need) {
			spare_free(ins);
			ins->spare = array_alloc(ins->need);
			ins->need = 0;
			if (!ins->spare) {
				ins->error = -ENOMEM;
				return;
			}
		}
		sctx__update_begin();
		state = stream_lock(ins->stream);
		step = insert_locked(ins, state, &old);
		/* Unasked, not even for a moment: its remover may free it at once. */
		if (ins->error == -EEXIST)
			ins->found = ins->blind ? NULL : sctx_ref(ins->found);
		stream_unlock(ins->stream, state);
		array_retire(old);
		sctx__update_end();
	} while (step == NEED_ARRAY);
	spare_free(ins);
}

/* Refuses what was never initialised, too. */
static int insert(struct insertion *ins)
{
	if (!ins->stream || !ins->ctx || !ins->ctx->owner || !ins->ctx->free_callback)
		return -EINVAL;
	ins->error = sctx__admit(false);
	if (!ins->error)
		insert_admitted(ins);
	return ins->error;
}

/* Give the caller what was found, or drop it if he does not want it. */
static void hand_out(struct sctx_context **out, struct sctx_context *found)
{
	if (out)
		*out = found;
	else if (found)
		sctx_put(found);
}

int sctx_insert(struct sctx_stream *stream, struct sctx_context *ctx)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = INSERT, .ours = 1 };

	return insert(&ins);
}

int sctx_insert_unique(struct sctx_stream *stream, struct sctx_context *ctx,
		       struct sctx_context **existing)
{
	struct insertion ins = {
		.stream = stream, .ctx = ctx, .mode = INSERT_UNIQUE, .ours = 1, .blind = !existing
	};
	int error = insert(&ins);

	hand_out(existing, ins.found);
	return error;
}

int sctx_replace(struct sctx_stream *stream, struct sctx_context *ctx, struct sctx_context **old)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = REPLACE, .ours = 1 };
	int error = insert(&ins);

	hand_out(old, ins.found);
	return error;
}

/*
 * Insert what create() made, which the caller gets a second reference on, or
 * get what another caller was faster to insert.  Who holds the only reference
 * takes the second with a store.
 */
static int insert_created(struct sctx_stream *stream, struct sctx_context *created,
			  struct sctx_context **ctx)
{
	struct insertion ins = {
		.stream = stream, .ctx = created, .mode = INSERT_UNIQUE, .ours = 2
	};

	if (sctx__load_acquire(&created->refs) == 1)
		sctx__store(&created->refs, 2);
	else
		sctx_ref(created);
	insert_admitted(&ins);
	if (!ins.error) {
		*ctx = created;
		return 0;
	}
	sctx_put(created);
	sctx_put(created);
	*ctx = ins.found;
	if (ins.error == -EEXIST)
		return ins.found ? 0 : -EMFILE;
	return ins.error;
}

static int get_or_create_slow(struct sctx_stream *stream, const void *owner, const void *instance,
			      sctx_create_fn create, void *arg, struct sctx_context **ctx)
{
	struct sctx_context *created;
	int error = state_error(sctx__load(&stream->state));

	if (!error)
		error = sctx__admit(false);
	if (error)
		return error;
	created = create(owner, instance, arg);
	if (!created)
		return -ENOMEM;
	if (sctx__load(&created->stream))
		return -EBUSY;
	if (created->owner != owner || created->instance != instance) {
		sctx_put(created);
		return -EINVAL;
	}
	return insert_created(stream, created, ctx);
}

int sctx_get_or_create(struct sctx_stream *stream, const void *owner, const void *instance,
		       sctx_create_fn create, void *arg, struct sctx_context **ctx)
{
	if (!ctx)
		return -EINVAL;
	*ctx = NULL;
	if (!stream || !owner || !create)
		return -EINVAL;
	*ctx = sctx_get(stream, owner, instance);
	return *ctx ? 0 : get_or_create_slow(stream, owner, instance, create, arg, ctx);
}

/* ------------------------------------------------------------------ remove */

/* Stream locked.  Readers that have the context already keep it. */
static void entry_unlink(const struct sctx_entry *entry, struct sctx_context *ctx)
{
	sctx__store(entry_context(entry), NULL);
	sctx__store_release(&ctx->stream, NULL); /* pairs with context_claim() */
}

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
	entry = sctx__view_find(sctx__list_view(stream), owner, instance, &ctx);
	if (entry)
		entry_unlink(entry, ctx);
	stream_unlock(stream, state);
	sctx__update_end();
	return entry ? ctx : NULL;
}

int sctx_delete(struct sctx_stream *stream, const void *owner, const void *instance)
{
	struct sctx_context *ctx;

	if (!stream)
		return -EINVAL;
	ctx = sctx_remove(stream, owner, instance);
	return ctx ? sctx_put(ctx) : -ENOENT;
}

/* Unlink @ctx if it hangs on @stream still.  Stream locked. */
static bool unlink_if_here(struct sctx_stream *stream, struct sctx_context *ctx)
{
	struct sctx__view view = list_all(stream);

	while (view.count-- > 0) {
		if (view.entry[view.count].context != ctx)
			continue;
		entry_unlink(&view.entry[view.count], ctx);
		return true;
	}
	return false;
}

/*
 * The stream is found through the context.  It stays valid meanwhile: its
 * teardown stores NULL here before its memory goes to limbo, and limbo waits
 * for this section.
 */
int sctx_detach(struct sctx_context *ctx)
{
	struct sctx_stream *stream;
	bool unlinked = false;

	if (!ctx)
		return -EINVAL;
	sctx__update_begin();
	/* Pairs with the releases in context_claim(). */
	stream = sctx__load_acquire(&ctx->stream);
	if (stream) {
		uint32_t state = stream_lock(stream);

		unlinked = unlink_if_here(stream, ctx);
		stream_unlock(stream, state);
	}
	if (unlinked)
		put_inside(ctx);
	sctx__update_end();
	return unlinked ? 0 : -ENOENT;
}

/* ----------------------------------------------------------------- streams */

void sctx__stream_setup(struct sctx_stream *stream, uint32_t flags)
{
	stream->list = 0;
	stream->state = SCTX__READY | flags;
	stream->opens = 1;
}

int sctx_stream_init(struct sctx_stream *stream)
{
	if (!stream)
		return -EINVAL;
	sctx__stream_setup(stream, 0);
	return 0;
}

bool sctx_stream_supports_contexts(const struct sctx_stream *stream)
{
	return stream && sctx__load(&stream->state) & SCTX__READY;
}

/* The release keeps the list's contents ahead of it, as every store of it does. */
int sctx_stream_disable(struct sctx_stream *stream)
{
	uint32_t state;

	if (!stream)
		return -EINVAL;
	sctx__update_begin();
	state = stream_lock(stream);
	if (state & SCTX__READY)
		sctx__store_release(&stream->list, stream->list | SCTX__LIST_HIDDEN);
	stream_unlock(stream, state & ~SCTX__READY);
	sctx__update_end();
	return 0;
}

/*
 * Once the list is empty and the stream torn, nobody but us changes the
 * entries, so the contexts are dropped without the lock.
 */
int sctx__stream_teardown(struct sctx_stream *stream, uint32_t also)
{
	uint32_t state = stream_lock(stream);
	struct sctx__view all = list_all(stream);
	struct sctx__array *array = list_array(stream->list);

	sctx__store_release(&stream->list, 0);
	stream_unlock(stream, (state & ~SCTX__READY) | SCTX__TORN | also);

	for (uintptr_t i = 0; i < all.count; i++) {
		struct sctx_context *ctx = all.entry[i].context;

		if (!ctx)
			continue;
		/* Pairs with context_claim(): it may hang elsewhere from now on. */
		sctx__store_release(&ctx->stream, NULL);
		put_inside(ctx);
	}
	array_retire(array);
	if (state & also)
		return sctx__misuse(-EALREADY, "stream retired twice", stream);
	return 0;
}

int sctx_teardown(struct sctx_stream *stream)
{
	if (!stream)
		return -EINVAL;
	sctx__update_begin();
	sctx__stream_teardown(stream, 0);
	sctx__update_end();
	return 0;
}

int sctx_teardown_sync(struct sctx_stream *stream)
{
	if (!stream)
		return -EINVAL;
	if (sctx__must_not_wait())
		return -EDEADLK;
	sctx_teardown(stream);
	return sctx_barrier();
}

/*
 * Teardown and retiring share one section: contexts that hung here reach
 * limbo no later than the stream, and are called back no later.
 */
int sctx_stream_retire(struct sctx_stream *stream, void (*free_fn)(struct sctx_stream *stream))
{
	int error;

	if (!stream || !free_fn)
		return -EINVAL;
	if (sctx__load(&stream->state) & SCTX__MANAGED)
		return -EPERM;
	sctx__update_begin();
	error = sctx__stream_teardown(stream, SCTX__RETIRED);
	if (!error) {
		stream->free_fn = free_fn;
		sctx__retire_stream(stream);
	}
	sctx__update_end();
	return error;
}
