/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations on contexts: called in the library and in the model, compared. */
#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void op_new(struct actor *a)
{
	const void *owner = take_owner(a), *instance = take_instance(a);
	struct sctx_context ctx;

	if (owner)
		item_new(a, owner, instance);
	else
		EXPECT(sctx_context_init(&ctx, owner, instance, SCTX_NO_FREE), -EINVAL);
}

/* ------------------------------------------------------------------- insert */

struct call {
	struct slot *slot;
	struct item *item;
	enum m_mode mode;
	bool out; /* the out-parameter is wanted */
};

static int insert_really(const struct call *c, struct sctx_context **out)
{
	struct sctx_context *ctx = &c->item->body->ctx, **where = c->out ? out : NULL;

	switch (c->mode) {
	case M_INSERT:
		return sctx_insert(c->slot->stream, ctx);
	case M_INSERT_UNIQUE:
		return sctx_insert_unique(c->slot->stream, ctx, where);
	default:
		return sctx_replace(c->slot->stream, ctx, where);
	}
}

/* Who leaves is refused before anything else. */
static int insert_expected(const struct call *c, struct m_context **found)
{
	*found = NULL;
	if (c->item->module && world.module.leaving)
		return -ESHUTDOWN;
	return m_insert(&c->slot->m, &c->item->m, c->mode, found);
}

static void insert(struct actor *a, const struct call *c)
{
	struct sctx_context *out = (void *)1;
	bool written = c->out && c->mode != M_INSERT;
	struct m_context *found;
	int error;

	call_begin(a);
	error = insert_really(c, &out);
	if (call_end(a, error, CREATES) || (error == -EBADF && c->item->m.revived)) {
		CHECK(!written || !out);
		return;
	}
	EXPECT(error, insert_expected(c, &found));
	if (written)
		CHECK(out == real(found));
	else if (found)
		m_put(found);
}

static void insert_as(struct actor *a, enum m_mode mode)
{
	struct call c = { .mode = mode, .slot = take_slot(a) };

	c.item = take_item(a);
	c.out = take(a, 2);
	if (c.slot && c.item)
		insert(a, &c);
}

static void op_insert(struct actor *a)
{
	insert_as(a, M_INSERT);
}

static void op_insert_unique(struct actor *a)
{
	insert_as(a, M_INSERT_UNIQUE);
}

static void op_replace(struct actor *a)
{
	insert_as(a, M_REPLACE);
}

/* Many at once, so that arrays take over. */
static void op_insert_many(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a);

	for (unsigned int n = take(a, 24) + 1; slot && owner && n; n--) {
		struct item *item = item_new(a, owner, take_instance(a));
		struct call c = { .mode = M_INSERT, .slot = slot, .item = item };

		if (item)
			insert(a, &c);
	}
}

/* ------------------------------------------------------------ get or create */

enum kind { MADE, NOTHING, OTHER_INSTANCE, LINKED, BEATEN, KINDS };

struct making {
	struct actor *actor;
	enum kind kind;
	struct slot *slot;
	struct item *item;
	struct item *winner; /* hung up meanwhile, with the same owner and instance */
	bool called;
};

static void beat(struct making *m, const void *owner, const void *instance)
{
	struct item *item = item_new(m->actor, owner, instance);
	struct m_context *none;

	if (!item || sctx_insert(m->slot->stream, &item->body->ctx))
		return;
	EXPECT(m_insert(&m->slot->m, &item->m, M_INSERT, &none), 0);
	m->winner = item;
}

static struct sctx_context *make(const void *owner, const void *instance, void *arg)
{
	struct making *m = arg;

	m->called = true;
	if (m->kind == LINKED)
		m->item = take_item(m->actor);
	if (m->kind == LINKED && (!m->item || !m->item->m.on))
		m->item = NULL;
	if (m->kind == BEATEN)
		beat(m, owner, instance);
	if (m->kind == MADE || m->kind == BEATEN)
		m->item = item_new(m->actor, owner, instance);
	if (m->kind == OTHER_INSTANCE)
		m->item = item_new(m->actor, owner, m);
	return m->item ? &m->item->body->ctx : NULL;
}

/* It called @m's make(), and returned @error. */
static struct m_context *expect_made(struct slot *slot, const struct making *m, int error)
{
	struct m_context *none;

	if (!m->item) {
		EXPECT(error, -ENOMEM);
	} else if (m->kind == LINKED) {
		EXPECT(error, -EBUSY);
	} else if (m->kind == OTHER_INSTANCE) {
		EXPECT(error, -EINVAL);
		m_put(&m->item->m);
	} else if (m->winner) {
		EXPECT(error, 0);
		m_put(&m->item->m);
		m_ref(&m->winner->m);
		return &m->winner->m;
	} else {
		EXPECT(error, 0);
		EXPECT(m_insert(&slot->m, &m->item->m, M_INSERT, &none), 0);
		m_ref(&m->item->m);
		return &m->item->m;
	}
	return NULL;
}

static void op_get_or_create(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a), *instance = take_instance(a);
	struct making making = { .actor = a, .kind = take(a, 8) };
	struct sctx_context *out = (void *)1;
	struct m_context *found;
	int error;

	if (!slot)
		return;
	if (making.kind >= KINDS)
		making.kind = MADE;
	making.slot = slot;
	found = owner ? m_lookup(&slot->m, owner, instance) : NULL;
	call_begin(a);
	error = sctx_get_or_create(slot->stream, owner, instance, make, &making, &out);
	if (call_end(a, error, CREATES)) {
		if (making.called && making.item && making.kind != LINKED)
			m_put(&making.item->m);
	} else if (!owner) {
		EXPECT(error, -EINVAL);
	} else if (found) {
		EXPECT(error, 0);
		m_ref(found);
	} else if (m_stream_error(&slot->m)) {
		EXPECT(error, m_stream_error(&slot->m));
	} else {
		found = expect_made(slot, &making, error);
	}
	CHECK(making.called || !making.item);
	CHECK(out == (error ? NULL : real(found)));
}

/* ------------------------------------------------------------ lookup, remove */

static void op_lookup(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a), *instance = take_instance(a);
	struct m_context *want;

	if (!slot)
		return;
	section_begin(a);
	want = m_lookup(&slot->m, owner, instance);
	CHECK(sctx_lookup(slot->stream, owner, instance) == real(want));
	if (want && !a->in_callback)
		((struct item *)want)->borrowed_at = m_now;
	section_end(a);
}

static void op_get(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a), *instance = take_instance(a);
	struct m_context *want;

	if (!slot)
		return;
	want = m_lookup(&slot->m, owner, instance);
	CHECK(sctx_get(slot->stream, owner, instance) == real(want));
	if (want)
		m_ref(want);
}

static void op_remove(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a), *instance = take_instance(a);
	unsigned int then = take(a, 4);
	struct sctx_context *ctx;
	struct m_context *want;

	if (!slot)
		return;
	want = m_remove(&slot->m, owner, instance);
	ctx = sctx_remove(slot->stream, owner, instance);
	CHECK(ctx == real(want));
	if (!want)
		return;
	if (then == 0)
		EXPECT(sctx_put(ctx), m_put(want));
	else if (then == 1 && want->held == 1 && !((struct item *)want)->module)
		item_free_at_once((struct item *)want);
}

static void op_delete(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const void *owner = take_owner(a), *instance = take_instance(a);
	struct m_context *want;

	if (!slot)
		return;
	want = m_remove(&slot->m, owner, instance);
	EXPECT(sctx_delete(slot->stream, owner, instance), want ? m_put(want) : -ENOENT);
}

/* --------------------------------------------------------------- references */

static void op_detach(struct actor *a)
{
	struct item *item = take_item(a);

	if (!item)
		return;
	section_begin(a); /* it may be borrowed only */
	EXPECT(sctx_detach(&item->body->ctx), m_detach(&item->m));
	section_end(a);
}

/* Too often, at times. */
static void op_put(struct actor *a)
{
	struct item *item = take_item(a);

	if (item)
		EXPECT(sctx_put(&item->body->ctx), m_put(&item->m));
}

/* After the last put, too, within the section in which that was made. */
static void op_ref(struct actor *a)
{
	struct item *item = take_item(a);

	if (!item)
		return;
	CHECK(sctx_ref(&item->body->ctx) == &item->body->ctx);
	m_ref(&item->m);
}

static const op_fn ops[] = {
	op_new,    op_insert, op_insert_unique, op_replace, op_insert_many,
	op_lookup, op_get,    op_get_or_create, op_remove,  op_delete,
	op_detach, op_put,    op_ref,           op_module,  op_insert,
};
const struct ops context_ops = { ops, COUNT(ops) };
