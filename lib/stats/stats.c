/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics, gathered from the counters of the other rooms.  print.c prints
 * them.
 */
#include "thread/counter.h"
#include "reclaim/reclaim.h"
#include "registry/registry.h"
#include "base/sized.h"

static uint64_t events(enum sctx__event event)
{
	return (uint64_t)sctx__count_sum(event);
}

static void stats_fill(struct sctx_stats *stats)
{
	sctx__reclaim_stats(stats);
	stats->creates = events(SCTX__CREATES);
	stats->opens = stats->creates + events(SCTX__REOPENS);
	stats->last_closes = events(SCTX__LAST_CLOSES);
	stats->closes = stats->last_closes + events(SCTX__OTHER_CLOSES);
	stats->inserts = events(SCTX__INSERTS);
	stats->removes = events(SCTX__REMOVES);
	stats->revivals = events(SCTX__REVIVALS);
	stats->evictions = events(SCTX__EVICTIONS);
	stats->refusals = events(SCTX__REFUSALS);
	stats->forgets = events(SCTX__FORGETS);
}

int sctx_stats_get(struct sctx_stats *stats)
{
	struct sctx_stats now = { 0 };
	int error;

	if (!stats)
		return -EINVAL;
	error = sctx__size_check(stats->size, SCTX__SIZE_TO(struct sctx_stats, removes));
	if (error)
		return error;
	stats_fill(&now);
	sctx__sized_write(stats, &now, sizeof(now));
	return 0;
}

static int count_owner(const struct sctx_owner_stats *owner, void *owners)
{
	(void)owner;
	++*(uint64_t *)owners;
	return 0;
}

int sctx_registry_stats_get(struct sctx_registry *registry, struct sctx_registry_stats *stats)
{
	struct sctx_registry_stats now = { 0 };
	int error;

	if (!registry || !stats)
		return -EINVAL;
	error = sctx__size_check(stats->size, SCTX__SIZE_TO(struct sctx_registry_stats, owners));
	if (error)
		return error;
	sctx__registry_table_stats(registry, &now);
	now.tracked = sctx__load(&registry->tracked_count);
	now.idle = sctx__idle_count(&registry->idle);
	now.idle_limit = sctx__load(&registry->keeps);
	now.idle_bytes = sctx__idle_bytes(&registry->idle);
	now.laps = sctx__load(&registry->idle.laps);
	error = sctx_registry_owners(registry, count_owner, &now.owners);
	if (!error)
		sctx__sized_write(stats, &now, sizeof(now));
	return error;
}
