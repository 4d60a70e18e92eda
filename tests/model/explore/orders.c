/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See orders.h.  One thread's contexts are numbered apart from another's, so
 * that numbers do not depend on the schedule; most executions then have a
 * history that was judged before.
 */
#include "orders.h"

#include "../../stress/linear/check.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define MINE     (MAX_CONTEXTS / MAX_THREADS) /* a thread's contexts */
#define JUDGED   (1u << 16)
#define THE_LAST 64 /* operations of a program, and of its set-up */

static const uint8_t verb_of[] = {
	[ORDER_INSERT] = INSERT,     [ORDER_UNIQUE] = UNIQUE,     [ORDER_REPLACE] = REPLACE,
	[ORDER_CREATE] = CREATE,     [ORDER_LOOKUP] = LOOKUP,     [ORDER_GET] = GET,
	[ORDER_REMOVE] = REMOVE,     [ORDER_DELETE] = DELETE,     [ORDER_DETACH] = DETACH,
	[ORDER_REF] = REF,           [ORDER_TEARDOWN] = TEARDOWN, [ORDER_DISABLE] = DISABLE,
	[ORDER_SUPPORTS] = SUPPORTS,
};

static struct history history;
static int made[MAX_THREADS];
static uint64_t ticks;
static uint64_t judged[JUDGED]; /* hashes of histories that an order was found for */

void orders_reset(void)
{
	memset(&history, 0, offsetof(struct history, op));
	for (int i = 0; i < MAX_CONTEXTS; i++)
		history.ctx[i].created = true; /* until it is made */
	history.contexts = MAX_CONTEXTS;
	history.plain = 1;
	memset(made, 0, sizeof(made));
	ticks = 0;
}

int orders_context(int owner, int instance, bool created)
{
	int n = current->id * MINE + made[current->id]++;

	explore_check(made[current->id] <= MINE, "more contexts than a history has room for");
	history.ctx[n].owner = (uint8_t)owner;
	history.ctx[n].instance = (uint8_t)instance;
	history.ctx[n].created = created;
	return n;
}

/* Which call comes after which return is what a history is about. */
static struct op *begin(enum verb_of_order verb)
{
	struct op *op;

	engine_judge(&ticks, false);
	op = &history.op[history.ops++];
	explore_check(history.ops < THE_LAST, "more operations than a history has room for");
	memset(op, 0, sizeof(*op));
	*op = OP(verb_of[verb]);
	op->thread = (uint8_t)current->id;
	op->stream = 0;
	op->called = ++ticks;
	return op;
}

int orders_match(enum verb_of_order verb, int owner, int instance)
{
	struct op *op = begin(verb);

	op->owner = (uint8_t)owner;
	op->instance = (uint8_t)instance;
	return (int)(op - history.op);
}

int orders_call(enum verb_of_order verb, int ctx)
{
	struct op *op = begin(verb);

	op->ctx = (int8_t)ctx;
	return (int)(op - history.op);
}

void orders_made(int op)
{
	history.op[op].made = true;
}

void orders_return(int op, int result, int out)
{
	engine_judge(&ticks, true);
	history.op[op].result = result;
	history.op[op].out = (int8_t)out;
	history.op[op].returned = ++ticks;
}

/* ------------------------------------------------------------------- judged */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t history_hash(void)
{
	uint64_t hash =
		hash_bytes(UINT64_C(14695981039346656037), history.ctx, sizeof(history.ctx));

	return hash_bytes(hash, history.op, history.ops * sizeof(history.op[0])) | 1;
}

void orders_check(void)
{
	static struct finding finding;
	uint64_t hash = history_hash(), *seen = &judged[hash >> 8 & (JUDGED - 1)];

	if (*seen == hash)
		return;
	history_sort(&history);
	if (history_check(&history, &finding) == LINEAR) {
		*seen = hash;
		return;
	}
	history_table(&history, stdout);
	finding_print(&finding, stdout);
	explore_fail("no order of the operations gives what they gave");
}
