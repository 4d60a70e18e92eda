/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations on streams and registries. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* -------------------------------------------------------------------- lists */

/* A list stays zeroed, as one that was never initialised, for a while. */
static void op_list(struct actor *a)
{
	struct slot *slot = take_list(a);

	if (!slot || !slot->blank || take(a, 4) == 0)
		return;
	EXPECT(sctx_stream_init(slot->stream), 0);
	m_stream_init(&slot->m);
	slot->blank = false;
}

/* Behind a pointer, allocated by the library, in the place of a list. */
static void op_create(struct actor *a)
{
	struct slot *slot = &world.slots[take(a, LISTS)];
	struct sctx_stream *out = (void *)1;
	int error;

	if (slot->stream && !slot->pointer)
		return;
	CHECK(sctx_stream_load(&slot->pointer) == slot->stream);
	call_begin(a);
	error = sctx_stream_create(&slot->pointer, &out);
	if (call_end(a, error, CREATES_NOT)) {
		CHECK(!out && !slot->pointer && !slot->stream);
		return;
	}
	EXPECT(error, 0);
	CHECK(out == slot->pointer);
	if (slot->stream)
		return;
	slot->stream = out;
	slot->registry = NULL;
	slot->blank = false;
	slot->incarnation++;
	m_stream_init(&slot->m);
}

static void op_teardown(struct actor *a)
{
	struct slot *slot = take_slot(a);

	if (!slot)
		return;
	if (slot->registry) {
		EXPECT(sctx_teardown(slot->stream), -EPERM);
		return;
	}
	m_teardown(&slot->m);
	EXPECT(sctx_teardown(slot->stream), 0);
}

static void teardown_sync(struct slot *slot)
{
	unsigned int incarnation = slot->incarnation;
	struct sctx_stream *stream = slot->stream;
	uint64_t before;
	int error;

	m_teardown(&slot->m);
	before = m_now;
	world_unlock();
	error = sctx_teardown_sync(stream);
	world_lock();
	EXPECT(error, 0);
	check_settled(before);
	/* A callback that acts may have retired it. */
	if (slot->stream == stream && slot->incarnation == incarnation && !slot->registry)
		slot->blank = !slot->pointer;
}

/* The memory around a list may be freed afterwards. */
static void op_teardown_sync(struct actor *a)
{
	struct slot *slot;
	bool freed = take(a, 2);

	if (may_wait(a))
		settle(); /* no other callback is to see the stream half torn */
	slot = take_slot(a);
	if (!slot)
		return;
	if (slot->registry || !may_wait(a)) {
		EXPECT(sctx_teardown_sync(slot->stream), slot->registry ? -EPERM : -EDEADLK);
		return;
	}
	teardown_sync(slot);
	if (freed && slot->stream && slot->blank && !slot->registry) {
		free(slot->stream);
		slot->stream = NULL;
	}
}

static void op_disable(struct actor *a)
{
	struct slot *slot = take_slot(a);

	if (!slot)
		return;
	EXPECT(sctx_stream_disable(slot->stream), 0);
	m_disable(&slot->m);
}

static void op_retire(struct actor *a)
{
	struct slot *slot = take_slot(a);

	if (!slot)
		return;
	if (slot->registry) {
		EXPECT(sctx_stream_retire(slot->stream, list_free), -EPERM);
		return;
	}
	if (slot->pointer) {
		EXPECT(sctx_stream_drop(&slot->pointer), m_retire(&slot->m));
		CHECK(!slot->pointer);
	} else {
		EXPECT(sctx_stream_retire(slot->stream, list_free), m_retire(&slot->m));
		world.retired_streams++;
	}
	slot_gone(slot);
}

static void op_look(struct actor *a)
{
	struct slot *slot = take_slot(a);
	const struct sctx_id *id;

	if (!slot)
		return;
	EXPECT(sctx_stream_supports_contexts(slot->stream), slot->m.ready);
	id = sctx_stream_id(slot->stream);
	EXPECT(id != NULL, slot->registry != NULL);
	CHECK(!id || memcmp(id, &slot->id, sizeof(*id)) == 0);
}

/* ------------------------------------------------------------- open, close */

void slot_opened(struct slot *slot, struct sctx_stream *stream)
{
	CHECK(stream);
	for (struct slot *s = world.slots; s < world.slots + STREAMS; s++)
		CHECK(s->stream != stream);
	CHECK(memcmp(sctx_stream_id(stream), &slot->id, sizeof(slot->id)) == 0);
	slot->stream = stream;
	slot->incarnation++;
	m_stream_init(&slot->m);
	slot->m.opens = 1;
}

static void open_slot(struct actor *a, struct slot *slot, unsigned int flags)
{
	struct sctx_stream *out = (void *)1;
	int error;

	call_begin(a);
	error = sctx_open(slot->registry, &slot->id, flags, &out);
	if (call_end(a, error, flags & SCTX_OPEN_NOWAIT ? CREATES_NOWAIT : CREATES)) {
		CHECK(!out && !slot->stream && !(flags & SCTX_OPEN_EXISTING));
	} else if (flags & ~(SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT)) {
		EXPECT(error, -EINVAL);
		CHECK(!out);
	} else if (slot->stream) {
		EXPECT(error, 0);
		CHECK(out == slot->stream);
		slot->m.opens++;
	} else if (flags & SCTX_OPEN_EXISTING) {
		EXPECT(error, -ENOENT);
		CHECK(!out);
	} else {
		EXPECT(error, 0);
		slot_opened(slot, out);
	}
}

static void op_open(struct actor *a)
{
	static const unsigned int flags[] = {
		0,
		0,
		0,
		SCTX_OPEN_EXISTING,
		SCTX_OPEN_NOWAIT,
		SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT,
		4,
		~0u,
	};
	struct slot *slot = take_managed(a);

	if (slot)
		open_slot(a, slot, flags[take(a, COUNT(flags))]);
}

void slot_close(struct actor *a, struct slot *slot)
{
	struct sctx_stream *stream = slot->stream;

	if (--slot->m.opens == 0) {
		m_teardown(&slot->m);
		slot_gone(slot);
	}
	call_begin(a);
	EXPECT(sctx_close(stream), 0);
	call_end(a, 0, CREATES_NOT);
}

static void op_close(struct actor *a)
{
	struct slot *slot = take_slot(a);

	if (!slot)
		return;
	if (slot->registry)
		slot_close(a, slot);
	else
		EXPECT(sctx_close(slot->stream), -EPERM);
}

/* Many at once, so that chains grow, tables double, and chains shrink. */
static void op_open_many(struct actor *a)
{
	struct slot *first = take_managed(a);
	struct slot *end = world.slots + STREAMS;
	bool close = take(a, 3) == 0;
	unsigned int n = take(a, IDS) + 1;

	for (struct slot *s = first; first && n && s < end; s++, n--) {
		struct actor other = *a;
		unsigned char number = (unsigned char)(s - world.slots - LISTS);

		other.in = &number;
		other.end = other.in + 1;
		if (!take_managed(&other))
			break;
		if (!close)
			open_slot(a, s, 0);
		else if (s->stream)
			slot_close(a, s);
	}
}

static void op_find(struct actor *a)
{
	struct slot *slot = take_managed(a);

	if (!slot)
		return;
	section_begin(a);
	CHECK(sctx_find(slot->registry, &slot->id) == slot->stream);
	section_end(a);
}

/* -------------------------------------------------------------- registries */

static bool any_open(unsigned int r)
{
	for (unsigned int i = 0; i < IDS; i++)
		if (world.slots[LISTS + r * IDS + i].stream)
			return true;
	return false;
}

static bool in_use(unsigned int r)
{
	for (struct slot *s = world.slots; s < world.slots + STREAMS; s++)
		if (s->m.tracked && s->m.tracked == world.registries[r])
			return true;
	return any_open(r) || (world.module.owner && world.module.registry == world.registries[r]);
}

static void registry_create(struct actor *a, unsigned int r)
{
	struct sctx_registry *registry = (void *)1;
	int error;

	call_begin(a);
	error = sctx_registry_create(&registry);
	if (call_end(a, error, CREATES_NOT)) {
		CHECK(!registry);
		return;
	}
	EXPECT(error, 0);
	CHECK(registry);
	world.registries[r] = registry;
}

static void op_registry(struct actor *a)
{
	unsigned int r = take(a, REGISTRIES);
	struct sctx_registry *registry = world.registries[r];

	if (!registry) {
		registry_create(a, r);
	} else if (registry != world.walked && take(a, 2)) {
		EXPECT(sctx_registry_destroy(registry), in_use(r) ? -EBUSY : 0);
		if (!in_use(r))
			world.registries[r] = NULL;
	}
}

/* --------------------------------------------------------------------- walk */

#define STOPPED 77

struct walk {
	struct actor *actor;
	struct slot *slots; /* the registry's */
	unsigned int visited[IDS], incarnation[IDS];
	unsigned int visits, stop_at;
	unsigned int acts; /* operations in between, left */
	uint64_t since;
};

static bool is_ghost(const struct walk *w, const struct sctx_stream *stream)
{
	for (int i = 0; i < GHOSTS; i++)
		if (world.ghosts[i].stream == stream && world.ghosts[i].since >= w->since)
			return true;
	return false;
}

static void count_visit(struct walk *w, const struct sctx_stream *stream)
{
	for (unsigned int i = 0; i < IDS; i++) {
		if (w->slots[i].stream != stream)
			continue;
		if (w->incarnation[i] != w->slots[i].incarnation)
			w->visited[i] = 0;
		w->incarnation[i] = w->slots[i].incarnation;
		EXPECT(w->visited[i]++, 0);
		return;
	}
	CHECK(is_ghost(w, stream));
}

/* The library's section is the actor's, which he must not end. */
static void act_inside(struct walk *w)
{
	struct actor *a = w->actor;
	unsigned int floor = a->floor;

	if (a->depth++ == 0)
		a->since = ++m_now;
	a->floor = a->depth;
	step(a);
	while (a->depth > a->floor)
		section_end(a);
	a->depth--;
	a->floor = floor;
}

static int visit(struct sctx_stream *stream, void *arg)
{
	struct walk *w = arg;

	count_visit(w, stream);
	if (w->visits++ == w->stop_at)
		return STOPPED;
	if (w->acts) {
		w->acts--;
		act_inside(w);
	}
	return 0;
}

/* Open throughout, and not visited. */
static void check_visited(const struct walk *w, const struct walk *before)
{
	for (unsigned int i = 0; i < IDS; i++)
		if (before->visited[i] && w->slots[i].stream &&
		    before->incarnation[i] == w->slots[i].incarnation)
			EXPECT(w->visited[i], 1);
}

static void op_walk(struct actor *a)
{
	unsigned int r = take(a, REGISTRIES);
	struct walk w = { .actor = a, .slots = &world.slots[LISTS + r * IDS], .since = m_now };
	struct walk before = w;
	int result;

	w.acts = take(a, 4);
	w.stop_at = take(a, 4) ? IDS * 4 : take(a, IDS);
	if (a->walking || !world.registries[r])
		return;
	for (unsigned int i = 0; i < IDS; i++) {
		before.visited[i] = w.slots[i].stream != NULL;
		before.incarnation[i] = w.slots[i].incarnation;
	}
	a->walking = true;
	world.walked = world.registries[r];
	result = sctx_registry_for_each(world.walked, visit, &w);
	world.walked = NULL;
	a->walking = false;
	EXPECT(result, w.visits > w.stop_at ? STOPPED : 0);
	if (!result)
		check_visited(&w, &before);
}

/* ------------------------------------------------------------------- ghosts */

static struct sctx_context *never(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	(void)arg;
	DIE("asked to create a context for a stream that is gone");
}

/* A stream that is torn down and retired, in the section in which that happened. */
static void op_ghost(struct actor *a)
{
	const struct ghost *g = take_ghost(a);
	const void *owner = take_owner(a);
	struct sctx_context *out = (void *)1;
	struct item *item = take_item(a);
	unsigned int flavour = take(a, 2);

	if (!g)
		return;
	EXPECT(sctx_close(g->stream), g->managed ? -EBADF : -EPERM);
	EXPECT(sctx_stream_retire(g->stream, list_free), g->managed ? -EPERM : -EALREADY);
	CHECK(!sctx_stream_supports_contexts(g->stream));
	CHECK(!sctx_lookup(g->stream, owner, NULL));
	CHECK(!sctx_get(g->stream, owner, NULL));
	CHECK(!sctx_remove(g->stream, owner, NULL));
	EXPECT(sctx_delete(g->stream, owner, NULL), -ENOENT);
	EXPECT(sctx_teardown(g->stream), g->managed ? -EPERM : 0);
	EXPECT(sctx_stream_disable(g->stream), 0);
	EXPECT(sctx_get_or_create(g->stream, g, NULL, never, NULL, &out), -ESHUTDOWN);
	CHECK(!out);
	EXPECT(sctx_stream_id(g->stream) != NULL, g->managed);
	if (!item || world.tight)
		return;
	EXPECT(sctx_insert(g->stream, &item->body->ctx), -ESHUTDOWN);
	out = (void *)1;
	EXPECT(flavour ? sctx_replace(g->stream, &item->body->ctx, &out)
		       : sctx_insert_unique(g->stream, &item->body->ctx, &out),
	       -ESHUTDOWN);
	CHECK(!out);
}

static const op_fn ops[] = {
	op_list,      op_create, op_teardown, op_teardown_sync, op_disable,
	op_retire,    op_look,   op_open,     op_open,          op_close,
	op_open_many, op_find,   op_registry, op_walk,          op_ghost,
};
const struct ops stream_ops = { ops, COUNT(ops) };
