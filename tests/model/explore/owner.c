/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations of a module that registers an owner, and leaves.  Its streams: A,
 * which the registry opens and the owner attaches to, and in the start
 * "tracked" an embedded one that the registry knows of; and another one where
 * contexts are moved to.  See ops.h.
 */
#include "ops.h"

#include "ledger.h"
#include "memory.h"

#include <streamctx.h>

#include <errno.h>
#include <string.h>

enum { CLOSED, OPEN, TRACKED };

#define KEPT_MAX 16

static struct {
	struct sctx_registry *registry;
	struct sctx_owner *owner;
	struct sctx_owner *other[KEPT_MAX]; /* registered by the program */
	int others;
	struct sctx_stream *stream;   /* where contexts are hung up, open throughout */
	struct sctx_stream *embedded; /* it, if it is not the registry's */
	struct sctx_stream *elsewhere; /* where contexts are moved to, if any are */
	struct sctx_stream *kept[KEPT_MAX];
	int kept_count;
	struct sctx_stream *opened[KEPT_MAX]; /* for the program to close */
	int opened_count;
	struct sctx_context *guard[KEPT_MAX];
	int guards;
	bool leaving; /* unregister was called */
	bool left;    /* and has returned: no context is found any more */
	bool gone;    /* with 0: the module's code is unmapped */
	int inside;   /* of the module's functions: threads */
	bool torn;    /* teardown was called */
	bool retired; /* the embedded stream was: found no more */
} w;

static const struct sctx_id name_a = { .volume = 1 };

/* ------------------------------------------------------------ the module's code */

/* Of the owner's functions: those of others that register do not leave meanwhile. */
static void module_enter(const void *owner)
{
	if (owner != w.owner)
		return;
	engine_judge(&w.gone, false);
	explore_check(!w.gone, "the library calls a module that has left");
	w.inside++;
}

static void module_leave(const void *owner)
{
	if (owner != w.owner)
		return;
	explore_check(!w.gone, "a module has left, and a call of it is under way");
	w.inside--;
}

static int attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg, struct sctx_context **ctx)
{
	(void)arg;
	(void)id;
	module_enter(owner);
	explore_check(!current->nesting, "attach is called in a section");
	if (program.flags & OP_LEAVES)
		engine_pause(); /* it may block */
	*ctx = ledger_new_owned(owner, NULL);
	if (*ctx) {
		ledger_gives(*ctx);
		if (program.flags & OP_LEAVES)
			ledger_linked_perhaps(*ctx);
		else
			ledger_linked(*ctx);
	}
	module_leave(owner);
	return *ctx ? 0 : -ESHUTDOWN;
}

static void detached(struct sctx_context *ctx)
{
	module_enter(ctx->owner);
	ledger_detached(ctx);
	module_leave(ctx->owner);
}

/* Those of alloc are the library's memory. */
static void freed(struct sctx_context *ctx)
{
	const void *owner = ctx->owner;

	module_enter(owner);
	if (!ctx->instance)
		ledger_free(ctx);
	module_leave(owner);
}

static struct sctx_owner *owner_new(void)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops),
					    .name = "module",
					    .tag = SCTX_TAG('M', 'o', 'd', ' '),
					    .flags = SCTX_OWNER_REQUIRED,
					    .attach = attach,
					    .detached = detached,
					    .free = freed };
	struct sctx_owner *owner;
	int error = sctx_owner_register(w.registry, &ops, &owner);

	explore_check(!error, "register: %d", error);
	return owner;
}

/* ------------------------------------------------------ common to operations */

static void set(bool *flag)
{
	engine_judge(flag == &w.gone ? flag : &w.left, true);
	*flag = true;
}

/* What begins now finds nothing of the owner's. */
static bool has_left(void)
{
	engine_judge(&w.left, false);
	return w.left;
}

/* Held; NULL if the owner is leaving. */
static struct sctx_context *context_new(void)
{
	bool was_left = has_left();
	struct sctx_context *ctx = ledger_new_owned(w.owner, NULL);

	explore_check(ctx || w.leaving, "no context of an owner that stays");
	explore_check(!ctx || !was_left, "a context of an owner that has left");
	return ctx;
}

/* While this one is held the owner is good: for calls that are given it. */
static void guard_put(void)
{
	ledger_put(w.guard[--w.guards]);
}

static void check_insert(struct sctx_context *ctx, int error)
{
	if (error) {
		explore_check(error == -ESHUTDOWN && (w.leaving || w.torn), "insert: %d", error);
		ledger_gets(ctx);
		ledger_put(ctx);
	} else {
		ledger_linked(ctx);
	}
}

static void use_and_put(struct sctx_context *ctx)
{
	ledger_gets(ctx);
	ledger_use(ctx);
	ledger_put(ctx);
}

static struct sctx_stream *open_a(void)
{
	struct sctx_stream *stream;
	int error = sctx_open(w.registry, &name_a, 0, &stream);

	explore_check(!error, "open: %d", error);
	return stream;
}

static void close_stream(struct sctx_stream *stream)
{
	int error = sctx_close(stream);

	explore_check(!error, "close: %d", error);
}

/* Nobody sees a stream without the context of an owner that is registered. */
static void check_attached(struct sctx_stream *stream, bool was_left)
{
	struct sctx_context *ctx = sctx_get(stream, w.owner, NULL);

	explore_check(ctx || w.leaving || program.flags & OP_UNLINKS,
		      "a stream without its owner's context");
	explore_check(!ctx || !was_left, "a context of an owner that has left");
	if (ctx)
		use_and_put(ctx);
}

/* -------------------------------------------------------------- operations */

static void op_open_close(void)
{
	bool was_left = has_left();
	struct sctx_stream *stream = open_a();

	check_attached(stream, was_left);
	close_stream(stream);
}

/* Opened and closed, and nothing more: that holds up nobody's unregister. */
static void op_open_only(void)
{
	close_stream(open_a());
}

static void op_keep(void)
{
	struct sctx_stream *stream = open_a();

	explore_check(w.kept_count < KEPT_MAX, "more streams than there is room for");
	w.kept[w.kept_count++] = stream;
}

/* A reference that was opened for this operation, before. */
static void op_close(void)
{
	close_stream(w.opened[--w.opened_count]);
}

static void op_find(void)
{
	struct sctx_stream *stream;
	struct sctx_context *ctx = NULL;
	bool was_left = has_left();

	sctx_read_lock();
	stream = sctx_find(w.registry, &name_a);
	if (stream)
		ctx = sctx_lookup(stream, w.owner, NULL);
	explore_check(!stream || stream != w.stream || ctx || w.leaving ||
			      program.flags & OP_UNLINKS,
		      "a stream is found without its owner's context");
	explore_check(!ctx || !was_left, "a context of an owner that has left");
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void insert_new(void)
{
	struct sctx_context *ctx = context_new();

	if (!ctx)
		return;
	ledger_gives(ctx);
	check_insert(ctx, sctx_insert(w.stream, ctx));
}

static void insert_unique(void)
{
	struct sctx_context *existing, *ctx = context_new();
	int error;

	if (!ctx)
		return;
	ledger_gives(ctx);
	error = sctx_insert_unique(w.stream, ctx, &existing);
	explore_check((error == -EEXIST) == !!existing, "insert_unique: %d", error);
	if (existing)
		use_and_put(existing);
	if (error == -EEXIST) {
		ledger_gets(ctx);
		ledger_put(ctx);
	} else {
		check_insert(ctx, error);
	}
}

static void replace(void)
{
	struct sctx_context *old, *ctx = context_new();

	if (!ctx)
		return;
	ledger_gives(ctx);
	check_insert(ctx, sctx_replace(w.stream, ctx, &old));
	if (old) {
		ledger_unlinked(old);
		use_and_put(old);
	}
}

static struct sctx_context *create(const void *owner, const void *instance, void *made)
{
	struct sctx_context *ctx = context_new();

	(void)owner;
	(void)instance;
	if (ctx)
		ledger_gives(ctx); /* to the library */
	return *(struct sctx_context **)made = ctx;
}

static void get_or_create(void)
{
	struct sctx_context *ctx, *made = NULL;
	int error = sctx_get_or_create(w.stream, w.owner, NULL, create, &made, &ctx);

	explore_check(!error == !!ctx, "error %d, and context %p", error, (void *)ctx);
	explore_check(!error || w.leaving || w.torn, "get_or_create: %d", error);
	if (ctx && ctx == made)
		ledger_linked(ctx);
	if (ctx)
		use_and_put(ctx);
}

static void op_lookup(void)
{
	bool was_left = has_left();
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(w.stream, w.owner, NULL);
	explore_check(!ctx || !was_left, "a context of an owner that has left");
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void op_hold(void)
{
	struct sctx_context *ctx = sctx_get(w.stream, w.owner, NULL);

	if (!ctx)
		return;
	ledger_gets(ctx);
	engine_pause();
	ledger_use(ctx);
	ledger_put(ctx);
}

static void op_remove(void)
{
	struct sctx_context *ctx = sctx_remove(w.stream, w.owner, NULL);

	if (!ctx)
		return;
	ledger_unlinked(ctx);
	use_and_put(ctx);
}

static void op_delete(void)
{
	int error = sctx_delete(w.stream, w.owner, NULL);

	explore_check(!error || error == -ENOENT, "delete: %d", error);
}

static void op_detach_found(void)
{
	struct sctx_context *ctx;
	int error;

	sctx_read_lock();
	ctx = sctx_lookup(w.stream, w.owner, NULL);
	error = ctx ? sctx_detach(ctx) : 0;
	explore_check(!error || error == -ENOENT, "detach: %d", error);
	if (ctx && !error)
		ledger_unlinked(ctx);
	sctx_read_unlock();
}

/* From the library's own memory; its instance says so to freed(). */
static void alloc_and_put(void)
{
	bool was_left = has_left();
	struct sctx_context *ctx;
	int error = sctx_context_alloc(w.owner, &w, 0, &ctx);

	explore_check(error || !was_left, "a context of an owner that has left");
	explore_check(!error || (error == -ESHUTDOWN && w.leaving), "alloc: %d", error);
	if (error)
		return;
	error = sctx_put(ctx);
	explore_check(!error, "put: %d", error);
}

static void op_teardown(void)
{
	if (!w.embedded) {
		if (sctx_teardown(w.stream) != -EPERM)
			explore_fail("a registry's stream is torn down");
		return;
	}
	set(&w.torn);
	if (sctx_teardown(w.stream))
		explore_fail("teardown fails");
}

static void stream_free(struct sctx_stream *stream)
{
	memory_free(stream, sizeof(*stream));
}

/* Others find the stream inside their section, or not at all. */
static void op_retire(void)
{
	engine_judge(&w.retired, true);
	w.retired = true;
	set(&w.torn);
	if (sctx_stream_retire(w.embedded, stream_free))
		explore_fail("retire fails");
}

static void op_teardown_found(void)
{
	sctx_read_lock();
	engine_judge(&w.retired, false);
	if (!w.retired && sctx_teardown(w.embedded))
		explore_fail("teardown fails");
	sctx_read_unlock();
}

/* Borrowed, held, linked elsewhere and taken back. */
static void op_move(void)
{
	struct sctx_context *ctx, *back;
	int error;

	sctx_read_lock();
	ctx = sctx_ref(sctx_lookup(w.stream, w.owner, NULL));
	sctx_read_unlock();
	if (!ctx)
		return;
	engine_pause();
	error = sctx_insert(w.elsewhere, ctx);
	explore_check(!error || error == -EBUSY || error == -EBADF ||
			      (error == -ESHUTDOWN && w.leaving),
		      "insert: %d", error);
	if (error) {
		ledger_gets(ctx);
		ledger_put(ctx);
		return;
	}
	ledger_linked(ctx);
	back = sctx_remove(w.elsewhere, w.owner, NULL);
	explore_check(back || w.leaving, "moved, and not found");
	if (back) {
		ledger_unlinked(back);
		use_and_put(back);
	}
}

/* Another embedded stream comes and goes. */
static void op_track(void)
{
	struct sctx_stream *stream = memory_alloc(sizeof(*stream), "stream");
	int error;

	sctx_stream_init(stream);
	error = sctx_stream_track(w.registry, stream);
	explore_check(!error, "track: %d", error);
	error = sctx_teardown_sync(stream);
	explore_check(!error, "teardown_sync: %d", error);
	memory_free(stream, sizeof(*stream));
}

static void op_unregister(void)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	int error;

	set(&w.leaving);
	error = sctx_owner_unregister(w.owner, &leaks);
	if (error == -EALREADY || error == -ENOENT) {
		explore_check(program_count(OP_LEAVES) > 1, "unregister: %d", error);
		return;
	}
	explore_check(!error || error == -EBUSY, "unregister: %d", error);
	explore_check(!error || program.flags & OP_KEEPS,
		      "unregister finds %d contexts held, and nobody holds one", (int)leaks.held);
	sctx_read_lock();
	engine_judge(&w.retired, false);
	explore_check(w.retired || !sctx_lookup(w.stream, w.owner, NULL),
		      "unregister leaves a context linked");
	sctx_read_unlock();
	set(&w.left);
	if (error)
		return;
	set(&w.gone);
	explore_check(!w.inside, "a module has left, and a call of it is under way");
	explore_check(!ledger_live(w.owner),
		      "a module has left, and %d contexts of it are not freed",
		      ledger_live(w.owner));
}

static void op_register(void)
{
	explore_check(w.others < KEPT_MAX, "more owners than there is room for");
	w.other[w.others++] = owner_new();
}

static int visit(const struct sctx_owner_stats *stats, void *n)
{
	explore_check(strcmp(stats->name, "module") == 0, "an owner of another name");
	++*(int *)n;
	return 0;
}

static void op_owners(void)
{
	int n = 0, error = sctx_registry_owners(w.registry, visit, &n);

	explore_check(!error, "owners: %d", error);
	explore_check(n || w.leaving, "an owner that is registered is not listed");
}

static void op_insert(void)
{
	insert_new();
	guard_put();
}

static void op_insert_unique(void)
{
	insert_unique();
	guard_put();
}

static void op_replace(void)
{
	replace();
	guard_put();
}

static void op_get_or_create(void)
{
	get_or_create();
	guard_put();
}

static void op_alloc(void)
{
	alloc_and_put();
	guard_put();
}

static const struct op ops[] = {
	{ "unregister", op_unregister, OP_LEAVES },
	{ "register", op_register, 0 },
	{ "owners", op_owners, 0 },
	{ "open_close", op_open_close, OP_KEEPS },
	{ "open_only", op_open_only, 0 },
	{ "keep", op_keep, 0 },
	{ "close", op_close, OP_OPENED },
	{ "find", op_find, 0 },
	{ "insert", op_insert, OP_STREAM | OP_KEEPS | OP_GUARD },
	{ "insert_unique", op_insert_unique, OP_STREAM | OP_KEEPS | OP_GUARD },
	{ "replace", op_replace, OP_STREAM | OP_KEEPS | OP_GUARD },
	{ "get_or_create", op_get_or_create, OP_STREAM | OP_KEEPS | OP_GUARD },
	{ "lookup", op_lookup, OP_STREAM },
	{ "hold", op_hold, OP_STREAM | OP_KEEPS },
	{ "remove", op_remove, OP_STREAM | OP_KEEPS | OP_UNLINKS },
	{ "delete", op_delete, OP_STREAM | OP_UNLINKS },
	{ "detach_found", op_detach_found, OP_STREAM | OP_UNLINKS },
	{ "teardown", op_teardown, OP_STREAM | OP_UNLINKS | OP_ENDS },
	{ "alloc", op_alloc, OP_KEEPS | OP_GUARD },
	{ "track", op_track, 0 },
	{ "retire", op_retire, OP_STREAM | OP_UNLINKS | OP_ENDS | OP_FREES | OP_ONCE | OP_OTHER },
	{ "teardown_found", op_teardown_found, OP_STREAM | OP_UNLINKS | OP_OTHER },
	{ "move", op_move, OP_STREAM | OP_KEEPS | OP_MOVES | OP_OTHER },
	{ NULL, NULL, 0 },
};

/* ------------------------------------------------------------ start and end */

static struct sctx_stream *tracked_new(void)
{
	struct sctx_stream *stream = memory_alloc(sizeof(*stream), "stream");

	sctx_stream_init(stream);
	if (sctx_stream_track(w.registry, stream))
		explore_fail("a stream cannot be tracked");
	return stream;
}

static void set_up(int start)
{
	memset(&w, 0, sizeof(w));
	if (sctx_registry_create(&w.registry))
		explore_fail("a registry cannot be created");
	w.owner = owner_new();
	if (start == OPEN)
		w.stream = open_a();
	while (w.opened_count < program_count(OP_OPENED))
		w.opened[w.opened_count++] = open_a();
	while (w.guards < program_count(OP_GUARD))
		w.guard[w.guards++] = context_new();
	if (program.flags & OP_MOVES)
		w.elsewhere = tracked_new();
	if (start != TRACKED)
		return;
	w.stream = w.embedded = tracked_new();
	insert_new();
}

static void leave(struct sctx_owner *owner)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	int error = sctx_owner_unregister(owner, &leaks);

	explore_check(!error, "unregister, at the end: %d, %d held", error, (int)leaks.held);
}

/* Nobody holds what the program used: a report names none of it. */
static void check_notes(void)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct sctx_context *held = w.leaving ? NULL : context_new();
	int error;

	if (!held)
		return;
	w.leaving = true;
	error = sctx_owner_unregister(w.owner, &leaks);
	explore_check(error == -EBUSY && leaks.held == 1, "unregister: %d, %d held", error,
		      (int)leaks.held);
	explore_check(!leaks.listed, "%d contexts are listed as held, and one is",
		      (int)leaks.listed);
	ledger_put(held);
}

static void torn_and_freed(struct sctx_stream *stream)
{
	int error = sctx_teardown_sync(stream);

	explore_check(!error, "teardown_sync: %d", error);
	memory_free(stream, sizeof(*stream));
}

static void finish(void)
{
	int error;

	for (int i = 0; i < w.others; i++)
		leave(w.other[i]);
	while (w.kept_count)
		close_stream(w.kept[--w.kept_count]);
	if (w.embedded && !w.retired)
		torn_and_freed(w.embedded);
	else if (w.stream && !w.embedded)
		close_stream(w.stream);
	if (w.elsewhere)
		torn_and_freed(w.elsewhere);
	check_notes();
	if (!w.gone)
		leave(w.owner);
	explore_check(!ledger_live(w.owner), "a module has left, and a context of it is not freed");
	error = sctx_registry_destroy(w.registry);
	explore_check(!error, "destroy: %d", error);
}

static void check_end(void)
{
}

const struct kind owner_kind = {
	.name = "owner",
	.starts = { "closed", "open", "tracked" },
	.starts_for_pairs = 3,
	.ops = ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
