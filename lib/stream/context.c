/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts on a stream: insert, lookup, remove, and references.  Called by
 * users, and by owner.c and unload.c.  The list itself is in list.h, the last
 * put in refs.h, streams are in stream.c.
 *
 * The stream's lock covers list, entries, flags, and the @stream field of the
 * contexts that hang here.
 */
#include "stream/context.h"
#include "stream/list.h"
#include "stream/refs.h"

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
 * Relaxed: the caller's own reference, or its read section, keeps the count
 * from being the last one.
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

/* @stream's own reference stays while it is locked: is it the only one? */
static bool only_stream_holds(struct sctx_stream *stream, struct sctx_context *ctx)
{
	uint32_t state = stream_lock(stream);
	bool only = sctx__load(&ctx->stream) == stream && sctx__load(&ctx->refs) == 1;

	stream_unlock(stream, state);
	return only;
}

static int put_last(struct sctx__retiring *r, struct sctx_context *ctx, uint8_t links)
{
	struct sctx__retiring own;

	if (sctx__load(&ctx->refs) == 0 || sctx__load(&ctx->in_limbo))
		return sctx__misuse_context(-EBADF, "put of a context whose last reference was put",
					    ctx);
	sctx__owned_forget(ctx);
	if (r) {
		sctx__put_last(r, ctx, links);
		return 0;
	}
	own = sctx__retire_begin();
	sctx__put_last(&own, ctx, links);
	sctx__retire_end(&own);
	return 0;
}

/*
 * One who borrowed the context may have taken a reference since the count was read, and
 * have inserted it; so that it hangs somewhere does not make the put a misuse.
 */
int sctx__put_inside(struct sctx__retiring *r, struct sctx_context *ctx)
{
	while (!sctx__put_if_others_hold(ctx)) {
		/* Pair with the releases in context_claim(). */
		uint8_t links = sctx__load_acquire(&ctx->links);
		struct sctx_stream *stream = sctx__load_acquire(&ctx->stream);

		if (!stream)
			return put_last(r, ctx, links);
		if (only_stream_holds(stream, ctx))
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
 * Say that @ctx hangs on @stream.  Others may want it elsewhere: those who hold
 * it, and those who borrowed it when it was linked before, and take a reference
 * now.  Until that first time, who is alone needs no atomic operation, nor does
 * one who has just taken a second reference for himself (@ours of them).
 *
 * What limbo still holds is refused, though a borrower has taken a reference:
 * limbo's ends with a grace period that has begun, and so must not be the last
 * one of what later readers find.  Who puts it just now may be missed, but not
 * by limbo, which sees that it was linked since (context_drop()).
 */
SCTX__INLINE int context_claim(struct sctx_context *ctx, struct sctx_stream *stream, uint32_t ours)
{
	bool alone = sctx__load_acquire(&ctx->refs) == ours;
	struct sctx_stream *nowhere = NULL;
	uint8_t links;

	if (sctx__load(&ctx->in_limbo))
		return sctx__misuse_context(-EBADF, "insert of a context that was put", ctx);
	/* Pairs with the acquire in sctx_detach(), as the compare-and-swap does. */
	if (alone && !sctx__load(&ctx->links))
		sctx__store_release(&ctx->stream, stream);
	else if (!sctx__cas_acq_rel(&ctx->stream, &nowhere, stream))
		return sctx__misuse_context(-EBUSY, "insert of a context that hangs on a stream",
					    ctx);
	/* Pairs with the acquires of who hands the last reference to limbo. */
	links = sctx__load(&ctx->links);
	sctx__store_release(&ctx->links, links == UINT8_MAX - 1 ? 1 : links + 1);
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
 * Put ctx where @entry's context is, so that readers find the old or the new
 * at any instant.  That is one store, which pairs with the acquire in
 * sctx__entry_load(), if the instance is the same and the entry its owner's
 * newest: who is passing and finds ctx has then found what was the newest when
 * it was stored, whatever instance was asked for.  Else the list is rebuilt.
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

	ins->error = sctx__owned_refused(ctx) ? -ESHUTDOWN : state_error(state);
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
		array_free(&ins->spare->block);
	ins->spare = NULL;
}

/* Count, and tell the owner of what was replaced. */
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

/* One attempt, which fails for want of an array to put the entries in, or is DONE. */
SCTX__INLINE enum step insert_attempt(struct insertion *ins)
{
	struct sctx__array *old = NULL;
	enum step step;
	uint32_t state;

	sctx__update_begin();
	state = stream_lock(ins->stream);
	step = insert_locked(ins, state, &old);
	/* Unasked, not even for a moment: its remover may free it at once. */
	if (ins->error == -EEXIST)
		ins->found = ins->blind ? NULL : ref(ins->found);
	stream_unlock(ins->stream, state);
	array_retire(old);
	if (step == DONE && !ins->error)
		insert_done(ins);
	sctx__update_end();
	return step;
}

/* The array is allocated with no lock held, and the list may be longer by then. */
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

/* The caller has been admitted.  Passed on as a copy, @ins can be in registers. */
SCTX__INLINE void insert_admitted(struct insertion *ins)
{
	struct insertion with_array;

	if (sctx__likely(insert_attempt(ins) == DONE))
		return;
	with_array = *ins;
	insert_with_array(&with_array);
	*ins = with_array;
}

/* Refuses what was never initialised, too. */
SCTX__INLINE int insert(struct insertion *ins)
{
	if (!ins->stream || !ins->ctx || !ins->ctx->owner || !ins->ctx->free_callback)
		return -EINVAL;
	ins->error = sctx__admit(false);
	if (ins->error)
		return ins->error;
	sctx__owned_forget(ins->ctx);
	insert_admitted(ins);
	return ins->error;
}

int sctx__stream_attach(struct sctx_stream *stream, struct sctx_context *ctx)
{
	struct insertion ins = { .stream = stream, .ctx = ctx, .mode = INSERT, .ours = 1 };

	insert_admitted(&ins);
	return ins.error;
}

/* Give the caller what was found, or drop it if he does not want it. */
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
		ref(created);
	insert_admitted(&ins);
	if (!ins.error) {
		*ctx = created;
		return 0;
	}
	put(created);
	put(created);
	*ctx = ins.found;
	if (ins.error == -EEXIST)
		return ins.found ? 0 : -EOVERFLOW;
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

/*
 * Stream locked.  Readers that have the context already keep it.  Pairs with
 * the acquire in sctx__entry_load(): who sees it gone sees what was inserted
 * before.
 */
static void entry_unlink(const struct sctx_entry *entry, struct sctx_context *ctx)
{
	sctx__store_release(entry_context(entry), NULL);
	sctx__store_release(&ctx->stream, NULL); /* pairs with context_claim() */
}

/*
 * Inside an update.  The stream's reference is the caller's; the owner has
 * been told.
 */
static struct sctx_context *unlink_match(struct sctx_stream *stream, const void *owner,
					 const void *instance)
{
	uint32_t state = stream_lock(stream);
	struct sctx_context *ctx = NULL;
	bool gone;
	const struct sctx_entry *entry =
		sctx__view_find(sctx__list_view(stream), owner, instance, &ctx, &gone);

	if (entry)
		entry_unlink(entry, ctx);
	stream_unlock(stream, state);
	if (!entry)
		return NULL;
	sctx__count(SCTX__REMOVES, 1);
	sctx__owned_unlinked(ctx, stream);
	return ctx;
}

struct sctx_context *sctx_remove(struct sctx_stream *stream, const void *owner,
				 const void *instance)
{
	struct sctx_context *ctx;

	if (!stream)
		return NULL;
	sctx__update_begin();
	ctx = unlink_match(stream, owner, instance);
	if (ctx)
		sctx__owned_handed_out(ctx, stream);
	sctx__update_end();
	sctx__debug_took(ctx);
	return ctx;
}

int sctx_delete(struct sctx_stream *stream, const void *owner, const void *instance)
{
	struct sctx_context *ctx;

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	sctx__update_begin();
	ctx = unlink_match(stream, owner, instance);
	if (ctx)
		sctx__put_inside(NULL, ctx);
	sctx__update_end();
	return ctx ? 0 : -ENOENT;
}

/* The newest of @owner's on @stream, a disabled one too. */
static struct sctx_context *unlink_owned(struct sctx_stream *stream, const struct sctx_owner *owner)
{
	uint32_t state = stream_lock(stream);
	struct sctx_context *ctx = NULL;
	const struct sctx_entry *entry = list_match(stream, owner, NULL, &ctx);

	if (entry)
		entry_unlink(entry, ctx);
	stream_unlock(stream, state);
	return entry ? ctx : NULL;
}

void sctx__stream_sweep(struct sctx_stream *stream, const struct sctx_owner *owner)
{
	struct sctx_context *ctx;

	while ((ctx = unlink_owned(stream, owner)) != NULL) {
		sctx__count(SCTX__REMOVES, 1);
		sctx__owned_unlinked(ctx, stream);
		sctx__put_inside(NULL, ctx);
	}
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

	sctx__debug_enter();
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
	if (unlinked) {
		sctx__count(SCTX__REMOVES, 1);
		sctx__owned_unlinked(ctx, stream);
		sctx__put_inside(NULL, ctx);
	}
	sctx__update_end();
	return unlinked ? 0 : -ENOENT;
}
