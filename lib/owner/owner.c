/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners: the list of them, and attach at open.  Called by users,
 * by opens (registry/attach.h) and by unload.c (owner.h).
 *
 * owners_lock covers the list, the attacher slots of the registries, and the
 * leaving state.  It is only taken inside updates, so a fork never finds it held.
 */
#include "owner/owner.h"

#include "registry/attach.h"
#include "stream/context.h"
#include "base/pool.h"
#include "reclaim/reclaim.h"
#include "base/sized.h"

#include <unistd.h>

static struct sctx_owner *owners; /* in order of registration */
static uint64_t registrations;
static uint32_t owners_lock;

static void list_lock(void)
{
	sctx__update_begin();
	sctx__lock_u32(&owners_lock);
}

static void list_unlock(void)
{
	sctx__unlock_u32(&owners_lock, 0);
	sctx__update_end();
}

/* ------------------------------------------------------------ attach at open */

/*
 * In one section: an owner that leaves has cleared its slot and waits for sections, so
 * that from then on the pins only fall.
 */
static void attachers_pin(struct sctx_registry *registry, struct sctx__attachers *attachers)
{
	attachers->count = 0;
	sctx__update_begin();
	for (uint32_t i = 0; i < SCTX_ATTACH_MAX; i++) {
		struct sctx_owner *owner;

		if (i >= sctx__load(&registry->attachers))
			break;
		/* Pairs with the release in attacher_add(). */
		owner = sctx__load_acquire(&registry->attacher[i]);
		if (!owner)
			continue;
		sctx__counter_add(owner->pins, 1);
		attachers->owner[attachers->count++] = owner;
	}
	sctx__update_end();
}

static void attachers_unpin(struct sctx__attachers *attachers)
{
	for (unsigned int i = 0; i < attachers->count; i++)
		sctx__counter_add(attachers->owner[i]->pins, -1);
}

static int link_made(struct sctx_owner *owner, struct sctx_context *ctx, struct sctx_stream *stream)
{
	int error = -EINVAL;

	if (ctx->owner == owner && sctx__load(&ctx->flags) & SCTX__OWNED)
		error = sctx__stream_attach(stream, ctx);
	if (error)
		sctx_put(ctx);
	else
		sctx__counter_add(owner->attached, 1);
	return error;
}

static int attach_one(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
		      struct sctx_stream *stream)
{
	struct sctx_context *ctx = NULL;
	int error = owner->ops.attach(owner, id, arg, &ctx);

	if (error > 0)
		error = -EINVAL;
	if (ctx && error)
		sctx_put(ctx);
	else if (ctx)
		error = link_made(owner, ctx, stream);
	if (!error || sctx__load(&owner->owned.leaving))
		return 0;
	sctx__counter_add(owner->failures, 1);
	return owner->ops.flags & SCTX_OWNER_REQUIRED ? error : 0;
}

static int attach_all(struct sctx__attachers *attachers, const struct sctx_id *id, void *arg,
		      struct sctx_stream *stream)
{
	int error = 0;

	sctx__self.attaching++;
	for (unsigned int i = 0; i < attachers->count && !error; i++)
		error = attach_one(attachers->owner[i], id, arg, stream);
	sctx__self.attaching--;
	return error;
}

static const struct sctx__attach attach = { attachers_pin, attachers_unpin, attach_all };

/* ---------------------------------------------------------------- register */

static int ops_error(const struct sctx_owner_ops *ops)
{
	size_t length;

	if (!ops->name || !ops->tag || ops->flags & ~(SCTX_OWNER_REQUIRED | SCTX_OWNER_LOCKED | SCTX_OWNER_FREE_ANYWHERE))
		return -EINVAL;
	length = strnlen(ops->name, SCTX_OWNER_NAME_MAX + 1);
	return length == 0 || length > SCTX_OWNER_NAME_MAX ? -EINVAL : 0;
}

static int counters_new(uint32_t **slot, int n)
{
	for (int i = 0; i < n; i++) {
		int error = sctx__counter_new(slot[i]);

		while (error && i-- > 0)
			sctx__counter_delete(*slot[i]);
		if (error)
			return error;
	}
	return 0;
}

static int owner_alloc(struct sctx_registry *registry, const struct sctx_owner_ops *ops,
		       struct sctx_owner **out)
{
	struct sctx_owner *owner = sctx__pool_alloc(sizeof(*owner));
	int error;

	if (!owner)
		return -ENOMEM;
	memset(owner, 0, sizeof(*owner));
	sctx__owned_set_up(&owner->owned);
	owner->ops = *ops;
	owner->registry = registry;
	memcpy(owner->name, ops->name, strlen(ops->name));
	owner->ops.name = owner->name;
	error = counters_new(
		(uint32_t *[]){ &owner->live, &owner->pins, &owner->attached, &owner->failures },
		4);
	if (error)
		sctx__pool_free(owner, sizeof(*owner));
	else
		*out = owner;
	return error;
}

static void owner_free(struct sctx_owner *owner)
{
	sctx__counter_delete(owner->live);
	sctx__counter_delete(owner->pins);
	sctx__counter_delete(owner->attached);
	sctx__counter_delete(owner->failures);
	sctx__pool_free(owner, sizeof(*owner));
}

/* The next functions are called with the lock held. */

static int attacher_add(struct sctx_registry *registry, struct sctx_owner *owner)
{
	uint32_t i = 0;

	while (i < SCTX_ATTACH_MAX && registry->attacher[i])
		i++;
	if (i == SCTX_ATTACH_MAX)
		return -ENOSPC;
	/* Pairs with the acquire in attachers_pin(). */
	sctx__store_release(&registry->attacher[i], owner);
	sctx__store(&registry->attach, &attach);
	/* Pairs with the acquire in open_new_slow(). */
	if (registry->attachers <= i)
		sctx__store_release(&registry->attachers, i + 1);
	return 0;
}

static void attacher_remove(struct sctx_registry *registry, const struct sctx_owner *owner)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < SCTX_ATTACH_MAX; i++) {
		if (registry->attacher[i] == owner)
			sctx__store(&registry->attacher[i], NULL);
		if (registry->attacher[i])
			used = i + 1;
	}
	sctx__store(&registry->attachers, used);
}

static struct sctx_owner **place_of(const struct sctx_owner *owner)
{
	struct sctx_owner **place = &owners;

	while (*place && *place != owner)
		place = &(*place)->next;
	return place;
}

static int owner_link(struct sctx_owner *owner)
{
	int error = owner->ops.attach ? attacher_add(owner->registry, owner) : 0;

	if (error)
		return error;
	*place_of(NULL) = owner;
	owner->serial = ++registrations;
	sctx__store(&owner->registry->owners, owner->registry->owners + 1);
	/* Never reset: without such owners the call finds no one to notify. */
	if (owner->ops.idle || owner->ops.revived)
		sctx__store(&owner->registry->told, sctx__owner_tell);
	return 0;
}

/* The following are called without the lock. */

int sctx_owner_register(struct sctx_registry *registry, const struct sctx_owner_ops *given,
			struct sctx_owner **out)
{
	struct sctx_owner_ops ops;
	struct sctx_owner *owner;
	int error;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!registry || !given)
		return -EINVAL;
	error = sctx__sized_read(&ops, sizeof(ops), SCTX__SIZE_TO(struct sctx_owner_ops, arg),
				 given);
	if (!error)
		error = ops_error(&ops);
	if (!error)
		error = owner_alloc(registry, &ops, &owner);
	if (error)
		return error;
	list_lock();
	error = owner_link(owner);
	list_unlock();
	if (error)
		owner_free(owner);
	else
		*out = owner;
	return error;
}

/* ------------------------------------------------------------------ leaving */

int sctx__owner_leave(struct sctx_owner *owner)
{
	pid_t here = getpid();
	int error = 0;

	list_lock();
	if (!*place_of(owner)) {
		error = -ENOENT;
	} else if (owner->unregistering == here) {
		error = -EALREADY; /* in a fork's child the other thread is not there */
	} else {
		owner->unregistering = here;
		sctx__store(&owner->owned.leaving, 1);
		attacher_remove(owner->registry, owner);
	}
	list_unlock();
	return error;
}

void sctx__owner_stay(struct sctx_owner *owner)
{
	list_lock();
	owner->unregistering = 0;
	list_unlock();
}

/*
 * The lock protects walks of the list.  The grace period is for readers that
 * found @owner inside a section.
 */
void sctx__owner_forget(struct sctx_owner *owner)
{
	list_lock();
	*place_of(owner) = owner->next;
	sctx__store(&owner->registry->owners, owner->registry->owners - 1);
	list_unlock();
	sctx__synchronize();
	owner_free(owner);
}

/* --------------------------------------------------------------- who is there */

const char *sctx_owner_name(const struct sctx_owner *owner)
{
	return owner ? owner->name : NULL;
}

uint32_t sctx_owner_tag(const struct sctx_owner *owner)
{
	return owner ? owner->ops.tag : 0;
}

void *sctx_owner_arg(const struct sctx_owner *owner)
{
	return owner ? owner->ops.arg : NULL;
}

static struct sctx_owner *nth_of(const struct sctx_registry *registry, size_t n)
{
	struct sctx_owner *owner = owners;

	while (owner && (owner->registry != registry || n-- > 0))
		owner = owner->next;
	return owner;
}

/* Sums without the lock.  A counter slot that was reused meanwhile only skews statistics. */
static bool owner_stats(const struct sctx_registry *registry, size_t n,
			struct sctx_owner_stats *stats)
{
	uint32_t live = 0, attached = 0, failures = 0;
	const struct sctx_owner *owner;

	list_lock();
	owner = nth_of(registry, n);
	if (owner) {
		*stats = (struct sctx_owner_stats){ .size = sizeof(*stats),
						    .tag = owner->ops.tag,
						    .serial = owner->serial,
						    .leaving = owner->owned.leaving };
		memcpy(stats->name, owner->name, sizeof(stats->name));
		live = owner->live;
		attached = owner->attached;
		failures = owner->failures;
	}
	list_unlock();
	if (!owner)
		return false;
	stats->contexts = (uint64_t)sctx__counter_sum(live);
	stats->attached = (uint64_t)sctx__counter_sum(attached);
	stats->attach_failures = (uint64_t)sctx__counter_sum(failures);
	return true;
}

int sctx_registry_owners(struct sctx_registry *registry,
			 int (*fn)(const struct sctx_owner_stats *stats, void *arg), void *arg)
{
	struct sctx_owner_stats stats;
	int result = 0;

	if (!registry || !fn)
		return -EINVAL;
	for (size_t n = 0; !result && owner_stats(registry, n, &stats); n++)
		result = fn(&stats, arg);
	return result;
}
