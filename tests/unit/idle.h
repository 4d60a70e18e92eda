/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registries that keep idle streams: unit/idle, unit/forget, unit/idle_races.
 */
#ifndef IDLE_H
#define IDLE_H

#include "module.h"

static inline struct sctx_registry *registry_of(size_t limit)
{
	struct sctx_idle_options options = { .size = sizeof(options), .limit_streams = limit };
	struct sctx_registry *registry;

	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_registry_idle(registry, &options), 0);
	return registry;
}

static inline struct sctx_registry_stats stats_of(struct sctx_registry *registry)
{
	struct sctx_registry_stats stats = { .size = sizeof(stats) };

	assert_rc(sctx_registry_stats_get(registry, &stats), 0);
	return stats;
}

static inline void touch(struct sctx_registry *registry, uint64_t n)
{
	assert_rc(sctx_close(stream_open(registry, n)), 0);
}

static inline bool is_there(struct sctx_registry *registry, uint64_t n)
{
	struct sctx_id id = id_of(n);

	return seek(registry, &id) != NULL;
}

#endif /* IDLE_H */
