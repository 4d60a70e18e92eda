/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stream that stream_ops.c's operations are on: before and after.  See stream.h. */
#include "ops.h"

#include "ledger.h"
#include "memory.h"
#include "stream.h"

#include <errno.h>
#include <string.h>

struct stream_world stream_world;
static struct stream_world *const w = &stream_world;

/* ------------------------------------------------------------------ set-up */

enum { EMPTY, ONE, FULL, NINE, LIMIT, POLL };

static struct sctx_stream *stream_new(void)
{
	struct sctx_stream *stream = memory_alloc(sizeof(*stream), "stream");

	if (sctx_stream_init(stream))
		explore_fail("a stream cannot be initialised");
	return stream;
}

static struct sctx_context *hang(const char *owner, const void *instance)
{
	struct sctx_context *ctx = ledger_new(owner, instance);

	ledger_gives(ctx);
	if (sctx_insert(w->stream, ctx))
		explore_fail("insert fails before the program begins");
	return ctx;
}

/* Each thing that is retired is a batch, and at @limit limbo is full. */
static void configure(enum sctx_reclaim_mode mode, size_t limit)
{
	struct sctx_reclaim_options options = { .size = sizeof(options),
						.limit_bytes = 1 << 20,
						.limit_callbacks = limit,
						.mode = mode };

	if (sctx_reclaim_configure(&options))
		explore_fail("the limits cannot be set");
	program.by_hand = mode != SCTX_RECLAIM_THREAD;
}

static void set_up(int start)
{
	static const int more[] = { [FULL] = 1, [NINE] = 8, [POLL] = 0 };

	memset(w, 0, sizeof(*w));
	w->stream = stream_new();
	w->other = stream_new();
	if (start != EMPTY)
		w->hung = hang(&owner_a, NULL);
	for (int i = 0; i < more[start]; i++)
		hang(&owner_b, NULL);
	for (int i = 0; i < program_count(OP_HOLDS) && w->hung; i++)
		ledger_gets(sctx_ref(w->hung));
	for (int i = 0; i < program_count(OP_LOOSE); i++)
		if (i == 0)
			w->loose = ledger_new(&owner_a, NULL);
		else
			ledger_gets(sctx_ref(w->loose));
	if (start == LIMIT)
		configure(SCTX_RECLAIM_THREAD, 1);
	else if (start == POLL)
		configure(SCTX_RECLAIM_POLL, 8);
}

/* ------------------------------------------------------- modes of reclaiming */

void stream_poll(void)
{
	int ran = sctx_reclaim_poll(1);

	explore_check(ran >= 0 || ran == -EOPNOTSUPP, "poll: %d", ran);
}

void stream_to_thread(void)
{
	configure(SCTX_RECLAIM_THREAD, 8);
	program.by_hand = true; /* another one may change it, too */
}

void stream_to_poll(void)
{
	configure(SCTX_RECLAIM_POLL, 8);
}

/* --------------------------------------------------------------------- end */

static void check_list(const struct sctx_stream *stream)
{
	int n = stream_check(stream);

	explore_check(!(stream->state & 1), "a stream is left locked");
	explore_check(n <= 1 || program.flags & (OP_ADDS | OP_LOOSE),
		      "%d contexts of one owner, all inserted as unique", n);
}

static void finish(void)
{
	if (!w->gone) {
		check_list(w->stream);
		sctx_teardown(w->stream);
	}
	check_list(w->other);
	sctx_teardown(w->other);
}

static void check_end(void)
{
	if (!w->gone)
		memory_free(w->stream, sizeof(*w->stream));
	memory_free(w->other, sizeof(*w->other));
}

const struct kind stream_kind = {
	.name = "stream",
	.starts = { "empty", "one", "full", "nine", "limit", "poll" },
	.starts_for_pairs = 4,
	.ops = stream_ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
