/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: the operations on contexts.
 */
#include "torture.h"

/* -------------------------------------------------------------- references */

static void hold_put(struct worker *w, struct record *r)
{
	int rc;

	record_unhold(r);
	record_note(w, r, "put", 0);
	rc = sctx_put(&r->ctx);
	if (rc) /* what it was cannot be looked at any more */
		wrong(w, NULL, "put of record %p is %d", (void *)r, rc);
}

/* The worker has got a reference; @back: the stream's. */
static void hold_add(struct worker *w, struct record *r, bool back)
{
	record_hold(w, r);
	if (w->n_holds == HOLDS_MAX) {
		hold_put(w, r);
		return;
	}
	w->hold[w->n_holds++] = (struct hold){ r, back };
}

static struct hold hold_take(struct worker *w, unsigned int i)
{
	struct hold hold = w->hold[i];

	w->hold[i] = w->hold[--w->n_holds];
	return hold;
}

void holds_drop(struct worker *w)
{
	while (w->n_holds)
		hold_put(w, hold_take(w, 0).record);
}

static struct hold *hold_any(struct worker *w)
{
	return w->n_holds ? &w->hold[roll(w, w->n_holds)] : NULL;
}

static enum outcome op_put(struct worker *w)
{
	struct hold hold;

	if (w->n_holds == 0)
		return NOTHING;
	hold = hold_take(w, (unsigned int)roll(w, w->n_holds));
	trace(w, w->now, 0, 0);
	hold_put(w, hold.record);
	return DONE;
}

static enum outcome op_ref(struct worker *w)
{
	struct hold *hold = hold_any(w);

	if (!hold)
		return NOTHING;
	MUST(w, hold->record, sctx_ref(&hold->record->ctx) == &hold->record->ctx);
	hold_add(w, hold->record, false);
	return DONE;
}

static enum outcome op_detach(struct worker *w)
{
	struct hold *hold = hold_any(w);
	int rc;

	if (!hold)
		return NOTHING;
	record_note(w, hold->record, "detach", 0);
	rc = sctx_detach(&hold->record->ctx);
	trace(w, w->now, 0, rc);
	ALLOW(w, hold->record, rc, 0, -ENOENT, 0, 0);
	return rc ? REFUSED : DONE;
}

/* A context that never hangs anywhere. */
static enum outcome op_drop(struct worker *w)
{
	struct record *r = record_new(w, COUNTED, NULL, 0);

	MUST(w, NULL, sctx_put(&r->ctx) == 0);
	return DONE;
}

/* What came back from a stream, with the stream's reference. */
static void take_back(struct worker *w, struct record *r, const struct place *p)
{
	bool may_wait = !p->section && !is_guest(w);

	record_note(w, r, w->now, 0);
	if (r->owner == UNREAD) {
		record_handed_back(w, r);
		return;
	}
	atomic_store_explicit(&r->stage, UNLINKED, RELAXED);
	if (may_wait && one_in(w, 16)) {
		MUST(w, r, sctx_synchronize() == 0);
		atomic_store_explicit(&r->stage, AGED, RELAXED);
		if (r->owner == BORROWED) {
			record_handed_back(w, r);
			return;
		}
	}
	if (r->owner == BORROWED)
		MUST(w, NULL, sctx_put(&r->ctx) == 0);
	else
		hold_add(w, r, r->owner != MODULES);
}

/* ------------------------------------------------------------------- insert */

static enum owner any_owner(struct worker *w, enum owner least)
{
	return least + (enum owner)roll(w, OWNERS - least);
}

static const void *any_instance(struct worker *w, enum owner owner)
{
	uint64_t n = roll(w, INSTANCES + 1);

	if (n == INSTANCES)
		return owner == UNIQUE ? INST(0) : NULL;
	return INST(n);
}

static struct record *record_for(struct worker *w, const struct place *p)
{
	enum owner owner = any_owner(w, p->least);

	return record_new(w, owner, any_instance(w, owner), p->number);
}

static enum outcome inserted(struct worker *w, const struct place *p, struct record *r, int rc)
{
	trace(w, w->now, p->number, rc);
	/* Waiting is refused to those alone who cannot, or do not want to. */
	if (rc == -EAGAIN && !p->section && !is_guest(w))
		MUST(w, r, atomic_load(&nowait_used));
	if (rc && rc != -EEXIST)
		ALLOW(w, r, rc, -EAGAIN, -ESHUTDOWN, -EOPNOTSUPP, -EAGAIN);
	return rc ? REFUSED : DONE;
}

static enum outcome op_insert(struct worker *w)
{
	struct record *r;
	enum outcome outcome;
	struct place p;
	int rc;

	if (!place_enter(w, &p))
		return NOTHING;
	r = record_for(w, &p);
	rc = r->owner == UNIQUE ? sctx_insert_unique(p.stream, &r->ctx, NULL)
				: sctx_insert(p.stream, &r->ctx);
	outcome = inserted(w, &p, r, rc);
	if (rc)
		record_handed_back(w, r);
	place_leave(w, &p);
	return outcome;
}

static enum outcome op_insert_unique(struct worker *w)
{
	struct sctx_context *existing = (void *)1;
	enum outcome outcome;
	struct record *r;
	struct place p;
	bool ask;
	int rc;

	if (!place_enter(w, &p))
		return NOTHING;
	r = record_for(w, &p);
	ask = r->owner >= UNIQUE; /* who asks for what is there gets a reference */
	rc = sctx_insert_unique(p.stream, &r->ctx, ask ? &existing : NULL);
	outcome = inserted(w, &p, r, rc);
	if (ask) {
		MUST(w, r, (existing != NULL) == (rc == -EEXIST));
		if (existing)
			hold_add(w, record_of(existing), false);
	}
	if (rc)
		record_handed_back(w, r);
	place_leave(w, &p);
	return outcome;
}

static enum outcome op_replace(struct worker *w)
{
	struct sctx_context *old = (void *)1;
	bool want = one_in(w, 2);
	enum outcome outcome;
	struct record *r;
	struct place p;
	int rc;

	if (!place_enter(w, &p))
		return NOTHING;
	r = record_for(w, &p);
	rc = sctx_replace(p.stream, &r->ctx, want ? &old : NULL);
	outcome = inserted(w, &p, r, rc);
	MUST(w, r, rc != -EEXIST && !(rc && want && old));
	if (rc)
		record_handed_back(w, r);
	else if (want && old)
		take_back(w, record_of(old), &p);
	place_leave(w, &p);
	return outcome;
}

/* What a remove had handed back hangs on a stream again. */
static enum outcome op_insert_again(struct worker *w)
{
	unsigned int i = 0;
	struct hold hold;
	struct place p;
	int rc;

	while (i < w->n_holds && !w->hold[i].back)
		i++;
	if (i == w->n_holds || !place_enter(w, &p))
		return NOTHING;
	hold = hold_take(w, i);
	record_unhold(hold.record);
	record_move(hold.record, p.number);
	record_note(w, hold.record, w->now, 0);
	rc = hold.record->owner == UNIQUE ? sctx_insert_unique(p.stream, &hold.record->ctx, NULL)
					  : sctx_insert(p.stream, &hold.record->ctx);
	inserted(w, &p, NULL, rc);
	if (rc)
		hold_add(w, hold.record, true);
	place_leave(w, &p);
	return rc ? REFUSED : DONE;
}

struct creation {
	struct worker *w;
	uint64_t home;
	bool fail, called;
};

static struct sctx_context *create(const void *owner, const void *instance, void *arg)
{
	struct creation *c = arg;

	c->called = true;
	if (c->fail)
		return NULL;
	return &record_new(c->w, (enum owner)((const char *)owner - test_names), instance, c->home)
			->ctx;
}

static int create_at(struct worker *w, const struct place *p, struct sctx_context **ctx)
{
	enum owner owner = UNIQUE + (enum owner)roll(w, OWNERS - UNIQUE);
	const void *instance = any_instance(w, owner);
	struct creation c = { w, p->number, one_in(w, 64), false };
	int rc;

	rc = sctx_get_or_create(p->stream, OWNER(owner), instance, create, &c, ctx);
	trace(w, w->now, p->number, rc);
	MUST(w, NULL, (rc == 0) == (*ctx != NULL));
	if (rc == -ENOMEM)
		MUST(w, NULL, c.fail && c.called);
	else
		inserted(w, p, NULL, rc);
	if (*ctx)
		MUST(w, record_of(*ctx),
		     (*ctx)->owner == OWNER(owner) && (!instance || (*ctx)->instance == instance));
	return rc;
}

static enum outcome op_get_or_create(struct worker *w)
{
	struct sctx_context *ctx = (void *)1;
	struct place p;
	int rc;

	if (!place_enter(w, &p))
		return NOTHING;
	rc = create_at(w, &p, &ctx);
	if (ctx)
		hold_add(w, record_of(ctx), false);
	place_leave(w, &p);
	return rc ? REFUSED : DONE;
}

/* --------------------------------------------------------- lookup, get, remove */

/* Something to look for where @least and later owners may be matched. */
static void any_query(struct worker *w, enum owner least, bool wild, const void **owner,
		      const void **instance)
{
	enum owner o = any_owner(w, least);

	*owner = wild && one_in(w, 8) ? NULL : OWNER(o);
	*instance = *owner && one_in(w, 2) ? any_instance(w, o) : NULL;
}

/* In a section: a moment, rarely a long one. */
static void linger(struct worker *w)
{
	for (uint64_t turns = roll(w, 64); turns; turns--)
		atomic_signal_fence(memory_order_acq_rel);
	if (one_in(w, 32))
		sched_yield();
	if (one_in(w, 512))
		nap_us((unsigned int)roll(w, 4000));
}

/* A reader who has borrowed it makes it his own, or throws it out. */
static void borrowed_use(struct worker *w, struct record *r)
{
	int rc;

	if (!r)
		return;
	if (r->owner >= UNIQUE && one_in(w, 8)) {
		MUST(w, r, sctx_ref(&r->ctx) == &r->ctx);
		hold_add(w, r, false);
	} else if (one_in(w, 32)) {
		record_note(w, r, "detach by a reader", 0);
		rc = sctx_detach(&r->ctx);
		ALLOW(w, r, rc, 0, -ENOENT, 0, 0);
	}
}

static enum outcome op_lookup(struct worker *w)
{
	struct borrow borrow[3];
	bool found = false;
	struct place p;

	if (!place_enter(w, &p))
		return NOTHING;
	sctx_read_lock();
	for (unsigned int i = 0; i < ARRAY_SIZE(borrow); i++) {
		enum owner least = p.least == UNREAD ? BORROWED : p.least;
		const void *owner, *instance;

		any_query(w, least, p.least != UNREAD, &owner, &instance);
		borrow[i] = record_borrow(w, sctx_lookup(p.stream, owner, instance), owner,
					  instance, p.number);
		found |= borrow[i].record != NULL;
	}
	MUST(w, NULL, !sctx_lookup(p.stream, NULL, INST(0)));
	linger(w);
	for (unsigned int i = 0; i < ARRAY_SIZE(borrow); i++) {
		borrowed_use(w, borrow[i].record);
		record_leave(w, borrow[i]);
	}
	sctx_read_unlock();
	trace(w, w->now, p.number, found);
	place_leave(w, &p);
	return found ? DONE : REFUSED;
}

static enum outcome op_get(struct worker *w)
{
	const void *owner, *instance;
	struct sctx_context *ctx;
	struct place p;

	if (!place_enter(w, &p))
		return NOTHING;
	any_query(w, UNIQUE, p.least == UNIQUE, &owner, &instance);
	ctx = sctx_get(p.stream, owner, instance);
	trace(w, w->now, p.number, ctx != NULL);
	if (ctx) {
		hold_add(w, record_of(ctx), false);
		MUST(w, record_of(ctx),
		     (!owner || ctx->owner == owner) && (!instance || ctx->instance == instance));
	}
	place_leave(w, &p);
	return ctx ? DONE : REFUSED;
}

static enum outcome op_remove(struct worker *w)
{
	const void *owner, *instance;
	struct sctx_context *ctx;
	struct place p;

	if (!place_enter(w, &p))
		return NOTHING;
	any_query(w, p.least, true, &owner, &instance);
	ctx = sctx_remove(p.stream, owner, instance);
	trace(w, w->now, p.number, ctx != NULL);
	if (ctx) {
		MUST(w, record_of(ctx),
		     (!owner || ctx->owner == owner) && (!instance || ctx->instance == instance));
		take_back(w, record_of(ctx), &p);
	}
	place_leave(w, &p);
	return ctx ? DONE : REFUSED;
}

static enum outcome op_delete(struct worker *w)
{
	const void *owner, *instance;
	struct place p;
	int rc;

	if (!place_enter(w, &p))
		return NOTHING;
	any_query(w, p.least, true, &owner, &instance);
	rc = sctx_delete(p.stream, owner, instance);
	trace(w, w->now, p.number, rc);
	ALLOW(w, NULL, rc, 0, -ENOENT, 0, 0);
	place_leave(w, &p);
	return rc ? REFUSED : DONE;
}

/* Four ids that everybody opens and closes: each is made anew all the time. */
enum outcome op_brief(struct worker *w)
{
	uint64_t id = HOT_IDS + roll(w, BRIEF_IDS);
	struct sctx_context *ctx;
	struct place p = { .number = place_number(w, false, id), .id = id };
	int rc;

	rc = stream_open(w, false, id, one_in(w, 4) ? SCTX_OPEN_NOWAIT : 0, &p.stream);
	trace(w, w->now, p.number, rc);
	if (rc) {
		ALLOW(w, NULL, rc, -EAGAIN, -EAGAIN, -EAGAIN, -EAGAIN);
		return REFUSED;
	}
	create_at(w, &p, &ctx);
	if (ctx)
		hold_add(w, record_of(ctx), false);
	stream_close(w, p.stream);
	return DONE;
}

/* -------------------------------------------------------------- in callbacks */

void work_in_callback(struct worker *w)
{
	static const struct op ops[] = {
		{ .name = "insert in a callback", .fn = op_insert },
		{ .name = "insert_unique in a callback", .fn = op_insert_unique },
		{ .name = "lookup in a callback", .fn = op_lookup },
		{ .name = "delete in a callback", .fn = op_delete },
		{ .name = "remove in a callback", .fn = op_remove },
		{ .name = "put in a callback", .fn = op_put },
		{ .name = "drop in a callback", .fn = op_drop },
		{ .name = "open and close in a callback", .fn = op_brief },
	};
	const struct op *op = &ops[roll(w, ARRAY_SIZE(ops))];

	if (!one_in(w, 16))
		return;
	w->now = op->name;
	op->fn(w);
	if (one_in(w, 256))
		nap_us((unsigned int)roll(w, 1000));
	w->now = NULL;
}

const struct op context_ops[] = {
	{ "insert", op_insert, 90000, false },
	{ "insert_unique", op_insert_unique, 50000, false },
	{ "replace", op_replace, 50000, false },
	{ "insert_again", op_insert_again, 40000, false },
	{ "get_or_create", op_get_or_create, 70000, false },
	{ "lookup", op_lookup, 200000, false },
	{ "get", op_get, 70000, false },
	{ "ref", op_ref, 40000, false },
	{ "put", op_put, 150000, false },
	{ "drop", op_drop, 20000, false },
	{ "remove", op_remove, 70000, false },
	{ "delete", op_delete, 50000, false },
	{ "detach", op_detach, 40000, false },
};
const size_t n_context_ops = ARRAY_SIZE(context_ops);
