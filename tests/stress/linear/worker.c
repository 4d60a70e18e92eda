/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker.h"

static atomic_ullong ticks;

/* See program.h. */
static uint64_t tick(void)
{
	return atomic_fetch_add(&ticks, 1) + 1;
}

/* ---------------------------------------------------------------- contexts */

void cell_called(struct sctx_context *ctx)
{
	atomic_fetch_add(&container_of(ctx, struct cell, ctx)->called, 1);
}

static int number_of(const struct round *round, const struct sctx_context *ctx)
{
	uintptr_t at = (uintptr_t)ctx - (uintptr_t)&round->cell[0].ctx;

	if (!ctx)
		return NONE;
	if (at % sizeof(struct cell) || at / sizeof(struct cell) >= round->cells)
		return ALIEN;
	return (int)(at / sizeof(struct cell));
}

struct creation {
	struct round *round;
	struct op *op;
};

static struct sctx_context *create(const void *owner, const void *instance, void *arg)
{
	const struct creation *c = arg;
	struct sctx_context *ctx = &c->round->cell[c->op->ctx].ctx;

	CHECK_EQ(sctx_context_init(ctx, owner, instance, cell_called), 0);
	c->op->made = true;
	return ctx;
}

/* ------------------------------------------------------------------ verbs */

static const void *owner_of(unsigned int owner)
{
	return owner ? OWNER(owner) : NULL;
}

static const void *instance_of(unsigned int instance)
{
	return instance ? INST(instance) : NULL;
}

static struct sctx_context *borrow(const struct sctx_stream *stream, const void *owner,
				   const void *instance)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(stream, owner, instance);
	sctx_read_unlock();
	return ctx;
}

static struct sctx_stream *find(struct sctx_registry *registry, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	sctx_read_lock();
	stream = sctx_find(registry, id);
	sctx_read_unlock();
	return stream;
}

/* Between the two ticks: as little as there can be. */
static struct sctx_context *call(struct round *round, struct record *r)
{
	struct op *op = &r->op;
	struct sctx_context *ctx = op->ctx >= 0 ? &round->cell[op->ctx].ctx : NULL, *out = NULL;
	const void *owner = owner_of(op->owner), *instance = instance_of(op->instance);
	struct creation creation = { round, op };

	op->called = tick();
	switch (op->verb) {
	case INSERT:
		op->result = sctx_insert(r->stream, ctx);
		break;
	case UNIQUE:
		op->result = sctx_insert_unique(r->stream, ctx, &out);
		break;
	case REPLACE:
		op->result = sctx_replace(r->stream, ctx, &out);
		break;
	case CREATE:
		op->result = sctx_get_or_create(
			r->stream, owner_of(round->history.ctx[op->ctx].owner),
			instance_of(round->history.ctx[op->ctx].instance), create, &creation, &out);
		break;
	case LOOKUP:
		out = borrow(r->stream, owner, instance);
		break;
	case GET:
		out = sctx_get(r->stream, owner, instance);
		break;
	case REMOVE:
		out = sctx_remove(r->stream, owner, instance);
		break;
	case DELETE:
		op->result = sctx_delete(r->stream, owner, instance);
		break;
	case DETACH:
		op->result = sctx_detach(ctx);
		break;
	case REF:
		op->result = sctx_ref(ctx) == ctx ? 0 : -EOVERFLOW;
		break;
	case PUT:
		op->result = sctx_put(ctx);
		break;
	case TEARDOWN:
		op->result = sctx_teardown(r->stream);
		break;
	case DISABLE:
		op->result = sctx_stream_disable(r->stream);
		break;
	case SUPPORTS:
		op->result = sctx_stream_supports_contexts(r->stream);
		break;
	case OPEN:
		op->result = sctx_open(round->registry, &round->id[op->id],
				       op->existing ? SCTX_OPEN_EXISTING : 0, &r->out_stream);
		break;
	case FIND:
		r->out_stream = find(round->registry, &round->id[op->id]);
		break;
	case CLOSE:
		op->result = sctx_close(r->stream);
		break;
	case CALLED:
		op->result = (int)atomic_load(&round->cell[op->ctx].called);
		break;
	}
	op->returned = tick();
	return out;
}

/* ------------------------------------------------------------- who holds what */

void worker_hold(struct worker *w, int ctx)
{
	CHECK(w->holds < MAX_HELD);
	w->hold[w->holds++] = ctx;
}

static void release(struct worker *w, int ctx)
{
	for (unsigned int i = 0; i < w->holds; i++)
		if (w->hold[i] == ctx) {
			w->hold[i] = w->hold[--w->holds];
			return;
		}
}

void worker_open(struct worker *w, struct sctx_stream *stream)
{
	CHECK(w->opens < MAX_HELD);
	w->open[w->opens++] = stream;
}

static void closed(struct worker *w, const struct sctx_stream *stream)
{
	for (unsigned int i = 0; i < w->opens; i++)
		if (w->open[i] == stream) {
			w->open[i] = w->open[--w->opens];
			return;
		}
}

/* What the contract says of who holds what after @r. */
static void account(struct worker *w, const struct record *r)
{
	const struct op *op = &r->op;

	switch (op->verb) {
	case INSERT:
	case UNIQUE:
	case REPLACE:
	case PUT:
		if (op->result == 0)
			release(w, op->ctx);
		break;
	case REF:
		if (op->result == 0)
			worker_hold(w, op->ctx);
		break;
	case OPEN:
		if (r->out_stream)
			worker_open(w, r->out_stream);
		break;
	case CLOSE:
		closed(w, r->stream);
		break;
	}
	if (op->out >= 0 && op->verb != LOOKUP)
		worker_hold(w, op->out);
}

struct record *worker_do(struct worker *w, const struct record *what)
{
	struct record *r = &w->record[w->records];

	CHECK(w->records < MAX_RECORDS);
	*r = *what;
	r->op.thread = (uint8_t)(w - w->round->worker);
	r->op.out = (int8_t)number_of(w->round, call(w->round, r));
	account(w, r);
	w->records++;
	return r;
}
