/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on a registry that keeps idle streams, one at most by its limit.  Ids A and B,
 * each with a context of a registered owner that hears of idle and revived.  See ops.h.
 */
#include "ops.h"

#include "ledger.h"
#include "memory.h"

#include <streamctx.h>

#include <errno.h>
#include <string.h>

enum { A, B, IDS };
enum { OPEN, IDLE, FULL, ASKED };

#define KEPT_MAX 32

static struct {
	struct sctx_registry *registry;
	struct sctx_owner *owner;
	struct sctx_stream *held[KEPT_MAX]; /* open references on A for the operations */
	int held_count;
	struct sctx_stream *kept[KEPT_MAX];
	int kept_count;
	struct sctx_stream *stream[IDS]; /* as last opened */
	int opens[IDS];                  /* that are held for certain */
	int told[IDS];                   /* 1: idle was told last */
	bool forgets;                    /* the program can take A out of the table */
	bool left;
} w;

static struct sctx_id id_of(int k)
{
	return (struct sctx_id){ .volume = 1, .stream = (uint64_t)k };
}

static int number_of(const struct sctx_stream *stream)
{
	const struct sctx_id *id = sctx_stream_id(stream);

	explore_check(memory_live(stream), "a stream that was freed");
	explore_check(id && id->volume == 1 && id->stream < IDS, "a stream of no id of ours");
	return (int)id->stream;
}

/* --------------------------------------------------------------- the owner's code */

/* By instance: which id's context. */
static void tell(struct sctx_context *ctx, int now)
{
	int *told = &w.told[*(const int *)ctx->instance];

	explore_check(current->nesting, "told outside a section");
	engine_judge(told, true);
	explore_check(*told != now, now ? "idle is told twice" : "revived is told twice");
	*told = now;
	ledger_use(ctx);
}

static void idle(struct sctx_context *ctx)
{
	tell(ctx, 1);
}

static void revived(struct sctx_context *ctx)
{
	tell(ctx, 0);
}

static const int instance[IDS] = { A, B };

static void owner_new(void)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops),
					    .name = "module",
					    .tag = SCTX_TAG('M', 'o', 'd', ' '),
					    .detached = ledger_detached,
					    .free = ledger_free,
					    .idle = idle,
					    .revived = revived };
	int error = sctx_owner_register(w.registry, &ops, &w.owner);

	explore_check(!error, "register: %d", error);
}

static void hang(struct sctx_stream *stream, int k)
{
	struct sctx_context *ctx = ledger_new_owned(w.owner, &instance[k]);
	int error;

	explore_check(ctx, "no context of an owner that stays");
	ledger_gives(ctx);
	ledger_linked(ctx);
	error = sctx_insert(stream, ctx);
	explore_check(!error, "insert on an open stream: %d", error);
}

/* -------------------------------------------------------------------- open, close */

static struct sctx_stream *open_id(int k)
{
	struct sctx_id id = id_of(k);
	struct sctx_stream *stream;
	int error = sctx_open(w.registry, &id, 0, &stream);

	explore_check(!error, "open: %d", error);
	explore_check(number_of(stream) == k, "a stream of another id");
	engine_judge(&w.opens[k], true);
	explore_check(w.forgets || !w.opens[k] || w.stream[k] == stream,
		      "one id is open as two streams");
	w.stream[k] = stream;
	w.opens[k]++;
	return stream;
}

static void closing(struct sctx_stream *stream)
{
	int k = number_of(stream);

	engine_judge(&w.opens[k], true);
	w.opens[k]--;
}

static void close_stream(struct sctx_stream *stream, uint32_t n)
{
	int last;

	for (uint32_t i = 0; i < n; i++)
		closing(stream);
	last = n == 1 ? sctx_close(stream) : sctx_close_many(stream, n);
	explore_check(last >= 0, "close: %d", last);
}

static void open_close(int k)
{
	struct sctx_stream *stream = open_id(k);
	enum sctx_stream_state state = sctx_stream_state(stream);

	explore_check(state == SCTX_STREAM_OPEN || (w.forgets && state == SCTX_STREAM_FORGOTTEN),
		      "an open stream is %d", state);
	engine_pause();
	number_of(stream);
	close_stream(stream, 1);
}

static void op_open_close_a(void)
{
	open_close(A);
}

/* At the limit it drops what is idle. */
static void op_open_close_b(void)
{
	open_close(B);
}

static void op_open_a(void)
{
	explore_check(w.kept_count < KEPT_MAX, "more streams than there is room for");
	w.kept[w.kept_count++] = open_id(A);
}

static struct sctx_stream *held(void)
{
	return w.held[--w.held_count];
}

static void op_close_a(void)
{
	close_stream(held(), 1);
}

static void op_close_two_a(void)
{
	struct sctx_stream *stream = held();
	int error = sctx_stream_ref(stream);

	explore_check(!error, "ref: %d", error);
	engine_judge(&w.opens[A], true);
	w.opens[A]++;
	close_stream(stream, 2);
}

static void op_close_forget_a(void)
{
	struct sctx_stream *stream = held();
	int last;

	closing(stream);
	last = sctx_close_flags(stream, SCTX_CLOSE_FORGET);
	explore_check(last >= 0, "close and forget: %d", last);
}

/* ------------------------------------------------------------ find, walk, and drop */

static void find(bool opens)
{
	struct sctx_id id = id_of(A);
	struct sctx_stream *stream;
	struct sctx_context *ctx;
	int error;

	sctx_read_lock();
	stream = sctx_find(w.registry, &id);
	if (stream) {
		number_of(stream);
		ctx = sctx_lookup(stream, w.owner, NULL);
		if (ctx)
			ledger_use(ctx);
		engine_pause();
		error = opens ? sctx_stream_ref(stream) : -ESTALE;
		explore_check(!error || error == -ESTALE, "ref of what was found: %d", error);
		if (!error) {
			engine_judge(&w.opens[A], true);
			w.opens[A]++;
			close_stream(stream, 1);
		}
	}
	sctx_read_unlock();
}

static void op_find_a(void)
{
	find(true);
}

static void op_look_a(void)
{
	find(false);
}

static int visit(struct sctx_stream *stream, void *unused)
{
	(void)unused;
	number_of(stream);
	return 0;
}

static void op_walk(void)
{
	int error = sctx_registry_for_each(w.registry, visit, NULL);

	explore_check(!error, "for_each: %d", error);
}

static void op_forget_a(void)
{
	struct sctx_id id = id_of(A);
	int error = sctx_forget(w.registry, &id);

	explore_check(!error || error == -ENOENT, "forget: %d", error);
}

static void op_trim(void)
{
	int64_t dropped = sctx_registry_trim(w.registry, 0, 0);

	explore_check(dropped >= 0, "trim: %d", (int)dropped);
}

/* Refuses the first time, and agrees then. */
static int may_drop(struct sctx_stream *stream, void *asked)
{
	number_of(stream);
	explore_check(current->nesting, "asked outside a section");
	engine_pause();
	return (*(int *)asked)++ ? 0 : -EAGAIN;
}

static int asked;

static void limit(size_t n)
{
	struct sctx_idle_options options = { .size = sizeof(options),
					     .limit_streams = n,
					     .may_drop = program.start == ASKED ? may_drop : NULL,
					     .arg = &asked };
	int error = sctx_registry_idle(w.registry, &options);

	explore_check(!error, "idle: %d", error);
}

static void op_limit_0(void)
{
	limit(0);
}

static void op_limit_2(void)
{
	limit(2);
}

static void op_close_all(void)
{
	int closed = sctx_registry_close_all(w.registry, NULL, NULL);

	explore_check(closed >= 0, "close_all: %d", closed);
}

static void op_unregister(void)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	int error = sctx_owner_unregister(w.owner, &leaks);

	explore_check(!error, "unregister: %d", error);
	explore_check(!ledger_live(w.owner), "a module has left, and a context of it is not freed");
	w.left = true;
}

static const struct op ops[] = {
	{ "open_close_a", op_open_close_a, 0 },
	{ "open_close_b", op_open_close_b, 0 },
	{ "open_a", op_open_a, 0 },
	{ "close_a", op_close_a, OP_OPENED },
	{ "close_two_a", op_close_two_a, OP_OPENED },
	{ "close_forget_a", op_close_forget_a, OP_OPENED },
	{ "find_a", op_find_a, 0 },
	{ "look_a", op_look_a, OP_MODES },
	{ "walk", op_walk, 0 },
	{ "forget_a", op_forget_a, 0 },
	{ "trim", op_trim, OP_LONG },
	{ "limit_0", op_limit_0, OP_LONG },
	{ "limit_2", op_limit_2, OP_LONG },
	/* Others hold nothing: programs of their own. */
	{ "close_all", op_close_all, OP_MODES },
	{ "unregister", op_unregister, OP_MODES | OP_LEAVES },
	{ NULL, NULL, 0 },
};

/* ------------------------------------------------------------------ start and end */

static void set_up(int start)
{
	memset(&w, 0, sizeof(w));
	asked = 0;
	w.forgets = strstr(program.text, "forget") || strstr(program.text, "trim") ||
		    strstr(program.text, "limit") || strstr(program.text, "_b");
	if (sctx_registry_create(&w.registry))
		explore_fail("a registry cannot be created");
	limit(1);
	owner_new();
	w.held[w.held_count++] = open_id(A);
	hang(w.held[0], A);
	while (w.held_count < program_count(OP_OPENED) + (start == OPEN))
		w.held[w.held_count++] = open_id(A);
	if (start == FULL)
		open_close(B);
	/* One reference is left over: kept to the end, or closed now. */
	if (w.held_count > program_count(OP_OPENED)) {
		if (start == OPEN)
			w.kept[w.kept_count++] = held();
		else
			close_stream(held(), 1);
	}
}

static int count_idle(struct sctx_stream *stream, void *idle)
{
	explore_check(sctx_stream_state(stream) == SCTX_STREAM_IDLE, "a stream is open in the end");
	++*(uint64_t *)idle;
	return 0;
}

static void finish(void)
{
	struct sctx_registry_stats stats = { .size = sizeof(stats) };
	uint64_t idle_streams = 0;
	int error;

	for (int i = 0; i < w.kept_count && !(program.flags & OP_MODES && !w.left); i++)
		close_stream(w.kept[i], 1);
	sctx_registry_for_each(w.registry, count_idle, &idle_streams);
	sctx_registry_stats_get(w.registry, &stats);
	explore_check(stats.idle == idle_streams, "%d streams are idle, and %d are counted",
		      (int)idle_streams, (int)stats.idle);
	if (!w.left)
		op_unregister();
	error = sctx_registry_destroy(w.registry);
	explore_check(!error, "destroy: %d", error);
}

static void check_end(void)
{
}

const struct kind idle_kind = {
	.name = "idle",
	.starts = { "open", "idle", "full", "asked" },
	.starts_for_pairs = 4,
	.ops = ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
