/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry, as registry.c, owner.c, track.c and unload.c see it.
 */
#ifndef SCTX_REGISTRY_H
#define SCTX_REGISTRY_H

#include "registry/table.h"

struct sctx__tracked;

#define SCTX__SECRET_SIZE 136 /* as XXH3 asks; for an id it reads the first 32 bytes */

struct sctx_registry {
	struct sctx__table *table;
	uint8_t secret[SCTX__SECRET_SIZE]; /* of its hash; random */
	struct sctx__block block;
	/* Owners that attach at open: set and cleared by owner.c. */
	uint32_t attachers; /* slots below it may be in use */
	struct sctx_owner *attacher[SCTX_ATTACH_MAX];
	/* Embedded streams: track.c. */
	uint32_t tracked_lock;
	uint64_t tracked_count;
	struct sctx__tracked *tracked;
};

/*
 * sctx_registry_for_each() that waits between buckets where limbo is at its
 * limit: @fn retires.
 */
int sctx__registry_sweep(struct sctx_registry *registry,
			 int (*fn)(struct sctx_stream *stream, void *arg), void *arg);

/* Walk the table: fills streams, buckets, overflows, longest_chain. */
void sctx__registry_table_stats(struct sctx_registry *registry, struct sctx_registry_stats *stats);

#endif /* SCTX_REGISTRY_H */
