/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on one stream whose list holds several contexts of one owner, with
 * different instances, and as many of another's as make it an array.  What
 * they give is judged as a whole (orders.h); stream_ops.c asks for what each must
 * give by itself.  See ops.h.
 */
#include "ops.h"

#include "ledger.h"
#include "memory.h"
#include "orders.h"

#include <streamctx.h>

#include <errno.h>
#include <string.h>

#define KNOWN 64

static struct {
	struct sctx_stream *stream;
	struct sctx_context *known[KNOWN];
	int number[KNOWN];
	int count;
	struct sctx_context *first;
} w;

static const char instances[3];

static const void *owner_of(int owner)
{
	return owner == 0 ? NULL : owner == 1 ? &owner_a : &owner_b;
}

static const void *instance_of(int instance)
{
	return instance ? &instances[instance] : NULL;
}

/* ---------------------------------------------------------------- contexts */

static void know(struct sctx_context *ctx, int number)
{
	explore_check(w.count < KNOWN, "more contexts than there is room for");
	w.known[w.count] = ctx;
	w.number[w.count++] = number;
}

static int number_of(const struct sctx_context *ctx)
{
	for (int i = 0; i < w.count; i++)
		if (w.known[i] == ctx)
			return w.number[i];
	return ORDER_NOTHING;
}

static struct sctx_context *offered(int owner, int instance, int *number)
{
	struct sctx_context *ctx = ledger_new(owner_of(owner), instance_of(instance));

	*number = orders_context(owner, instance, false);
	know(ctx, *number);
	ledger_gives(ctx);
	return ctx;
}

static void use_and_put(struct sctx_context *ctx)
{
	if (!ctx)
		return;
	ledger_gets(ctx);
	ledger_use(ctx);
	ledger_put(ctx);
}

/* -------------------------------------------------------------- operations */

static void add(enum verb_of_order verb, int owner, int instance)
{
	struct sctx_context *ctx, *out = NULL;
	int number, op, error;

	ctx = offered(owner, instance, &number);
	op = orders_call(verb, number);
	if (verb == ORDER_INSERT)
		error = sctx_insert(w.stream, ctx);
	else if (verb == ORDER_UNIQUE)
		error = sctx_insert_unique(w.stream, ctx, &out);
	else
		error = sctx_replace(w.stream, ctx, &out);
	orders_return(op, error, number_of(out));
	use_and_put(out);
	if (!error)
		return;
	ledger_gets(ctx);
	ledger_put(ctx);
}

struct creation {
	int number, op;
};

static struct sctx_context *make(const void *owner, const void *instance, void *arg)
{
	const struct creation *c = arg;
	struct sctx_context *ctx = ledger_new(owner, instance);

	know(ctx, c->number);
	ledger_gives(ctx); /* to the library */
	orders_made(c->op);
	return ctx;
}

static void get_or_create(int owner, int instance)
{
	struct creation c = { .number = orders_context(owner, instance, true) };
	struct sctx_context *out;
	int error;

	c.op = orders_call(ORDER_CREATE, c.number);
	error = sctx_get_or_create(w.stream, owner_of(owner), instance_of(instance), make, &c,
				   &out);
	orders_return(c.op, error, number_of(out));
	use_and_put(out);
}

static void look(int owner, int instance)
{
	int op = orders_match(ORDER_LOOKUP, owner, instance);
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(w.stream, owner_of(owner), instance_of(instance));
	orders_return(op, 0, number_of(ctx));
	if (ctx)
		ledger_use(ctx);
	sctx_read_unlock();
}

static void get(int owner, int instance)
{
	int op = orders_match(ORDER_GET, owner, instance);
	struct sctx_context *ctx = sctx_get(w.stream, owner_of(owner), instance_of(instance));

	orders_return(op, 0, number_of(ctx));
	use_and_put(ctx);
}

static void take(int owner, int instance)
{
	int op = orders_match(ORDER_REMOVE, owner, instance);
	struct sctx_context *ctx = sctx_remove(w.stream, owner_of(owner), instance_of(instance));

	orders_return(op, 0, number_of(ctx));
	use_and_put(ctx);
}

static void drop(int owner, int instance)
{
	int op = orders_match(ORDER_DELETE, owner, instance);
	int error = sctx_delete(w.stream, owner_of(owner), instance_of(instance));

	orders_return(op, error, ORDER_NOTHING);
}

static void detach(void)
{
	int op;

	if (!w.first)
		return;
	op = orders_call(ORDER_DETACH, number_of(w.first));
	orders_return(op, sctx_detach(w.first), ORDER_NOTHING);
	ledger_put(w.first);
}

static void of_stream(enum verb_of_order verb)
{
	int op = orders_call(verb, ORDER_NOTHING), result;

	if (verb == ORDER_TEARDOWN)
		result = sctx_teardown(w.stream);
	else if (verb == ORDER_DISABLE)
		result = sctx_stream_disable(w.stream);
	else
		result = sctx_stream_supports_contexts(w.stream);
	orders_return(op, result, ORDER_NOTHING);
}

/* In a name: the owner where it is not the first, then the instance. */
#define DEFINE(name, ...)           \
	static void op_##name(void) \
	{                           \
		__VA_ARGS__;        \
	}

DEFINE(insert_1, add(ORDER_INSERT, 1, 1))
DEFINE(insert_2, add(ORDER_INSERT, 1, 2))
DEFINE(insert_b, add(ORDER_INSERT, 2, 0))
DEFINE(unique_1, add(ORDER_UNIQUE, 1, 1))
DEFINE(replace_1, add(ORDER_REPLACE, 1, 1))
DEFINE(replace_2, add(ORDER_REPLACE, 1, 2))
DEFINE(replace, add(ORDER_REPLACE, 1, 0))
DEFINE(create_1, get_or_create(1, 1))
DEFINE(lookup, look(1, 0))
DEFINE(lookup_1, look(1, 1))
DEFINE(lookup_2, look(1, 2))
DEFINE(lookup_any, look(0, 0))
DEFINE(get_1, get(1, 1))
DEFINE(remove, take(1, 0))
DEFINE(remove_1, take(1, 1))
DEFINE(remove_any, take(0, 0))
DEFINE(delete_2, drop(1, 2))
DEFINE(detach, detach())
DEFINE(teardown, of_stream(ORDER_TEARDOWN))
DEFINE(disable, of_stream(ORDER_DISABLE))
DEFINE(supports, of_stream(ORDER_SUPPORTS))

static const struct op ops[] = {
	{ "insert_1", op_insert_1, 0 },   { "insert_2", op_insert_2, 0 },
	{ "insert_b", op_insert_b, 0 },   { "unique_1", op_unique_1, 0 },
	{ "replace_1", op_replace_1, 0 }, { "replace_2", op_replace_2, 0 },
	{ "replace", op_replace, 0 },     { "create_1", op_create_1, 0 },
	{ "lookup", op_lookup, 0 },       { "lookup_1", op_lookup_1, 0 },
	{ "lookup_2", op_lookup_2, 0 },   { "lookup_any", op_lookup_any, 0 },
	{ "get_1", op_get_1, 0 },         { "remove", op_remove, 0 },
	{ "remove_1", op_remove_1, 0 },   { "remove_any", op_remove_any, 0 },
	{ "delete_2", op_delete_2, 0 },   { "detach", op_detach, OP_HOLDS },
	{ "teardown", op_teardown, 0 },   { "disable", op_disable, 0 },
	{ "supports", op_supports, 0 },   { NULL, NULL, 0 },
};

/* ------------------------------------------------------------ start and end */

enum { TWO, EIGHT, NINE, EMPTY, ONE, THREE };

/* In order of insertion: 1 and 2 are instances of the first owner's, b the second owner's. */
static const char *const lists[] = {
	[TWO] = "12", [EIGHT] = "1bbbbbb2", [NINE] = "1bbbbbbb2",
	[EMPTY] = "", [ONE] = "1",          [THREE] = "121",
};

static void set_up(int start)
{
	memset(&w, 0, sizeof(w));
	orders_reset();
	w.stream = memory_alloc(sizeof(*w.stream), "stream");
	if (sctx_stream_init(w.stream))
		explore_fail("a stream cannot be initialised");
	for (const char *c = lists[start]; *c; c++)
		add(ORDER_INSERT, *c == 'b' ? 2 : 1, *c == 'b' ? 0 : *c - '0');
	if (w.count)
		w.first = w.known[0];
	for (int i = 0; i < program_count(OP_HOLDS) && w.first; i++)
		ledger_gets(sctx_ref(w.first));
}

static void finish(void)
{
	orders_check();
	stream_check(w.stream);
	sctx_teardown(w.stream);
}

static void check_end(void)
{
	memory_free(w.stream, sizeof(*w.stream));
}

const struct kind list_kind = {
	.name = "list",
	.starts = { "two", "eight", "nine", "empty", "one", "three" },
	.starts_for_pairs = 3,
	.ops = ops,
	.set_up = set_up,
	.finish = finish,
	.check_end = check_end,
};
