/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that do many things at once: each must do what the single ones would. */
#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MANY     20

static void op_get_many(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner[MANY];
	struct sctx_context *got[MANY];
	unsigned int n = take(a, MANY + 1);
	int found = 0, want = 0;

	for (unsigned int i = 0; i < n; i++) {
		owner[i] = take_owner(a);
		got[i] = (void *)1;
	}
	if (!slot)
		return;
	found = sctx_get_many(slot->stream, n, owner, got);
	for (unsigned int i = 0; i < n; i++) {
		struct m_context *c = owner[i] ? m_lookup(&slot->m, owner[i], NULL) : NULL;

		CHECK(got[i] == real(c));
		if (!c)
			continue;
		m_ref(c);
		want++;
	}
	EXPECT(found, want);
}

/* Some of them too often, and some NULL; in a section, so that all stay good. */
static void op_put_many(struct actor *a)
{
	struct sctx_context *ctx[MANY];
	unsigned int n = take(a, MANY + 1);
	int want = 0;

	section_begin(a);
	for (unsigned int i = 0; i < n; i++) {
		struct item *item = take(a, 8) ? take_item(a) : NULL;
		int error = item ? m_put(&item->m) : 0;

		ctx[i] = item ? &item->body->ctx : NULL;
		if (!want)
			want = error;
	}
	EXPECT(sctx_put_many(n, ctx), want);
	section_end(a);
}

/* ------------------------------------------------------- what a stream holds */

struct visits {
	const struct m_stream *m;
	size_t done, stop_at;
};

static struct m_context *expected(struct visits *v)
{
	CHECK(v->done < v->m->count);
	return v->m->list[v->m->count - 1 - v->done++];
}

#define STOPPED 78

static int visit(struct sctx_context *ctx, void *arg)
{
	struct visits *v = arg;

	CHECK(ctx == real(expected(v)));
	return v->done == v->stop_at ? STOPPED : 0;
}

static void op_each(struct actor *a)
{
	struct slot *slot = take_slot(a);
	struct visits v = { .stop_at = take(a, 6) };
	int result;

	if (!slot)
		return;
	v.m = &slot->m;
	result = sctx_stream_for_each(slot->stream, visit, &v);
	if (v.stop_at && v.stop_at <= slot->m.count)
		EXPECT(result, STOPPED);
	else
		EXPECT(result, 0);
	EXPECT(v.done, result ? v.stop_at : slot->m.count);
}

static void report(struct sctx_context *ctx, void *arg)
{
	CHECK(ctx == real(expected(arg)));
}

static void op_teardown_report(struct actor *a)
{
	struct slot *slot = take_slot(a);
	struct visits v = { .m = slot ? &slot->m : NULL };

	if (!slot)
		return;
	if (slot->registry) {
		EXPECT(sctx_teardown_report(slot->stream, report, &v), -EPERM);
		return;
	}
	EXPECT(sctx_teardown_report(slot->stream, report, &v), slot->m.count);
	EXPECT(v.done, slot->m.count);
	m_teardown(&slot->m);
}

/* -------------------------------------------------------------------- opens */

struct opening {
	struct slot *slot[MANY];
	struct sctx_id id[MANY];
	struct sctx_stream *out[MANY];
	unsigned int n;
};

/* An id more than once, at times. */
static struct sctx_registry *take_opening(struct actor *a, struct opening *o)
{
	struct sctx_registry *registry = NULL;

	o->n = 0;
	for (unsigned int n = take(a, MANY + 1); n; n--) {
		struct slot *slot = take_managed(a);

		if (!slot || (registry && slot->registry != registry))
			continue;
		registry = slot->registry;
		o->slot[o->n] = slot;
		o->id[o->n] = slot->id;
		o->out[o->n++] = (void *)1;
	}
	return registry;
}

static bool occurred(const struct opening *o, unsigned int i)
{
	for (unsigned int before = 0; before < i; before++)
		if (o->slot[before] == o->slot[i])
			return true;
	return false;
}

/*
 * What became of the @i-th; 0 if it must have been opened.  Of an id that was
 * not open, each occurrence may be refused what only the first one needs.
 */
static int opened(struct opening *o, unsigned int i, unsigned int flags, int error, bool excused)
{
	struct slot *slot = o->slot[i];

	if (slot->stream && !o->out[i] && excused && occurred(o, i))
		return error;
	if (slot->stream) {
		CHECK(o->out[i] == slot->stream);
		slot->m.opens++;
		return 0;
	}
	if (flags & SCTX_OPEN_EXISTING) {
		CHECK(!o->out[i]);
		return -ENOENT;
	}
	if (!o->out[i] && excused)
		return error;
	slot_opened(slot, o->out[i]);
	return 0;
}

static void op_open_many(struct actor *a)
{
	static const unsigned int flags[] = { 0, 0, SCTX_OPEN_EXISTING, SCTX_OPEN_NOWAIT, 8 };
	struct opening o;
	struct sctx_registry *registry = take_opening(a, &o);
	unsigned int flag = flags[take(a, COUNT(flags))];
	int error, want = 0;
	bool excused;

	if (!registry)
		return;
	call_begin(a);
	error = sctx_open_many(registry, o.id, o.n, flag, o.out);
	excused = call_end(a, error, flag & SCTX_OPEN_NOWAIT ? CREATES_NOWAIT : CREATES);
	if (flag & ~(SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT)) {
		EXPECT(error, -EINVAL);
		for (unsigned int i = 0; i < o.n; i++)
			CHECK(!o.out[i]);
		return;
	}
	for (unsigned int i = 0; i < o.n; i++) {
		int one = opened(&o, i, flag, error, excused);

		if (!want)
			want = one;
	}
	EXPECT(error, want);
}

static const op_fn ops[] = {
	op_get_many, op_put_many, op_each, op_teardown_report, op_open_many, op_open_many,
};
const struct ops batch_ops = { ops, COUNT(ops) };
