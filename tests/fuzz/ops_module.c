/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module: a registered owner, whose contexts are among the others (take_owner()),
 * who is told of each unlinking, and who leaves, at last or in vain.
 */
#include <string.h>

#include "world.h"

static struct module *const m = &world.module;

static void detached(struct sctx_context *ctx)
{
	item_of(ctx)->detached++;
}

static void spoil(struct sctx_owner_ops *ops, unsigned int how)
{
	static const char long_name[] = "a name that is one character too";

	switch (how) {
	case 0:
		ops->size = 1;
		break;
	case 1:
		ops->name = NULL;
		break;
	case 2:
		ops->name = "";
		break;
	case 3:
		ops->name = long_name;
		break;
	case 4:
		ops->tag = 0;
		break;
	default:
		ops->flags = 0x80000000u;
	}
}

static void module_register(struct actor *a)
{
	struct sctx_registry *registry = world.registries[take(a, REGISTRIES)];
	struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "a name of thirty-one characters",
		.tag = SCTX_TAG('F', 'u', 'z', 'z'),
		.detached = detached,
		.free = item_called_back,
		.arg = m,
	};
	unsigned int how = take(a, 12);
	struct sctx_owner *owner = (void *)1;
	int error;

	if (how < 6) {
		spoil(&ops, how);
		EXPECT(sctx_owner_register(registry, &ops, &owner), -EINVAL);
		CHECK(!owner);
		return;
	}
	if (m->owner)
		return;
	call_begin(a);
	error = sctx_owner_register(registry, &ops, &owner);
	if (call_end(a, error, CREATES_NOT) || !registry) {
		CHECK(!owner);
		EXPECT(error, registry ? -ENOMEM : -EINVAL);
		return;
	}
	EXPECT(error, 0);
	*m = (struct module){ .owner = owner, .registry = registry };
}

/* ------------------------------------------------------------------ leaving */

/* Nobody has it but limbo. */
static bool goes(const struct item *item)
{
	return m_context_due(&item->m);
}

/* What unregister does, and how many contexts it cannot be rid of. */
static unsigned int leave(void)
{
	unsigned int held = 0;

	m->leaving = true;
	for (struct item *item = world.items; item < world.items + ITEMS; item++) {
		const struct slot *slot = (const struct slot *)item->m.on;

		if (!item->body || !item->module)
			continue;
		item->script_length = 0; /* there is no one moment at which all are unlinked */
		if (slot && (slot->registry == m->registry || slot->m.tracked == m->registry))
			m_detach(&item->m);
		held += !goes(item);
	}
	return held;
}

static void check_leaks(const struct sctx_leaks *leaks, unsigned int held)
{
	EXPECT(leaks->held, held);
	CHECK(leaks->listed <= SCTX_LEAKS_LISTED && leaks->listed <= held);
	if (held)
		EXPECT(leaks->tag, SCTX_TAG('F', 'u', 'z', 'z'));
}

void module_unregister(bool report)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	unsigned int held;
	uint64_t before;
	int error;

	settle();
	if (!m->owner)
		return;
	held = leave();
	before = m_now;
	m->unregistering = true;
	world_unlock();
	error = sctx_owner_unregister(m->owner, report ? &leaks : NULL);
	world_lock();
	m->unregistering = false;
	EXPECT(error, held ? -EBUSY : 0);
	if (report)
		check_leaks(&leaks, held);
	check_settled(before);
	if (!error)
		m->owner = NULL;
}

static void op_unregister(struct actor *a)
{
	struct sctx_leaks bad = { .size = 1 };

	if (!m->owner)
		return;
	EXPECT(sctx_owner_unregister(m->owner, &bad), -EINVAL);
	if (may_wait(a))
		module_unregister(take(a, 2));
	else
		EXPECT(sctx_owner_unregister(m->owner, NULL), -EDEADLK);
}

static void module_drain(struct actor *a)
{
	uint64_t before = m_now;
	int error;

	EXPECT(sctx_owner_drain(NULL), -EINVAL);
	if (!m->owner)
		return;
	if (!may_wait(a)) {
		EXPECT(sctx_owner_drain(m->owner), -EDEADLK);
		return;
	}
	world_unlock();
	error = sctx_owner_drain(m->owner);
	world_lock();
	EXPECT(error, 0);
	check_settled(before);
}

/* So that he finds his contexts there, too. */
static void track(struct actor *a)
{
	struct sctx_registry *registry = world.registries[take(a, REGISTRIES)];
	struct slot *slot = take_slot(a);
	int error;

	if (!slot)
		return;
	if (!registry) {
		EXPECT(sctx_stream_track(NULL, slot->stream), -EINVAL);
		return;
	}
	call_begin(a);
	error = sctx_stream_track(registry, slot->stream);
	if (!call_end(a, error, CREATES_NOT))
		EXPECT(error, slot->registry ? -EPERM : m_track(&slot->m, registry));
}

/* ------------------------------------------------------------------ looking */

static int check_stats(const struct sctx_owner_stats *stats, void *arg)
{
	unsigned int there = 0;

	for (const struct item *item = world.items; item < world.items + ITEMS; item++)
		there += item->body && item->module;
	CHECK(stats->contexts >= there); /* one whose callback is just returning counts */
	EXPECT(stats->leaving, m->leaving);
	EXPECT(stats->attached, 0);
	EXPECT(strlen(stats->name), SCTX_OWNER_NAME_MAX);
	(*(unsigned int *)arg)++;
	return 0;
}

static void module_look(struct actor *a)
{
	struct sctx_context ctx;
	unsigned int owners = 0;

	EXPECT(sctx_owner_unregister(NULL, NULL), -EINVAL);
	EXPECT(sctx_owner_context_init(NULL, &ctx, NULL), -EINVAL);
	CHECK(!sctx_owner_name(NULL) && !sctx_owner_tag(NULL) && !sctx_owner_arg(NULL));
	if (!m->owner)
		return;
	EXPECT(sctx_owner_context_init(m->owner, NULL, NULL), -EINVAL);
	EXPECT(sctx_owner_tag(m->owner), SCTX_TAG('F', 'u', 'z', 'z'));
	CHECK(sctx_owner_arg(m->owner) == m);
	EXPECT(sctx_registry_owners(m->registry, NULL, NULL), -EINVAL);
	EXPECT(sctx_registry_owners(m->registry, check_stats, &owners), 0);
	EXPECT(owners, 1);
	if (a->in_callback || m->registry == world.walked)
		return;
	EXPECT(sctx_registry_destroy(m->registry), -EBUSY);
}

/* --------------------------------------------------------------- operations */

void module_check(void)
{
	if (m->unregistering)
		return;
	for (const struct item *item = world.items; item < world.items + ITEMS; item++)
		if (item->body && item->module)
			EXPECT(item->detached, item->m.unlinked);
}

void op_module(struct actor *a)
{
	switch (take(a, 8)) {
	case 0:
	case 1:
	case 2:
		module_register(a);
		break;
	case 3:
		track(a);
		break;
	case 4:
	case 5:
		op_unregister(a);
		break;
	case 6:
		module_drain(a);
		break;
	default:
		module_look(a);
	}
}
