/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on a stream behind a pointer, which the first who needs it
 * creates and anyone may drop.  See ops.h.
 */
#include "ops.h"

#include "ledger.h"
#include "memory.h"

#include <streamctx.h>

#include <errno.h>
#include <string.h>

enum { NONE, THERE };

static struct {
	struct sctx_stream *slot;
	struct sctx_stream *first; /* as created, while nobody drops */
} w;

/* Inside a section, in which it stays valid. */
static struct sctx_stream *create(void)
{
	struct sctx_stream *stream;
	int error = sctx_stream_create(&w.slot, &stream);

	explore_check(!error && stream, "create: %d", error);
	explore_check(memory_live(stream), "a stream that was freed");
	explore_check(program.flags & OP_ENDS || !w.first || w.first == stream,
		      "one pointer is set twice");
	w.first = stream;
	return stream;
}

static void op_create(void)
{
	sctx_read_lock();
	create();
	sctx_read_unlock();
}

static void op_insert(void)
{
	struct sctx_context *ctx = ledger_new(&owner_a, NULL);
	int error;

	ledger_gives(ctx);
	sctx_read_lock();
	error = sctx_insert(create(), ctx);
	sctx_read_unlock();
	explore_check(!error || error == -EAGAIN ||
			      (error == -ESHUTDOWN && program.flags & OP_ENDS),
		      "insert: %d", error);
	if (!error)
		return;
	ledger_gets(ctx);
	ledger_put(ctx);
}

static void op_lookup(void)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(sctx_stream_load(&w.slot), &owner_a, NULL);
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void op_delete(void)
{
	struct sctx_stream *stream;
	int error = 0;

	sctx_read_lock();
	stream = sctx_stream_load(&w.slot);
	if (stream)
		error = sctx_delete(stream, &owner_a, NULL);
	explore_check(!error || error == -ENOENT, "delete: %d", error);
	sctx_read_unlock();
}

static void op_drop(void)
{
	int error = sctx_stream_drop(&w.slot);

	explore_check(!error, "drop: %d", error);
}

static const struct op ops[] = {
	{ "create", op_create, 0 },
	{ "insert", op_insert, 0 },
	{ "lookup", op_lookup, 0 },
	{ "delete", op_delete, OP_UNLINKS },
	{ "drop", op_drop, OP_UNLINKS | OP_ENDS },
	{ NULL, NULL, 0 },
};

static void set_up(int start)
{
	memset(&w, 0, sizeof(w));
	if (start == THERE)
		op_insert();
}

static void finish(void)
{
	op_drop();
}

static void check_end(void)
{
	explore_check(!w.slot, "dropped, and still there");
}

const struct kind slot_kind = {
	.name = "slot",
	.starts = { "none", "there" },
	.starts_for_pairs = 2,
	.ops = ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
