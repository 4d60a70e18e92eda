/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics: gathered here from those who count.  Printed by print.c.
 */
#include "stats/stats.h"

#include "thread/counter.h"
#include "registry/registry.h"

#include <errno.h>

static uint64_t events(enum sctx__event event)
{
	return (uint64_t)sctx__count_sum(event);
}

int sctx_stats_get(struct sctx_stats *stats)
{
	if (!stats || stats->size != sizeof(*stats))
		return -EINVAL;
	sctx__reclaim_stats(stats);
	stats->creates = events(SCTX__CREATES);
	stats->opens = stats->creates + events(SCTX__REOPENS);
	stats->last_closes = events(SCTX__LAST_CLOSES);
	stats->closes = stats->last_closes + events(SCTX__OTHER_CLOSES);
	stats->inserts = events(SCTX__INSERTS);
	stats->removes = events(SCTX__REMOVES);
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
	if (!registry || !stats || stats->size != sizeof(*stats))
		return -EINVAL;
	*stats = (struct sctx_registry_stats){ .size = sizeof(*stats) };
	sctx__registry_table_stats(registry, stats);
	stats->tracked = sctx__load(&registry->tracked_count);
	return sctx_registry_owners(registry, count_owner, &stats->owners);
}
