/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What threads do with the stream of stream.c, and what each must give.  See stream.h. */
#include "stream.h"

#include "ledger.h"
#include "memory.h"

#include <errno.h>

static struct stream_world *const w = &stream_world;

/* ------------------------------------------------------ common to operations */

/* All flags are one place to judge by, but for gone. */
static void set(bool *flag)
{
	engine_judge(flag == &w->gone ? flag : &w->ended, true);
	*flag = true;
}

/* The stream, or NULL if it is gone; found inside a section if it may be. */
static struct sctx_stream *enter(void)
{
	if (program.flags & OP_FREES)
		sctx_read_lock();
	engine_judge(&w->gone, false);
	return w->gone ? NULL : w->stream;
}

static void leave(void)
{
	if (program.flags & OP_FREES)
		sctx_read_unlock();
}

/* A lookup that began when @closed may find nothing. */
static bool closed(void)
{
	engine_judge(&w->ended, false);
	return w->ended || w->hidden;
}

static void check_found(const struct sctx_context *found, bool was_closed)
{
	explore_check(!found || !was_closed, "found on a stream that was torn down or disabled");
	if (!w->hung || program.flags & (OP_UNLINKS | OP_HIDES | OP_ENDS))
		return;
	explore_check(found, "not found, though a context hangs there at every instant");
	if (!(program.flags & (OP_REPLACES | OP_ADDS | OP_LOOSE)))
		explore_check(found == w->hung, "found another context than the only one");
}

static void check_insert_error(int error, bool was_closed)
{
	engine_judge(&w->ended, false);
	explore_check(error || !was_closed, "insert on a stream that was torn down or disabled");
	explore_check(!error || (error == -ESHUTDOWN && w->ending) ||
			      (error == -EOPNOTSUPP && w->hiding),
		      "insert fails: %d", error);
}

/* A context that was just made; @error: what the insert of it came to. */
static void inserted(struct sctx_context *ctx, int error)
{
	if (!error)
		return;
	ledger_gets(ctx);
	ledger_put(ctx);
}

static struct sctx_context *offered(void)
{
	struct sctx_context *ctx = ledger_new(&owner_a, NULL);

	ledger_gives(ctx);
	return ctx;
}

/* A reference that the library gave. */
static void use_and_put(struct sctx_context *ctx)
{
	ledger_gets(ctx);
	ledger_use(ctx);
	ledger_put(ctx);
}

/* -------------------------------------------------------------- operations */

static void op_insert(void)
{
	struct sctx_stream *stream = enter();
	bool was_closed = closed();
	struct sctx_context *ctx;
	int error;

	if (stream) {
		ctx = offered();
		error = sctx_insert(stream, ctx);
		if (!(error == -EAGAIN && program.flags & OP_FREES))
			check_insert_error(error, was_closed);
		inserted(ctx, error);
	}
	leave();
}

static void insert_unique(struct sctx_stream *stream)
{
	bool was_closed = closed();
	struct sctx_context *existing, *ctx = offered();
	int error = sctx_insert_unique(stream, ctx, &existing);

	if (error == -EEXIST) {
		explore_check(existing, "exists, and is not given");
		use_and_put(existing);
	} else {
		explore_check(!existing, "given, and does not exist");
		check_insert_error(error, was_closed);
		explore_check(error || !w->hung || program.flags & OP_UNLINKS,
			      "inserted beside a context that hangs at every instant");
	}
	inserted(ctx, error);
}

static void op_insert_unique(void)
{
	struct sctx_stream *stream = enter();

	if (stream)
		insert_unique(stream);
	leave();
}

/* It takes no reference on what exists, not even for a moment. */
static void op_unique_blind(void)
{
	struct sctx_stream *stream = enter();
	bool was_closed = closed();
	struct sctx_context *ctx;
	int error;

	if (stream) {
		ctx = offered();
		error = sctx_insert_unique(stream, ctx, NULL);
		if (error != -EEXIST)
			check_insert_error(error, was_closed);
		explore_check(error || !w->hung || program.flags & OP_UNLINKS,
			      "inserted beside a context that hangs at every instant");
		inserted(ctx, error);
	}
	leave();
}

static void op_replace(void)
{
	struct sctx_stream *stream = enter();
	bool was_closed = closed();
	struct sctx_context *ctx, *old;
	int error;

	if (stream) {
		ctx = offered();
		error = sctx_replace(stream, ctx, &old);
		check_insert_error(error, was_closed);
		inserted(ctx, error);
		if (old)
			use_and_put(old);
	}
	leave();
}

static struct sctx_context *create(const void *owner, const void *instance, void *arg)
{
	struct sctx_context *ctx = ledger_new(owner, instance);

	(void)arg;
	ledger_gives(ctx); /* to the library */
	return ctx;
}

static void get_or_create(struct sctx_stream *stream)
{
	bool was_closed = closed();
	struct sctx_context *ctx;
	int error = sctx_get_or_create(stream, &owner_a, NULL, create, NULL, &ctx);

	check_insert_error(error, was_closed);
	explore_check(!error == !!ctx, "error %d, and context %p", error, (void *)ctx);
	if (!ctx)
		return;
	if (!(program.flags & (OP_UNLINKS | OP_REPLACES | OP_ADDS | OP_LOOSE))) {
		explore_check(!w->created || w->created == ctx, "two callers get two contexts");
		w->created = ctx;
	}
	use_and_put(ctx);
}

static void op_get_or_create(void)
{
	struct sctx_stream *stream = enter();

	if (stream)
		get_or_create(stream);
	leave();
}

static void op_lookup(void)
{
	struct sctx_stream *stream;
	struct sctx_context *ctx;
	bool was_closed;

	sctx_read_lock();
	engine_judge(&w->gone, false);
	stream = w->gone ? NULL : w->stream;
	was_closed = closed();
	ctx = sctx_lookup(stream, &owner_a, NULL);
	if (stream)
		check_found(ctx, was_closed);
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

/* Inside, while others go on. */
static void stay(struct sctx_stream *const *stream)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	engine_judge(&w->gone, false);
	ctx = sctx_lookup(w->gone ? NULL : *stream, &owner_a, NULL);
	engine_pause();
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void op_stay(void)
{
	stay(&w->stream);
}

/* Where the context may be moved to. */
static void op_stay_other(void)
{
	stay(&w->other);
}

/* Deleted, then held by a borrower, and hung up there: if limbo has let go of it. */
static void op_delete_move(void)
{
	struct sctx_context *ctx;
	int error;

	sctx_read_lock();
	ctx = sctx_lookup(w->stream, &owner_a, NULL);
	error = sctx_delete(w->stream, &owner_a, NULL);
	ctx = sctx_ref(ctx);
	sctx_read_unlock();
	explore_check(!error || error == -ENOENT, "delete: %d", error);
	if (!ctx)
		return;
	engine_pause();
	error = sctx_insert(w->other, ctx);
	explore_check(!error || error == -EBADF, "insert: %d", error);
	if (!error)
		return;
	ledger_gets(ctx);
	ledger_put(ctx);
}

static void op_delete_other(void)
{
	int error = sctx_delete(w->other, &owner_a, NULL);

	explore_check(!error || error == -ENOENT, "delete: %d", error);
}

static void op_get_many(void)
{
	const void *const owners[] = { &owner_a, &owner_b };
	struct sctx_stream *stream = enter();
	struct sctx_context *ctx[2];
	bool was_closed = closed();
	int n = sctx_get_many(stream, 2, owners, ctx);

	explore_check(n == !!ctx[0] + !!ctx[1], "get_many: %d", n);
	if (stream)
		check_found(ctx[0], was_closed);
	for (int i = 0; i < 2; i++)
		if (ctx[i]) {
			ledger_gets(ctx[i]);
			ledger_use(ctx[i]);
			ledger_gives(ctx[i]);
		}
	n = sctx_put_many(2, ctx);
	explore_check(!n, "put_many: %d", n);
	leave();
}

static void op_get(void)
{
	struct sctx_stream *stream = enter();
	bool was_closed = closed();
	struct sctx_context *ctx = sctx_get(stream, &owner_a, NULL);

	if (stream)
		check_found(ctx, was_closed);
	if (ctx)
		use_and_put(ctx);
	leave();
}

/* Meanwhile much can happen. */
static void op_get_hold(void)
{
	struct sctx_context *ctx = sctx_get(enter(), &owner_a, NULL);

	leave();
	if (!ctx)
		return;
	ledger_gets(ctx);
	engine_pause();
	ledger_put(ctx);
}

static void op_remove(void)
{
	struct sctx_context *ctx = sctx_remove(enter(), &owner_a, NULL);

	leave();
	if (ctx)
		use_and_put(ctx);
}

/* Where nobody else has it: freed at once.  One just inserted is its inserter's as well. */
static void op_remove_free(void)
{
	struct sctx_context *ctx = sctx_remove(enter(), &owner_a, NULL);

	leave();
	if (ctx && ctx == w->hung)
		ledger_free_handed(ctx);
	else if (ctx)
		use_and_put(ctx);
}

static void op_delete(void)
{
	struct sctx_stream *stream = enter();
	int error = stream ? sctx_delete(stream, &owner_a, NULL) : 0;

	leave();
	explore_check(!error || error == -ENOENT, "delete: %d", error);
}

/* After the barrier it has been called back, if nobody else had a reference. */
static void op_delete_barrier(void)
{
	struct sctx_stream *stream = enter();
	int error = stream ? sctx_delete(stream, &owner_a, NULL) : -ENOENT;

	leave();
	explore_check(!error || error == -ENOENT, "delete: %d", error);
	if (sctx_barrier())
		explore_fail("barrier fails");
	explore_check(error || !w->hung || program.flags & (OP_REFERS | OP_ADDS | OP_LOOSE) ||
			      ledger_called_back(w->hung),
		      "a barrier is over, and what was deleted before it not called back");
}

/* The stream is found through the context. */
static void op_detach(void)
{
	int error;

	if (!w->hung)
		return;
	error = sctx_detach(w->hung);
	explore_check(!error || (error == -ENOENT &&
				 (program_count(OP_UNLINKS) > 1 || program.flags & OP_REPLACES)),
		      "detach: %d", error);
	explore_check(error || !w->hung->stream || w->hung->stream == SCTX__IN_LIMBO ||
			      program.flags & OP_MOVES,
		      "detached, and says where it hangs");
	ledger_use(w->hung);
	ledger_put(w->hung);
}

static void op_detach_found(void)
{
	struct sctx_context *ctx;
	int error;

	sctx_read_lock();
	engine_judge(&w->gone, false);
	ctx = sctx_lookup(w->gone ? NULL : w->stream, &owner_a, NULL);
	error = ctx ? sctx_detach(ctx) : 0;
	explore_check(!error || error == -ENOENT, "detach: %d", error);
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void op_put(void)
{
	if (w->hung)
		ledger_put(w->hung);
}

/* One reference goes to the stream, of those that threads have on one context. */
static void insert_loose(struct sctx_stream *stream)
{
	int error;

	ledger_gives(w->loose);
	error = stream ? sctx_insert(stream, w->loose) : -ESHUTDOWN;
	if (!error) {
		w->loose_on++;
	} else {
		ledger_gets(w->loose);
		explore_check(error == -EBUSY || w->ending || w->hiding, "insert: %d", error);
		ledger_put(w->loose);
	}
	if (!(program.flags & (OP_UNLINKS | OP_REPLACES | OP_ENDS)))
		explore_check(w->loose_on < 2, "a context hangs twice");
}

static void op_insert_loose(void)
{
	insert_loose(enter());
	leave();
}

static void op_insert_loose_other(void)
{
	insert_loose(w->other);
}

/*
 * Borrowed, held, and hung up elsewhere: if it hangs no more, and limbo does
 * not have it either.
 */
static void op_move(void)
{
	struct sctx_context *ctx, *found;
	int error;

	sctx_read_lock();
	engine_judge(&w->gone, false);
	ctx = sctx_ref(sctx_lookup(w->gone ? NULL : w->stream, &owner_a, NULL));
	sctx_read_unlock();
	if (!ctx)
		return;
	error = sctx_insert(w->other, ctx);
	explore_check(!error || error == -EBUSY || error == -EBADF, "insert: %d", error);
	if (error) {
		ledger_gets(ctx);
		ledger_put(ctx);
	}
	sctx_read_lock();
	found = sctx_lookup(w->other, &owner_a, NULL);
	explore_check(error || found == ctx || program_count(OP_MOVES) > 1 ||
			      program.flags & (OP_LOOSE | OP_OTHER | OP_DETACHES),
		      "inserted, and not found");
	if (found)
		ledger_use(found);
	sctx_read_unlock();
}

static int use(struct sctx_context *ctx, void *unused)
{
	(void)unused;
	ledger_use(ctx);
	return 0;
}

static void op_for_each(void)
{
	sctx_read_lock();
	engine_judge(&w->gone, false);
	if (!w->gone)
		sctx_stream_for_each(w->stream, use, NULL);
	sctx_read_unlock();
}

static void op_disable(void)
{
	struct sctx_stream *stream = enter();

	set(&w->hiding);
	if (stream && sctx_stream_disable(stream))
		explore_fail("disable fails");
	set(&w->hidden);
	leave();
}

static void op_teardown(void)
{
	struct sctx_stream *stream = enter();

	set(&w->ending);
	if (stream && sctx_teardown(stream))
		explore_fail("teardown fails");
	set(&w->ended);
	leave();
}

static void count(struct sctx_context *ctx, void *n)
{
	ledger_use(ctx);
	++*(int *)n;
}

static void op_teardown_report(void)
{
	struct sctx_stream *stream = enter();
	int n = 0;

	set(&w->ending);
	if (stream && sctx_teardown_report(stream, count, &n) != n)
		explore_fail("teardown_report tells another number than it called for");
	set(&w->ended);
	leave();
}

static void op_teardown_sync(void)
{
	struct sctx_stream *stream = w->stream;

	set(&w->ending);
	set(&w->gone);
	if (sctx_teardown_sync(stream))
		explore_fail("teardown_sync fails");
	set(&w->ended);
	explore_check(!w->hung ||
			      program.flags & (OP_REFERS | OP_HOLDS | OP_DELETES | OP_REPLACES) ||
			      ledger_called_back(w->hung),
		      "torn down, and its context not called back");
	memory_free(stream, sizeof(*stream));
}

static void stream_free(struct sctx_stream *stream)
{
	memory_free(stream, sizeof(*stream));
}

static void op_retire(void)
{
	set(&w->ending);
	set(&w->gone);
	if (sctx_stream_retire(w->stream, stream_free))
		explore_fail("retire fails");
	set(&w->ended);
}

static void op_barrier(void)
{
	if (sctx_barrier())
		explore_fail("barrier fails");
}

static void op_synchronize(void)
{
	if (sctx_synchronize())
		explore_fail("synchronize fails");
}

/* What was removed, as create() may return it: a borrower may take a reference meanwhile. */
struct recreation {
	struct sctx_context *removed;
	bool given;
};

static struct sctx_context *recreate(const void *owner, const void *instance, void *arg)
{
	struct recreation *r = arg;

	(void)owner;
	(void)instance;
	ledger_gives(r->removed); /* to the library */
	r->given = true;
	return r->removed;
}

static void op_recreate(void)
{
	struct sctx_stream *stream = enter();
	bool was_closed = closed();
	struct recreation r = { .removed = sctx_remove(stream, &owner_a, NULL) };
	struct sctx_context *ctx;
	int error;

	if (r.removed) {
		ledger_gets(r.removed);
		error = sctx_get_or_create(stream, &owner_a, NULL, recreate, &r, &ctx);
		explore_check(!error == !!ctx, "error %d, and context %p", error, (void *)ctx);
		if (error == -EBUSY)
			explore_check(program.flags & (OP_MOVES | OP_LOOSE), "get_or_create: %d",
				      error);
		else
			check_insert_error(error, was_closed);
		if (ctx)
			use_and_put(ctx);
		if (error == -EBUSY)
			ledger_gets(r.removed); /* it is left alone */
		if (error == -EBUSY || !r.given)
			ledger_put(r.removed);
	}
	leave();
}

/* At any moment, and no thread's record may go away meanwhile. */
static void op_stats(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	if (sctx_stats_get(&stats))
		explore_fail("stats fail");
}

/* The thread's limbo goes to others. */
static void op_thread_detach(void)
{
	if (sctx_thread_detach())
		explore_fail("a thread cannot detach");
}

const struct op stream_ops[] = {
	{ "insert", op_insert, OP_ADDS },
	{ "insert_unique", op_insert_unique, OP_REFERS },
	{ "unique_blind", op_unique_blind, 0 },
	{ "replace", op_replace, OP_REPLACES | OP_REFERS },
	{ "get_or_create", op_get_or_create, OP_REFERS },
	{ "recreate", op_recreate, OP_UNLINKS | OP_REFERS | OP_ADDS },
	{ "lookup", op_lookup, 0 },
	{ "get", op_get, OP_REFERS },
	{ "get_many", op_get_many, OP_REFERS },
	{ "stay", op_stay, 0 },
	{ "get_hold", op_get_hold, OP_REFERS },
	{ "remove", op_remove, OP_UNLINKS | OP_REFERS },
	{ "remove_free", op_remove_free, OP_UNLINKS | OP_OTHER },
	{ "delete", op_delete, OP_UNLINKS | OP_DELETES },
	{ "delete_barrier", op_delete_barrier, OP_UNLINKS | OP_DELETES },
	{ "detach", op_detach, OP_REFERS | OP_UNLINKS | OP_HOLDS | OP_DETACHES },
	{ "detach_found", op_detach_found, OP_UNLINKS | OP_DETACHES | OP_DELETES },
	{ "put", op_put, OP_HOLDS | OP_REFERS },
	{ "insert_loose", op_insert_loose, OP_LOOSE },
	{ "insert_loose_other", op_insert_loose_other, OP_LOOSE },
	{ "disable", op_disable, OP_HIDES },
	{ "teardown", op_teardown, OP_ENDS | OP_UNLINKS },
	{ "teardown_report", op_teardown_report, OP_ENDS | OP_UNLINKS },
	{ "teardown_sync", op_teardown_sync, OP_ENDS | OP_UNLINKS | OP_FREES | OP_ONCE },
	{ "retire", op_retire, OP_ENDS | OP_UNLINKS | OP_FREES | OP_ONCE },
	{ "move", op_move, OP_MOVES | OP_REFERS },
	{ "stay_other", op_stay_other, OP_OTHER },
	{ "delete_other", op_delete_other, OP_OTHER },
	{ "delete_move", op_delete_move, OP_OTHER | OP_REFERS | OP_UNLINKS | OP_MOVES },
	{ "for_each", op_for_each, 0 },
	{ "barrier", op_barrier, 0 },
	{ "synchronize", op_synchronize, 0 },
	{ "stats", op_stats, 0 },
	{ "thread_detach", op_thread_detach, 0 },
	{ "poll", stream_poll, OP_MODES },
	{ "to_thread", stream_to_thread, OP_MODES },
	{ "to_poll", stream_to_poll, OP_MODES },
	{ NULL, NULL, 0 },
};
