/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on the streams of one registry, whose table begins with a single
 * bucket of two slots, so that the third stream makes it grow.  Ids a, b and c
 * are the operations'; others fill the table.  See ops.h.
 */
#include "ops.h"

#include "ledger.h"
#include "memory.h"

#include <streamctx.h>

#include <errno.h>
#include <string.h>

enum { A, B, C, FILL, IDS = FILL + 4 };

#define KEPT_MAX 32

static struct {
	struct sctx_registry *registry;
	struct id {
		struct sctx_stream *stream; /* as last opened */
		int opens;                  /* that are held for certain */
		bool always;                /* one of them throughout */
		int visits;
	} id[IDS];
	struct sctx_stream *kept[KEPT_MAX];
	int kept_id[KEPT_MAX];
	int kept_count;
} w;

static struct sctx_id id_of(int k)
{
	return (struct sctx_id){ .volume = 1, .stream = (uint64_t)k };
}

static void check_id(const struct sctx_stream *stream, int k)
{
	const struct sctx_id *got = sctx_stream_id(stream), want = id_of(k);

	explore_check(memory_live(stream), "a stream that was freed");
	explore_check(got && memcmp(got, &want, sizeof(want)) == 0,
		      "a stream that was another one's: its memory was used again");
}

/* ------------------------------------------------------------- open, close */

static void opened(int k, struct sctx_stream *stream)
{
	struct id *id = &w.id[k];

	check_id(stream, k);
	engine_judge(id, true);
	explore_check(!id->opens || id->stream == stream, "one id is open as two streams");
	id->stream = stream;
	id->opens++;
}

static struct sctx_stream *open_id(int k)
{
	struct sctx_id id = id_of(k);
	struct sctx_stream *stream;
	int error = sctx_open(w.registry, &id, 0, &stream);

	explore_check(!error, "open: %d", error);
	opened(k, stream);
	return stream;
}

static void close_id(int k, struct sctx_stream *stream)
{
	int error;

	check_id(stream, k);
	engine_judge(&w.id[k], true);
	w.id[k].opens--;
	error = sctx_close(stream);
	explore_check(!error, "close: %d", error);
}

static void keep(int k)
{
	struct sctx_stream *stream = open_id(k);

	explore_check(w.kept_count < KEPT_MAX, "more streams than there is room for");
	w.kept[w.kept_count] = stream;
	w.kept_id[w.kept_count++] = k;
}

static void hang(struct sctx_stream *stream)
{
	struct sctx_context *ctx = ledger_new(&owner_a, NULL);
	int error;

	ledger_gives(ctx);
	error = sctx_insert(stream, ctx);
	explore_check(!error, "insert on an open stream: %d", error);
}

/* Open, attach a context, find it, close. */
static void open_close(int k)
{
	struct sctx_stream *stream = open_id(k);
	struct sctx_context *ctx;

	hang(stream);
	ctx = sctx_get(stream, &owner_a, NULL);
	explore_check(ctx, "inserted, and not found");
	ledger_gets(ctx);
	ledger_use(ctx);
	ledger_put(ctx);
	close_id(k, stream);
}

static void op_open_close_a(void)
{
	open_close(A);
}

static void op_open_close_b(void)
{
	open_close(B);
}

static void op_open_a(void)
{
	keep(A);
}

static void op_open_b(void)
{
	keep(B);
}

/* One id twice. */
static void op_open_many(void)
{
	const struct sctx_id id[] = { id_of(A), id_of(B), id_of(A) };
	struct sctx_stream *stream[3];
	int error = sctx_open_many(w.registry, id, 3, 0, stream);

	explore_check(!error, "open_many: %d", error);
	for (int i = 0; i < 3; i++)
		opened(i % 2 ? B : A, stream[i]);
	for (int i = 0; i < 3; i++)
		close_id(i % 2 ? B : A, stream[i]);
}

static void op_open_c(void)
{
	keep(C);
}

/* A reference that was opened for this operation, before. */
static void op_close_a(void)
{
	close_id(A, w.id[A].stream);
}

static void op_existing_a(void)
{
	struct sctx_id id = id_of(A);
	struct sctx_stream *stream;
	int error = sctx_open(w.registry, &id, SCTX_OPEN_EXISTING, &stream);

	explore_check(!error || (error == -ENOENT && !w.id[A].always), "open existing: %d", error);
	if (error)
		return;
	opened(A, stream);
	close_id(A, stream);
}

/* -------------------------------------------------------------- find, walk */

static void find(int k)
{
	struct sctx_id id = id_of(k);
	struct sctx_stream *stream;
	struct sctx_context *ctx;

	sctx_read_lock();
	stream = sctx_find(w.registry, &id);
	explore_check(stream || !w.id[k].always, "not found, though open at every instant");
	if (stream) {
		check_id(stream, k);
		ctx = sctx_lookup(stream, &owner_a, NULL);
		if (ctx)
			ledger_use(ctx);
		engine_pause();
		check_id(stream, k);
	}
	sctx_read_unlock();
}

static void op_find_a(void)
{
	find(A);
}

static int visit(struct sctx_stream *stream, void *visits)
{
	const struct sctx_id *id = sctx_stream_id(stream);

	explore_check(id && id->stream < IDS, "a stream without an id");
	check_id(stream, (int)id->stream);
	((int *)visits)[id->stream]++;
	return 0;
}

static void op_walk(void)
{
	int visits[IDS] = { 0 };
	int error = sctx_registry_for_each(w.registry, visit, visits);

	explore_check(!error, "for_each: %d", error);
	for (int k = 0; k < IDS; k++) {
		explore_check(visits[k] <= 1 || !w.id[k].always, "stream %d is visited twice", k);
		explore_check(visits[k] || !w.id[k].always,
			      "stream %d is not visited, though open at every instant", k);
	}
}

static const struct op ops[] = {
	{ "open_close_a", op_open_close_a, 0 },
	{ "open_close_b", op_open_close_b, 0 },
	{ "open_a", op_open_a, 0 },
	{ "open_b", op_open_b, 0 },
	{ "open_c", op_open_c, 0 },
	{ "open_many", op_open_many, OP_LONG },
	{ "close_a", op_close_a, OP_OPENED },
	{ "existing_a", op_existing_a, 0 },
	{ "find_a", op_find_a, 0 },
	{ "walk", op_walk, 0 },
	{ NULL, NULL, 0 },
};

/* ------------------------------------------------------------ start and end */

enum { CLOSED, HELD, BRINK, GROWING, CHAINED, TWO };

/* In the order of opening. */
static const int first[][IDS] = {
	[CLOSED] = { -1 },
	[HELD] = { A, -1 },
	[BRINK] = { A, FILL, -1 },
	[GROWING] = { A, FILL, FILL + 1, -1 },
	[CHAINED] = { FILL, FILL + 1, A, -1 },
	[TWO] = { FILL, FILL + 1, A, FILL + 2, -1 },
};

static void set_up(int start)
{
	memset(&w, 0, sizeof(w));
	if (start == TWO)
		explore_first_buckets = 2;
	if (sctx_registry_create(&w.registry))
		explore_fail("a registry cannot be created");
	for (int i = 0; first[start][i] >= 0; i++) {
		keep(first[start][i]);
		w.id[first[start][i]].always = true;
	}
	for (int i = 0; i < program_count(OP_OPENED); i++) {
		struct sctx_stream *stream = open_id(A);

		if (i == 0)
			hang(stream);
	}
}

static void finish(void)
{
	int error;

	for (int i = 0; i < w.kept_count; i++)
		close_id(w.kept_id[i], w.kept[i]);
	for (int k = 0; k < IDS; k++) {
		struct sctx_id id = id_of(k);

		sctx_read_lock();
		explore_check(!sctx_find(w.registry, &id),
			      "stream %d is found after its last close", k);
		sctx_read_unlock();
	}
	error = sctx_registry_destroy(w.registry);
	explore_check(!error, "destroy: %d", error);
}

static void check_end(void)
{
}

const struct kind registry_kind = {
	.name = "registry",
	.starts = { "closed", "held", "brink", "growing", "chained", "two" },
	.starts_for_pairs = 6,
	.ops = ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
